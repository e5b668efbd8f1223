//! What is printed of attempts: a block of lines for each, for people, or an object, for programs.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::json;
use textwrap::{Options, WordSeparator, WordSplitter};

use crate::{
    cli::{columns, paint},
    orders::{Order, OrderLeg},
};
use diagnosis::report::Paint;

/// One object per line.
pub(super) fn json(orders: &[Order]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for order in orders {
        writeln!(out, "{}", json!(order))?;
    }
    out.flush()
}

/// The newest first.
pub(super) fn text(orders: &[Order], only_open: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if orders.is_empty() {
        let nothing = if only_open {
            "no order is open"
        } else {
            "no order on record"
        };
        writeln!(out, "{nothing}")?;
    }
    let (paint, columns) = (paint(), columns(usize::MAX));
    for order in orders {
        write(&mut out, order, paint, columns)?;
    }
    out.flush()
}

/// What was done.
pub(super) fn decided(order: &Order) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let name = text::line(&name(order));
    let has_names = order.legs.iter().any(|leg| leg.name.is_some());
    let names = match order.state.as_str() {
        _ if !has_names => "it has no name, and nothing keeps a program from sending it again",
        "never_arrived" => "its names are free, and may be sent again",
        _ => "its names stay used, and are never sent again",
    };
    let done = format!("{name} is {} now: {names}", order.state);
    writeln!(out, "{done}")?;
    write(&mut out, order, paint(), columns(usize::MAX))?;
    out.flush()
}

/// By what somebody may ask for it again.
fn name(order: &Order) -> String {
    let names: Vec<&str> = order
        .legs
        .iter()
        .filter_map(|leg| leg.name.as_deref())
        .collect();
    if names.is_empty() {
        format!("rid {}", order.rid)
    } else {
        names.join(", ")
    }
}

fn write(out: &mut impl Write, order: &Order, paint: Paint, columns: usize) -> io::Result<()> {
    let head = format!("{}  {:<13}", order.begun, order.state);
    let style = match order.state.as_str() {
        "unknown" => AnsiColor::Yellow.on_default().bold(),
        _ => Style::new(),
    };
    let rest = format!("  {}  {}", order.method, name(order));
    let whole = wrapped(&text::line(&format!("{head}{rest}")), columns, "    ");
    match whole.strip_prefix(&head).filter(|_| paint == Paint::Colour) {
        Some(rest) => writeln!(out, "{style}{head}{style:#}{rest}")?,
        None => writeln!(out, "{whole}")?,
    }
    for detail in details(order) {
        let line = format!("    {}", text::line(&detail));
        writeln!(out, "{}", wrapped(&line, columns, "        "))?;
    }
    Ok(())
}

fn wrapped(line: &str, columns: usize, hanging: &str) -> String {
    let options = Options::new(columns)
        .subsequent_indent(hanging)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(line, options)
}

fn details(order: &Order) -> Vec<String> {
    let caller = order.caller.as_deref().unwrap_or("-");
    let mut of_call = format!("caller={caller} rid={}", order.rid);
    if let Some(ended) = &order.ended {
        of_call += &format!(" ended={ended}");
    }
    if let Some(code) = order.code {
        of_call += &format!(" code={code}");
    }
    if let Some(list) = &order.list_id {
        of_call += &format!(" list_id={list}");
    }
    if !order.targets.is_empty() {
        of_call += &format!(" about={}", order.targets.join(","));
    }
    let mut details = vec![of_call];
    // One leg without anything of its own says no more than the attempt.
    let is_plain = |leg: &OrderLeg| leg.order_id.is_none() && leg.instrument.is_none();
    match &order.legs[..] {
        [only] if is_plain(only) => {}
        legs => details.extend(legs.iter().map(leg)),
    }
    if order.state == "unknown" {
        let times = match order.looked_after {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        let arrival = if order.can_still_arrive {
            format!("it can still arrive for {} s", order.for_s)
        } else {
            "nothing of it can arrive any more".to_owned()
        };
        details.push(format!("the daemon looked after it {times}; {arrival}"));
        details.extend(order.questions());
    }
    if let Some(by) = &order.by_hand {
        details.push(format!("decided by hand: {by}"));
    }
    details
}

fn leg(leg: &OrderLeg) -> String {
    let kind = leg.kind.as_deref().unwrap_or("no name");
    let name = leg.name.as_deref().unwrap_or_default();
    let mut line = format!("{kind} {name}").trim_end().to_owned();
    if let Some(instrument) = &leg.instrument {
        line += &format!(" {instrument}");
    }
    line += &format!(": {}", leg.state);
    if let Some(id) = &leg.order_id {
        line += &format!(" order_id={id}");
    }
    if let Some(code) = leg.code {
        line += &format!(" code={code}");
    }
    line
}
