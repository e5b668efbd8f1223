#!/usr/bin/env python3
"""What the exchange says of a list of which one order cannot be: the outer code, and that of each order."""

from exchange import Exchange, a_name, arguments


def mixed(exchange):
    names = [a_name() for _ in range(3)]
    legs = [exchange.limit(names[0]), exchange.limit(names[1], quantity=str(10**9)), exchange.limit(names[2])]
    for leg in legs:
        del leg["exec_inst"]  # how a list within a list is signed is another question
    told = exchange.ask("private/create-order-list", {"contingency_type": "LIST", "order_list": legs})
    said = told.result if isinstance(told.result, list) else []
    codes = [leg.get("code") for leg in said]
    found = [exchange.detail(client_oid=name).code for name in names]
    agrees = len(said) == 3 and all((code == 0) == (seen == 0) or leg.get("order_id")
                                    for code, seen, leg in zip(codes, found, said))
    exchange.shows("What is said of a list with one order that cannot be?",
                   f"{told}; of each order: {said}; asked for by name: codes {found}",
                   "the outer code says nothing of the orders; each has its own code, in their order", agrees)


def signed(exchange):
    legs = [exchange.limit(a_name()), exchange.limit(a_name())]
    told = exchange.ask("private/create-order-list", {"contingency_type": "LIST", "order_list": legs})
    exchange.shows("How is exec_inst signed, as a list inside order_list?",
                   f"{told.outcome}, {told}",
                   'unknown, so it is refused; with calls.order_list_exec_inst = "flat" it must not be 40101',
                   told.outcome == "refused" or told.code != 40101)


if __name__ == "__main__":
    with Exchange(arguments(__doc__).parse_args()) as exchange:
        mixed(exchange)
        signed(exchange)
