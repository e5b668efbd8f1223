//! The catalogue of methods: what each may do, how often, and what names an order in it.
//!
//! Guarantees: read once from `data/methods.json`; a method that is not in it has no class, and policy denies it.
//! The classes are ours (the vendor's own tool takes unknown private methods for reads, which is wrong for bots and
//! OTC deals). Does not: decide who may call what; that is `gateway::policy`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::LazyLock,
};

use serde::Deserialize;

static FILE: LazyLock<MethodsFile> = LazyLock::new(read);
static CATALOGUE: LazyLock<HashMap<&'static str, MethodInfo>> = LazyLock::new(|| {
    FILE.methods
        .iter()
        .map(|row| (row.method.as_str(), entry(row)))
        .collect()
});
static PARAMS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let examples = FILE
        .methods
        .iter()
        .flat_map(|row| &row.example_params)
        .map(String::as_str);
    examples.chain(FURTHER_PARAMS).collect()
});

/// Documented names that the catalogue's examples happen not to use.
const FURTHER_PARAMS: [&str; 9] = [
    "margin_order",
    "notional",
    "orig_client_oid",
    "post_only",
    "reduce_only",
    "spot_margin",
    "trigger_price",
    "trigger_price_type",
    "ref_price_type",
];

/// What a method can do to the account, from harmless to costly.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Market data; needs no signature.
    Public,
    /// Reads the account.
    Read,
    /// Places, changes or cancels orders.
    Trade,
    /// Staking, OTC, bots, conversion, exports.
    Products,
    /// Moves funds, or adds a place that funds can go to.
    Transfer,
    /// Changes settings of the account.
    AccountAdmin,
}

impl Class {
    /// Every class, in ascending order of consequence.
    pub const ALL: [Self; 6] = [
        Self::Public,
        Self::Read,
        Self::Trade,
        Self::Products,
        Self::Transfer,
        Self::AccountAdmin,
    ];

    /// The name used in configuration, logs and refusals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Products => "products",
            Self::Transfer => "transfer",
            Self::AccountAdmin => "account-admin",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The verb the exchange expects; private calls are always POST.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Public reads.
    Get,
    /// Everything private, and one public method.
    Post,
}

/// The exchange's budget for one method: `limit` calls per `window_ms` milliseconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls in one window.
    pub limit: u32,
    /// Length of the window in milliseconds.
    pub window_ms: u64,
    /// What shares the budget, in the catalogue's words (`method+api_key`, `method+ip`, …).
    pub scope: String,
}

/// Where the caller's own name for an order or withdrawal stands in the params.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// The method places nothing and names nothing.
    None,
    /// `client_oid` of a new order; where it is absent, the vendor's documents contradict each other on its name.
    NewOrder,
    /// `order_list[].client_oid` of new orders.
    NewOrders,
    /// `creates[].client_oid` of new orders, beside cancellations (a batch, on streams only).
    Batch,
    /// Names orders that exist already (`client_oid`, `orig_client_oid`, `order_id`).
    ExistingOrder,
    /// A client id of another kind (`client_wid` of withdrawals and so on), by field name.
    Other(&'static str),
}

/// One method of the catalogue.
#[derive(Clone, Debug)]
pub struct MethodInfo {
    /// Its name, such as `private/create-order`.
    pub name: &'static str,
    /// What it can do.
    pub class: Class,
    /// How REST callers reach it; `None` where it exists on WebSockets only.
    pub verb: Option<Verb>,
    /// The exchange's budget for it.
    pub rate_limit: &'static RateLimit,
    /// Where the caller's own id stands.
    pub client_id: ClientId,
}

impl MethodInfo {
    /// Whether all it does is to cancel orders: it can only lessen what an account risks.
    #[must_use]
    pub fn cancels_orders(&self) -> bool {
        let name = self.name.strip_prefix("private/").unwrap_or_default();
        let name = name.strip_prefix("advanced/").unwrap_or(name);
        self.class == Class::Trade && name.starts_with("cancel-")
    }
}

/// The catalogue's entry for a method, or `None` for one we do not know.
#[must_use]
pub fn find(name: &str) -> Option<&'static MethodInfo> {
    CATALOGUE.get(name)
}

/// Whether all that a method of this name does is to cancel orders.
#[must_use]
pub fn cancels_orders(name: &str) -> bool {
    find(name).is_some_and(MethodInfo::cancels_orders)
}

/// Every method of the catalogue, in no particular order.
pub fn all() -> impl Iterator<Item = &'static MethodInfo> {
    CATALOGUE.values()
}

/// Whether the exchange's documents know a param of this name; only such names are repeated in our messages.
#[must_use]
pub fn is_documented_param(name: &str) -> bool {
    PARAMS.contains(name)
}

#[derive(Deserialize)]
struct MethodsFile {
    methods: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    method: String,
    permission_class: Class,
    http_verb: Option<Verb>,
    rate_limit: RateLimit,
    retry: String,
    client_id_field: Option<String>,
    example_params: Vec<String>,
}

fn read() -> MethodsFile {
    #[expect(
        clippy::expect_used,
        reason = "the file is compiled in and read by a test"
    )]
    serde_json::from_str(include_str!("../data/methods.json"))
        .expect("data/methods.json has the catalogue's shape")
}

fn entry(row: &'static Row) -> MethodInfo {
    MethodInfo {
        client_id: client_id(row.client_id_field.as_deref(), &row.retry),
        name: &row.method,
        class: row.permission_class,
        verb: row.http_verb,
        rate_limit: &row.rate_limit,
    }
}

fn client_id(field: Option<&str>, retry: &str) -> ClientId {
    match field {
        Some("client_oid") if retry == "only-with-client-id" => ClientId::NewOrder,
        Some("order_list[].client_oid") => ClientId::NewOrders,
        Some("creates[].client_oid, cancels[].client_oid") => ClientId::Batch,
        Some("client_wid") => ClientId::Other("client_wid"),
        Some("cl_quote_req_id") => ClientId::Other("cl_quote_req_id"),
        Some("cl_deal_id") => ClientId::Other("cl_deal_id"),
        Some(_) => ClientId::ExistingOrder,
        None => ClientId::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_every_class_in_the_documented_numbers() {
        let count = |class| all().filter(|method| method.class == class).count();
        assert_eq!(Class::ALL.map(count), [10, 52, 20, 15, 6, 4]);
    }

    #[test]
    fn new_orders_are_told_from_calls_that_name_existing_ones() {
        let id = |name| find(name).map(|method| method.client_id);
        assert_eq!(id("private/create-order"), Some(ClientId::NewOrder));
        assert_eq!(id("private/create-order-list"), Some(ClientId::NewOrders));
        assert_eq!(id("private/batch-order-request"), Some(ClientId::Batch));
        assert_eq!(id("private/cancel-order"), Some(ClientId::ExistingOrder));
        let cancelling = all().filter(|info| info.cancels_orders()).count();
        assert_eq!(cancelling, 9, "orders, lists and all, plain and advanced");
        assert_eq!(
            id("private/create-withdrawal"),
            Some(ClientId::Other("client_wid"))
        );
        assert_eq!(id("private/user-balance"), Some(ClientId::None));
        assert_eq!(id("private/no-such-method"), None);
    }
}
