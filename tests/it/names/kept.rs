//! What the daemon asks so that no name is forgotten while its order is open.

use sandbox::Fault;

use super::doors;

const FAMILIES: [&str; 2] = [
    "private/get-open-orders",
    "private/advanced/get-open-orders",
];

#[tokio::test]
async fn the_journal_is_told_which_orders_of_both_families_are_open_or_nothing() {
    let proxy = doors().start().await;
    let reconciler = proxy.gateway.reconciler();
    assert!(reconciler.tell_open().await);
    for family in FAMILIES {
        assert_eq!(proxy.exchange().count(family), 1, "{family}");
    }
    for family in FAMILIES {
        proxy.exchange().script_always(family, Fault::code(50001));
        assert!(!reconciler.tell_open().await, "{family}");
        proxy.exchange().clear_script(family);
    }
}
