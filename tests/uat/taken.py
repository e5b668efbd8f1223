#!/usr/bin/env python3
"""Whether a name is taken (204) once its order is open, cancelled, refused or filled. Needs --fresh."""

import sys

from exchange import Exchange, a_name, arguments


def taken(exchange, what, name):
    """Places it again where nobody remembers the name."""
    again = exchange.place(name, fresh=True)
    exchange.shows(f"Is the name of {what} taken?", f"placed again: {again}",
                   "yes, with 204: a second order never comes into being", again.code == 204)


def open_one(exchange):
    name = a_name()
    exchange.place(name)
    taken(exchange, "an open order", name)


def cancelled(exchange):
    name = a_name()
    placed = exchange.place(name)
    exchange.ask("private/cancel-order", {"order_id": str(placed.result.get("order_id"))})
    taken(exchange, "a cancelled order", name)


def refused(exchange):
    """An order that no balance suffices for. Its name is free to the proxy where it got no order_id."""
    name = a_name()
    first = exchange.place(name, quantity=str(10**9))
    has_id = bool(first.result.get("order_id"))
    again = exchange.place(name)
    agrees = first.code != 0 and (again.code == 0 or has_id)
    exchange.shows("Is the name of a refused order taken?",
                   f"refused: {first}, {'with' if has_id else 'without'} an order_id; then a good one of this name: {again}",
                   "not where it got no order_id; where it got one, the proxy keeps the name", agrees)


def crossing(exchange):
    """Post-only, and it would be filled at once: it ends without being executed. Not with real money."""
    if exchange.options.production:
        return
    name = a_name()
    first = exchange.place(name, side="SELL", price=exchange.crossing)
    found = exchange.detail(client_oid=name)
    exchange.shows("What becomes of a post-only order that would be filled?",
                   f"{first}, order_id {first.result.get('order_id')}; asked for by its name: {found}, "
                   f"{found.result.get('status')}",
                   "it is not filled; an order_id means that its name is used")


if __name__ == "__main__":
    options = arguments(__doc__).parse_args()
    if not options.fresh:
        sys.exit("--fresh is missing: a proxy sends a name once, so it takes a second one to see a name refused (README.md)")
    with Exchange(options) as exchange:
        for step in (open_one, cancelled, refused, crossing):
            step(exchange)
