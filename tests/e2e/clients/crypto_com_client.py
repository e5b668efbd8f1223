"""crypto-com-client, unmodified: it signs logins, in binary frames, and sends any command over a stream."""

import crypto_com

import steps
from steps import CUT, KEY, SECRET, STREAM, OneOrder, Raised, check, exchange
from websocket_client import INSTRUMENT, order


def user(secret=SECRET):
    """As in docs/clients.md: the pair and the URL, nothing else."""
    return crypto_com.UserClient(api_key=KEY, api_secret=secret, api_url=f"{STREAM}/user")


class Steps:
    def __init__(self):
        self.it = user()
        self.order = None

    async def close(self):
        await self.it.websocket.close()

    async def ask(self, method, **params):
        """The answer to a command; what is told between is dropped."""
        message = self.it.build_message(method, params)
        await self.it.send(message)
        while (answer := await self.it.next_event())["id"] != message["id"]:
            pass
        return answer

    async def market(self):
        async with crypto_com.MarketClient(api_url=f"{STREAM}/market") as client:
            await client.subscribe([f"ticker.{INSTRUMENT}"])
            while "result" not in (told := await client.next_event()):
                check(told["code"] == 0, told)
        check(told["result"]["channel"] == "ticker" and float(told["result"]["data"][0]["a"]) > 0, told)

    async def balance(self):
        await self.it.__aenter__()
        await self.it.authenticate()
        answer = await self.ask("private/user-balance")
        check(float(answer["result"]["data"][0]["total_available_balance"]) > 0, answer)

    async def create_order(self):
        """It is answered, and told to who subscribed."""
        await self.it.subscribe([f"user.order.{INSTRUMENT}"])
        before, name = exchange.orders(), f"invented-limit-{steps.THROUGH_PROXY}"
        answer = await self.ask("private/create-order", **order("50000.5", client_oid=name))
        check(answer["code"] == 0 and exchange.orders() == before + 1, answer)
        self.order = answer["result"]["order_id"]
        while "data" not in (told := await self.it.next_event())["result"]:
            pass
        check(told["result"]["subscription"] == f"user.order.{INSTRUMENT}", told)
        check([one["client_oid"] for one in told["result"]["data"]] == [name], told)

    async def open_orders(self):
        mine = (await self.ask("private/get-open-orders", instrument_name=INSTRUMENT))["result"]["data"]
        check([one["order_id"] for one in mine] == [self.order], mine)
        check((float(mine[0]["limit_price"]), mine[0]["status"]) == (50000.5, "ACTIVE"), mine)

    async def cancel(self):
        answer = await self.ask("private/cancel-order", order_id=self.order)
        check(answer["code"] == 0, answer)
        detail = await self.ask("private/get-order-detail", order_id=self.order)
        check(detail["result"]["status"] == "CANCELED", detail)

    async def bad_secret(self):
        async with user("invented-wrong-secret") as wrong:
            with Raised(Exception) as raised:
                await wrong.authenticate()
        check("failed with code 40101" in str(raised.error), raised.error)

    async def withdraw_refused(self):
        before = exchange.received("private/create-withdrawal")
        answer = await self.ask("private/create-withdrawal", currency="BTC", amount="0.01", address="invented")
        check((answer["code"], answer["outcome"]) == (40002, "refused"), answer)
        check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    async def unknown_cut(self):
        with OneOrder(CUT):
            answer = await self.ask("private/create-order", **order("30000", client_oid="invented-cut"))
        check((answer["code"], answer["outcome"], answer["client_oid"]) == (40801, "unknown", "invented-cut"), answer)


if __name__ == "__main__":
    steps.run(Steps(), "other_steps.txt")
