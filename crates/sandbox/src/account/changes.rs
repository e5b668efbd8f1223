//! What happened on the account, for those who stream it.
//!
//! Guarantees: every order that was placed, changed or cancelled is told once, as it stood then; trades likewise.
//! Does not: keep anything; who executes a call takes its changes at once.

use serde_json::Value;

use super::{
    ACCOUNT_ID, Account, Status,
    order::{Family, Order},
};

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// An order, as the queries show it, and whether it is new.
    Order {
        id: u64,
        is_new: bool,
        family: Family,
        shown: Value,
    },
    /// A trade, as the queries show it.
    Trade(Value),
    /// Money moved without a trade.
    Balance,
}

impl Change {
    pub(super) fn placed(order: &Order) -> Self {
        Self::order(order, true)
    }

    pub(super) fn changed(order: &Order) -> Self {
        Self::order(order, false)
    }

    fn order(order: &Order, is_new: bool) -> Self {
        Self::Order {
            id: order.id,
            is_new,
            family: order.family,
            shown: order.describe(ACCOUNT_ID),
        }
    }

    /// The order that is new by it.
    pub(crate) fn placed_id(&self) -> Option<u64> {
        match self {
            Self::Order {
                id, is_new: true, ..
            } => Some(*id),
            Self::Order { .. } | Self::Trade(_) | Self::Balance => None,
        }
    }

    /// Whether it moved money or positions.
    pub(crate) fn moves_money(&self) -> bool {
        matches!(self, Self::Trade(_) | Self::Balance)
    }
}

impl Account {
    /// What happened since the last time.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Cancels these orders as far as they are open: a connection that asked for it was lost.
    pub(crate) fn cancel_these(&mut self, ids: &[u64], now_ms: i64) {
        for id in ids {
            if let Some(order) = self
                .orders
                .get_mut(id)
                .filter(|order| order.status == Status::Active)
            {
                (order.status, order.updated_ms) = (Status::Canceled, now_ms);
                self.changes.push(Change::changed(order));
            }
        }
    }

    /// The open orders of a family and, where one is named, of one instrument: the first thing a subscriber gets.
    pub(crate) fn open_now(&self, family: Family, instrument: Option<&str>) -> Value {
        let is_meant = |order: &&Order| {
            order.family == family
                && order.status == Status::Active
                && instrument.is_none_or(|name| order.instrument.name == name)
        };
        self.orders
            .values()
            .filter(is_meant)
            .map(|order| order.describe(ACCOUNT_ID))
            .collect()
    }

    /// The `data` of the balance query.
    pub(crate) fn balance_now(&self) -> Value {
        self.user_balance()
            .get_mut("data")
            .map(Value::take)
            .unwrap_or_default()
    }

    /// The `data` of the position query.
    pub(crate) fn positions_now(&self, now_ms: i64) -> Value {
        self.position_list(now_ms)
            .get_mut("data")
            .map(Value::take)
            .unwrap_or_default()
    }
}
