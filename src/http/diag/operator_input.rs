//! What whoever asks for a run says beside, in the query: `key_updated`, `file_key_fp` and `symptom`.
//!
//! Guarantees: each thing at most once and in one form only; others are refused, and nothing is repeated in a refusal. Does not:
//! take anything secret: a fingerprint is none.

use diagnosis::{causes::Symptom, runner::OperatorInput};

/// Characters of a fingerprint.
const FINGERPRINT: usize = 8;

/// What cannot be used, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) name: &'static str,
    pub(super) message: &'static str,
}

/// Reads a query.
pub(super) fn read(query: &str) -> Result<OperatorInput, Unreadable> {
    let mut statement = OperatorInput::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "key_updated" if statement.key_updated_ms.is_none() => {
                statement.key_updated_ms =
                    Some(time(&value).ok_or_else(|| invalid("key_updated", TIME))?);
            }
            "file_key_fp" if statement.file_fingerprint.is_none() => {
                let usable = value.len() == FINGERPRINT
                    && value
                        .bytes()
                        .all(|byte| b"0123456789abcdef".contains(&byte));
                let value = usable.then(|| value.into_owned());
                statement.file_fingerprint =
                    Some(value.ok_or_else(|| invalid("file_key_fp", PRINT))?);
            }
            "symptom" => {
                let told = Symptom::of_word(&value).filter(|told| !statement.told.contains(told));
                statement
                    .told
                    .push(told.ok_or_else(|| invalid("symptom", SYMPTOM))?);
            }
            _ => return Err(invalid("", KNOWN)),
        }
    }
    Ok(statement)
}

const KNOWN: &str = "only key_updated and file_key_fp are known, each once, and symptom";
const TIME: &str = "write it as 2026-01-31T09:30:00Z";
const SYMPTOM: &str = "each of only-flagged-orders, only-margin-orders, invented-headers and fails-elsewhere may be said once";
const PRINT: &str = "the first 8 hex digits of the SHA-256 of a key, in lower case";

const fn invalid(name: &'static str, message: &'static str) -> Unreadable {
    Unreadable { name, message }
}

fn time(text: &str) -> Option<u64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|at| u64::try_from(at.as_millisecond()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_fingerprint_and_symptoms_are_read() {
        let query =
            "key_updated=2026-01-31T09%3A30%3A00Z&file_key_fp=0a1b2c3d&symptom=fails-elsewhere";
        let statement = read(query).unwrap();
        let expected = OperatorInput {
            key_updated_ms: Some(1_769_851_800_000),
            file_fingerprint: Some("0a1b2c3d".into()),
            told: vec![Symptom::FailsElsewhere],
        };
        assert_eq!(statement, expected);
        assert_eq!(read("").unwrap(), OperatorInput::default());
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for query in [
            "key_updated=yesterday-marker",
            "key_updated=2026-01-31",
            "key_updated=1960-01-31T09:30:00Z",
            "file_key_fp=0A1B2C3D",
            "file_key_fp=marker",
            "file_key_fp=0a1b2c3d0a",
            "file_key_fp=0a1b2c3d&file_key_fp=0a1b2c3d",
            "symptom=marker",
            "symptom=fails-elsewhere&symptom=fails-elsewhere",
            "probe_trade=marker",
            "marker",
        ] {
            let refused = read(query).unwrap_err();
            assert!(!refused.message.contains("marker"), "{query}: {refused:?}");
        }
    }
}
