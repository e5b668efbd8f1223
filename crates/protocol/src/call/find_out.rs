//! What to ask the exchange when a call may have been executed and nobody knows.
//!
//! Guarantees: plain orders and advanced ones are looked for where the exchange keeps them; a call that names an
//! existing order or moves funds is never described as a new order; reads need no advice, they can be repeated.

use super::Method;
use catalogue::methods::{Class, ClientId};

const NEW_ORDER: &str = "the order may have been executed: wait a few seconds, then ask private/get-order-detail with \
                         its client_oid; never place it again under another client_oid before that";
const NEW_ADVANCED_ORDER: &str = "the order may have been executed: wait a few seconds, then ask \
                                  private/advanced/get-order-detail with its client_oid; never place it again under \
                                  another client_oid before that";
const EXISTING_ORDER: &str = "the order may have been changed or cancelled: ask private/get-order-detail for it before \
                              anything else is done with it";
const EXISTING_ADVANCED_ORDER: &str = "the order may have been changed or cancelled: ask \
                                       private/advanced/get-order-detail for it before anything else is done with it";
const ANYTHING_ELSE: &str =
    "it may have been executed: look at what it would have changed before it is sent again";

/// How to find out what became of a call of this method; `None` for reads.
#[must_use]
pub(super) fn find_out(method: &Method) -> Option<&'static str> {
    let info = method.info();
    if info.is_some_and(|info| info.class == Class::Read) {
        return None;
    }
    let advanced = method.as_str().starts_with("private/advanced/");
    Some(
        match (info.map_or(ClientId::None, |info| info.client_id), advanced) {
            (ClientId::NewOrder | ClientId::NewOrders | ClientId::Batch, false) => NEW_ORDER,
            (ClientId::NewOrder | ClientId::NewOrders | ClientId::Batch, true) => {
                NEW_ADVANCED_ORDER
            }
            (ClientId::ExistingOrder, false) => EXISTING_ORDER,
            (ClientId::ExistingOrder, true) => EXISTING_ADVANCED_ORDER,
            (ClientId::None | ClientId::Other(_), _) => ANYTHING_ELSE,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_call_has_its_own_advice_and_reads_have_none() {
        let advice = |name| find_out(&Method::parse(name).unwrap());
        assert_eq!(advice("private/create-order-list"), Some(NEW_ORDER));
        assert_eq!(
            advice("private/advanced/create-oco"),
            Some(NEW_ADVANCED_ORDER)
        );
        assert_eq!(advice("private/cancel-order"), Some(EXISTING_ORDER));
        assert_eq!(
            advice("private/advanced/cancel-order"),
            Some(EXISTING_ADVANCED_ORDER)
        );
        for name in [
            "private/cancel-all-orders",
            "private/create-withdrawal",
            "private/not-invented-yet",
        ] {
            assert_eq!(advice(name), Some(ANYTHING_ELSE), "{name}");
        }
        for name in ["private/get-order-detail", "private/user-balance"] {
            assert_eq!(advice(name), None, "{name}");
        }
    }
}
