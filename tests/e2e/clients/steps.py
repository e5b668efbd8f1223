"""The steps of the Python clients: what they are told, the stand-in exchange behind the proxy, and how steps are counted.

A step is a function that raises when something is not as it should be. Every step prints one line, `PASS name` or
`FAIL name: why`, and after the last one stands `DONE number`. A name of the shared list without a function is a failure.
"""

import asyncio
import inspect
import json
import os
import pathlib
import sys
import time
import traceback
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REST = os.environ["CLIENTS_REST"]
STREAM = os.environ.get("CLIENTS_STREAM", "")
KEY = os.environ["CLIENTS_KEY"]
SECRET = os.environ["CLIENTS_SECRET"]
CONTROL = os.environ["CLIENTS_CONTROL"]
EXECUTED = pathlib.Path(os.environ["CLIENTS_EXECUTED"])
THROUGH_PROXY = os.environ.get("CLIENTS_THROUGH") == "proxy"


class Exchange:
    """The stand-in, commanded over its control paths."""

    def __init__(self):
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def script(self, target, *once, always=None):
        """Scripts faults for a method; without any it forgets them."""
        order = {"target": target, "clear": True, "once": list(once)}
        self._post("script", order if always is None else {**order, "always": always})

    def release(self):
        """Lets hanging requests go on."""
        self._post("release", {})

    def received(self, method):
        """How many requests for a method arrived."""
        return self._counts()["methods"].get(method, {}).get("received", 0)

    def orders(self):
        """How many orders were ever accepted."""
        return self._counts()["orders_placed"]

    def executed(self):
        """Every order that it executed, from its own file: a line for each, with the name it came by."""
        return [json.loads(line) for line in EXECUTED.read_text().splitlines()]

    def takes_names_again(self):
        """Executes an order whose name was taken, as the real one would not: only so a second one can be seen."""
        self._post("state", {"names": "again"})

    def _counts(self):
        with self._open(f"{CONTROL}/received", timeout=5) as answer:
            return json.load(answer)

    def _post(self, command, body):
        request = urllib.request.Request(f"{CONTROL}/{command}", json.dumps(body).encode(), method="POST")
        self._open(request, timeout=5).close()


exchange = Exchange()


class Backend:
    """The door of the old proxy's callers: a token, and no client library. To the proxy it is another caller than KEY."""

    def __init__(self):
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask(self, method, params, timeout=10, **headers):
        """Status, headers and body of the answer."""
        body = json.dumps({"method": method, "params": params}).encode()
        headers = {"Content-Type": "application/json", "X-Proxy-Token": os.environ["CLIENTS_TOKEN"], **headers}
        request = urllib.request.Request(f"{REST.removesuffix('/exchange/v1')}/proxy/private", body, headers)
        try:
            with self._open(request, timeout=timeout) as answer:
                return answer.status, answer.headers, json.load(answer)["body"]
        except urllib.error.HTTPError as error:
            with error:
                return error.status, error.headers, json.load(error)["body"]


backend = Backend()


def check(condition, what):
    """Raises unless it is so."""
    if not condition:
        raise AssertionError(what)


class Raised:
    """Within it exactly this exception must be raised; `error` is it afterwards."""

    def __init__(self, *expected):
        self.expected, self.error = expected, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        check(error is not None, f"nothing was raised, expected {self.expected}")
        if isinstance(error, Exception) and type(error) not in self.expected:
            raise AssertionError(f"raised {kind.__module__}.{kind.__name__}: {error}") from error
        self.error = error
        return isinstance(error, Exception)


class OneOrder:
    """Within it exactly one order must come into being, from exactly so many requests."""

    def __init__(self, *faults, method="private/create-order", requests=1):
        self.faults, self.method, self.requests = faults, method, requests

    def __enter__(self):
        self.orders, self.received = exchange.orders(), exchange.received(self.method)
        exchange.script(self.method, *self.faults)
        return self

    def __exit__(self, kind, error, _):
        exchange.release()
        exchange.script(self.method)
        if error is None:
            orders, requests = exchange.orders() - self.orders, exchange.received(self.method) - self.received
            check(orders == 1, f"{orders} orders at the exchange, from {requests} requests")
            check(requests == self.requests, f"{requests} requests reached the exchange, not {self.requests}")
        return False


CUT = {"do": "cut", "when": "after"}
SILENT = {"do": "hang", "when": "after"}
INCONCLUSIVE = {"do": "code", "code": 50001, "when": "after"}
# The order is executed, and its answer does not arrive: cut off before it, in it, or long before the execution.
LOST = [CUT, {"do": "cut", "when": "within"}, {"do": "cut", "when": "late", "late_ms": 1500}]
# The answer comes after a client's own time of 1 s has passed.
LATE = {"do": "pass", "delay_ms": 1500}
ORDER = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "30000"}


class OneExecution:
    """Within it the exchange executes exactly one order, of this name, from exactly one request."""

    def __init__(self, name, *faults):
        self.name, self.orders = name, OneOrder(*faults)

    def __enter__(self):
        self.before = len(exchange.executed())
        exchange.takes_names_again()
        self.orders.__enter__()
        return self

    def __exit__(self, kind, error, trace):
        self.orders.__exit__(kind, error, trace)
        if error is None:
            self.lines = exchange.executed()[self.before :]
            check([line["client_oid"] for line in self.lines] == [self.name], self.lines)
        return False


async def until_certain(ask, seconds=30):
    """What an order comes to that is placed again and again, while `ask` says that its outcome is unknown: None."""
    end = time.monotonic() + seconds
    while (told := await ask()) is None:
        check(time.monotonic() < end, f"still unknown after {seconds} s")
        await asyncio.sleep(0.3)
    return told


def names(shared):
    """The names of a shared list that apply here."""
    parts = (HERE / shared).read_text().split("----\n")
    wanted = "".join(parts if THROUGH_PROXY else parts[:1]).split("\n")
    return [name for name in wanted if name and not name.startswith("#")]


def run(steps, *lists):
    """Runs the steps of the shared lists in their order, and ends the process."""
    wanted = [name for shared in lists or ["steps.txt"] for name in names(shared)]
    sys.exit(1 if asyncio.run(_run(steps, wanted)) else 0)


async def _run(steps, wanted):
    failed = 0
    for name in wanted:
        try:
            await asyncio.wait_for(_step(steps, name), 60)
            print(f"PASS {name}", flush=True)
        except Exception as error:  # a failing step must not hide the next one
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc()
    if hasattr(steps, "close"):
        await steps.close()
    print(f"DONE {len(wanted)}", flush=True)
    return failed


async def _step(steps, name):
    done = getattr(steps, name)()
    if inspect.isawaitable(done):
        await done
