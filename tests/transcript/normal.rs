//! Placeholders for what differs from run to run.
//!
//! Guarantees: the same text for every run of the same binary; what is not named below stays byte for byte.
//! `<uuid>`, `<time>`, `<date>`, `<port>`, `<hex…>`, `<n>` (a length of time, a moment, an age), `cpt_<…>` (issued).

/// Dates that stand in our own texts as examples.
const EXAMPLES: [&str; 4] = ["2026-01-31", "2001-01-01", "2000-01-01", "2099-01-01"];

/// The text with placeholders.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = out.chars().next_back();
        let at_word = before.is_none_or(|before| !before.is_ascii_alphanumeric() && before != '_');
        let found = if at_word {
            placeholder(rest, before)
        } else {
            None
        };
        if let Some((length, placed)) = found {
            out.push_str(&placed);
            rest = &rest[length..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// The same, and every length of time in words: `12 ms`, `3 s`, `-12±480 ms`.
pub(crate) fn normal_with_durations(text: &str) -> String {
    let text = normal(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(next) = rest.chars().next() {
        let before = out.chars().next_back();
        let at_word = before.is_none_or(|before| !before.is_ascii_alphanumeric() && before != '.');
        let length = if at_word { duration(rest) } else { 0 };
        if length > 0 {
            out.push_str("<n>");
            rest = &rest[length..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    // Either, by chance, where both clocks are one.
    out.replace("clock is <n> ms ahead of the", "clock is <n> ms behind the")
}

/// Bytes of the number of a length of time that the text begins with.
fn duration(rest: &str) -> usize {
    let sign = count(rest, |byte| b"+-".contains(&byte));
    let digits = count(&rest[sign..], |byte| byte.is_ascii_digit());
    let mut end = sign + digits;
    if let Some(uncertainty) = rest[end..].strip_prefix('±') {
        end += '±'.len_utf8() + count(uncertainty, |byte| byte.is_ascii_digit());
    }
    let unit = rest[end..].strip_prefix([' ', '\u{a0}']).unwrap_or("");
    let word = unit
        .split(|next: char| !next.is_alphanumeric())
        .next()
        .unwrap_or("");
    let is_unit = ["ms", "s", "min", "h"].contains(&word) && !unit[word.len()..].starts_with('=');
    if sign < 2 && digits > 0 && is_unit {
        end
    } else {
        0
    }
}

/// A report in columns: where lines break depends on the length of what was measured, so a paragraph that holds such a
/// thing is one line; and times of single probes, which are left out where they are short, are not there.
pub(crate) fn report(text: &str) -> String {
    let mut paragraphs: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match paragraphs.last_mut() {
            Some(last) if goes_on(last[0], line) => last.push(line),
            _ => paragraphs.push(vec![line]),
        }
    }
    let shown = paragraphs.into_iter().map(|lines| {
        let rest = lines[1..].iter().map(|line| line.trim());
        let joined: Vec<&str> = [lines[0]].into_iter().chain(rest).collect();
        let joined = normal_with_durations(&joined.join(" "));
        if joined.contains("<n>") {
            joined
        } else {
            normal_with_durations(&lines.join("\n"))
        }
    });
    let shown = shown.collect::<Vec<_>>().join("\n").replace(", <n> ms", "");
    // What a name service says of a name that nobody has depends on whether there is one.
    let unknown = "Name or service not known";
    shown.replace("Temporary failure in name resolution", unknown)
}

/// Whether a line goes on with the paragraph that begins with `first`: it stands deeper, and is no row with a label.
fn goes_on(first: &str, line: &str) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_row = line
        .trim()
        .split_once("  ")
        .is_some_and(|(label, _)| !label.contains(' '));
    // What rules a code out is broken into lines without standing deeper.
    let is_code = |line: &str| line.trim_start().starts_with("CP-");
    let of_a_code = is_code(first) && !is_code(line) && indent(line) == indent(first);
    let deeper = indent(line) > indent(first) && !is_row;
    !line.trim().is_empty() && indent(first) > 0 && (deeper || of_a_code)
}

fn placeholder(rest: &str, before: Option<char>) -> Option<(usize, String)> {
    let found = uuid(rest)
        .or_else(|| moment(rest))
        .or_else(|| port(rest))
        .or_else(|| digest(rest));
    found
        .or_else(|| issued(rest))
        .or_else(|| epoch(rest, before))
        .or_else(|| measured(rest))
}

fn count(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is(*byte)).count()
}

/// Whether the text has this shape: `h` a hex digit, `d` a digit, anything else itself.
fn has_shape(text: &str, shape: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= shape.len()
        && shape.bytes().zip(bytes).all(|(form, byte)| match form {
            b'h' => byte.is_ascii_hexdigit(),
            b'd' => byte.is_ascii_digit(),
            form => form == *byte,
        })
}

fn uuid(rest: &str) -> Option<(usize, String)> {
    has_shape(rest, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh").then(|| (36, "<uuid>".to_owned()))
}

fn moment(rest: &str) -> Option<(usize, String)> {
    let compact = has_shape(rest, "ddddddddTddddddZ");
    if compact {
        return Some((16, "<time>".to_owned()));
    }
    if has_shape(rest, "dd:dd:dd") {
        return Some((8, "<time>".to_owned()));
    }
    let is_date =
        has_shape(rest, "dddd-dd-dd") && !EXAMPLES.iter().any(|example| rest.starts_with(example));
    if !is_date {
        return None;
    }
    if !has_shape(&rest[10..], "Tdd:dd") && !has_shape(&rest[10..], " dd:dd") {
        return Some((10, "<date>".to_owned()));
    }
    let mut length = 16;
    if has_shape(&rest[length..], ":dd") {
        length += 3;
    }
    if has_shape(&rest[length..], ".d") {
        length += 1 + count(&rest[length + 1..], |byte| byte.is_ascii_digit());
    }
    if rest[length..].starts_with('Z') {
        length += 1;
    }
    Some((length, "<time>".to_owned()))
}

fn port(rest: &str) -> Option<(usize, String)> {
    let host = ["127.0.0.1", "localhost"]
        .into_iter()
        .find(|host| rest.starts_with(host))?;
    has_shape(&rest[host.len()..], ":ddddd").then(|| (host.len() + 6, format!("{host}:<port>")))
}

/// What is written in hex: digests, request ids, ids of callers.
fn digest(rest: &str) -> Option<(usize, String)> {
    let length = count(rest, |byte| byte.is_ascii_hexdigit());
    let mixed = rest[..length].bytes().any(|byte| byte.is_ascii_digit())
        && rest[..length].bytes().any(|byte| byte > b'9');
    let ends = rest[length..]
        .bytes()
        .next()
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'_');
    ([16, 24, 32, 64].contains(&length) && mixed && ends)
        .then(|| (length, format!("<hex{length}>")))
}

fn issued(rest: &str) -> Option<(usize, String)> {
    let prefix = ["cpt_", "cpvk_", "cpvs_"]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?;
    let length = count(&rest[prefix.len()..], |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
    });
    (length >= 16).then(|| (prefix.len() + length, format!("{prefix}<…>")))
}

/// Seconds or milliseconds since 1970, and numbers made of them.
fn epoch(rest: &str, before: Option<char>) -> Option<(usize, String)> {
    let length = count(rest, |byte| byte.is_ascii_digit());
    let is_now = rest.starts_with("17") || rest.starts_with("18") || rest.starts_with("19");
    let fits = [10, 13, 19].contains(&length) && is_now && before != Some('.');
    fits.then(|| (length, "<n>".to_owned()))
}

/// `total_ms=12`, `"age_s":3`, `skew_ms=+12±480`: the name stays.
fn measured(rest: &str) -> Option<(usize, String)> {
    let name = count(rest, |byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_time = rest[..name].ends_with("_ms") || rest[..name].ends_with("_s");
    if !is_time && !["ms", "nonce", "server_time_epoch"].contains(&&rest[..name]) {
        return None;
    }
    let mut length = name;
    let between = ["=", "\":\"", "\": ", "\":", "\\\":"]
        .into_iter()
        .find(|between| rest[length..].starts_with(between))?;
    length += between.len();
    let number = count(&rest[length..], |byte| {
        byte.is_ascii_digit() || b"+-".contains(&byte)
    });
    if number == 0 {
        return None;
    }
    let mut end = length + number;
    for further in ['±', '/'] {
        if let Some(digits) = rest[end..].strip_prefix(further) {
            end += further.len_utf8() + count(digits, |byte| byte.is_ascii_digit());
        }
    }
    Some((end, format!("{}<n>", &rest[..length])))
}

#[test]
fn what_differs_is_replaced_and_nothing_else() {
    let text = "at 2026-11-27T02:34:01.123Z, as 2026-01-31T09:30:00Z, on 127.0.0.1:43210 total_ms=12 skew_ms=+1±2 \
                \"age_s\":3 id=1 rid=01234567-89ab-cdef-0123-456789abcdef nonce=1790000000000 in 12 ms";
    let told = "at <time>, as 2026-01-31T09:30:00Z, on 127.0.0.1:<port> total_ms=<n> skew_ms=<n> \
                \"age_s\":<n> id=1 rid=<uuid> nonce=<n> in 12 ms";
    assert_eq!(normal(text), told);
    assert_eq!(
        normal_with_durations("in 12 ms, 3 s, 4 words, -1±2 ms"),
        "in <n> ms, <n> s, 4 words, <n> ms"
    );
    assert_eq!(report(" a 1\n  ms\n\n c\n  d\n"), " a <n> ms\n\n c\n  d");
}
