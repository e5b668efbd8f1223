//! What has had its time goes, a bounded number of rows with each batch.
//!
//! Guarantees: what is open stays. Days count while a daemon has the file open, so that no clock that is wrong lets anything
//! be forgotten. The name of an order stays as long as the exchange may have the order open.

use rusqlite::OptionalExtension;

use super::{FREE, LONG, NOTE, Result, SEEN_EVERY_MS, Store, signed, signed_size, unsigned};
use crate::{
    Settings,
    times::{Now, millis},
};

/// Rows that go with one batch, beside twice as many as it writes.
const TRIMMED_AT_ONCE: usize = 8;
/// For so long it counts which orders were open.
const TOLD_FOR_MS: i64 = 2 * SEEN_EVERY_MS;

/// Lets go what has had its time: of what there is too much, the oldest.
pub(super) fn trim(store: &mut Store, settings: &Settings, now: Now) -> Result<()> {
    if store.tally.wrote == 0 {
        return Ok(());
    }
    let most = TRIMMED_AT_ONCE + 2 * store.tally.wrote;
    let ran = store.ran(now.up_ms);
    let since = |kept| ran - signed(millis(kept));
    trim_answers(store, settings, since(settings.replay), most)?;
    for keep in [NOTE, FREE] {
        let too_many = kept(store, keep).saturating_sub(settings.most_kept_shortly);
        let too_many = usize::try_from(too_many).unwrap_or(usize::MAX).min(most);
        for (before, most) in [(i64::MAX, too_many), (since(settings.kept_shortly), most)] {
            for (id, _) in ended(store, keep, before, most)? {
                forget(store, id)?;
                *kept(store, keep) -= 1;
            }
        }
    }
    // An order may rest for longer than names are kept: what may still be open is not forgotten.
    if let Some((told, at)) = store.tally.told
        && ran - at <= TOLD_FOR_MS
    {
        for (id, account) in ended(store, LONG, since(settings.kept), most)? {
            if account == told {
                forget(store, id)?;
            } else {
                store.write("UPDATE attempt SET ended_ran = ?1 WHERE id = ?2", [ran, id])?;
            }
        }
    }
    Ok(())
}

/// How many are kept for this.
const fn kept(store: &mut Store, keep: i64) -> &mut u64 {
    if keep == NOTE {
        &mut store.tally.notes
    } else {
        &mut store.tally.free
    }
}

fn trim_answers(store: &mut Store, settings: &Settings, since: i64, most: usize) -> Result<()> {
    for _ in 0..most {
        let oldest = store
            .connection
            .prepare_cached(
                "SELECT answer.id, length(body), ended_ran FROM answer \
                 JOIN attempt ON attempt.id = answer.attempt ORDER BY answer.id LIMIT 1",
            )?
            .query_row([], |row| {
                let bytes = row.get::<_, i64>(1).map(unsigned)?;
                Ok((row.get::<_, i64>(0)?, bytes, row.get::<_, i64>(2)?))
            })
            .optional()?;
        let Some((id, bytes, ended_ran)) = oldest else {
            break;
        };
        if ended_ran >= since && store.tally.answers <= settings.answer_bytes {
            break;
        }
        store.write("DELETE FROM answer WHERE id = ?", [id])?;
        store.tally.answers = store.tally.answers.saturating_sub(bytes);
    }
    Ok(())
}

/// Those that are kept for this and ended before then, with their accounts; the oldest first.
fn ended(store: &Store, keep: i64, before: i64, most: usize) -> Result<Vec<(i64, i64)>> {
    let mut select = store.connection.prepare_cached(
        "SELECT id, account FROM attempt INDEXED BY attempt_keep \
         WHERE keep > 0 AND keep = ?1 AND ended_ran < ?2 ORDER BY ended_ran LIMIT ?3",
    )?;
    let ended = select.query_map([keep, before, signed_size(most)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    ended.collect()
}

fn forget(store: &mut Store, id: i64) -> Result<()> {
    let select = "SELECT length(body) FROM answer WHERE attempt = ?";
    if let Some(bytes) = store.optional(select, [id])? {
        store.write("DELETE FROM answer WHERE attempt = ?", [id])?;
        store.tally.answers = store.tally.answers.saturating_sub(unsigned(bytes));
    }
    for delete in [
        "DELETE FROM leg WHERE attempt = ?",
        "DELETE FROM target WHERE attempt = ?",
        "DELETE FROM attempt WHERE id = ?",
    ] {
        store.write(delete, [id])?;
    }
    Ok(())
}
