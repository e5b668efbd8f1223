//! What the answers of several services say together.
//!
//! Guarantees: an address counts as confirmed only where at least two services name it and no other address has as
//! many voices. Does not: know the services; one voice per service is the caller's promise.

use std::{collections::BTreeMap, net::IpAddr};

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
