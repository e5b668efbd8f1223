"""websocket-client, unmodified: it knows WebSocket and not the exchange, so requests and the login are written here."""

import hashlib
import hmac
import itertools
import json
import time

import websocket

import steps
from steps import CUT, KEY, SECRET, STREAM, OneOrder, check, exchange

INSTRUMENT = "BTC_USD"


def login(number, secret=SECRET):
    """The members of a `public/auth` beside its method, as the exchange documents them."""
    nonce = int(time.time() * 1000)
    text = f"public/auth{number}{KEY}{nonce}"
    return {"id": number, "api_key": KEY, "nonce": nonce, "sig": hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex()}


class Stream:
    def __init__(self, path):
        """As in docs/clients.md: the URL, nothing else. The library writes an `Origin` of its own into the request."""
        self.socket = websocket.create_connection(f"{STREAM}/{path}", timeout=10)
        self.numbers = itertools.count(1)

    def ask(self, method, params=None):
        number = next(self.numbers)
        return self.send({"id": number, "method": method, "params": params or {}, "nonce": int(time.time() * 1000)})

    def login(self, secret=SECRET):
        return self.send({"method": "public/auth", **login(next(self.numbers), secret)})

    def send(self, frame):
        """The answer with the same id."""
        self.socket.send(json.dumps(frame))
        return self.until(lambda answer: answer["id"] == frame["id"])

    def until(self, wanted):
        """The first frame that is wanted; those before it are dropped, and heartbeats answered."""
        while not wanted(frame := json.loads(self.socket.recv())):
            if frame["method"] == "public/heartbeat":
                self.socket.send(json.dumps({"id": frame["id"], "method": "public/respond-heartbeat"}))
        return frame


class Steps:
    def __init__(self):
        self.it = None
        self.order = None

    def market(self):
        stream = Stream("market")
        answer = stream.ask("subscribe", {"channels": [f"ticker.{INSTRUMENT}"]})
        check(answer["code"] == 0, answer)
        told = answer if "result" in answer else stream.until(lambda frame: "result" in frame)
        check(told["result"]["channel"] == "ticker" and float(told["result"]["data"][0]["a"]) > 0, told)
        stream.socket.close()

    def balance(self):
        self.it = Stream("user")
        check(self.it.login()["code"] == 0, "login")
        answer = self.it.ask("private/user-balance")
        check(answer["code"] == 0 and float(answer["result"]["data"][0]["total_available_balance"]) > 0, answer)

    def create_order(self):
        """It is answered, and told to who subscribed."""
        answer = self.it.ask("subscribe", {"channels": [f"user.order.{INSTRUMENT}"]})
        check(answer["code"] == 0, answer)
        before, name = exchange.orders(), f"invented-limit-{steps.THROUGH_PROXY}"
        answer = self.it.ask("private/create-order", order("50000.5", client_oid=name))
        check(answer["code"] == 0 and exchange.orders() == before + 1, answer)
        self.order = answer["result"]["order_id"]
        seen = self.it.until(lambda frame: "order_id" in str(frame))["result"]
        check(seen["subscription"] == f"user.order.{INSTRUMENT}", seen)
        check((seen["data"][0]["order_id"], seen["data"][0]["client_oid"]) == (self.order, name), seen)

    def open_orders(self):
        mine = self.it.ask("private/get-open-orders", {"instrument_name": INSTRUMENT})["result"]["data"]
        check([one["order_id"] for one in mine] == [self.order], mine)
        check((float(mine[0]["limit_price"]), mine[0]["status"]) == (50000.5, "ACTIVE"), mine)

    def cancel(self):
        answer = self.it.ask("private/cancel-order", {"order_id": self.order})
        check(answer["code"] == 0, answer)
        detail = self.it.ask("private/get-order-detail", {"order_id": self.order})["result"]
        check(detail["status"] == "CANCELED", detail)

    def bad_secret(self):
        answer = Stream("user").login("invented-wrong-secret")
        check(answer["code"] == 40101, answer)

    def withdraw_refused(self):
        before = exchange.received("private/create-withdrawal")
        answer = self.it.ask("private/create-withdrawal", {"currency": "BTC", "amount": "0.01", "address": "invented"})
        check((answer["code"], answer["outcome"]) == (40002, "refused"), answer)
        check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    def unknown_cut(self):
        with OneOrder(CUT):
            answer = self.it.ask("private/create-order", order("30000", client_oid="invented-cut"))
        check((answer["code"], answer["outcome"]) == (40801, "unknown"), answer)
        check(answer["client_oid"] == "invented-cut", answer)


def order(price, **members):
    return {"instrument_name": INSTRUMENT, "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": price, **members}


if __name__ == "__main__":
    steps.run(Steps(), "other_steps.txt")
