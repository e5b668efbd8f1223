"""Objects of ccxt on one key that sign in the same millisecond, two of them or one: what docs/clients.md says of it."""

import asyncio

import ccxt.async_support

import ccxt_steps
import steps
from ccxt_steps import SYMBOL
from steps import check, exchange

# So often both call at once.
PAIRS = 5


class Steps:
    def __init__(self):
        self.both = [ccxt_steps.Steps(ccxt.async_support).it for _ in range(2)]

    async def close(self):
        for it in self.both:
            await it.close()

    async def at_once(self, call):
        """Lets both do it at once, some times. Their nonce, which ccxt lets its users set, is one millisecond of both."""
        pairs = []
        for _ in range(PAIRS):
            now = self.both[0].milliseconds()
            for it in self.both:
                it.nonce = lambda: now
            pairs.append(await asyncio.gather(*map(call, self.both), return_exceptions=True))
            check(self.both[0].last_request_body == self.both[1].last_request_body, "they did not sign alike")
        return pairs

    async def reads(self):
        """Both are answered."""
        for one in sum(await self.at_once(lambda it: it.fetch_balance()), []):
            check(isinstance(one, dict) and one["USD"]["total"] > 0, repr(one))

    async def reads_of_one(self):
        """All are answered: the same read twice, and another one."""
        it = self.both[0]
        await it.load_markets()
        for _ in range(PAIRS):
            now = it.milliseconds()
            it.nonce = lambda: now
            reads = it.fetch_balance(), it.fetch_balance(), it.fetch_open_orders(SYMBOL)
            one, other, orders = await asyncio.gather(*reads, return_exceptions=True)
            for balance in one, other:
                check(isinstance(balance, dict) and balance["USD"]["total"] > 0, repr(balance))
            check(isinstance(orders, list), repr(orders))

    async def orders(self):
        """One is sent. The other is refused, and not as a failure of authentication."""
        for it in self.both:
            await it.load_markets()
        before = exchange.orders()
        for pair in await self.at_once(lambda it: it.create_order(SYMBOL, "limit", "buy", 0.01, 30000)):
            check(sorted(type(one).__name__ for one in pair) == ["BadRequest", "dict"], repr(pair))
        check(exchange.orders() - before == PAIRS, "orders at the exchange")


if __name__ == "__main__":
    steps.run(Steps(), "one_key_steps.txt")
