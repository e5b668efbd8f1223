"""freqtrade in live mode, unmodified. It is not part of CI: it brings 600 MB along, and starts for 10 s.

The bot runs as a process of its own and is asked over its own API. Its strategy never trades: orders are entered there.
"""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import steps
from steps import CUT, KEY, REST, SECRET, OneOrder, check, exchange

PAIR = "BTC/USD"
PASSWORD = "invented-password"
STRATEGY = """
from freqtrade.strategy import IStrategy


class Waits(IStrategy):
    INTERFACE_VERSION = 3
    minimal_roi = {"0": 100}
    stoploss = -0.99
    timeframe = "1m"

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        return dataframe.assign(enter_long=0)

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe.assign(exit_long=0)
"""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def within(seconds, is_so):
    """Asks again until it is so."""
    end = time.monotonic() + seconds
    while not (so := is_so()) and time.monotonic() < end:
        time.sleep(0.1)
    return so


class Bot:
    def __init__(self, secret=SECRET):
        self.place = tempfile.TemporaryDirectory()
        self.port = free_port()
        place = pathlib.Path(self.place.name)
        (place / "strategies").mkdir()
        (place / "strategies" / "waits.py").write_text(STRATEGY)
        (place / "config.json").write_text(json.dumps(self.config()))
        # As in docs/clients.md: what its variables say of the exchange, nothing else.
        recipe = pathlib.Path(os.environ["CLIENTS_RECIPES"], "recipe_freqtrade_live.sh")
        start = [sys.executable, "-m", "freqtrade", "trade", "--userdir", place, "--config", place / "config.json"]
        told = {"CRYPTO_PROXY_URL": REST.removesuffix("/exchange/v1"), "CRYPTO_PROXY_VIRTUAL_KEY": KEY}
        self.log = place / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f'. "{recipe}"; exec "$@"', "bash", *start, "--strategy", "Waits", "--db-url", "sqlite://"],
                env={**os.environ, **told, "CRYPTO_PROXY_VIRTUAL_SECRET": secret},
                cwd=place,
                stdout=log,
                stderr=log,
            )

    def config(self):
        side = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
        server = {"enabled": True, "listen_ip_address": "127.0.0.1", "listen_port": self.port, "username": "test"}
        return {
            "dry_run": False,
            "stake_currency": "USD",
            "stake_amount": 1000,
            "max_open_trades": 3,
            "force_entry_enable": True,
            "entry_pricing": side,
            "exit_pricing": side,
            "exchange": {"pair_whitelist": [PAIR]},
            "pairlists": [{"method": "StaticPairList"}],
            "api_server": {**server, "password": PASSWORD, "jwt_secret_key": PASSWORD * 3},
            "initial_state": "running",
        }

    def ask(self, path, body=None, verb=None):
        """What its API answers, good or bad: JSON, or the text of a failure of its own."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/{path}", body and json.dumps(body).encode(), method=verb)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"test:{PASSWORD}".encode()).decode())
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def running(self):
        """Whether it came to run."""

        def told():
            try:
                return self.ask("show_config")["state"] == "running"
            except urllib.error.URLError:
                return self.process.poll() is not None

        return within(50, told) and self.process.poll() is None

    def said(self):
        """What it wrote, without the breaks of its lines."""
        return " ".join(self.log.read_text().split())

    def enter(self, price):
        return self.ask("forceenter", {"pair": PAIR, "price": price, "ordertype": "limit"})

    def close(self):
        self.process.kill()
        self.process.wait()
        self.place.cleanup()


class Steps:
    def __init__(self):
        self.it = Bot()
        self.trade = None

    async def close(self):
        self.it.close()

    def market(self):
        check(self.it.running(), f"it does not run: {self.it.said()[-2000:]}")
        check(self.it.ask("whitelist")["whitelist"] == [PAIR], "pairs")
        candles = f"pair_candles?pair={PAIR}&timeframe=1m&limit=3"
        check(within(30, lambda: len(self.it.ask(candles)["data"]) == 3), "candles, once it has analysed them")

    def balance(self):
        held = {one["currency"]: one["free"] for one in self.it.ask("balance")["currencies"]}
        check(held["USD"] > 0, held)

    def create_order(self):
        before = exchange.orders()
        self.trade = self.it.enter(50000.5)
        check(self.trade["orders"][0]["status"] == "open" and exchange.orders() == before + 1, self.trade)

    def open_orders(self):
        trades = self.it.ask("status")
        check([one["trade_id"] for one in trades] == [self.trade["trade_id"]], trades)
        order = trades[0]["orders"][0]
        check((order["order_id"], order["is_open"]) == (self.trade["orders"][0]["order_id"], True), order)

    def cancel(self):
        """Its answer is an error, because the trade is gone with its only order."""
        before = exchange.received("private/cancel-order")
        self.it.ask(f"trades/{self.trade['trade_id']}/open-order", verb="DELETE")
        check(exchange.received("private/cancel-order") == before + 1, "it was not sent")
        check(self.it.ask("status") == [], "trades")

    def bad_secret(self):
        wrong = Bot("invented-wrong-secret")
        try:
            check(not wrong.running() and "AuthenticationError" in wrong.said(), wrong.said()[-2000:])
        finally:
            wrong.close()

    def withdraw_refused(self):
        """It has no withdrawals."""

    def unknown_cut(self):
        """It writes what it was told, and keeps no trade of it."""
        with OneOrder(CUT):
            answer = self.it.enter(30000)
        check(within(10, lambda: "UNKNOWN OUTCOME" in self.it.said()), answer)
        check(self.it.ask("status") == [], "trades")


if __name__ == "__main__":
    steps.run(Steps(), "other_steps.txt")
