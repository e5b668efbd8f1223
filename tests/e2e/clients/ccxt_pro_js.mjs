// ccxt pro for JavaScript, unmodified.

import ccxt from 'ccxt';
import { CUT, KEY, REST, SECRET, STREAM } from './steps.mjs';
import { check, exchange, oneExecution, oneOrder, raises, run, untilCertain } from './steps.mjs';

const SYMBOL = 'BTC/USD';
const opened = [];

// As in docs/clients.md: the pair, the base URLs, and what ccxt wants before it opens a ws:// URL.
async function client(secret = SECRET) {
  const it = new ccxt.pro.cryptocom({ apiKey: KEY, secret });
  it.urls.api.v1 = REST;
  it.urls.api.ws = { public: `${STREAM}/market`, private: `${STREAM}/user` };
  await it.loadHttpProxyAgent();
  opened.push(it);
  return it;
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const it = await client();
let order;

await run(
  {
    async market_stream() {
      check((await it.watchTicker(SYMBOL)).last > 0, 'ticker');
      const book = await it.watchOrderBook(SYMBOL);
      check(book.bids[0][0] <= book.asks[0][0], 'book');
    },
    async watch_balance() {
      check((await it.watchBalance()).USD.total > 0, 'balance');
    },
    // An order placed over REST is seen on the stream; without open orders nothing is told before it.
    async watch_orders() {
      await it.cancelAllOrders(SYMBOL);
      const watching = it.watchOrders(SYMBOL);
      while (!('user.order.BTC_USD' in (it.clients[`${STREAM}/user`]?.subscriptions ?? {}))) await sleep(10);
      const placed = await it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 50000.5);
      check((await watching).some((one) => one.id === placed.id), 'not seen');
    },
    async create_order() {
      const before = await exchange.orders();
      order = await it.createOrderWs(SYMBOL, 'limit', 'buy', 0.01, 40000);
      check(order.id && (await exchange.orders()) === before + 1, order);
    },
    // The client's own fault, as in ccxt_pro.py.
    async commands_after_it() {
      const before = await exchange.received('private/cancel-order');
      const second = it.cancelOrderWs(order.id, SYMBOL).then(() => 'answered', () => 'rejected');
      check((await Promise.race([second, sleep(1000)])) === undefined, 'it was answered: docs/clients.md is to be changed');
      check((await exchange.received('private/cancel-order')) === before, 'it was sent: docs/clients.md is to be changed');
      check((await (await client()).cancelOrderWs(order.id, SYMBOL)).id === order.id, 'cancel');
    },
    async bad_secret() {
      const wrong = await client('invented-wrong-secret');
      await raises([ccxt.AuthenticationError], () => wrong.watchBalance());
    },
    // There is no such command: it is refused, and nothing of it is passed on.
    async withdraw_refused() {
      const before = await exchange.received('private/create-withdrawal');
      const own = await client();
      const params = { currency: 'BTC', amount: '1', address: 'x' };
      const request = { method: 'private/create-withdrawal', params };
      await own.loadMarkets();
      await raises([ccxt.BadRequest], () => own.watchPrivateRequest(own.incrementingNonce(), request));
      check((await exchange.received('private/create-withdrawal')) === before, 'it reached the exchange');
    },
    async unknown_cut() {
      const own = await client();
      await own.watchBalance();
      await oneOrder(CUT, () => raises([ccxt.RequestTimeout], () => own.createOrderWs(SYMBOL, 'limit', 'buy', 0.01, 30000)));
    },
    // Lost on a stream and placed again over REST, under its name and with its params, it is there once.
    async named_lost() {
      const [own, params] = [await client(), { client_oid: 'invented-lost' }];
      await own.watchBalance();
      const again = async () => {
        const place = () => it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000, params);
        const error = await raises([ccxt.BadRequest, ccxt.ExchangeError], place);
        return error.message.includes('UNKNOWN OUTCOME') ? undefined : error;
      };
      await oneExecution('invented-lost', CUT, async () => {
        const order = () => own.createOrderWs(SYMBOL, 'limit', 'buy', 0.01, 30000, params);
        await raises([ccxt.RequestTimeout], order);
        const { message } = await untilCertain(again);
        check(message.includes('"code":204') && message.includes('was executed'), message);
      });
    },
    async close() {
      await Promise.all(opened.map((one) => one.close()));
    },
  },
  'stream_steps.txt',
  'stream_names_steps.txt',
);
