// ccxt for JavaScript, unmodified.

import ccxt from 'ccxt';
import { CUT, INCONCLUSIVE, KEY, REST, SECRET, SILENT, THROUGH_PROXY } from './steps.mjs';
import { check, exchange, oneOrder, raises, run } from './steps.mjs';

const SYMBOL = 'BTC/USD';
// What ccxt throws for an answer that says neither yes nor no: an error that its maxRetriesOnFailure does not repeat.
const UNKNOWN = ccxt.BadRequest;

// As in docs/clients.md: the pair and the base URL, nothing else.
function client(options = {}) {
  const it = new ccxt.cryptocom({ apiKey: KEY, secret: SECRET, ...options });
  it.urls.api.v1 = REST;
  return it;
}

const it = client();
let order;
const OID = `invented-limit-${THROUGH_PROXY}`;

// Without client_oid: a repeat would be a second order. And as eager to repeat as ccxt can be made.
const place = () => it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000, { maxRetriesOnFailure: 3 });

await run({
  async load_markets() {
    const markets = await it.loadMarkets();
    check(markets[SYMBOL].spot && markets['BTC/USD:USD'].swap, 'spot and swap');
    check(it.currencies.BTC.networks, 'currencies, which need the key');
  },
  async market_data() {
    check((await it.fetchTicker(SYMBOL)).last > 0, 'ticker');
    check(Object.keys(await it.fetchTickers()).length > 10, 'tickers');
    const book = await it.fetchOrderBook(SYMBOL, 5);
    check(book.bids.length === 5 && book.bids[0][0] < book.asks[0][0], 'book');
    check((await it.fetchOHLCV(SYMBOL, '1m', undefined, 10)).length === 10, 'candles');
    check((await it.fetchTrades(SYMBOL, undefined, 10)).length === 10, 'trades');
  },
  async balance() {
    check((await it.fetchBalance()).USD.total > 0, 'balance');
  },
  async limit_order() {
    order = await it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 50000.5, { client_oid: OID });
    check(order.clientOrderId === OID, order);
  },
  async open_orders() {
    const mine = await it.fetchOpenOrders(SYMBOL);
    check(mine.length === 1 && mine[0].id === order.id, mine);
    check(mine[0].price === 50000.5 && mine[0].amount === 0.01 && mine[0].status === 'open', mine);
  },
  async order_detail() {
    check((await it.fetchOrder(order.id)).status === 'open', 'status');
    await raises([ccxt.OrderNotFound], () => it.fetchOrder('1'));
  },
  async cancel() {
    check((await it.cancelOrder(order.id, SYMBOL)).id === order.id, 'cancel');
    check((await it.fetchOrder(order.id)).status === 'canceled', 'status');
  },
  async market_order() {
    const filled = await it.createOrder(SYMBOL, 'market', 'buy', 0.01);
    check((await it.fetchOrder(filled.id)).status === 'closed', filled);
  },
  async order_list() {
    const leg = { symbol: SYMBOL, type: 'limit', side: 'buy', amount: 0.01 };
    const placed = await it.createOrders([{ ...leg, price: 40000 }, { ...leg, price: 41000 }]);
    check(placed.length === 2 && placed.every((one) => one.id), placed);
    check((await it.fetchOpenOrders(SYMBOL)).length === 2, 'open orders');
  },
  async cancel_all() {
    await it.cancelAllOrders(SYMBOL);
    check((await it.fetchOpenOrders(SYMBOL)).length === 0, 'open orders');
  },
  async history() {
    const seen = (await it.fetchOrders(SYMBOL)).find((one) => one.id === order.id);
    check(seen?.status === 'canceled', seen ?? 'not in the history');
  },
  async trades() {
    check((await it.fetchMyTrades(SYMBOL))[0].amount === 0.01, 'trades');
  },
  async withdraw_refused() {
    const before = await exchange.received('private/create-withdrawal');
    const expected = THROUGH_PROXY ? ccxt.PermissionDenied : ccxt.AuthenticationError;
    await raises([expected], () => it.withdraw('BTC', 0.01, 'invented-address-0123456789'));
    const reached = (await exchange.received('private/create-withdrawal')) - before;
    check(!THROUGH_PROXY || reached === 0, 'it reached the exchange');
  },
  async bad_secret() {
    const wrong = client({ secret: 'invented-wrong-secret' });
    await raises([ccxt.AuthenticationError], () => wrong.fetchBalance());
  },
  async rate_limit() {
    await exchange.script('private/user-balance', [{ do: 'code', code: 42901 }]);
    await raises([ccxt.RateLimitExceeded], () => it.fetchBalance());
  },
  async unknown_cut() {
    await oneOrder(CUT, () => raises([UNKNOWN], place));
  },
  async unknown_silent() {
    await oneOrder(SILENT, () => raises([UNKNOWN], place));
  },
  async unknown_inconclusive() {
    await oneOrder(INCONCLUSIVE, () => raises([UNKNOWN], place));
  },
  // The client gives up before the proxy does. ccxt does not repeat by itself.
  async unknown_impatient() {
    const impatient = client({ timeout: 1000 });
    const order = () => impatient.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000);
    await oneOrder(SILENT, () => raises([ccxt.RequestTimeout], order));
  },
});
