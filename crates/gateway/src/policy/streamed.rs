//! What goes over a stream: a command → [`StreamPermit`], channels → [`ChannelPermit`], or [`Denied`].
//!
//! Guarantees: judged by the same verdict as a call over REST, limits of time and place included; a permit can be made here
//! only, bears no signature, and cannot be signed. A channel of the account is judged as the method that shows the same,
//! the instrument in its name as one in that method's params. Does not: ask for a right where nothing of an account is
//! shown (market channels).

use serde_json::{json, value::to_raw_value};

use super::{Denied, Rule, Way, denied, judge};
use crate::{access::Arrival, auth::Caller};
use catalogue::channels::{self, OfTheAccount};
use protocol::call::{Call, Method, RequestId};

/// The proof that a caller may send a command on a stream; made here only, spent by the session. It bears no signature
/// and cannot be signed.
#[derive(Debug)]
pub struct StreamPermit {
    call: Call,
}

impl StreamPermit {
    /// What was allowed.
    #[must_use]
    pub(crate) fn into_call(self) -> Call {
        self.call
    }
}

/// Decides whether a caller may have a stream at all, from there and now; what goes over it is judged frame by frame.
///
/// # Errors
/// [`Denied`].
pub fn admit_stream(caller: &Caller, arrival: Arrival<'_>) -> Result<(), Denied> {
    caller
        .policy
        .limits
        .admit(arrival)
        .map_err(|outside| denied(caller, "public/auth", Rule::Access(outside)))
}

/// Decides whether a caller may send a command on a stream, from there and now.
///
/// # Errors
/// [`Denied`] with the rule and the setting that would allow it.
pub fn authorize_streamed(
    caller: &Caller,
    arrival: Arrival<'_>,
    call: Call,
) -> Result<StreamPermit, Denied> {
    judge(caller, arrival, &call, Way::Stream)?;
    Ok(StreamPermit { call })
}

/// The proof that a caller may see these channels; made here only, spent by the session.
#[derive(Debug)]
pub struct ChannelPermit(());

impl ChannelPermit {
    /// It is used up.
    pub(crate) fn spend(self) {
        let Self(()) = self;
    }
}

/// Decides whether a caller may see channels of the account, from there and now: each is judged as the method that shows
/// the same.
///
/// # Errors
/// [`Denied`] of the first that it may not see.
pub fn authorize_channels<'a>(
    caller: &Caller,
    arrival: Arrival<'_>,
    channels: impl IntoIterator<Item = &'a str>,
) -> Result<ChannelPermit, Denied> {
    for channel in channels {
        let Some(call) = channels::of_the_account(channel).and_then(as_a_call) else {
            return Err(denied(caller, "subscribe", Rule::UnknownChannel));
        };
        judge(caller, arrival, &call, Way::Stream)?;
    }
    Ok(ChannelPermit(()))
}

/// Market channels need no right: nothing of an account is in them.
#[must_use]
pub fn of_the_market<'a>(channels: impl IntoIterator<Item = &'a str>) -> Option<ChannelPermit> {
    channels
        .into_iter()
        .all(channels::is_of_the_market)
        .then_some(ChannelPermit(()))
}

/// The read that amounts to a channel.
fn as_a_call(channel: OfTheAccount<'_>) -> Option<Call> {
    let method = Method::parse(channel.method).ok()?;
    let params = channel
        .instrument
        .map(|name| to_raw_value(&json!({ "instrument_name": name })));
    let params = params.transpose().ok()?;
    Call::parse_unsigned(RequestId::BACKEND, method, params.as_deref()).ok()
}
