"""cryptocom-exchange over WebSockets, unmodified: it listens; it has no commands, so orders go over REST."""

import cryptocom.exchange as cro

import steps
from cryptocom_rest import UNKNOWN
from steps import CUT, KEY, REST, SECRET, STREAM, OneOrder, Raised, check, exchange


def provider(secret=SECRET):
    """As in docs/clients.md: the pair and the base URLs, nothing else."""
    return cro.ApiProvider(api_key=KEY, api_secret=secret, root_url=f"{REST}/", ws_root_url=f"{STREAM}/")


async def first(stream):
    """What a stream says first; then it is closed."""
    try:
        return await anext(stream)
    finally:
        await stream.aclose()


class Steps:
    def __init__(self):
        self.it = cro.Account(api=provider(), orders_ttl=0)
        self.pair = self.it.pairs["BTC_USD"]
        self.order = None

    async def market_stream(self):
        book = await first(self.it.market.listen_orderbook(self.pair))
        check(book.best_bid.price <= book.best_ask.price, "book")
        check((await first(self.it.market.listen_candles(cro.Timeframe.MIN, self.pair))).close > 0, "candles")
        check((await first(self.it.market.listen_trades(self.pair))).price > 0, "trades")

    async def watch_balance(self):
        check((await first(self.it.listen_balances())).get("USD").available > 0, "balance")

    async def watch_orders(self):
        """An order that is there when the stream begins."""
        await self.it.cancel_open_orders(self.pair)
        placed = await self.it.buy_limit(self.pair, 0.01, 50000.5)
        check((await first(self.it.listen_orders(self.pair))).id == placed.id, "not seen")

    async def create_order(self):
        """An order that comes while the stream is open."""
        stream = self.it.listen_orders(self.pair)
        seen = {(await anext(stream)).id}
        self.order = await self.it.buy_limit(self.pair, 0.01, 40000)
        while self.order.id not in seen:
            seen.add((await anext(stream)).id)
        await stream.aclose()

    async def commands_after_it(self):
        """As does its end."""
        stream = self.it.listen_orders(self.pair)
        await anext(stream)
        await self.it.cancel_order(self.pair, self.order.client_id)
        while not ((order := await anext(stream)).id == self.order.id and order.is_canceled):
            pass
        await stream.aclose()

    async def bad_secret(self):
        wrong = cro.Account(api=provider("invented-wrong-secret"))
        with Raised(cro.ApiAuthError):
            await first(wrong.listen_balances())

    async def withdraw_refused(self):
        """It cannot send a command over a stream."""

    async def unknown_cut(self):
        """While it listens; the order goes over REST."""
        stream = self.it.listen_orders(self.pair)
        await anext(stream)
        order = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "30000"}
        with OneOrder(CUT), Raised(UNKNOWN):
            await self.it.api.post("private/create-order", {"params": order})
        await stream.aclose()


if __name__ == "__main__":
    steps.run(Steps(), "stream_steps.txt")
