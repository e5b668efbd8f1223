"""A daemon with `orders.add_client_oid`: an order without a name gets one, by which it can be found."""

import re

import ccxt

import ccxt_steps
import steps
from steps import CUT, ORDER, OneOrder, Raised, backend, check, exchange

DETAIL = "private/get-order-detail"


class Steps:
    def __init__(self):
        self.it = ccxt_steps.Steps(ccxt).it

    def added_ccxt(self):
        """The error of a lost order says which name it was given."""
        with OneOrder(CUT), Raised(ccxt_steps.UNKNOWN) as lost:
            self.it.create_order(ccxt_steps.SYMBOL, "limit", "buy", 0.01, 30000, {"maxRetriesOnFailure": 3})
        name = re.search(r"client_oid (cp-[0-9a-f]+)", str(lost.error))[1]
        found = self.it.parse_order(self.it.v1PrivatePostPrivateGetOrderDetail({"client_oid": name})["result"])
        check({"order_id": found["id"], "client_oid": name}.items() <= exchange.executed()[-1].items(), found)

    def added_backend(self):
        """So does the header."""
        with OneOrder(CUT):
            status, headers, body = backend.ask("private/create-order", ORDER)
        name = headers["X-Proxy-Client-Oid"]
        check((status, headers["X-Proxy-Outcome"], body["client_oid"]) == (502, "unknown", name), body)
        found = backend.ask(DETAIL, {"client_oid": name})[2]["result"]
        check({"order_id": found["order_id"], "client_oid": name}.items() <= exchange.executed()[-1].items(), found)

    def each_its_own(self):
        """Two such orders of one content are two orders: whoever places one again means another one."""
        for _ in range(2):
            with OneOrder():
                self.it.create_order(ccxt_steps.SYMBOL, "limit", "buy", 0.01, 30000)
        names = [line["client_oid"] for line in exchange.executed()[-2:]]
        check(len(set(names)) == 2 and all(name.startswith("cp-") for name in names), names)


if __name__ == "__main__":
    steps.run(Steps(), "added_steps.txt")
