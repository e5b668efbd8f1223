"""What both Python clients of ccxt do: the same calls, of which one client's answers are awaited."""

import inspect

import ccxt

import steps
from steps import CUT, INCONCLUSIVE, KEY, LATE, LOST, ORDER, REST, SECRET, SILENT
from steps import OneExecution, OneOrder, Raised, backend, check, exchange, until_certain

SYMBOL = "BTC/USD"
# What ccxt raises for an answer that says neither yes nor no: an error that its maxRetriesOnFailure does not repeat.
UNKNOWN = ccxt.BadRequest
# And for a name that was used (204): the class of all errors that it has no word for. It repeats none of these either.
USED = ccxt.ExchangeError


async def done(call):
    """The result of a call, whether or not it has to be awaited."""
    return await call if inspect.isawaitable(call) else call


def is_replayed(it):
    """Whether its last answer is that to an earlier call."""
    return {name.lower(): value for name, value in it.last_response_headers.items()}.get("x-proxy-replayed") == "true"


class Steps:
    def __init__(self, library):
        self.library = library
        self.it = self.client()
        self.order = None
        self.others = []

    def client(self, secret=SECRET, **options):
        """As in docs/clients.md: the pair and the base URL, nothing else."""
        it = self.library.cryptocom({"apiKey": KEY, "secret": secret, **options})
        it.urls["api"]["v1"] = REST
        return it

    def another(self, **options):
        it = self.client(**options)
        self.others.append(it)
        return it

    async def close(self):
        for it in [self.it, *self.others]:
            if hasattr(it, "close"):
                await done(it.close())

    async def load_markets(self):
        markets = await done(self.it.load_markets())
        check(markets[SYMBOL]["spot"] and markets["BTC/USD:USD"]["swap"], "spot and swap")
        check(self.it.currencies["BTC"]["networks"], "currencies, which need the key")

    async def market_data(self):
        check((await done(self.it.fetch_ticker(SYMBOL)))["last"] > 0, "ticker")
        check(len(await done(self.it.fetch_tickers())) > 10, "tickers")
        book = await done(self.it.fetch_order_book(SYMBOL, 5))
        check(len(book["bids"]) == 5 and book["bids"][0][0] < book["asks"][0][0], "book")
        check(len(await done(self.it.fetch_ohlcv(SYMBOL, "1m", limit=10))) == 10, "candles")
        check(len(await done(self.it.fetch_trades(SYMBOL, limit=10))) == 10, "trades")

    async def balance(self):
        check((await done(self.it.fetch_balance()))["USD"]["total"] > 0, "balance")

    async def limit_order(self):
        params = {"client_oid": f"invented-limit-{steps.THROUGH_PROXY}"}
        self.order = await done(self.it.create_order(SYMBOL, "limit", "buy", 0.01, 50000.5, params))
        check(self.order["clientOrderId"] == params["client_oid"], self.order)

    async def open_orders(self):
        mine = await done(self.it.fetch_open_orders(SYMBOL))
        check([order["id"] for order in mine] == [self.order["id"]], mine)
        check((mine[0]["price"], mine[0]["amount"], mine[0]["status"]) == (50000.5, 0.01, "open"), mine)

    async def order_detail(self):
        check((await done(self.it.fetch_order(self.order["id"])))["status"] == "open", "status")
        with Raised(ccxt.OrderNotFound):
            await done(self.it.fetch_order("1"))

    async def cancel(self):
        canceled = await done(self.it.cancel_order(self.order["id"], SYMBOL))
        check(canceled["id"] == self.order["id"], canceled)
        check((await done(self.it.fetch_order(self.order["id"])))["status"] == "canceled", "status")

    async def market_order(self):
        order = await done(self.it.create_order(SYMBOL, "market", "buy", 0.01))
        check((await done(self.it.fetch_order(order["id"])))["status"] == "closed", order)

    async def order_list(self):
        leg = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01}
        placed = await done(self.it.create_orders([{**leg, "price": 40000}, {**leg, "price": 41000}]))
        check(len(placed) == 2 and all(order["id"] for order in placed), placed)
        check(len(await done(self.it.fetch_open_orders(SYMBOL))) == 2, "open orders")

    async def cancel_all(self):
        await done(self.it.cancel_all_orders(SYMBOL))
        check(await done(self.it.fetch_open_orders(SYMBOL)) == [], "open orders")

    async def history(self):
        seen = {order["id"]: order["status"] for order in await done(self.it.fetch_orders(SYMBOL))}
        check(seen.get(self.order["id"]) == "canceled", seen)

    async def trades(self):
        check((await done(self.it.fetch_my_trades(SYMBOL)))[0]["amount"] == 0.01, "trades")

    async def withdraw_refused(self):
        before = exchange.received("private/create-withdrawal")
        with Raised(ccxt.PermissionDenied if steps.THROUGH_PROXY else ccxt.AuthenticationError):
            await done(self.it.withdraw("BTC", 0.01, "invented-address-0123456789"))
        if steps.THROUGH_PROXY:
            check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    async def bad_secret(self):
        with Raised(ccxt.AuthenticationError):
            await done(self.another(secret="invented-wrong-secret").fetch_balance())

    async def rate_limit(self):
        exchange.script("private/user-balance", {"do": "code", "code": 42901})
        with Raised(ccxt.RateLimitExceeded):
            await done(self.it.fetch_balance())

    async def place(self, it):
        """Without client_oid: a repeat would be a second order. And as eager to repeat as ccxt can be made."""
        params = {"maxRetriesOnFailure": 3}
        await done(it.create_order(SYMBOL, "limit", "buy", 0.01, 30000, params))

    async def unknown_cut(self):
        with OneOrder(CUT), Raised(UNKNOWN):
            await self.place(self.it)

    async def unknown_silent(self):
        with OneOrder(SILENT), Raised(UNKNOWN):
            await self.place(self.it)

    async def unknown_inconclusive(self):
        with OneOrder(INCONCLUSIVE), Raised(UNKNOWN):
            await self.place(self.it)

    async def unknown_impatient(self):
        """The client gives up before the proxy does. ccxt does not repeat by itself."""
        with OneOrder(SILENT), Raised(ccxt.RequestTimeout):
            impatient = self.another(timeout=1000)
            await done(impatient.create_order(SYMBOL, "limit", "buy", 0.01, 30000))

    async def named(self, name, it=None, **params):
        """An order under a name; always of the same content."""
        params = {"client_oid": name, **params}
        return await done((it or self.it).create_order(SYMBOL, "limit", "buy", 0.01, 30000, params))

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
                check('"code":204' in str(used) and "was executed" in str(used), used)
                asked = await done(self.it.v1PrivatePostPrivateGetOrderDetail({"client_oid": name}))
                found = self.it.parse_order(asked["result"])
            check(found["id"] == at_exchange.lines[0]["order_id"], found)

    async def named_impatient(self):
        """ccxt gives up and repeats by itself: it gets the answer to the first one, which is still under way."""
        impatient = self.another(timeout=1000)
        await done(impatient.load_markets())
        with OneExecution("invented-impatient", LATE) as at_exchange:
            order = await self.named("invented-impatient", impatient, maxRetriesOnFailure=3)
        check(order["id"] == at_exchange.lines[0]["order_id"], order)
        check(is_replayed(impatient), impatient.last_response_headers)

    async def named_again(self):
        """The program gives up and asks again: the same."""
        impatient = self.another(timeout=1000)
        await done(impatient.load_markets())
        with OneExecution("invented-again", LATE) as at_exchange:
            with Raised(ccxt.RequestTimeout):
                await self.named("invented-again", impatient)
            order = await self.named("invented-again")
        check(order["id"] == at_exchange.lines[0]["order_id"], order)
        check(is_replayed(self.it), self.it.last_response_headers)
        answer = self.it.parse_json(self.it.last_http_response)
        check(str(answer["id"]) == self.it.parse_json(self.it.last_request_body)["id"], answer)

    async def nameless(self):
        """ccxt's own clientOrderId names nothing: ccxt does not send it. Nobody repeats such an order but the program."""
        with OneExecution(None, CUT), Raised(UNKNOWN) as lost:
            params = {"clientOrderId": "invented-dropped", "maxRetriesOnFailure": 3}
            await done(self.it.create_order(SYMBOL, "limit", "buy", 0.01, 30000, params))
        check("UNKNOWN OUTCOME" in str(lost.error) and "invented-dropped" not in str(lost.error), lost.error)

    async def idempotency_key(self):
        """A header names an order that has no name. It stays until it is changed: a key for each order."""
        self.it.headers = {"Idempotency-Key": "invented-key-1"}
        try:
            with OneOrder():
                first = await done(self.it.create_order(SYMBOL, "limit", "buy", 0.01, 30000))
                again = await done(self.it.create_order(SYMBOL, "limit", "buy", 0.01, 30000))
        finally:
            self.it.headers = {}
        check(first["clientOrderId"].startswith("cp-") and again["id"] == first["id"], (first, again))
        check(exchange.executed()[-1]["client_oid"] == first["clientOrderId"], first)

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
