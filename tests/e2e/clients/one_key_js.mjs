// As one_key.py, which says what each thing means, with ccxt for JavaScript.

import ccxt from 'ccxt';
import { KEY, REST, SECRET } from './steps.mjs';
import { check, exchange, run } from './steps.mjs';

const SYMBOL = 'BTC/USD';
const PAIRS = 5;

const both = [0, 1].map(() => {
  const it = new ccxt.cryptocom({ apiKey: KEY, secret: SECRET });
  it.urls.api.v1 = REST;
  return it;
});

async function atOnce(call) {
  const pairs = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const now = both[0].milliseconds();
    for (const it of both) it.nonce = () => now;
    pairs.push(await Promise.all(both.map((it) => call(it).catch((error) => error))));
    check(both[0].last_request_body === both[1].last_request_body, 'they did not sign alike');
  }
  return pairs;
}

const refused = (one) => one instanceof Error;

await run(
  {
    async reads() {
      const pairs = await atOnce((it) => it.fetchBalance());
      for (const one of pairs.flat()) check(!refused(one) && one.USD.total > 0, String(one));
    },
    async reads_of_one() {
      const [it] = both;
      await it.loadMarkets();
      for (let time = 0; time < PAIRS; time += 1) {
        const now = it.milliseconds();
        it.nonce = () => now;
        const [one, other, orders] = await Promise.all([it.fetchBalance(), it.fetchBalance(), it.fetchOpenOrders(SYMBOL)]);
        for (const balance of [one, other]) check(balance.USD.total > 0, JSON.stringify(balance));
        check(Array.isArray(orders), String(orders));
      }
    },
    async orders() {
      for (const it of both) await it.loadMarkets();
      const before = await exchange.orders();
      for (const pair of await atOnce((it) => it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000))) {
        const [error, ...others] = pair.filter(refused);
        check(error?.constructor === ccxt.BadRequest && others.length === 0, pair.map(String).join());
      }
      const made = (await exchange.orders()) - before;
      check(made === PAIRS, `${made} orders`);
    },
  },
  'one_key_steps.txt',
);
