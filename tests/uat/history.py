#!/usr/bin/env python3
"""Whether the order history and the open orders can be read whole: times in milliseconds, ranges, order, pages."""

import time

from exchange import Exchange, a_name, arguments

# As far as the clocks may differ.
AROUND_MS = 120_000


def now_ms():
    return int(time.time() * 1000)


def history(exchange, **of):
    # One such question in a second.
    time.sleep(1.1)
    told = exchange.ask("private/get-order-history", {"instrument_name": exchange.options.instrument, **of})
    return [(str(order["order_id"]), int(order["create_time"])) for order in told.result.get("data", [])]


def times(exchange):
    name, new = a_name(), a_name()
    exchange.place(name)
    created = exchange.detail(client_oid=name).result
    time.sleep(2)
    changing = now_ms()
    change = {"orig_client_oid": name, "client_oid": new, "new_price": exchange.price, "new_quantity": exchange.quantity}
    told = exchange.ask("private/amend-order", change)
    changed = exchange.detail(client_oid=new).result
    saw = [int(order.get(of, 0)) for order, of in ((created, "create_time"), (changed, "update_time"))]
    agrees = abs(saw[0] - changing) < AROUND_MS and (told.code != 0 or saw[1] >= changing - 1000)
    exchange.shows("Are the times of an order those of its creation and its last change, in milliseconds?",
                   f"create_time {saw[0]}, changed at {changing} ({told}), then update_time {saw[1]}", "yes, both", agrees)


def pages(exchange):
    began, ids = now_ms(), []
    for _ in range(3):
        ids.append(str(exchange.place(a_name()).result.get("order_id")))
        time.sleep(1)
    for order_id in ids:
        exchange.ask("private/cancel-order", {"order_id": order_id})
    whole = history(exchange, start_time=began - AROUND_MS, end_time=now_ms() + AROUND_MS, limit=100)
    mine = [order_id for order_id, _ in whole if order_id in ids]
    exchange.shows("Are cancelled orders in the history of their time, the newest first?",
                   f"placed {ids}, listed {mine}", "yes: a range is in milliseconds, and holds all of its time",
                   mine == ids[::-1])
    created = dict(whole)
    if not all(order_id in created for order_id in ids):
        return
    first, middle = created[ids[0]], created[ids[1]]
    part = [order_id for order_id, _ in history(exchange, start_time=first, end_time=first + 1, limit=100)]
    exchange.shows("Is a range that of the creation, and does it hold its beginning?",
                   f"{ids[0]} was created at {first} and cancelled later; from {first} to {first + 1}: {part}",
                   "yes, both", part == [ids[0]])
    until = [order_id for order_id, _ in history(exchange, start_time=first, end_time=middle + 1, limit=1)]
    exchange.shows("Are the newest of a range on a page that does not hold all of it?",
                   f"the newest of {ids[:2]}: {until}", "yes", until == [ids[1]])


def many(exchange):
    count = exchange.options.many
    ids = [str(exchange.place(a_name()).result.get("order_id")) for _ in range(count)]
    time.sleep(2)
    listed = exchange.open_orders()
    missing = [order_id for order_id in ids if order_id not in listed]
    exchange.shows(f"Are all of {count} open orders in one answer?", f"{len(missing)} are missing", "yes", not missing)


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--many", type=int, default=0, help="so many orders are opened at once, such as 210")
    with Exchange(parser.parse_args()) as exchange:
        times(exchange)
        pages(exchange)
        if exchange.options.many:
            many(exchange)
