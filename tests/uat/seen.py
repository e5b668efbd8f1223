#!/usr/bin/env python3
"""How soon an order is seen: by its name while it is under way, among the open orders, and in the history."""

import threading
import time

from exchange import Exchange, a_name, arguments

# So long the proxy waits after an attempt is dead before "not found" counts.
ASSUMED_S = 5


def until(is_so, seconds=20, pause=0.2):
    """How long it takes, in seconds; `None` where it takes longer."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_so():
            return time.monotonic() - began
        time.sleep(pause)
    return None


def told(seconds):
    return "not within 20 s" if seconds is None else f"{seconds * 1000:.0f} ms"


def in_time(*all_of):
    return all(seconds is not None and seconds <= ASSUMED_S for seconds in all_of)


def under_way(exchange):
    name, codes, ended = a_name(), [], threading.Event()

    def ask():
        while not ended.is_set():
            codes.append(exchange.detail(client_oid=name).code)

    asking = threading.Thread(target=ask)
    asking.start()
    placed = exchange.place(name)
    ended.set()
    asking.join()
    found = until(lambda: exchange.detail(client_oid=name).code == 0)
    order_id = str(placed.result.get("order_id"))
    by_id = until(lambda: exchange.detail(order_id=order_id).code == 0)
    exchange.shows("What does get-order-detail say of a name that is under way?",
                   f"while it was placed: codes {sorted(set(map(str, codes)))}; after its answer found by name in "
                   f"{told(found)}, by order_id in {told(by_id)}",
                   f"not found (40401 or 212) or found, and found within {ASSUMED_S} s", in_time(found, by_id))
    return order_id


def listed(exchange, order_id):
    def is_kept():
        params = {"instrument_name": exchange.options.instrument, "limit": "100"}
        seen = exchange.ask("private/get-order-history", params).result.get("data", [])
        return order_id in [str(order["order_id"]) for order in seen]

    opened = until(lambda: order_id in exchange.open_orders())
    exchange.ask("private/cancel-order", {"order_id": order_id})
    gone = until(lambda: order_id not in exchange.open_orders())
    # The exchange answers one question about the history in a second.
    kept = until(is_kept, pause=1.1)
    exchange.shows("When is an order among the open ones, and in the history?",
                   f"open after {told(opened)}; cancelled, no longer open after {told(gone)}, in the history after {told(kept)}",
                   f"within {ASSUMED_S} s", in_time(opened, gone, kept))


def nobody(exchange):
    codes = {method: exchange.ask(method, {"client_oid": a_name()}).code
             for method in ("private/get-order-detail", "private/advanced/get-order-detail")}
    exchange.shows("What is said of a name that nobody used?", codes, "40401 or 212", set(codes.values()) <= {40401, 212})


def advanced(exchange):
    """A stop that would buy far above the market: it waits for its trigger."""
    name = a_name()
    far = exchange.far_above
    placed = exchange.ask("private/advanced/create-order", {
        "instrument_name": exchange.options.instrument, "side": "BUY", "type": "STOP_LIMIT", "price": far, "ref_price": far,
        "quantity": exchange.quantity, "client_oid": name})
    found = until(lambda: exchange.ask("private/advanced/get-order-detail", {"client_oid": name}).code == 0)
    exchange.shows("Is an advanced order found by its name?", f"placed: {placed}; found after {told(found)}",
                   f"by private/advanced/get-order-detail, within {ASSUMED_S} s", placed.code != 0 or in_time(found))


if __name__ == "__main__":
    with Exchange(arguments(__doc__).parse_args()) as exchange:
        listed(exchange, under_way(exchange))
        nobody(exchange)
        advanced(exchange)
