//! The generations of a caller: one, or two during a rotation.

use super::{Generation, Judge, TokenDigest};
use crate::callers::GenerationText;

impl Judge<'_> {
    pub(super) fn generations(&mut self) -> Vec<Generation> {
        let texts = &self.caller.generations;
        let ascending = texts
            .iter()
            .zip(texts.iter().skip(1))
            .all(|(one, next)| one.number < next.number);
        let counted = texts
            .iter()
            .all(|text| (1..u32::MAX).contains(&text.number));
        if !(1..=2).contains(&texts.len()) || !ascending || !counted {
            let remedy =
                "put back what crypto-proxy caller wrote, or revoke the caller and add it anew";
            self.fault(
                "generation",
                "there has to be one, or two during a rotation, counted up from 1",
                remedy,
            );
        }
        let newest = texts.len().saturating_sub(1);
        texts
            .iter()
            .enumerate()
            .filter_map(|(place, text)| self.generation(text, place == newest))
            .collect()
    }

    fn generation(&mut self, text: &GenerationText, newest: bool) -> Option<Generation> {
        let token = TokenDigest::from_hex(&text.token_sha256);
        if token.is_none() {
            let remedy = "crypto-proxy caller rotate issues a new token";
            self.fault(
                "generation.token_sha256",
                "is no SHA-256 (64 hexadecimal digits)",
                remedy,
            );
        }
        self.time("generation.issued", &text.issued);
        let until_ms = text
            .until
            .as_deref()
            .and_then(|until| self.time("generation.until", until));
        if newest == text.until.is_some() {
            let remedy = "put back what crypto-proxy caller wrote";
            self.fault(
                "generation.until",
                "an end stands at the older of two generations, and there only",
                remedy,
            );
        }
        token.map(|token| Generation {
            number: text.number,
            token,
            until_ms,
        })
    }
}
