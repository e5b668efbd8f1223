//! `Caller` + `Call` → [`Permit`], or [`Denied`] with the rule that denies it.
//!
//! Guarantees: judged on the parsed call, never on the signed string (which is not injective); what is in no list is
//! denied; a [`Permit`] can be made here only, and is consumed by the signer, so that skipping policy, or a caller's
//! access rules, does not compile. Order of the rules: time and source, denied method, denied class, allowed
//! method, allowed class, denial; then instruments. Denial beats allowance, whichever is the more exact.

use std::{collections::HashSet, sync::Arc};

use serde_json::{json, value::to_raw_value};

use crate::access::{AccessRules, Arrival};
use catalogue::{
    channels::{self, OfTheAccount},
    methods::Class,
};
use protocol::call::{Call, Method, RequestId};

mod denied;
mod instruments;
mod lists;
#[cfg(test)]
mod tests;

pub use self::{
    denied::{Denied, Rule, Written},
    instruments::{Instruments, Unlisted},
    lists::{Pattern, Preset},
};

/// A program that may call us.
#[derive(Debug)]
pub struct Caller {
    /// Its name in records and refusals.
    pub name: Arc<str>,
    /// What it may do.
    pub policy: Policy,
}

/// What a caller may do, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Classes that are allowed.
    pub allow_classes: HashSet<Class>,
    /// Classes that are denied, whatever else is allowed.
    pub deny_classes: HashSet<Class>,
    /// Methods that are allowed by name, also such as the catalogue does not know.
    pub allow_methods: HashSet<String>,
    /// Methods that are denied by name.
    pub deny_methods: HashSet<String>,
    /// Methods of the catalogue that are allowed by the beginnings of their names, within [`Policy::patterns_reach`].
    pub allow_patterns: Vec<Pattern>,
    /// Methods, known or not, that are denied by the beginnings of their names.
    pub deny_patterns: Vec<Pattern>,
    /// The instruments it may act on; `None` for all.
    pub instruments: Option<Instruments>,
    /// Where and when it may call.
    pub access: AccessRules,
    /// Where all this is written.
    pub written: Written,
}

impl Default for Policy {
    /// The default caller's: read and trade, nothing else (wire contract).
    fn default() -> Self {
        Self {
            allow_classes: Preset::Trade.classes().iter().copied().collect(),
            ..Self::nothing()
        }
    }
}

impl Policy {
    /// Allows nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            allow_classes: HashSet::new(),
            deny_classes: HashSet::new(),
            allow_methods: HashSet::new(),
            deny_methods: HashSet::new(),
            allow_patterns: Vec::new(),
            deny_patterns: Vec::new(),
            instruments: None,
            access: AccessRules::default(),
            written: Written::default(),
        }
    }

    /// Whether a pattern that allows may open methods of this class.
    ///
    /// A beginning says little about consequences: `private/create-` begins orders and withdrawals alike. So patterns stay
    /// within the classes of the caller. Where it has none, they open neither transfers nor the account's settings.
    #[must_use]
    pub fn patterns_reach(&self, class: Class) -> bool {
        if self.allow_classes.is_empty() {
            return matches!(class, Class::Read | Class::Trade | Class::Products);
        }
        self.allow_classes.contains(&class)
    }
}

/// The proof that a caller may make a call; made here only, spent by the signer.
#[derive(Debug)]
pub struct Permit {
    call: Call,
}

/// A proof of this module that names what was allowed.
pub trait Permitted {
    /// What was allowed.
    fn call(&self) -> &Call;
}

impl Permitted for Permit {
    fn call(&self) -> &Call {
        &self.call
    }
}

/// How a call reaches the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Rest,
    Stream,
}

/// Decides whether a caller may make a call, from there and now.
///
/// # Errors
/// [`Denied`] with the rule and the setting that would allow it.
pub fn authorize(caller: &Caller, arrival: Arrival<'_>, call: Call) -> Result<Permit, Denied> {
    judge(caller, arrival, &call, Transport::Rest)?;
    Ok(Permit { call })
}

/// The proof that a caller may send a command on a stream; made here only, spent by the stream. It bears no signature
/// and cannot be signed.
#[derive(Debug)]
pub struct StreamPermit {
    call: Call,
}

impl Permitted for StreamPermit {
    fn call(&self) -> &Call {
        &self.call
    }
}

/// Decides whether a caller may have a stream at all, from there and now; what goes over it is judged frame by frame.
///
/// # Errors
/// [`Denied`].
pub fn admit_stream(caller: &Caller, arrival: Arrival<'_>) -> Result<(), Denied> {
    caller
        .policy
        .access
        .admit(arrival)
        .map_err(|outside| denied(caller, "public/auth", Rule::Access(outside)))
}

/// Decides whether a caller may ask about its own orders, from there and now; it may, whatever else it may do.
///
/// # Errors
/// [`Denied`].
pub fn admit_question(caller: &Caller, arrival: Arrival<'_>) -> Result<(), Denied> {
    caller
        .policy
        .access
        .admit(arrival)
        .map_err(|outside| denied(caller, "orders", Rule::Access(outside)))
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
    judge(caller, arrival, &call, Transport::Stream)?;
    Ok(StreamPermit { call })
}

/// The proof that a caller may see these channels; made here only, spent by the stream.
#[derive(Debug)]
pub struct ChannelPermit<'a> {
    channels: Vec<&'a str>,
    is_whole: bool,
}

impl<'a> ChannelPermit<'a> {
    /// The channels, where they are not all that the subscription names. It is used up.
    pub(crate) fn spend(self) -> Option<Vec<&'a str>> {
        (!self.is_whole).then_some(self.channels)
    }
}

/// What was decided about the channels of one subscription.
#[derive(Debug)]
pub struct JudgedChannels<'a, E> {
    /// For those that go on, if there are any.
    pub permit: Option<ChannelPermit<'a>>,
    /// Why the first of the others does not, and how many there are.
    pub refused: Option<(E, usize)>,
}

fn judge_each<'a, E>(
    channels: impl IntoIterator<Item = &'a str>,
    mut judge: impl FnMut(&'a str) -> Result<(), E>,
) -> JudgedChannels<'a, E> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for channel in channels {
        match judge(channel) {
            Ok(()) => allowed.push(channel),
            Err(why) => refused.get_or_insert((why, 0)).1 += 1,
        }
    }
    let permit = if allowed.is_empty() {
        None
    } else {
        Some(ChannelPermit {
            channels: allowed,
            is_whole: refused.is_none(),
        })
    };
    JudgedChannels { permit, refused }
}

/// Decides which channels of the account a caller may see, from there and now: each is judged as the method that shows
/// the same. One of which that is not known has to be allowed by its own name.
pub fn authorize_channels<'a>(
    caller: &Caller,
    arrival: Arrival<'_>,
    channels: impl IntoIterator<Item = &'a str>,
) -> JudgedChannels<'a, Denied> {
    judge_each(channels, |channel| judge_channel(caller, arrival, channel))
}

fn judge_channel(caller: &Caller, arrival: Arrival<'_>, channel: &str) -> Result<(), Denied> {
    let shown = if channels::is_plain(channel) {
        channel
    } else {
        "a channel"
    };
    let deny = |rule| Err(denied(caller, shown, rule));
    if let Err(outside) = caller.policy.access.admit(arrival) {
        return deny(Rule::Access(outside));
    }
    if caller.policy.deny_methods.contains(channel) {
        return deny(Rule::MethodDenied);
    }
    if let Some(call) = channels::of_the_account(channel).and_then(as_a_call) {
        return judge(caller, arrival, &call, Transport::Stream).map_err(|denied| Denied {
            channel: Some(channel.to_owned()),
            ..denied
        });
    }
    if !channels::is_of_the_account(channel) {
        return deny(Rule::NotOfTheAccount);
    }
    if !caller.policy.allow_methods.contains(channel) {
        return deny(Rule::UnknownChannel);
    }
    if caller.policy.instruments.is_some() {
        return deny(Rule::Instrument(Unlisted::Unbound));
    }
    Ok(())
}

/// Market channels need no right: nothing of an account is in them. The others are refused by name.
pub fn of_the_market<'a>(
    channels: impl IntoIterator<Item = &'a str>,
) -> JudgedChannels<'a, &'a str> {
    judge_each(channels, |channel| {
        if channels::is_of_the_market(channel) {
            Ok(())
        } else {
            Err(channel)
        }
    })
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

/// The verdict, over either transport; each order of a batch is judged as if it stood alone.
fn judge(
    caller: &Caller,
    arrival: Arrival<'_>,
    call: &Call,
    transport: Transport,
) -> Result<(), Denied> {
    let deny = |call: &Call, rule| Err(denied(caller, call.method.as_str(), rule));
    if let Err(outside) = caller.policy.access.admit(arrival) {
        return deny(call, Rule::Access(outside));
    }
    if let Some(rule) = verdict(&caller.policy, call, transport) {
        return deny(call, rule);
    }
    let Ok(parts) = call.parts() else {
        return deny(call, Rule::UnreadableBatch);
    };
    let of_part = |part: &Call| {
        verdict(&caller.policy, part, transport).map_or(Ok(()), |rule| deny(part, rule))
    };
    parts.iter().try_for_each(of_part)
}

fn denied(caller: &Caller, method: &str, rule: Rule) -> Denied {
    Denied {
        caller: Arc::clone(&caller.name),
        method: method.to_owned(),
        channel: None,
        written: caller.policy.written,
        rule,
    }
}

fn verdict(policy: &Policy, call: &Call, transport: Transport) -> Option<Rule> {
    let of_instruments = || {
        policy
            .instruments
            .as_ref()
            .and_then(|list| list.judge(call))
            .map(Rule::Instrument)
    };
    verdict_on_method(policy, call, transport).or_else(of_instruments)
}

fn verdict_on_method(policy: &Policy, call: &Call, transport: Transport) -> Option<Rule> {
    let name = call.method.as_str();
    let allowed_by_name = policy.allow_methods.contains(name);
    let by_pattern = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
    if !call.method.is_private() {
        return Some(Rule::Public);
    }
    if policy.deny_methods.contains(name) || by_pattern(&policy.deny_patterns) {
        return Some(Rule::MethodDenied);
    }
    match call.method.info() {
        None if allowed_by_name => None,
        None => Some(Rule::UnknownMethod),
        Some(info) if info.verb.is_none() && transport == Transport::Rest => {
            Some(Rule::WebSocketOnly)
        }
        Some(info) if policy.deny_classes.contains(&info.class) => {
            Some(Rule::ClassDenied(info.class))
        }
        Some(info) => {
            // Whoever trades may cancel their orders, and so may leave it to the exchange for when they are gone.
            let class = if call.guards_its_connection() {
                Class::Trade
            } else {
                info.class
            };
            let allowed = allowed_by_name || policy.allow_classes.contains(&class);
            match policy.deny_classes.contains(&class) {
                true => Some(Rule::ClassDenied(class)),
                false if allowed => None,
                false if policy.patterns_reach(class) && by_pattern(&policy.allow_patterns) => None,
                false => Some(Rule::ClassNotAllowed(class)),
            }
        }
    }
}
