//! Overwrites our own secrets in an answer of the exchange before anybody sees it.
//!
//! Guarantees: API key and API secret never leave in an answer: in any case, as JSON or JavaScript escapes, percent-encoded,
//! in hexadecimal or base64, also where up to three of these lie over each other as escapes. Neither does this call's
//! signature, as it stands or escaped. Lengths are kept, so JSON stays JSON. It is in the path of every call: the usual
//! answer is looked over once, in leaps, and not copied. Does not: look for parts as [`super::LeakSearch`] does, or for
//! what is compressed, encrypted, or encoded as base64 or hexadecimal twice.

use std::{fmt, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memmem};
use zeroize::Zeroizing;

use super::readings::number;
use protocol::wire;

/// What stands in the place of what was overwritten.
const FILLER: u8 = b'*';
/// Characters of a signature that are looked for.
const SIGNATURE_BEGINNING: usize = 16;
/// Escapes in escapes that are read: a request that is echoed as a string in a string, percent-encoded.
const LAYERS: usize = 3;

/// The search, prepared.
pub(crate) struct Scrubber {
    search: Search,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber")
    }
}

impl Scrubber {
    pub(crate) fn new(secrets: [&str; 2]) -> Self {
        let texts = secrets.iter().flat_map(|secret| spellings(secret));
        Self {
            search: Search::new(texts.collect()),
        }
    }

    /// The answer without secrets, and whether there was one in it.
    ///
    /// The signature is looked for by its beginning, which is too long to stand there by chance: preparing a search
    /// costs by the length of what is searched for, and this one is prepared for each call.
    pub(crate) fn scrub(&self, answer: Bytes, signature: &str) -> (Bytes, bool) {
        let found = self.places(&answer, signature);
        if found.is_empty() {
            return (answer, false);
        }
        let mut clean = BytesMut::from(answer);
        for place in found {
            if let Some(bytes) = clean.get_mut(place) {
                bytes.fill(FILLER);
            }
        }
        (clean.freeze(), true)
    }

    /// Whether a secret stands in this text.
    pub(crate) fn finds(&self, text: &[u8], signature: &str) -> bool {
        !self.places(text, signature).is_empty()
    }

    fn places(&self, answer: &[u8], signature: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let beginning =
            memmem::Finder::new(signature.get(..SIGNATURE_BEGINNING).unwrap_or(signature));
        let mut look = |text: &[u8], readings: &[Unescaped]| {
            let mut note = |place: Range<usize>| places.push(in_answer(place, readings));
            self.search.find_in(text, &mut note);
            for start in beginning.find_iter(text) {
                let rest = text.get(start..).unwrap_or_default();
                let length = if rest.starts_with(signature.as_bytes()) {
                    signature.len()
                } else {
                    beginning.needle().len()
                };
                note(start..start + length);
            }
        };
        look(answer, &[]);
        let mut readings: Vec<Unescaped> = Vec::new();
        while readings.len() < LAYERS {
            let last = readings.last().map_or(answer, |reading| &reading.text);
            if memchr2(b'\\', b'%', last).is_none() {
                break;
            }
            readings.push(Unescaped::of(last));
            if let Some(last) = readings.last() {
                look(&last.text, &readings);
            }
        }
        places
    }
}

/// Where this place of the last reading stands in the answer.
fn in_answer(place: Range<usize>, readings: &[Unescaped]) -> Range<usize> {
    readings.iter().rev().fold(place, |place, reading| {
        reading.before(place.start)..reading.before(place.end)
    })
}

/// A secret as it stands, as JSON writes it, in hexadecimal, and in base64 wherever it begins in what is encoded.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut json = Vec::new();
    wire::push_json_string(&mut json, secret);
    let inner = json.get(1..json.len().saturating_sub(1));
    let mut all = vec![
        secret.as_bytes().to_vec(),
        inner.unwrap_or_default().to_vec(),
        hex::encode(secret).into_bytes(),
    ];
    for shift in 0..3 {
        let text = secret.as_bytes().get(shift..).unwrap_or_default();
        let mut encoded = STANDARD_NO_PAD.encode(text).into_bytes();
        // The last character may depend on what follows.
        encoded.truncate(text.len() * 4 / 3);
        let url_safe = encoded.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        all.push(url_safe.collect());
        all.push(encoded);
    }
    all
}

/// One search for many texts, in any case. It looks at the end of a window as long as the shortest of them, and leaps as
/// far as no text can begin before (Wu and Manber).
struct Search {
    /// In lower case.
    texts: Vec<Vec<u8>>,
    window: usize,
    /// By the last bytes of the window.
    leaps: Box<[u8; LEAPS]>,
}

const LEAPS: usize = 1 << 14;
/// Bytes that are looked at: two or three of a number in hexadecimal stand in many a number.
const LOOK: usize = 4;

/// The place of these bytes, in any case.
fn leap_of(bytes: [u8; LOOK]) -> usize {
    const IN_LOWER_CASE: u32 = 0x2020_2020;
    let mixed = (u32::from_le_bytes(bytes) | IN_LOWER_CASE).wrapping_mul(0x9e37_79b1);
    (mixed >> (u32::BITS - LEAPS.ilog2())) as usize
}

impl Search {
    fn new(mut texts: Vec<Vec<u8>>) -> Self {
        texts
            .iter_mut()
            .for_each(|text| text.make_ascii_lowercase());
        texts.retain(|text| text.len() >= LOOK);
        texts.sort();
        texts.dedup();
        let shortest = texts.iter().map(Vec::len).min();
        let window = shortest.unwrap_or(LOOK).min(usize::from(u8::MAX));
        let farthest = u8::try_from(window + 1 - LOOK).unwrap_or(1);
        let mut leaps = Box::new([farthest; LEAPS]);
        for text in &texts {
            for at in 0..=window - LOOK {
                let bytes = text.get(at..).and_then(<[u8]>::first_chunk);
                let leap = bytes.and_then(|bytes| leaps.get_mut(leap_of(*bytes)));
                let left = u8::try_from(window - LOOK - at).unwrap_or(0);
                if let Some(leap) = leap {
                    *leap = left.min(*leap);
                }
            }
        }
        Self {
            texts,
            window,
            leaps,
        }
    }

    fn find_in(&self, answer: &[u8], note: &mut impl FnMut(Range<usize>)) {
        let to_look = self.window - LOOK;
        let mut start = 0;
        while let Some(bytes) = answer.get(start + to_look..).and_then(<[u8]>::first_chunk) {
            let leap = usize::from(self.leaps.get(leap_of(*bytes)).copied().unwrap_or(0));
            if leap == 0 {
                let rest = answer.get(start..).unwrap_or_default();
                for text in &self.texts {
                    let here = rest.get(..text.len());
                    if here.is_some_and(|here| here.eq_ignore_ascii_case(text)) {
                        note(start..start + text.len());
                    }
                }
            }
            start += leap.max(1);
        }
    }
}

/// A text without its escapes, and where its bytes stood before.
struct Unescaped {
    text: Zeroizing<Vec<u8>>,
    /// From these places on (first), the text stood there (second), byte for byte.
    from: Vec<(usize, usize)>,
}

impl Unescaped {
    fn of(escaped: &[u8]) -> Self {
        let mut text = Zeroizing::new(Vec::with_capacity(escaped.len()));
        let mut from = Vec::new();
        let mut at = 0;
        while let Some(rest) = escaped.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = memchr2(b'\\', b'%', rest).unwrap_or(rest.len());
            text.extend_from_slice(rest.get(..plain).unwrap_or_default());
            at += plain;
            let Some((byte, length)) = escaped.get(at..).and_then(first_escape) else {
                continue;
            };
            from.push((text.len(), at));
            text.push(byte);
            at += length;
            from.push((text.len(), at));
        }
        Self { text, from }
    }

    /// Where this place was before.
    fn before(&self, place: usize) -> usize {
        let next = self.from.partition_point(|(here, _)| *here <= place);
        match next.checked_sub(1).and_then(|last| self.from.get(last)) {
            Some((here, there)) => there + (place - here),
            None => place,
        }
    }
}

/// What a text begins with, which begins with a backslash or a percent sign, and how long that is.
fn first_escape(text: &[u8]) -> Option<(u8, usize)> {
    let (first, after) = text.split_first()?;
    let digits = |skip: usize, count: usize| {
        let digits = after.get(skip..skip + count).and_then(number)?;
        Some((u8::try_from(digits).ok()?, 1 + skip + count))
    };
    let escape = match (first, after.first()) {
        (b'%', _) => digits(0, 2),
        (_, Some(b'u')) => digits(1, 4),
        (_, Some(b'x')) => digits(1, 2),
        (_, Some(other)) => Some((*other, 2)),
        (_, None) => None,
    };
    escape.or(Some((*first, 1)))
}

#[cfg(test)]
mod tests;
