//! What the log says of our outbound address.
//!
//! Guarantees: every change is one line, and a state that lasts is not repeated; whatever a line says is in its text,
//! the `CRYPTO_…` fields only repeat it for the journal. Does not: measure, or decide what counts as confirmed.

use std::net::IpAddr;

use tracing::Level;

use super::Reading;
use gateway::{
    observed::{Expected, Observed},
    record::{CALL_TAG, TARGET},
};

/// What was said last, so that only changes are said.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    left_open: Option<String>,
    drift: Option<IpAddr>,
}

impl Announcer {
    /// Takes a measurement into the cells, and says what changed by it.
    pub(super) fn take(&mut self, reading: Reading, observed: &Observed) {
        if let Reading::Confirmed {
            address, voices, ..
        } = reading
        {
            let known = observed.outbound().is_some();
            let before = observed.note_outbound(address);
            if before.is_some() || !known {
                say_address(address, before, voices);
            }
            self.compare(observed);
        }
        let left_open = left_open(&reading);
        if left_open != self.left_open {
            say_left_open(left_open.as_deref());
            self.left_open = left_open;
        }
    }

    fn compare(&mut self, observed: &Observed) {
        let drift = observed.drift();
        if drift == self.drift {
            return;
        }
        match (drift, observed.outbound()) {
            (Some(address), _) => say_drift(address, observed.expected()),
            (None, Some(seen)) => say_expected_again(seen.address),
            (None, None) => {}
        }
        self.drift = drift;
    }
}

/// What a measurement could not settle.
fn left_open(reading: &Reading) -> Option<String> {
    Some(match reading {
        Reading::Confirmed { others, .. } if others.is_empty() => return None,
        Reading::Confirmed {
            address, others, ..
        } => {
            format!(
                "confirmed={address}, but other services name {}",
                join(others)
            )
        }
        Reading::Unconfirmed(address) => {
            format!(
                "unconfirmed={address}: one service alone names it; compare with your provider's console"
            )
        }
        Reading::Disagreement(all) => {
            format!(
                "unconfirmed: services name different addresses ({}); compare with your provider's console",
                join(all)
            )
        }
        Reading::Silence => "unconfirmed: no service answered with an address".to_owned(),
    })
}

fn say_address(address: IpAddr, before: Option<IpAddr>, voices: usize) {
    let before = before.map_or_else(|| "none".to_owned(), |before| before.to_string());
    tracing::event!(
        target: TARGET,
        Level::INFO,
        "CRYPTO_EVENT" = "address",
        "CRYPTO_OUTBOUND_IP" = %address,
        "CRYPTO_OUTBOUND_IP_BEFORE" = %before,
        "{CALL_TAG} event=address CRYPTO_COM_OUTBOUND_IP: {address} before={before} services={voices}",
    );
}

fn say_drift(address: IpAddr, expected: &Expected) {
    let expected = listed(expected);
    tracing::event!(
        target: TARGET,
        Level::WARN,
        "CRYPTO_EVENT" = "address",
        "CRYPTO_OUTBOUND_IP" = %address,
        "CRYPTO_EXPECTED_IP" = %expected,
        "CRYPTO_CAUSE" = "CP-IP-DRIFT",
        "{CALL_TAG} event=address drift CRYPTO_COM_OUTBOUND_IP: {address} expected={expected}: calls leave from an \
         address that CRYPTO_EXPECTED_IP does not name; next: add exactly {address} to the whitelist of the API key \
         and wait 30 s to 5 min, or give this host its expected way out again",
    );
}

fn say_expected_again(address: IpAddr) {
    tracing::event!(
        target: TARGET,
        Level::INFO,
        "CRYPTO_EVENT" = "address",
        "CRYPTO_OUTBOUND_IP" = %address,
        "{CALL_TAG} event=address CRYPTO_COM_OUTBOUND_IP: {address} is an expected address again",
    );
}

fn say_left_open(text: Option<&str>) {
    let text = text.unwrap_or("confirmed again by every service that answers");
    tracing::event!(target: TARGET, Level::INFO, "CRYPTO_EVENT" = "address", "{CALL_TAG} event=address {text}");
}

fn listed(expected: &Expected) -> String {
    match expected {
        Expected::Listed(addresses) => join(addresses),
        Expected::Any => "any".to_owned(),
        Expected::Unstated => "unstated".to_owned(),
    }
}

/// Addresses, separated by commas.
fn join(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(",")
}
