//! The texts that calls repeat, each stored once and named by a number.
//!
//! Guarantees: bounded, in the file and in memory: a caller can invent method names, and beyond the bound they share one
//! word. Words that no call uses any more go when the file is opened, once there are many.

use std::collections::HashMap;

use rusqlite::{Connection, params};

/// Words that are told apart.
const MAX_WORDS: usize = 4096;
/// From so many on it is worth looking for those that are no longer used.
const MANY: usize = MAX_WORDS / 2;
/// What stands for every further one.
const OTHER: &str = "(other)";

/// The words of an open file.
pub(super) struct Words(HashMap<String, i64>);

impl Words {
    /// The words of the file.
    pub(super) fn load(file: &Connection) -> rusqlite::Result<Self> {
        let all = read(file)?;
        if all.len() < MANY {
            return Ok(Self(all));
        }
        file.execute_batch(
            "DELETE FROM word WHERE id NOT IN (
                SELECT caller FROM call UNION SELECT method FROM call WHERE method NOT NULL
                UNION SELECT class FROM call WHERE class NOT NULL UNION SELECT outcome FROM call
                UNION SELECT why FROM call WHERE why NOT NULL UNION SELECT verdict FROM call WHERE verdict NOT NULL
                UNION SELECT key_fp FROM call UNION SELECT address FROM call WHERE address NOT NULL)",
        )?;
        read(file).map(Self)
    }

    /// The number of a word, new or known.
    pub(super) fn number(&mut self, file: &Connection, word: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(word) {
            return Ok(*number);
        }
        if self.0.len() >= MAX_WORDS && word != OTHER {
            return self.number(file, OTHER);
        }
        file.execute("INSERT INTO word (word) VALUES (?1)", params![word])?;
        let number = file.last_insert_rowid();
        self.0.insert(word.to_owned(), number);
        Ok(number)
    }
}

fn read(file: &Connection) -> rusqlite::Result<HashMap<String, i64>> {
    let mut select = file.prepare("SELECT word, id FROM word")?;
    select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
