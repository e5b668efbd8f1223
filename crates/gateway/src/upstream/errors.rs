//! The HTTP client's errors → [`Failure`].
//!
//! Guarantees: judged by type and by the phase, never by message text; once the signed bytes were handed to a
//! connection every error is `Lost`, whatever the client calls it. No text of the client's goes on: it prints URLs.

use std::{error::Error, time::Duration};

use super::resolver::{NotResolved, RefusedAddress};
use crate::{failure::Failure, outcome::Progress};

/// What kept `send` from returning a response.
pub(super) fn classify(
    error: &reqwest::Error,
    progress: &Progress,
    connect_deadline: Duration,
) -> Failure {
    if progress.may_have_been_sent() {
        return Failure::Lost;
    }
    if let Some(RefusedAddress(address)) = find(error) {
        return Failure::AddressRefused(*address);
    }
    if find::<NotResolved>(error).is_some() {
        return Failure::Dns;
    }
    if error.is_timeout() {
        return Failure::ConnectDeadline(connect_deadline);
    }
    if find::<rustls::Error>(error).is_some() {
        return Failure::Tls;
    }
    Failure::Connect
}

/// The first error of this type in the chain, also inside `std::io::Error`s, which hide theirs.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<T>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
