"""What the scripts beside this file share: how they ask the exchange through a running proxy, and that they are safe.

They need no key. They place the smallest order that there is, far from the market, so that it rests; and cancel what they
placed when they end, however they end. Against production they do not run unless `--production` is given.
"""

import argparse
import decimal
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

TEST_ENVIRONMENT = "https://uat-api.3ona.co/"
THIS_MACHINE = ("http://127.0.0.1:", "http://[::1]:")


def arguments(what):
    """A parser with what every script takes."""
    parser = argparse.ArgumentParser(description=what.strip().split("\n")[0])
    parser.add_argument("--url", default=os.environ.get("CRYPTO_PROXY_URL", "http://127.0.0.1:9000"), help="the proxy")
    parser.add_argument("--fresh", help="a second proxy, of the same key, with an empty state directory: it knows no name")
    parser.add_argument("--instrument", default="BTC_USD")
    parser.add_argument("--quantity", help="of an order, where the exchange does not take the smallest step")
    parser.add_argument("--away", type=decimal.Decimal, default=decimal.Decimal("0.3"), help="how far below the best bid")
    parser.add_argument("--production", action="store_true", help="run against the exchange itself, with real money")
    return parser


class Told:
    """An answer of the proxy: its own words, and the exchange's."""

    def __init__(self, status, headers, body):
        self.outcome = headers["X-Proxy-Outcome"]
        self.body = body["body"] if isinstance(body.get("body"), dict) else body
        self.code, self.result = self.body.get("code"), self.body.get("result") or {}
        self.message = self.body.get("message") or self.body.get("error") or self.body.get("detail")

    def __str__(self):
        said = f"code {self.code}" if self.code is not None else f"{self.outcome}: {self.message}"
        return said if not self.code or not self.message else f"{said} ({self.message})"


class Exchange:
    """The exchange behind a proxy; within it orders are placed, and at its end they are cancelled.

    An order is placed first, to see whether its size and price will do; not where `is_refused` says that all will be refused.
    """

    def __init__(self, options, is_refused=False):
        self.is_refused = is_refused
        self.options, self.placed, self.doubtful, self.wrong, self.number = options, [], [], [], 0
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        self.token = os.environ.get("CRYPTO_PROXY_TOKEN") or sys.exit(
            "CRYPTO_PROXY_TOKEN is not set: the token of a caller who may trade")

    def __enter__(self):
        for url in filter(None, (self.options.url, self.options.fresh)):
            self._must_be_safe(url)
        found = self._public("get-instruments", f"instrument_name={self.options.instrument}")
        found = [one for one in found if one["symbol"] == self.options.instrument]
        self.instrument = found[0] if found else sys.exit(f"there is no {self.options.instrument}")
        bid = decimal.Decimal(self._public("get-tickers", f"instrument_name={self.options.instrument}")[0]["b"])
        self.price, self.far_above = self._at(bid * (1 - self.options.away)), self._at(bid * 2)
        self.crossing = self._at(bid * decimal.Decimal("0.99"))
        self.quantity = self.options.quantity or self.instrument["qty_tick_size"]
        # What is refused for its size or price says nothing about what is asked.
        if not self.is_refused and (first := self.place()).code != 0:
            sys.exit(f"an order of {self.quantity} at {self.price} is refused: {first}: give another --quantity or --away")
        return self

    def __exit__(self, *_):
        for method, order_id in self.placed:
            self.ask(method, {"order_id": order_id})
        if self.placed:
            time.sleep(1)
        mine = {order_id for _, order_id in self.placed}
        left = self.doubtful + [f"{order_id} is still open" for order_id in (self.open_orders() if mine else []) if order_id in mine]
        print(f"\n{len(mine)} orders were placed; " + ("none is left" if not left else f"LEFT, to be cancelled by hand: {left}"))
        if self.wrong:
            sys.exit(f"NOT AS THE PRODUCT ASSUMES: {', '.join(self.wrong)}")
        if left:
            sys.exit(1)

    def open_orders(self):
        """The ids of all open orders of the instrument."""
        ids = []
        for method in ("private/get-open-orders", "private/advanced/get-open-orders"):
            told = self.ask(method, {"instrument_name": self.options.instrument})
            if told.code != 0:
                sys.exit(f"{method}: {told}: look for orders that are left")
            ids += [str(order["order_id"]) for order in told.result.get("data", [])]
        return ids

    def _at(self, price):
        tick = decimal.Decimal(self.instrument["price_tick_size"])
        return format((price / tick).to_integral_value() * tick, "f")

    def diagnosis(self, url):
        """What a proxy says of itself after it looked at the exchange."""
        token = os.environ.get("CRYPTO_PROXY_DIAG_TOKEN") or sys.exit(
            "CRYPTO_PROXY_DIAG_TOKEN is not set: with it the proxy is asked which exchange is behind it")
        headers = {"X-Proxy-Token": token}
        known = self._json(urllib.request.Request(f"{url}/diag/crypto-auth", headers=headers))
        if known.get("base_url"):
            return known
        return self._json(urllib.request.Request(f"{url}/diag/run", b"", headers, method="POST"))

    def _must_be_safe(self, url):
        base = self.diagnosis(url)["base_url"]
        print(f"{url} is a proxy before {base}")
        if not base.startswith((TEST_ENVIRONMENT, *THIS_MACHINE)) and not self.options.production:
            sys.exit(f"{base} is not the test environment ({TEST_ENVIRONMENT}): give --production if you mean it")

    def _json(self, request):
        with self._open(request, timeout=20) as answer:
            return json.load(answer)

    def _public(self, method, query):
        return self._json(f"{self.options.url}/exchange/v1/public/{method}?{query}")["result"]["data"]

    def ask(self, method, params, fresh=False, key=None):
        """A call; with `fresh` through the proxy that knows no name, with `key` under an `Idempotency-Key`."""
        url = self.options.fresh if fresh else self.options.url
        headers = {"Content-Type": "application/json", "X-Proxy-Token": self.token}
        if key:
            headers["Idempotency-Key"] = key
        body = json.dumps({"method": method, "params": params}).encode()
        try:
            with self._open(urllib.request.Request(f"{url}/proxy/private", body, headers), timeout=20) as answer:
                told = Told(answer.status, answer.headers, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                told = Told(error.code, error.headers, json.load(error))
        self._note(method, params, told)
        return told

    def _note(self, method, params, told):
        """What came into being is cancelled at the end."""
        if method.rsplit("/", 1)[1].startswith(("create-order", "amend-order")):
            if told.outcome == "unknown":
                self.doubtful.append(f"{method} {params} may have been executed")
            cancel = "private/advanced/cancel-order" if "/advanced/" in method else "private/cancel-order"
            legs = told.result if isinstance(told.result, list) else [told.result]
            ids = [str(leg["order_id"]) for leg in legs if leg.get("order_id")]
            self.placed += [(cancel, order_id) for order_id in ids if (cancel, order_id) not in self.placed]

    def limit(self, name=None, **more):
        """The params of an order that rests: post-only, the smallest, far below the market."""
        order = {"instrument_name": self.options.instrument, "side": "BUY", "type": "LIMIT", "price": self.price,
                 "quantity": self.quantity, "exec_inst": ["POST_ONLY"], **more}
        return order if name is None else {**order, "client_oid": name}

    def place(self, name=None, fresh=False, key=None, **more):
        return self.ask("private/create-order", self.limit(name, **more), fresh, key)

    def detail(self, **of):
        return self.ask("private/get-order-detail", of)

    def shows(self, question, saw, assumes, agrees=True):
        """A question, what the exchange said, and what the product takes for granted."""
        self.number += 1
        print(f"\n{self.number}. {question}\n   saw      {saw}\n   assumes  {assumes}"
              + ("" if agrees else "\n   WRONG    the product must be changed: report this"))
        if not agrees:
            self.wrong.append(f"{self.number}. {question}")


def a_name():
    """A name that nobody used."""
    return f"uat-{uuid.uuid4().hex[:24]}"
