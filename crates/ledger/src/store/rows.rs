//! An attempt as it stands in the file, with its legs and targets.

use gateway::ledger::{Account, Attempt, Digest, EntryLeg, Kind, Leg, LegEnd, State};
use rusqlite::{Connection, types::Type};
use uuid::Uuid;

use super::{Result, unsigned};
use crate::rules::{Ended, Row};

/// One attempt with all that belongs to it.
pub(super) fn row(connection: &Connection, id: i64) -> Result<Row> {
    let mut select = connection.prepare_cached(
        "SELECT a.attempt, c.environment, c.name, a.caller, a.method, a.digest, a.rid, a.state, a.is_note, a.code, \
         a.list_id, a.by_hand, a.begun_ms, a.boot, a.life_ms, a.dead_up, a.looked, a.look_up, a.ended_ms, a.ended_up, \
         EXISTS (SELECT 1 FROM answer WHERE answer.attempt = a.id) \
         FROM attempt a JOIN account c ON c.id = a.account WHERE a.id = ?",
    )?;
    let legs = legs(connection, id)?;
    let targets = targets(connection, id)?;
    select.query_row([id], |row| {
        let text = |column| row.get::<_, String>(column);
        let number = |column| row.get::<_, i64>(column).map(unsigned);
        let (ended_ms, ended_up) = (
            row.get::<_, Option<i64>>(18)?,
            row.get::<_, Option<i64>>(19)?,
        );
        Ok(Row {
            id,
            attempt: Attempt(Uuid::from_bytes(row.get(0)?)),
            account: Account {
                environment: text(1)?.into(),
                name: text(2)?.into(),
            },
            caller: text(3)?,
            method: text(4)?,
            digest: Digest(row.get(5)?),
            rid: text(6)?,
            state: State::from_word(&text(7)?).ok_or_else(|| unknown_word(7))?,
            is_note: row.get(8)?,
            code: row.get(9)?,
            list_id: row.get(10)?,
            by_hand: row.get(11)?,
            begun_ms: number(12)?,
            boot: Uuid::from_bytes(row.get(13)?),
            life_ms: number(14)?,
            dead_up: number(15)?,
            looked: row.get(16)?,
            look_up: row.get::<_, Option<i64>>(17)?.map(unsigned),
            ended: ended_ms.zip(ended_up).map(|(wall_ms, up_ms)| Ended {
                wall_ms: unsigned(wall_ms),
                up_ms: unsigned(up_ms),
            }),
            legs,
            targets,
            is_kept: row.get(20)?,
        })
    })
}

fn legs(connection: &Connection, id: i64) -> Result<Vec<EntryLeg>> {
    let mut select = connection.prepare_cached(
        "SELECT kind, name, instrument, state, code, order_id FROM leg WHERE attempt = ? ORDER BY number",
    )?;
    let legs = select.query_map([id], |row| {
        let kind = row.get::<_, Option<String>>(0)?;
        let name = row.get::<_, Option<String>>(1)?;
        let kind = kind
            .map(|kind| Kind::from_word(&kind).ok_or_else(|| unknown_word(0)))
            .transpose()?;
        let end = match row.get::<_, i64>(3)? {
            0 => LegEnd::Open,
            1 => LegEnd::Executed {
                order_id: row.get(5)?,
            },
            2 => LegEnd::Refused {
                code: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
            },
            _ => return Err(unknown_word(3)),
        };
        Ok(EntryLeg {
            leg: Leg {
                name: kind.zip(name),
                instrument: row.get(2)?,
            },
            end,
        })
    })?;
    legs.collect()
}

fn targets(connection: &Connection, id: i64) -> Result<Vec<String>> {
    let mut select =
        connection.prepare_cached("SELECT name FROM target WHERE attempt = ? ORDER BY number")?;
    let targets = select.query_map([id], |row| row.get(0))?;
    targets.collect()
}

fn unknown_word(column: usize) -> rusqlite::Error {
    let why = "a word that this program does not know";
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
