"""Two objects of ccxt on one key, which sign in the same millisecond: what docs/clients.md says of it."""

import asyncio

import ccxt.async_support

import ccxt_steps
import steps
from ccxt_steps import SYMBOL
from steps import check, exchange

# So often two objects have to sign alike, and so often they call at once for it, at most.
ALIKE, PAIRS = 2, 300


class Steps:
    def __init__(self):
        self.both = [ccxt_steps.Steps(ccxt.async_support).it for _ in range(2)]

    async def close(self):
        for it in self.both:
            await it.close()

    async def at_once(self, call):
        """Lets both do it until they signed alike often enough. What came of all pairs, and of those that did."""
        every, alike = [], []
        while len(alike) < ALIKE and len(every) < PAIRS:
            every.append(await asyncio.gather(*map(call, self.both), return_exceptions=True))
            if self.both[0].last_request_body == self.both[1].last_request_body:
                alike.append(every[-1])
        check(len(alike) == ALIKE, f"they signed alike {len(alike)} times in {PAIRS}")
        return every, alike

    async def reads(self):
        """Both are answered."""
        every, _ = await self.at_once(lambda it: it.fetch_balance())
        for one in sum(every, []):
            check(isinstance(one, dict) and one["USD"]["total"] > 0, repr(one))

    async def orders(self):
        """One is sent. The other is refused, and not as a failure of authentication."""
        for it in self.both:
            await it.load_markets()
        before = exchange.orders()
        every, alike = await self.at_once(lambda it: it.create_order(SYMBOL, "limit", "buy", 0.01, 30000))
        for results in alike:
            check(sorted(type(one).__name__ for one in results) == ["BadRequest", "dict"], repr(results))
        refused = sum(not isinstance(one, dict) for one in sum(every, []))
        check((refused, exchange.orders() - before) == (ALIKE, 2 * len(every) - ALIKE), f"{refused} refused")


if __name__ == "__main__":
    steps.run(Steps(), "one_key_steps.txt")
