//! Lines on a stream: text for people, text for systemd, JSON for collectors.
//!
//! Guarantees: one event is one line, handed over in one piece. Does not: clean text (a [`Line`] is clean already), or
//! print structured fields in text, because the message says it all.

use std::{
    io::{self, Write},
    time::Instant,
};

use tracing::Level;

use super::{
    line::{Line, Shape},
    queue::Output,
};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `<6>text`: systemd reads the level, and puts its own time before the line.
    Prefixed,
    /// Time, level and text.
    Plain,
    /// The same, the level in colour.
    Coloured,
    /// One object.
    Json,
}

impl Format {
    /// That of stderr: whether systemd reads it for the journal, is it a terminal, and does it want no colour.
    pub(super) fn of_stderr(to_journal: bool, is_terminal: bool, no_color: bool) -> Self {
        if to_journal {
            Self::Prefixed
        } else if is_terminal && !no_color {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    fn put(self, line: &Line, out: &mut Vec<u8>) -> io::Result<()> {
        let (at, level, text) = (line.at, line.level(), line.text());
        match self {
            Self::Prefixed => write!(out, "<{}>{text}", priority(level)),
            Self::Plain => write!(out, "{at:.3} {level:5} {text}"),
            Self::Coloured => write!(
                out,
                "{at:.3} \x1b[{}m{level:5}\x1b[0m {text}",
                colour(level)
            ),
            Self::Json => json(line, out),
        }
    }
}

/// A stream that takes lines.
pub(super) struct Console<W> {
    format: Format,
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> Console<W> {
    pub(super) fn new(format: Format, out: W) -> Self {
        Self {
            format,
            out,
            buffer: Vec::new(),
        }
    }
}

impl<W: Write + Send> Output for Console<W> {
    fn write(&mut self, line: &Line, _now: Instant) -> io::Result<()> {
        self.buffer.clear();
        self.format.put(line, &mut self.buffer)?;
        self.buffer.push(b'\n');
        self.out.write_all(&self.buffer)?;
        self.out.flush()
    }
}

/// The syslog priority of `level`.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The terminal colour of `level`.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG | Level::TRACE => 34,
    }
}

fn json(line: &Line, out: &mut Vec<u8>) -> io::Result<()> {
    let level = line.level().as_str().to_ascii_lowercase();
    write!(
        out,
        "{{\"ts\":\"{:.3}\",\"level\":\"{level}\",\"target\":",
        line.at
    )?;
    serde_json::to_writer(&mut *out, line.target())?;
    out.extend_from_slice(b",\"msg\":");
    serde_json::to_writer(&mut *out, line.text())?;
    for (name, value, shape) in line.shaped() {
        json_field(name, value, shape, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn json_field(name: &str, value: &str, shape: Shape, out: &mut Vec<u8>) -> io::Result<()> {
    out.push(b',');
    serde_json::to_writer(&mut *out, &name.to_ascii_lowercase())?;
    out.push(b':');
    match shape {
        Shape::Bare => out.extend_from_slice(value.as_bytes()),
        Shape::Text => serde_json::to_writer(out, value)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing::{error, info, warn};

    use super::*;
    use crate::telemetry::tests::logged;

    fn shown(format: Format, event: impl FnOnce()) -> String {
        let mut line = logged(event);
        line.at = "2026-01-02T03:04:05.006789Z".parse().unwrap();
        let mut out = Vec::new();
        Console::new(format, &mut out)
            .write(&line, Instant::now())
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn systemd_gets_priorities_and_everybody_else_a_time_and_a_word() {
        assert_eq!(Format::of_stderr(true, false, false), Format::Prefixed);
        assert_eq!(Format::of_stderr(false, false, false), Format::Plain);
        assert_eq!(Format::of_stderr(false, true, false), Format::Coloured);
        assert_eq!(Format::of_stderr(false, true, true), Format::Plain);
    }

    #[test]
    fn prefixed_text_is_priority_and_message_only() {
        assert_eq!(
            shown(Format::Prefixed, || error!(
                "CRYPTO_CODE" = 40101,
                "refused"
            )),
            "<3>refused\n"
        );
        assert_eq!(
            shown(Format::Prefixed, || warn!(port = 80, "late")),
            "<4>late port=80\n"
        );
        assert_eq!(shown(Format::Prefixed, || info!("ready")), "<6>ready\n");
        assert_eq!(
            shown(Format::Prefixed, || tracing::debug!("thought")),
            "<7>thought\n"
        );
    }

    #[test]
    fn terminal_text_is_time_level_and_message() {
        assert_eq!(
            shown(Format::Plain, || info!("ready")),
            "2026-01-02T03:04:05.006Z INFO  ready\n"
        );
        let coloured = "2026-01-02T03:04:05.006Z \u{1b}[31mERROR\u{1b}[0m lost\n";
        assert_eq!(shown(Format::Coloured, || error!("lost")), coloured);
    }

    #[test]
    fn json_keeps_numbers_as_numbers_and_escapes_text() {
        let shown = shown(Format::Json, || {
            info!(
                "CRYPTO_METHOD" = r#"private/"x\"#,
                "CRYPTO_CODE" = 40101_u32,
                "CRYPTO_SKEW" = -3,
                "CRYPTO_OK" = true,
                "CRYPTO_RATE" = 0.5,
                "CRYPTO_ODD" = f64::NAN,
                "CRYPTO_ID" = %"7",
                port = 80,
                "said \"no\""
            );
        });
        let expected = concat!(
            r#"{"ts":"2026-01-02T03:04:05.006Z","level":"info","target":"crypto_proxy::telemetry::console::tests","#,
            r#""msg":"said \"no\" port=80","crypto_method":"private/\"x\\","crypto_code":40101,"crypto_skew":-3,"#,
            r#""crypto_ok":true,"crypto_rate":0.5,"crypto_odd":"NaN","crypto_id":"7"}"#,
            "\n"
        );
        assert_eq!(shown, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
    }
}
