"""The door of the old proxy's callers: requests with a token at POST /proxy/private, without a library."""

import ccxt

import ccxt_steps
import steps
from steps import CUT, LATE, LOST, ORDER, OneExecution, OneOrder, backend, check, exchange, until_certain

CREATE = "private/create-order"


class Steps:
    def place(self, name, timeout=10):
        """An order under a name; always of the same content. Its outcome, whether it is a replay, and the body."""
        status, headers, body = backend.ask(CREATE, {**ORDER, "client_oid": name}, timeout)
        return headers["X-Proxy-Outcome"], headers.get("X-Proxy-Replayed") == "true", {"status": status, **body}

    async def certain(self, name):
        """What an order under a name comes to: None as long as its outcome is unknown."""
        told = self.place(name)
        return None if told[0] == "unknown" else told

    async def named_lost(self):
        """Placed again under its name until that is certain, it is there once; then it can be asked for by its name."""
        for number, fault in enumerate(LOST):
            name = f"invented-lost-{number}"
            with OneExecution(name, fault) as at_exchange:
                outcome, _, body = self.place(name)
                check((outcome, body["client_oid"]) == ("unknown", name) and "get-order-detail" in body["how_to_find_out"], body)
                outcome, _, body = await until_certain(lambda: self.certain(name))
                check((outcome, body["status"], body["code"]) == ("refused", 400, 204), body)
                found = backend.ask("private/get-order-detail", {"client_oid": name})[2]["result"]
            check(found["order_id"] == at_exchange.lines[0]["order_id"], found)

    async def named_impatient(self):
        """The program gives up and asks again, while the first one is under way: it gets the answer to that one."""
        with OneExecution("invented-impatient", LATE) as at_exchange:
            try:
                check(not self.place("invented-impatient", timeout=0.5), "it was answered in time")
            except TimeoutError:
                pass
            outcome, replayed, body = self.place("invented-impatient")
        check((outcome, replayed) == ("answered", True), body)
        check(body["result"]["order_id"] == at_exchange.lines[0]["order_id"], body)

    def named_again(self):
        """The answer came and is asked for again."""
        with OneExecution("invented-again"):
            first, again = self.place("invented-again"), self.place("invented-again")
        check((first[0], again[0]) == ("answered", "answered") and (first[1], again[1]) == (False, True), (first, again))
        check(first[2] == again[2], (first, again))

    def nameless(self):
        """Nobody repeats it but the program; there is no name by which it could be asked for."""
        with OneExecution(None, CUT):
            status, headers, body = backend.ask(CREATE, ORDER)
        check((status, headers["X-Proxy-Outcome"], headers["X-Proxy-Client-Oid"]) == (502, "unknown", None), body)

    async def idempotency_key(self):
        """A header names an order that has no name."""
        for key, fault in ("invented-1", {"do": "pass"}), ("invented-2", CUT):

            async def certain():
                _, headers, body = backend.ask(CREATE, ORDER, **{"Idempotency-Key": key})
                return None if headers["X-Proxy-Outcome"] == "unknown" else (headers, body)

            with OneOrder(fault):
                headers, body = await until_certain(certain)
                name = exchange.executed()[-1]["client_oid"]
                check(name.startswith("cp-"), name)
                if fault is CUT:
                    check((headers["X-Proxy-Outcome"], body["code"]) == ("refused", 204), body)
                else:
                    again = await until_certain(certain)
                    check(again[0]["X-Proxy-Replayed"] == "true" and again[1] == body, again)
                    check(body["result"]["client_oid"] == name, body)
            found = backend.ask("private/get-order-detail", {"client_oid": name})[2]["result"]
            check(found["order_id"] == exchange.executed()[-1]["order_id"], found)

    async def same_name_elsewhere(self):
        """Another program, at the other door, took the name by chance. It sees as little: ccxt_steps.py."""
        name = "invented-common"
        with OneExecution(name) as theirs:
            await ccxt_steps.Steps(ccxt).named(name)
            outcome, replayed, body = self.place(name)
        check((outcome, replayed, body["status"]) == ("refused", False, 409), body)
        check(theirs.lines[0]["order_id"] not in str(body), body)


if __name__ == "__main__":
    steps.run(Steps(), "names_steps.txt")
