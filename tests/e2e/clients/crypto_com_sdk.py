"""crypto-com-sdk, unmodified: ccxt under another name, which it takes in place of ccxt's own package."""

import cryptocom  # first: from here on `import ccxt` means what this one brings along
import ccxt

import steps
from steps import CUT, KEY, REST, SECRET, STREAM, OneOrder, Raised, check, exchange

SYMBOL = "BTC/USD"


def configured(library, secret=SECRET):
    """As in docs/clients.md: the pair and the base URLs, nothing else."""
    it = library({"apiKey": KEY, "secret": secret})
    it.urls["api"]["v1"] = REST
    it.urls["api"]["ws"] = {"public": f"{STREAM}/market", "private": f"{STREAM}/user"}
    return it


class Steps:
    def __init__(self):
        self.it = configured(cryptocom.CryptocomSync)
        self.streams = configured(cryptocom.CryptocomWs)
        self.order = None

    async def close(self):
        await self.streams.close()

    async def market(self):
        check(self.it.load_markets()[SYMBOL]["spot"], "markets")
        check(self.it.fetch_ticker(SYMBOL)["last"] > 0, "ticker over REST")
        check((await self.streams.watch_ticker(SYMBOL))["last"] > 0, "ticker over a stream")

    async def balance(self):
        check(self.it.fetch_balance()["USD"]["total"] > 0, "over REST")
        check((await self.streams.watch_balance())["USD"]["total"] > 0, "over a stream")

    async def create_order(self):
        """Over REST; it is seen on the stream."""
        before, name = exchange.orders(), f"invented-limit-{steps.THROUGH_PROXY}"
        self.order = self.it.create_order(SYMBOL, "limit", "buy", 0.01, 50000.5, {"client_oid": name})
        check(self.order["clientOrderId"] == name and exchange.orders() == before + 1, self.order)
        seen = await self.streams.watch_orders(SYMBOL)
        check([order["id"] for order in seen] == [self.order["id"]], seen)

    async def open_orders(self):
        mine = self.it.fetch_open_orders(SYMBOL)
        check([order["id"] for order in mine] == [self.order["id"]], mine)
        check((mine[0]["price"], mine[0]["amount"], mine[0]["status"]) == (50000.5, 0.01, "open"), mine)

    async def cancel(self):
        canceled = self.it.cancel_order(self.order["id"], SYMBOL)
        check(canceled["id"] == self.order["id"], canceled)
        check(self.it.fetch_order(self.order["id"])["status"] == "canceled", "status")

    async def bad_secret(self):
        with Raised(ccxt.AuthenticationError):
            configured(cryptocom.CryptocomSync, "invented-wrong-secret").fetch_balance()

    async def withdraw_refused(self):
        before = exchange.received("private/create-withdrawal")
        with Raised(ccxt.PermissionDenied):
            self.it.withdraw("BTC", 0.01, "invented-address-0123456789")
        check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    async def unknown_cut(self):
        """As eager to repeat as it can be made."""
        with OneOrder(CUT), Raised(ccxt.BadRequest) as raised:
            self.it.create_order(SYMBOL, "limit", "buy", 0.01, 30000, {"maxRetriesOnFailure": 3})
        check("UNKNOWN OUTCOME" in str(raised.error), raised.error)


if __name__ == "__main__":
    steps.run(Steps(), "other_steps.txt")
