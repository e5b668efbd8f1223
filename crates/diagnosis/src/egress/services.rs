//! Asking the services which address they see us from, and what their answers say together.
//!
//! Guarantees: an answer counts only if it is HTTP 200 and, after trimming, exactly one IP address of at most 256 bytes
//! that a public host can have (a service on this machine may name any); nothing else of it is kept or shown. An address
//! counts as confirmed only where at least two services name it and no other address has as many voices. Does not:
//! follow redirects, ask twice, or know the services; one voice per service is the caller's promise.

use std::{collections::BTreeMap, net::IpAddr};

use http::StatusCode;
use url::Url;

use gateway::{connect, upstream};

/// The longest answer that is read, in bytes; an IPv6 address has 45 characters at most.
const MAX_ANSWER_BYTES: usize = 256;

/// Why a service's answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// No connection, or lost before the end.
    #[error("not reached")]
    NotReached,
    /// Another status than 200; a redirect is one.
    #[error("answered with HTTP {0}")]
    Status(u16),
    /// More than an address has room for.
    #[error("answered with more than an address")]
    TooLong,
    /// Something else than one address: a page, a sentence, several.
    #[error("answered with something else than an address")]
    NoAddress,
    /// An address that no public host can have.
    #[error("answered with an address that is not public")]
    NotPublic,
}

/// Asks a service.
pub(super) async fn ask(client: &reqwest::Client, service: &Url) -> Result<IpAddr, NoAnswer> {
    let mut response = client
        .get(service.clone())
        .send()
        .await
        .map_err(|_| NoAnswer::NotReached)?;
    if response.status() != StatusCode::OK {
        return Err(NoAnswer::Status(response.status().as_u16()));
    }
    let mut answer = Vec::with_capacity(MAX_ANSWER_BYTES);
    while let Some(chunk) = response.chunk().await.map_err(|_| NoAnswer::NotReached)? {
        if answer.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(NoAnswer::TooLong);
        }
        answer.extend_from_slice(&chunk);
    }
    let address = read(&answer)?;
    if connect::is_public(address) || upstream::is_on_loopback(service) {
        Ok(address)
    } else {
        Err(NoAnswer::NotPublic)
    }
}

fn read(answer: &[u8]) -> Result<IpAddr, NoAnswer> {
    let text = str::from_utf8(answer).map_err(|_| NoAnswer::NoAddress)?;
    let address: IpAddr = text.trim().parse().map_err(|_| NoAnswer::NoAddress)?;
    Ok(address.to_canonical())
}

/// Voices that an address needs.
const ENOUGH: usize = 2;

/// The outcome of one measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Enough services name this address.
    Confirmed {
        /// The address.
        address: IpAddr,
        /// How many named it.
        voices: usize,
        /// What the others named, in ascending order.
        others: Vec<IpAddr>,
    },
    /// One service named this address, and no other service answered.
    Unconfirmed(IpAddr),
    /// Services name different addresses, and none has the majority; in ascending order.
    Disagreement(Vec<IpAddr>),
    /// No service answered with an address.
    Silence,
}

/// Counts the voices.
pub(super) fn agree(answers: &[IpAddr]) -> Reading {
    let mut voices: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for answer in answers {
        *voices.entry(*answer).or_default() += 1;
    }
    let Some(most) = voices.values().copied().max() else {
        return Reading::Silence;
    };
    let leaders: Vec<IpAddr> = voices
        .iter()
        .filter(|(_, count)| **count == most)
        .map(|(found, _)| *found)
        .collect();
    match *leaders.as_slice() {
        [address] if most >= ENOUGH => {
            let others = voices
                .into_keys()
                .filter(|other| *other != address)
                .collect();
            Reading::Confirmed {
                address,
                voices: most,
                others,
            }
        }
        [address] => Reading::Unconfirmed(address),
        _ => Reading::Disagreement(voices.into_keys().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_between_white_space_is_an_answer() {
        for (text, address) in [
            ("8.8.4.4\n", "8.8.4.4"),
            (" 2606:4700::1 \r\n", "2606:4700::1"),
            ("::ffff:8.8.4.4", "8.8.4.4"),
        ] {
            assert_eq!(
                read(text.as_bytes()),
                Ok(address.parse().unwrap()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "8.8.4.4 1.1.1.1",
            "8.8.4.4:443",
            "8.8.4",
            "<html>8.8.4.4</html>",
            "8.8.4.4/32",
            "08.8.4.4",
        ] {
            assert_eq!(read(text.as_bytes()), Err(NoAnswer::NoAddress), "{text:?}");
        }
        assert_eq!(read(b"\xff\xfe8.8.4.4"), Err(NoAnswer::NoAddress));
    }

    fn of(texts: &[&str]) -> Reading {
        agree(&ips(texts))
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn two_voices_confirm_and_one_does_not() {
        let address = "8.8.4.4".parse().unwrap();
        assert_eq!(
            of(&["8.8.4.4", "8.8.4.4"]),
            Reading::Confirmed {
                address,
                voices: 2,
                others: vec![]
            }
        );
        assert_eq!(of(&["8.8.4.4"]), Reading::Unconfirmed(address));
        assert_eq!(of(&[]), Reading::Silence);
    }

    #[test]
    fn a_majority_confirms_against_a_dissenter() {
        let address = "8.8.4.4".parse().unwrap();
        let others = ips(&["1.1.1.1"]);
        assert_eq!(
            of(&["8.8.4.4", "1.1.1.1", "8.8.4.4"]),
            Reading::Confirmed {
                address,
                voices: 2,
                others
            }
        );
    }

    #[test]
    fn as_many_voices_for_another_address_confirm_nothing() {
        assert_eq!(
            of(&["8.8.4.4", "1.1.1.1"]),
            Reading::Disagreement(ips(&["1.1.1.1", "8.8.4.4"]))
        );
        let split = of(&["8.8.4.4", "1.1.1.1", "8.8.4.4", "1.1.1.1", "9.9.9.9"]);
        assert_eq!(
            split,
            Reading::Disagreement(ips(&["1.1.1.1", "8.8.4.4", "9.9.9.9"]))
        );
    }
}
