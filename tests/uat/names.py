#!/usr/bin/env python3
"""What the exchange calls an order: without a name, with a long one, with one of the proxy's, and after an amendment."""

import time

from exchange import Exchange, a_name, arguments


def nameless(exchange):
    placed = [exchange.place() for _ in range(2)]
    names = [one.result.get("client_oid") for one in placed]
    now = time.time() * 1000

    def kind(name):
        # Every call at this door has the id 1, and a nonce that is the time.
        if name in (None, ""):
            return "nothing"
        is_time = str(name).isdigit() and abs(int(name) - now) < 60_000
        return "the id" if str(name) == "1" else "the nonce" if is_time else "another word"

    exchange.shows("What is an order without client_oid called: the nonce, or the id?",
                   f"{', '.join(map(str, placed))}: " + ", ".join(f"{name} ({kind(name)})" for name in names),
                   "nothing: it has no name, and is never called 'never arrived'; two of the same id are both executed",
                   [one.code for one in placed] == [0, 0])


def long_names(exchange):
    name = a_name().ljust(36, "x")
    longest, too_long = exchange.place(name), exchange.place(name + "x")
    exchange.shows("How long may a name be?", f"36 characters: {longest}; 37: {too_long}",
                   "36 characters are taken: derived names have 35", longest.code == 0)


def derived(exchange):
    placed = exchange.place(key=a_name())
    name = placed.result.get("client_oid")
    found = exchange.detail(client_oid=name)
    exchange.shows("Does it take the names that the proxy makes (Idempotency-Key, orders.add_client_oid)?",
                   f"{placed}, client_oid {name}; asked for by it: {found}", "yes, and they can be asked for",
                   placed.code == 0 and str(name).startswith("cp-") and found.code == 0)


def amended(exchange):
    old, new = a_name(), a_name()
    first = exchange.place(old).result.get("order_id")
    change = {"new_price": exchange.price, "new_quantity": exchange.quantity}
    plain = exchange.ask("private/amend-order", {"order_id": str(first), **change})
    renamed = exchange.ask("private/amend-order", {"orig_client_oid": old, "client_oid": new, **change})
    found = {name: exchange.detail(client_oid=name) for name in (old, new)}
    exchange.shows("What is an amended order called?",
                   f"without a new name: {plain}, {plain.result}; with one: {renamed}, {renamed.result}; then the old "
                   f"name: {found[old]}, the new one: {found[new]}",
                   "a changed order can be asked for by its new name, where it got one",
                   renamed.code != 0 or found[new].code == 0)


if __name__ == "__main__":
    with Exchange(arguments(__doc__).parse_args()) as exchange:
        for step in (nameless, long_names, derived, amended):
            step(exchange)
