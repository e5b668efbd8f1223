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
import traceback
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REST = os.environ["CLIENTS_REST"]
STREAM = os.environ.get("CLIENTS_STREAM", "")
KEY = os.environ["CLIENTS_KEY"]
SECRET = os.environ["CLIENTS_SECRET"]
CONTROL = os.environ["CLIENTS_CONTROL"]
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

    def _counts(self):
        with self._open(f"{CONTROL}/received", timeout=5) as answer:
            return json.load(answer)

    def _post(self, command, body):
        request = urllib.request.Request(f"{CONTROL}/{command}", json.dumps(body).encode(), method="POST")
        self._open(request, timeout=5).close()


exchange = Exchange()


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


def names(shared):
    """The names of the shared list that apply here."""
    parts = (HERE / shared).read_text().split("----\n")
    wanted = "".join(parts if THROUGH_PROXY else parts[:1]).split("\n")
    return [name for name in wanted if name and not name.startswith("#")]


def run(steps, shared="steps.txt"):
    """Runs the steps of the shared list in its order, and ends the process."""
    sys.exit(1 if asyncio.run(_run(steps, shared)) else 0)


async def _run(steps, shared):
    failed, wanted = 0, names(shared)
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
