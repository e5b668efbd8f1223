"""cryptocom-exchange over REST, unmodified."""

import cryptocom.exchange as cro
from cryptocom.exchange import exceptions

import steps
from steps import CUT, INCONCLUSIVE, KEY, LATE, LOST, ORDER, REST, SECRET, SILENT
from steps import OneExecution, OneOrder, Raised, backend, check, exchange, until_certain

# What it raises for an answer that says neither yes nor no: an error that it does not repeat.
UNKNOWN = exceptions.BadRequestError
# And for a name that was used (204).
USED = exceptions.DuplicateClientIdError


def provider(secret=SECRET, **options):
    """As in docs/clients.md: the pair and the base URL, nothing else."""
    return cro.ApiProvider(api_key=KEY, api_secret=secret, root_url=f"{REST}/", **options)


class Steps:
    def __init__(self):
        self.it = cro.Account(api=provider(), orders_ttl=0)
        self.order = None

    @property
    def pair(self):
        return self.it.pairs["BTC_USD"]

    async def load_markets(self):
        await self.it.sync_pairs()
        check(len(self.it.pairs) > 10 and self.pair.base_currency.exchange_name == "BTC", "pairs")

    async def market_data(self):
        market = self.it.market
        check((await market.get_price(self.pair)) > 0, "price")
        check(len(await market.get_tickers()) > 10, "tickers")
        book = await market.get_orderbook(self.pair, depth=5)
        check(len(book.buys) == 5 and book.best_bid.price < book.best_ask.price, "book")
        candles = [candle async for candle in market.get_candles(self.pair, cro.Timeframe.MIN, count=10)]
        check(len(candles) == 10, "candles")
        check(len([trade async for trade in market.get_trades(self.pair, count=10)]) == 10, "trades")

    async def balance(self):
        balance = await self.it.get_balance()
        check(balance[cro.Instrument("USD")].available > 0, balance)
        check((await self.it.get_fee_rate()).spot_maker_bps == 0, "fees")

    async def limit_order(self):
        name = f"invented-limit-{steps.THROUGH_PROXY}"
        self.order = await self.it.buy_limit(self.pair, 0.01, 50000.5, client_id=name)
        check(self.order.id and self.order.client_id == name, self.order)

    async def open_orders(self):
        mine = await self.it.get_open_orders(self.pair)
        check([order.id for order in mine] == [self.order.id], mine)
        check((mine[0].limit_price, mine[0].quantity, mine[0].is_active) == (50000.5, 0.01, True), mine)

    async def order_detail(self):
        check((await self.it.get_order(order_id=self.order.id)).is_active, "status")
        check(await self.it.get_order(order_id="1") is None, "an order that is not there")

    async def cancel(self):
        order_id, client_id = await self.it.cancel_order(self.pair, self.order.client_id, check_status=True)
        check((order_id, client_id) == (self.order.id, self.order.client_id), "cancel")

    async def market_order(self):
        order = await self.it.create_order(self.pair, cro.OrderSide.BUY, cro.OrderType.MARKET, 600)
        check((await self.it.get_order(order_id=order.id)).is_filled, order)

    async def order_list(self):
        leg = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "quantity": "0.01"}
        legs = [{**leg, "price": "40000"}, {**leg, "price": "41000"}]
        params = {"contingency_type": "LIST", "order_list": legs}
        placed = await self.it.api.post("private/create-order-list", {"params": params})
        check([order["code"] for order in placed] == [0, 0], placed)
        check(len(await self.it.get_open_orders(self.pair)) == 2, "open orders")

    async def cancel_all(self):
        await self.it.cancel_open_orders(self.pair)
        check(await self.it.get_open_orders(self.pair) == [], "open orders")

    async def history(self):
        seen = {order.id: order for order in await self.it.get_orders_history(self.pair)}
        check(seen[self.order.id].is_canceled, seen)

    async def trades(self):
        check((await self.it.get_trades(self.pair))[0].quantity == 0.01, "trades")

    async def withdraw_refused(self):
        """It has no method for withdrawals; its provider sends any."""
        before = exchange.received("private/create-withdrawal")
        params = {"currency": "BTC", "amount": "0.01", "address": "invented-address"}
        with Raised(exceptions.ApiAuthError):
            await self.it.api.post("private/create-withdrawal", {"params": params})
        if steps.THROUGH_PROXY:
            check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    async def bad_secret(self):
        with Raised(exceptions.ApiAuthError):
            await cro.Account(api=provider("invented-wrong-secret")).get_balance()

    async def rate_limit(self):
        """It tries six times before it says so."""
        before = exchange.received("private/user-balance")
        exchange.script("private/user-balance", always={"do": "code", "code": 42901})
        with Raised(exceptions.RateLimitExceededError):
            await self.it.get_balance()
        exchange.script("private/user-balance")
        check(exchange.received("private/user-balance") - before == 6, "tries")

    async def place(self):
        """Without client_oid, which its own create_order always sends: a repeat would be a second order."""
        order = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "30000"}
        await self.it.api.post("private/create-order", {"params": order})

    async def unknown_cut(self):
        with OneOrder(CUT), Raised(UNKNOWN):
            await self.place()

    async def unknown_silent(self):
        with OneOrder(SILENT), Raised(UNKNOWN):
            await self.place()

    async def unknown_inconclusive(self):
        with OneOrder(INCONCLUSIVE), Raised(UNKNOWN):
            await self.place()

    async def unknown_impatient(self):
        """It gives up before the proxy does and repeats, with the same client_oid: the proxy sends the order once."""
        impatient = cro.Account(api=provider(timeout=1), market=self.it.market)
        with OneOrder(SILENT), Raised(UNKNOWN):
            await impatient.buy_limit(self.pair, 0.01, 30000)

    async def named(self, name, it=None):
        """An order under a name; always of the same content."""
        return await (it or self.it).buy_limit(self.pair, 0.01, 30000, client_id=name)

    async def refused(self, name):
        """What an order under a name that was used comes to: None as long as its outcome is unknown, else the error."""
        with Raised(UNKNOWN, USED) as placed:
            await self.named(name)
        return None if "UNKNOWN OUTCOME" in str(placed.error) else placed.error

    async def named_lost(self):
        """Placed again under its name until that is certain, it is there once; then it can be asked for by its name."""
        for number, fault in enumerate(LOST):
            name = f"invented-lost-{number}"
            with OneExecution(name, fault) as at_exchange:
                with Raised(UNKNOWN) as first:
                    await self.named(name)
                check("UNKNOWN OUTCOME" in str(first.error) and name in str(first.error), first.error)
                used = await until_certain(lambda: self.refused(name))
                check(isinstance(used, USED) and "was executed" in str(used), used)
                found = await self.it.get_order(client_order_id=name)
            check(found.id == at_exchange.lines[0]["order_id"], found)

    async def named_impatient(self):
        """It gives up and repeats by itself: it gets the answer to the first one, which is still under way."""
        impatient = cro.Account(api=provider(timeout=1), market=self.it.market)
        with OneExecution("invented-impatient", LATE) as at_exchange:
            order = await self.named("invented-impatient", impatient)
        check(order.id == at_exchange.lines[0]["order_id"], order)

    async def named_again(self):
        """The program gives up and asks again: the same. It raises for an answer that has not its own id."""
        hasty = cro.Account(api=provider(timeout=1, retries=0), market=self.it.market)
        with OneExecution("invented-again", LATE) as at_exchange:
            with Raised(exceptions.ApiError):
                await self.named("invented-again", hasty)
            order = await self.named("invented-again")
        check(order.id == at_exchange.lines[0]["order_id"], order)

    async def nameless(self):
        """Only what is posted without its own create_order has no name."""
        with OneExecution(None, CUT), Raised(UNKNOWN) as lost:
            await self.place()
        check("UNKNOWN OUTCOME" in str(lost.error) and "has no client_oid" in str(lost.error), lost.error)

    async def idempotency_key(self):
        """A header names an order that has no name. For headers it has no setting, but one place where it sends."""

        class Keyed(cro.ApiProvider):
            async def _http_request(self, *asked, headers, **more):
                return await super()._http_request(*asked, headers={**headers, "Idempotency-Key": "invented-1"}, **more)

        keyed = Keyed(api_key=KEY, api_secret=SECRET, root_url=f"{REST}/")
        with OneOrder():
            first, again = [await keyed.post("private/create-order", {"params": {**ORDER}}) for _ in range(2)]
        check(first["client_oid"].startswith("cp-") and again == first, (first, again))
        check(exchange.executed()[-1]["client_oid"] == first["client_oid"], first)

    async def same_name_elsewhere(self):
        """Another program took the name by chance. Neither sees anything of the other's order."""
        name = "invented-common"
        with OneExecution(name) as theirs:
            check(backend.ask("private/create-order", {**ORDER, "client_oid": name})[0] == 200, "theirs")
            with Raised(USED) as mine:
                await self.named(name)
        check("another program uses this name" in str(mine.error), mine.error)
        check(theirs.lines[0]["order_id"] not in str(mine.error), mine.error)
        with OneExecution("invented-mine") as mine:
            await self.named("invented-mine")
            status, _, body = backend.ask("private/create-order", {**ORDER, "client_oid": "invented-mine"})
        check(status == 409 and mine.lines[0]["order_id"] not in str(body), body)


if __name__ == "__main__":
    steps.run(Steps(), "steps.txt", "names_steps.txt")
