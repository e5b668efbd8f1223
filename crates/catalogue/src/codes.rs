//! The exchange's response codes: what each means and whether the call was executed.
//!
//! Guarantees: read once from `data/errors.json`. A code is conclusive only if the table says what became of the call;
//! a code that is not in the table is not. The body's code decides, never the HTTP status (the exchange answers
//! balance and risk rejections with HTTP 500).

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

static TABLE: LazyLock<HashMap<i64, CodeInfo>> = LazyLock::new(load);

/// An order's name was taken before.
pub const DUPLICATE_CLIENT_OID: i64 = 204;
/// A request was received before.
pub const DUPLICATE_REQUEST: i64 = 40006;
/// These tell that something of that name, or of that id, is there already.
const DUPLICATES: [i64; 4] = [DUPLICATE_CLIENT_OID, 205, 20001, DUPLICATE_REQUEST];
/// These tell that an order is not known.
const NOT_FOUND: [i64; 2] = [40401, 212];

/// What kind of answer a code is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Success.
    Ok,
    /// Key, signature, nonce, address or tier.
    Auth,
    /// Over a budget.
    RateLimit,
    /// The request itself was malformed.
    Request,
    /// The order or account was refused on its merits.
    Business,
    /// The exchange cannot say whether it executed.
    Indeterminate,
}

/// One response code.
#[derive(Clone, Debug, Deserialize)]
pub struct CodeInfo {
    /// The number in `code`.
    pub code: i64,
    /// The documented HTTP status, where one is documented.
    pub http_status: Option<u16>,
    /// The vendor's symbolic name.
    pub name: Option<String>,
    /// What kind of answer it is.
    pub category: Category,
}

/// The table's entry for a code.
#[must_use]
pub fn find(code: i64) -> Option<&'static CodeInfo> {
    TABLE.get(&code)
}

/// Whether this code tells for certain what became of the call.
#[must_use]
pub fn is_conclusive(code: i64) -> bool {
    find(code).is_some_and(|info| info.category != Category::Indeterminate)
}

/// Whether this code tells that what was asked for is there already.
#[must_use]
pub fn is_duplicate(code: i64) -> bool {
    DUPLICATES.contains(&code)
}

/// Whether this code tells that the order that was asked for is not known.
#[must_use]
pub fn is_not_found(code: i64) -> bool {
    NOT_FOUND.contains(&code)
}

#[derive(Deserialize)]
struct CodesFile {
    errors: Vec<CodeInfo>,
}

fn load() -> HashMap<i64, CodeInfo> {
    #[expect(
        clippy::expect_used,
        reason = "the file is compiled in and read by a test"
    )]
    let file: CodesFile = serde_json::from_str(include_str!("../data/errors.json"))
        .expect("data/errors.json has the table's shape");
    file.errors
        .into_iter()
        .map(|info| (info.code, info))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_we_name_are_in_the_table_and_conclusive() {
        for code in DUPLICATES.into_iter().chain(NOT_FOUND) {
            assert!(is_conclusive(code), "{code}");
        }
    }

    #[test]
    fn only_codes_that_tell_what_became_of_the_call_are_conclusive() {
        for code in [0, 204, 306, 40101, 40103, 42901, 140_001] {
            assert!(is_conclusive(code), "{code}");
        }
        for code in [50001, 40801, 120_009, 9_010_001, 10001, 424_242] {
            assert!(!is_conclusive(code), "{code}");
        }
    }
}
