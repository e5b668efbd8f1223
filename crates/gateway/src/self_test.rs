//! Runs every signing vector through the signing code, without network.
//!
//! Guarantees: the code that signs is the code that is tested, with the vectors compiled into this binary; a vector fails
//! if what should be signed is refused or signed otherwise, or if what should be refused is signed. When this passes and
//! the exchange still says 40101, the signing code is not the reason. Source: `crates/catalogue/data/vectors.json`.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    secret::{ApiKey, ApiSecret, Credentials},
    signer::Signer,
};
use protocol::{
    call::{Params, RequestId},
    canonical::Dialect,
};

/// What must happen to a vector.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Signed: every implementation agrees.
    Sign,
    /// Signed: a number in the one form that all agree on.
    SignIfCanonical,
    /// Refused.
    Refuse,
    /// Refused: implementations disagree.
    RefuseAmbiguous,
}

/// One vector; keys and secrets in it are invented.
#[derive(Debug, Deserialize)]
pub struct Vector {
    /// Its name.
    pub name: String,
    /// The method.
    pub method: String,
    /// The id as JSON text.
    pub id_json: String,
    api_key: String,
    secret: String,
    /// A number, or the same number as a string: implementations send both, and they sign alike.
    nonce: Box<RawValue>,
    /// The params as JSON text; `None` where the call has none.
    pub params_json: Option<String>,
    params_string: Option<String>,
    signature: Option<String>,
    /// What must happen to it.
    pub proxy: Expectation,
}

/// The vectors of this binary.
#[derive(Debug, Deserialize)]
pub struct Vectors {
    /// Each one.
    pub vectors: Vec<Vector>,
}

/// What the vectors showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Vectors signed as they must be.
    pub signed: usize,
    /// Vectors refused as they must be.
    pub refused: usize,
    /// Vectors that behaved otherwise, each with what was wrong.
    pub wrong: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signed, refused) = (self.signed, self.refused);
        let right = signed + refused;
        let all = right + self.wrong.len();
        write!(
            f,
            "{right} of {all} signing test vectors pass: {signed} signed, {refused} refused"
        )?;
        self.wrong
            .iter()
            .try_for_each(|wrong| write!(f, "\nWRONG {wrong}"))
    }
}

/// The vectors that are compiled in.
#[must_use]
pub fn vectors() -> Vectors {
    #[expect(
        clippy::expect_used,
        reason = "the file is compiled in and read by a test"
    )]
    serde_json::from_str(catalogue::SIGNING_VECTORS)
        .expect("crates/catalogue/data/vectors.json has the vectors' shape")
}

/// Runs them all.
#[must_use]
pub fn run() -> Summary {
    let mut summary = Summary::default();
    for vector in vectors().vectors {
        match (check(&vector), vector.proxy) {
            (Ok(()), Expectation::Sign | Expectation::SignIfCanonical) => summary.signed += 1,
            (Ok(()), Expectation::Refuse | Expectation::RefuseAmbiguous) => summary.refused += 1,
            (Err(wrong), _) => summary.wrong.push(format!("{}: {wrong}", vector.name)),
        }
    }
    summary
}

/// Runs one.
///
/// # Errors
/// What was wrong, without any secret.
pub fn check(vector: &Vector) -> Result<(), String> {
    match (signed(vector), vector.proxy) {
        (Ok(signed), Expectation::Sign | Expectation::SignIfCanonical) => {
            let expected = (
                vector.params_string.clone().unwrap_or_default(),
                vector.signature.clone().unwrap_or_default(),
            );
            if signed == expected {
                Ok(())
            } else {
                Err("signed otherwise than the exchange's documents".to_owned())
            }
        }
        (Err(refusal), Expectation::Sign | Expectation::SignIfCanonical) => {
            Err(format!("refused, but is safe: {refusal}"))
        }
        (Ok(_), Expectation::Refuse | Expectation::RefuseAmbiguous) => {
            Err("signed, but is not safe to sign".to_owned())
        }
        (Err(_), Expectation::Refuse | Expectation::RefuseAmbiguous) => Ok(()),
    }
}

/// The params string and the signature, or the refusal.
fn signed(vector: &Vector) -> Result<(String, String), String> {
    let raw =
        |text: &str| serde_json::from_str::<Box<RawValue>>(text).map_err(|error| error.to_string());
    let id = RequestId::parse(&raw(&vector.id_json)?).map_err(|invalid| invalid.to_string())?;
    let params = vector.params_json.as_deref().map(raw).transpose()?;
    let params = Params::parse(params.as_deref(), Dialect::Documented)
        .map_err(|invalid| invalid.to_string())?;
    let nonce = RequestId::parse(&vector.nonce).map_err(|invalid| invalid.to_string())?;
    let credentials = Credentials {
        key: ApiKey::new(vector.api_key.clone()),
        secret: ApiSecret::new(vector.secret.clone()),
    };
    let (signature, _) = Signer::new(credentials).signature(
        &vector.method,
        id.value(),
        params.canonical(),
        nonce.value(),
    );
    Ok((params.canonical().to_owned(), signature.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_seventy_vectors_behave_as_their_proxy_field_says() {
        let summary = run();
        assert_eq!(summary.wrong, Vec::<String>::new());
        assert_eq!(summary.signed + summary.refused, 70);
    }

    #[test]
    fn a_vector_that_is_signed_otherwise_is_told() {
        let mut vector = vectors()
            .vectors
            .into_iter()
            .find(|vector| vector.proxy == Expectation::Sign)
            .unwrap();
        vector.signature = Some("0".repeat(64));
        assert!(check(&vector).is_err());
        vector.proxy = Expectation::Refuse;
        assert_eq!(
            check(&vector),
            Err("signed, but is not safe to sign".to_owned())
        );
    }
}
