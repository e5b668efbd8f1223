//! The callers as a table, and one of them as a tale; nothing secret is known here.

use crate::callers::{Entry, FileText, Places, Problem, Revocations, Rights, moment};
use gateway::virtual_key::VirtualKey;

/// Everything that can be looked at.
struct Seen {
    text: FileText,
    entries: Vec<Entry>,
    marks: Revocations,
}

fn look(places: &Places) -> Result<Seen, Problem> {
    let (text, entries) = places.read()?;
    // Without callers there may be no state directory yet, and nobody to judge.
    let marks = if entries.is_empty() {
        Revocations::default()
    } else {
        Revocations::read(places)?
    };
    Ok(Seen {
        text,
        entries,
        marks,
    })
}

/// One line per caller.
pub(super) fn list(places: &Places, now_ms: u64) -> Result<(), Problem> {
    let seen = look(places)?;
    if seen.entries.is_empty() {
        anstream::println!(
            "No callers but the default one ({}).",
            places.file.display()
        );
    }
    for entry in &seen.entries {
        anstream::println!(
            "{:<24} {}",
            entry.name,
            entry.describe(valid(entry, &seen.marks, now_ms))
        );
    }
    Ok(())
}

/// Everything about one.
pub(super) fn show(places: &Places, now_ms: u64, name: &str) -> Result<(), Problem> {
    let mut seen = look(places)?;
    let entry = seen
        .entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Problem::Unknown(name.to_owned()))?;
    let created = seen
        .text
        .find(name)
        .map(|text| text.created.clone())
        .unwrap_or_default();
    anstream::println!("name        {name}");
    anstream::println!("id          {}, since {created}", entry.id);
    anstream::println!(
        "policy      {}",
        entry.describe(valid(entry, &seen.marks, now_ms))
    );
    let mark = seen.marks.of(entry.id);
    for generation in &entry.generations {
        let key = VirtualKey {
            id: entry.id,
            generation: generation.number,
        };
        let key = if matches!(entry.rights, Rights::Call(_)) {
            format!(", virtual key {key}")
        } else {
            String::new()
        };
        let state = match (mark.judge(generation.number, now_ms), generation.until_ms) {
            (Err(_), _) => "revoked".to_owned(),
            (Ok(_), Some(end)) if end <= now_ms => "ended".to_owned(),
            (Ok(until), end) => match until.into_iter().chain(end).min() {
                Some(until) => format!("valid until {}", moment(until)),
                None => "valid".to_owned(),
            },
        };
        anstream::println!("generation  {}: {state}{key}", generation.number);
    }
    entry.doubts.iter().for_each(|doubt| {
        anstream::println!(
            "doubt       {}: {}; {}",
            doubt.key,
            doubt.text,
            doubt.remedy
        )
    });
    Ok(())
}

fn valid(entry: &Entry, marks: &Revocations, now_ms: u64) -> usize {
    let mut marks = marks.clone();
    marks.note_entry(entry);
    let mark = marks.of(entry.id);
    entry
        .generations
        .iter()
        .filter(|generation| mark.judge(generation.number, now_ms).is_ok())
        .count()
}
