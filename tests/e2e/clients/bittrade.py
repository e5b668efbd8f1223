"""bittrade-cryptodotcom-websocket, unmodified. It leaves the signing to its user. Some of its functions fail with or
without a proxy: docs/clients.md says which, and the steps here show it."""

import hashlib
import hmac
import os
import time

import steps
from steps import CUT, KEY, REST, SECRET, STREAM, OneOrder, Raised, check, exchange

# As in docs/clients.md: the library reads these when it is imported.
os.environ.update(
    CRYPTODOTCOM_USER_URL=f"{STREAM}/user",
    CRYPTODOTCOM_MARKET_URL=f"{STREAM}/market",
    CRYPTODOTCOM_HTTP_USER_URL=REST,
    CRYPTODOTCOM_HTTP_MARKET_URL=REST,
)

import pydantic
import reactivex.operators as rx
import requests
from bittrade_cryptodotcom_websocket import CryptodotcomRequestMessage, MethodName, subscribe_open_orders, wait_for_response
from bittrade_cryptodotcom_websocket.framework import get_framework
from bittrade_cryptodotcom_websocket.models.message_types import WEBSOCKET_MESSAGE
from bittrade_cryptodotcom_websocket.models.rest import CreateWithdrawalRequest, OrderCreateRequest
from reactivex.subject import ReplaySubject

# Of the exchange's markets its ccxt (2.9) reads the perpetuals alone from where the proxy is.
SYMBOL, INSTRUMENT = "BTC/USD:USD", "BTCUSD-PERP"


def sign(members, secret):
    """The request with its key and signature; its params are flat."""
    params = members.get("params", {})
    text = members["method"] + str(members["id"]) + KEY + "".join(f"{key}{params[key]}" for key in sorted(params))
    sig = hmac.digest(secret.encode(), f"{text}{members['nonce']}".encode(), hashlib.sha256).hex()
    return {**members, "api_key": KEY, "sig": sig}


def framework(secret=SECRET):
    """Its pieces, put together as its users do. Nothing is connected yet."""

    def add_token(messages):
        def log_in(socket):
            login = {"method": "public/auth", "id": 1, "nonce": int(time.time() * 1000)}
            number, sender = socket.request_to_observable(sign(login, secret))
            answers = messages.pipe(wait_for_response(number, sender))
            return answers.pipe(rx.filter(lambda answer: answer.code == 0), rx.map(lambda _: socket))

        return log_in

    def add_token_http(request):
        request.json = sign(request.json, secret)
        return request

    it = get_framework(add_token, add_token_http, books=(("BTC/USD", 10),), load_markets=False)
    it.exchange.urls["api"]["derivatives"] = REST
    return it


def first(observable):
    """What it says first."""
    return observable.pipe(rx.first(), rx.timeout(10)).run()


class Steps:
    def __init__(self):
        self.it = framework()
        self.order = None

    def connect(self, connection):
        connection.connect(scheduler=self.it.scheduler)

    def ask(self, method, **params):
        """The answer to a command."""
        number, sender = self.it.websocket_bs.value.request_to_observable(CryptodotcomRequestMessage(method, params))
        return self.it.response_messages.pipe(wait_for_response(number, sender)).run()

    def market(self):
        book = ReplaySubject()
        self.it.books["BTC/USD_10"].subscribe(book)
        self.connect(self.it.public_socket_connection)
        told = first(book)
        check(told["symbol"] == "BTC/USD" and 0 < told["bids"][0][0] <= told["asks"][0][0], told)

    def balance(self):
        """Its own function wants a balance that has fewer members than the exchange's."""
        self.connect(self.it.private_socket_connection)
        first(self.it.guaranteed_websocket)
        answer = self.ask(MethodName.USER_BALANCE)
        check(float(answer.result["data"][0]["total_available_balance"]) > 0, answer)
        with Raised(pydantic.ValidationError):
            self.it.get_user_balance().run()

    def create_order(self):
        """It waits for the answer, and until the order is told to who subscribed."""
        self.it.exchange.set_markets(self.it.exchange.fetch_derivatives_markets())
        told = ReplaySubject()
        self.it.guaranteed_websocket.pipe(subscribe_open_orders(self.it.private_messages, INSTRUMENT)).subscribe(told)
        before, name = exchange.orders(), f"invented-limit-{steps.THROUGH_PROXY}"
        wanted = OrderCreateRequest(name, SYMBOL, "limit", "buy", 0.01, 50000.5)
        placed = self.it.create_order(wanted).run()
        check((placed["client_oid"], placed["status"]) == (name, "ACTIVE"), placed)
        check(exchange.orders() == before + 1, "orders at the exchange")
        self.order = placed["order_id"]
        check([one["order_id"] for one in first(told)] == [self.order], "not told")

    def open_orders(self):
        mine = self.it.get_user_open_orders(INSTRUMENT).run()
        check([one["order_id"] for one in mine] == [self.order], mine)
        check(float(mine[0]["limit_price"]) == 50000.5, mine)

    def cancel(self):
        """It says False, after 2 s: it waits for `canceled`, and the exchange says `CANCELED`."""
        check(self.it.cancel_order(self.order).run() is False, "it works: docs/clients.md is to be changed")
        detail = self.ask("private/get-order-detail", order_id=self.order)
        check(detail.result["status"] == "CANCELED", detail)

    def bad_secret(self):
        wrong = framework("invented-wrong-secret")
        told = ReplaySubject()
        frames = wrong.private_socket_connection.pipe(rx.filter(lambda it: it[1] == WEBSOCKET_MESSAGE), rx.map(lambda it: it[2]))
        frames.subscribe(told)
        self.connect(wrong.private_socket_connection)
        answer = first(told)
        check((answer["method"], answer["code"]) == ("public/auth", 40101), answer)

    def withdraw_refused(self):
        """Over REST, where it has it."""
        before = exchange.received("private/create-withdrawal")
        wanted = CreateWithdrawalRequest("BTC", "0.01", "invented-address", "BTC")
        with Raised(requests.HTTPError) as raised:
            self.it.create_withdrawal_http(wanted).run()
        check(raised.error.response.json()["code"] == 10005, raised.error.response.text)
        check(exchange.received("private/create-withdrawal") == before, "it reached the exchange")

    def unknown_cut(self):
        """It takes no frame that has more members than it knows, such as ours with `outcome`."""
        order = {"instrument_name": INSTRUMENT, "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "30000"}
        with OneOrder(CUT), Raised(TypeError) as raised:
            self.ask(MethodName.CREATE_ORDER, **order)
        check("outcome" in str(raised.error), raised.error)


if __name__ == "__main__":
    try:
        steps.run(Steps(), "other_steps.txt")
    except SystemExit as end:
        os._exit(end.code)  # its threads would connect anew
