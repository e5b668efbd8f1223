"""ccxt pro, the streaming half of ccxt, unmodified."""

import asyncio

import ccxt.pro

import steps
from steps import CUT, KEY, REST, SECRET, STREAM, OneExecution, OneOrder, Raised, check, exchange, until_certain

SYMBOL = "BTC/USD"


class Steps:
    def __init__(self):
        self.opened = []
        self.it = self.client()
        self.order = None

    def client(self, secret=SECRET):
        """As in docs/clients.md: the pair and the base URLs, nothing else."""
        it = ccxt.pro.cryptocom({"apiKey": KEY, "secret": secret})
        it.urls["api"]["v1"] = REST
        it.urls["api"]["ws"] = {"public": f"{STREAM}/market", "private": f"{STREAM}/user"}
        self.opened.append(it)
        return it

    async def close(self):
        for it in self.opened:
            await it.close()

    async def market_stream(self):
        check((await self.it.watch_ticker(SYMBOL))["last"] > 0, "ticker")
        book = await self.it.watch_order_book(SYMBOL)
        check(book["bids"][0][0] <= book["asks"][0][0], "book")

    async def watch_balance(self):
        check((await self.it.watch_balance())["USD"]["total"] > 0, "balance")

    async def watch_orders(self):
        """An order placed over REST is seen on the stream; without open orders nothing is told before it."""
        await self.it.cancel_all_orders(SYMBOL)
        watching = asyncio.ensure_future(self.it.watch_orders(SYMBOL))
        await self.subscribed("user.order.BTC_USD")
        placed = await self.it.create_order(SYMBOL, "limit", "buy", 0.01, 50000.5)
        check(placed["id"] in [order["id"] for order in await watching], "not seen")

    async def subscribed(self, channel):
        streams = self.it.clients[f"{STREAM}/user"]
        while channel not in streams.subscriptions:
            await asyncio.sleep(0.01)

    async def create_order(self):
        before = exchange.orders()
        self.order = await self.it.create_order_ws(SYMBOL, "limit", "buy", 0.01, 40000)
        check(self.order["id"] and exchange.orders() == before + 1, self.order)

    async def commands_after_it(self):
        """The client's own fault, and that there is one is documented: after the first command over a connection it
        never sends another. A connection of its own for the next one is the way out."""
        before = exchange.received("private/cancel-order")
        with Raised(asyncio.TimeoutError):
            await asyncio.wait_for(self.it.cancel_order_ws(self.order["id"], SYMBOL), 1)
        check(exchange.received("private/cancel-order") == before, "it was sent: docs/clients.md is to be changed")
        canceled = await self.client().cancel_order_ws(self.order["id"], SYMBOL)
        check(canceled["id"] == self.order["id"], canceled)

    async def bad_secret(self):
        with Raised(ccxt.AuthenticationError):
            await self.client("invented-wrong-secret").watch_balance()

    async def withdraw_refused(self):
        """There is no such command over a stream: it is refused, and nothing of it is passed on."""
        before = exchange.received("private/create-withdrawal")
        it = self.client()
        request = {"method": "private/create-withdrawal", "params": {"currency": "BTC", "amount": "1", "address": "x"}}
        await it.load_markets()
        with Raised(ccxt.BadRequest):
            await it.watch_private_request(it.incrementing_nonce(), request)
        check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    async def unknown_cut(self):
        """The exchange takes the order and ends the connection: ccxt says that nobody knows, and sends no second order."""
        it = self.client()
        await it.watch_balance()
        with OneOrder(CUT), Raised(ccxt.RequestTimeout):
            await it.create_order_ws(SYMBOL, "limit", "buy", 0.01, 30000)

    async def named_lost(self):
        """Lost on a stream and placed again over REST, under its name and with its params, it is there once."""
        it, params = self.client(), {"client_oid": "invented-lost"}
        await it.watch_balance()

        async def again():
            with Raised(ccxt.BadRequest, ccxt.ExchangeError) as placed:
                await self.it.create_order(SYMBOL, "limit", "buy", 0.01, 30000, params)
            return None if "UNKNOWN OUTCOME" in str(placed.error) else placed.error

        with OneExecution("invented-lost", CUT):
            with Raised(ccxt.RequestTimeout):
                await it.create_order_ws(SYMBOL, "limit", "buy", 0.01, 30000, params)
            used = await until_certain(again)
        check('"code":204' in str(used) and "was executed" in str(used), used)


if __name__ == "__main__":
    steps.run(Steps(), "stream_steps.txt", "stream_names_steps.txt")
