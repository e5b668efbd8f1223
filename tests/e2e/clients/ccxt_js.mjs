// ccxt for JavaScript, unmodified.

import ccxt from 'ccxt';
import { CUT, INCONCLUSIVE, KEY, LATE, LOST, ORDER, REST, SECRET, SILENT, THROUGH_PROXY } from './steps.mjs';
import { backend, check, exchange, oneExecution, oneOrder, raises, run, untilCertain } from './steps.mjs';

const SYMBOL = 'BTC/USD';
// What ccxt throws for an answer that says neither yes nor no: an error that its maxRetriesOnFailure does not repeat.
const UNKNOWN = ccxt.BadRequest;
// And for a name that was used (204): the class of all errors that it has no word for. It repeats none of these either.
const USED = ccxt.ExchangeError;

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

// An order under a name; always of the same content.
const limit = (by, params) => by.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000, params);
const named = (name, by = it, params = {}) => limit(by, { client_oid: name, ...params });

// What an order under a name that was used comes to: undefined as long as its outcome is unknown, else the error.
async function refused(name) {
  const error = await raises([UNKNOWN, USED], () => named(name));
  return error.message.includes('UNKNOWN OUTCOME') ? undefined : error;
}

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
  // Placed again under its name until that is certain, it is there once; then it can be asked for by its name.
  async named_lost() {
    for (const [number, fault] of LOST.entries()) {
      const name = `invented-lost-${number}`;
      let found;
      const [line] = await oneExecution(name, fault, async () => {
        const first = await raises([UNKNOWN], () => named(name));
        check(first.message.includes('UNKNOWN OUTCOME') && first.message.includes(name), first.message);
        const used = await untilCertain(() => refused(name));
        check(used.message.includes('"code":204') && used.message.includes('was executed'), used.message);
        found = it.parseOrder((await it.v1PrivatePostPrivateGetOrderDetail({ client_oid: name })).result);
      });
      check(found.id === line.order_id, found);
    }
  },
  // ccxt gives up and repeats by itself: it gets the answer to the first one, which is still under way.
  async named_impatient() {
    const impatient = client({ timeout: 1000 });
    await impatient.loadMarkets();
    let placed;
    const [line] = await oneExecution('invented-impatient', LATE, async () => {
      placed = await named('invented-impatient', impatient, { maxRetriesOnFailure: 3 });
    });
    check(placed.id === line.order_id, placed);
    check(impatient.last_response_headers['X-Proxy-Replayed'] === 'true', impatient.last_response_headers);
  },
  // The program gives up and asks again: the same.
  async named_again() {
    const impatient = client({ timeout: 1000 });
    await impatient.loadMarkets();
    let placed;
    const [line] = await oneExecution('invented-again', LATE, async () => {
      await raises([ccxt.RequestTimeout], () => named('invented-again', impatient));
      placed = await named('invented-again');
    });
    check(placed.id === line.order_id, placed);
    check(it.last_response_headers['X-Proxy-Replayed'] === 'true', it.last_response_headers);
    const [asked, told] = [JSON.parse(it.last_request_body), JSON.parse(it.last_http_response)];
    check(String(told.id) === String(asked.id), told);
  },
  // ccxt's own clientOrderId names nothing: ccxt does not send it. Nobody repeats such an order but the program.
  async nameless() {
    await oneExecution(null, CUT, async () => {
      const place = () => limit(it, { clientOrderId: 'invented-dropped', maxRetriesOnFailure: 3 });
      const { message } = await raises([UNKNOWN], place);
      check(message.includes('UNKNOWN OUTCOME') && !message.includes('invented-dropped'), message);
    });
  },
  // A header names an order that has no name. It stays until it is changed: a key for each order.
  async idempotency_key() {
    it.headers = { 'Idempotency-Key': 'invented-key-1' };
    let [first, again] = [];
    await oneOrder({ do: 'pass' }, async () => {
      [first, again] = [await limit(it), await limit(it)];
    }).finally(() => { it.headers = {}; });
    check(first.clientOrderId.startsWith('cp-') && again.id === first.id, [first, again]);
    check(exchange.executed().at(-1).client_oid === first.clientOrderId, first);
  },
  // Another program took the name by chance. Neither sees anything of the other's order.
  async same_name_elsewhere() {
    let error;
    const [theirs] = await oneExecution('invented-common', { do: 'pass' }, async () => {
      const placed = await backend('private/create-order', { ...ORDER, client_oid: 'invented-common' });
      check(placed.status === 200, placed);
      error = await raises([USED], () => named('invented-common'));
    });
    check(error.message.includes('another program uses this name'), error.message);
    check(!error.message.includes(theirs.order_id), error.message);
    let told;
    const [mine] = await oneExecution('invented-mine', { do: 'pass' }, async () => {
      await named('invented-mine');
      told = await backend('private/create-order', { ...ORDER, client_oid: 'invented-mine' });
    });
    check(told.status === 409 && !told.text.includes(mine.order_id), told);
  },
}, 'steps.txt', 'names_steps.txt');
