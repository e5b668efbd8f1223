//! Changes that an engine without a notion of text hardly makes: a header, a member or a parameter that stands twice,
//! elsewhere or not at all, and one that is written in another way.

use std::ops::Range;

use memchr::memchr_iter;

/// How the inputs of a target are written.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// Lines of a head, and whatever follows.
    Http,
    /// JSON.
    Json,
    /// A path and a query.
    Query,
}

/// What somebody may put where it does not belong.
const ODD: &[u8] = b"\"'<>`|{}[]^\\%#&?;:@+,./-_0917aA \t\x7f\xff";

/// The input with one change, by this number.
#[must_use]
pub fn change(input: &[u8], text: Text, seed: u32) -> Vec<u8> {
    let mut dice = Dice((u64::from(seed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let pieces = text.pieces(input);
    let mut out = input.to_vec();
    let (Some(one), Some(other)) = (dice.one_of(&pieces), dice.one_of(&pieces)) else {
        return out;
    };
    let mut copy = input.get(one.clone()).unwrap_or_default().to_vec();
    match dice.below(6) {
        0 => {
            let after = text.separator().len();
            out.drain(one.start..(one.end + after).min(out.len()));
        }
        1 | 2 => {
            copy.extend_from_slice(text.separator());
            out.splice(other.start..other.start, copy);
        }
        3 => {
            text.write_otherwise(&mut copy, &mut dice);
            copy.extend_from_slice(text.separator());
            out.splice(other.start..other.start, copy);
        }
        _ => {
            text.write_otherwise(&mut copy, &mut dice);
            out.splice(one, copy);
        }
    }
    out
}

impl Text {
    const fn separator(self) -> &'static [u8] {
        match self {
            Self::Http => b"",
            Self::Json => b",",
            Self::Query => b"&",
        }
    }

    /// Where the lines, members or parameters are.
    fn pieces(self, input: &[u8]) -> Vec<Range<usize>> {
        let ends = |separator| memchr_iter(separator, input).chain([input.len()]);
        match self {
            Self::Http => {
                let mut start = 0;
                let lines = ends(b'\n').map(|end| (end + 1).min(input.len()));
                lines
                    .map(|end| std::mem::replace(&mut start, end)..end)
                    .collect()
            }
            Self::Query => {
                let mut start = memchr::memchr(b'?', input).map_or(0, |mark| mark + 1);
                let parameters = ends(b'&').filter(|end| *end >= start).collect::<Vec<_>>();
                parameters
                    .into_iter()
                    .map(|end| std::mem::replace(&mut start, end + 1)..end)
                    .collect()
            }
            Self::Json => members(input),
        }
    }

    /// Writes one letter of a piece in another way, or puts another byte there.
    fn write_otherwise(self, piece: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(piece.len());
        let Some(&byte) = piece.get(at) else {
            return;
        };
        let new = match dice.below(4) {
            0 if byte.is_ascii_alphabetic() => vec![byte ^ 0x20],
            // What is counted or rounded has a length at which it changes.
            1 if byte.is_ascii_digit() => vec![byte; 2 + dice.below(16)],
            1 => match self {
                Self::Http => vec![byte, byte],
                Self::Json => format!("\\u{byte:04x}").into_bytes(),
                Self::Query => format!("%{byte:02x}").into_bytes(),
            },
            2 => dice.one_of(ODD).into_iter().chain([byte]).collect(),
            _ => dice.one_of(ODD).into_iter().collect(),
        };
        piece.splice(at..=at, new);
    }
}

/// The members of all objects: from the quote before the name to the end of the value.
fn members(input: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // Members that have not ended, with the depth that they are at.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let (mut depth, mut string, mut last_string) = (0, None, None);
    let mut bytes = input.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (string, byte) {
            (Some(_), b'\\') => {
                bytes.next();
            }
            (Some(start), b'"') => (string, last_string) = (None, Some(start)),
            (Some(_), _) => {}
            (None, b'"') => string = Some(at),
            (None, b':') => open.extend(last_string.take().map(|start| (start, depth))),
            (None, b'{' | b'[') => depth += 1,
            (None, b',' | b'}' | b']') => {
                while let Some((start, _)) = open.pop_if(|(_, of)| *of >= depth) {
                    found.push(start..at);
                }
                depth -= usize::from(*byte != b',' && depth > 0);
            }
            _ => {}
        }
    }
    found
}

/// Numbers that look random, by xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or_default() % bound.max(1)
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: Text, input: &str) -> Vec<&str> {
        let found = text.pieces(input.as_bytes());
        found.into_iter().map(|piece| &input[piece]).collect()
    }

    #[test]
    fn lines_members_and_parameters_are_found() {
        let head = "GET / HTTP/1.1\r\nhost: a\r\n";
        assert_eq!(
            pieces(Text::Http, head),
            ["GET / HTTP/1.1\r\n", "host: a\r\n", ""]
        );
        assert_eq!(pieces(Text::Query, "x?a=1&b=2"), ["a=1", "b=2"]);
        let json = r#"{"a":1,"b":{"c":"}\""},"d":[{"e":1}]}"#;
        assert_eq!(
            pieces(Text::Json, json),
            [
                r#""a":1"#,
                r#""c":"}\"""#,
                r#""b":{"c":"}\""}"#,
                r#""e":1"#,
                r#""d":[{"e":1}]"#
            ]
        );
    }

    #[test]
    fn a_member_comes_to_stand_twice_and_the_rest_stays() {
        let changed: Vec<_> = (0..200)
            .map(|seed| change(br#"{"a":1,"b":2}"#, Text::Json, seed))
            .collect();
        assert!(changed.contains(&br#"{"a":1,"a":1,"b":2}"#.to_vec()));
        assert!(changed.contains(&br#"{"A":1,"b":2}"#.to_vec()));
    }
}
