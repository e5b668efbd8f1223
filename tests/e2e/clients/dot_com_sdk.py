"""python-crypto-dot-com-sdk over REST, unmodified. It is not part of CI: it brings 450 MB along."""

import time

import crypto_dot_com.request_builder
import pydantic
from crypto_dot_com.client import CryptoAPI
from crypto_dot_com.enums import CryptoDotComMethodsEnum

import steps
from steps import CUT, KEY, REST, SECRET, OneOrder, Raised, check, exchange

# As in docs/clients.md: everything before `/v1`.
crypto_dot_com.request_builder.ROOT_API_ENDPOINT = REST.removesuffix("/v1")
INSTRUMENT = "BTC_USD"


class Steps:
    def __init__(self):
        self.it = CryptoAPI(KEY, SECRET)
        self.order = None

    def market(self):
        candles = self.it.get_candlesticks(INSTRUMENT, count=3)
        check(len(candles) == 3 and all(candle.close > 0 for candle in candles), candles)

    def balance(self):
        check(self.it.get_user_balance()[0].total_available_balance > 0, "balance")
        held = {item.symbol.base_currency.name: item.quantity for item in self.it.get_current_portfolio().items}
        check(held["BTC"] > 0, held)

    def create_order(self):
        """One that rests, and one that is filled and is told among the trades."""
        before, now = exchange.orders(), time.time_ns()
        self.order = self.it.create_limit_order(INSTRUMENT, "0.01", "BUY", "50000.5").order_id
        market = {"instrument_name": INSTRUMENT, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        filled = self.it._post(CryptoDotComMethodsEnum.PRIVATE_CREATE_ORDER, market, sign=True).result
        check(exchange.orders() == before + 2, "orders at the exchange")
        trades = self.it.get_trades(now - 60 * 10**9, now + 60 * 10**9)
        check((trades[0].order_id, trades[0].traded_quantity) == (filled["order_id"], 0.01), trades)

    def open_orders(self):
        """It has no list of them, but asks for each."""
        one = self.it.get_order_details(self.order)
        check((one.order_id, one.limit_price, one.status) == (self.order, 50000.5, "ACTIVE"), one)

    def cancel(self):
        self.it.cancel_order(self.order)
        now = time.time_ns()
        seen = {one.order_id: one.status for one in self.it.get_order_history(now - 60 * 10**9, now)}
        check(seen[self.order] == "CANCELED", seen)

    def bad_secret(self):
        """The exchange's answer has no id and no method, which it expects."""
        with Raised(RuntimeError if steps.THROUGH_PROXY else pydantic.ValidationError) as raised:
            CryptoAPI(KEY, "invented-wrong-secret").get_user_balance()
        check("40101" in str(raised.error), raised.error)

    def withdraw_refused(self):
        """It has no withdrawals."""

    def unknown_cut(self):
        with OneOrder(CUT), Raised(RuntimeError) as raised:
            self.it.create_limit_order(INSTRUMENT, "0.01", "BUY", "30000")
        check("UNKNOWN OUTCOME" in str(raised.error), raised.error)


if __name__ == "__main__":
    steps.run(Steps(), "other_steps.txt")
