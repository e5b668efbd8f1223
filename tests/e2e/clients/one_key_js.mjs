// As one_key.py, which says what each thing means, with ccxt for JavaScript.

import ccxt from 'ccxt';
import { KEY, REST, SECRET } from './steps.mjs';
import { check, exchange, run } from './steps.mjs';

const SYMBOL = 'BTC/USD';
const [ALIKE, PAIRS] = [2, 300];

const both = [0, 1].map(() => {
  const it = new ccxt.cryptocom({ apiKey: KEY, secret: SECRET });
  it.urls.api.v1 = REST;
  return it;
});

async function atOnce(call) {
  const [every, alike] = [[], []];
  while (alike.length < ALIKE && every.length < PAIRS) {
    every.push(await Promise.all(both.map((it) => call(it).catch((error) => error))));
    if (both[0].last_request_body === both[1].last_request_body) alike.push(every.at(-1));
  }
  check(alike.length === ALIKE, `they signed alike ${alike.length} times in ${PAIRS}`);
  return [every, alike];
}

const refused = (one) => one instanceof Error;

await run(
  {
    async reads() {
      const [every] = await atOnce((it) => it.fetchBalance());
      for (const one of every.flat()) check(!refused(one) && one.USD.total > 0, String(one));
    },
    async orders() {
      for (const it of both) await it.loadMarkets();
      const before = await exchange.orders();
      const [every, alike] = await atOnce((it) => it.createOrder(SYMBOL, 'limit', 'buy', 0.01, 30000));
      for (const results of alike) {
        const [error, ...others] = results.filter(refused);
        check(error?.constructor === ccxt.BadRequest && others.length === 0, results.map(String).join());
      }
      const made = (await exchange.orders()) - before;
      check(every.flat().filter(refused).length === ALIKE, 'others were refused, too');
      check(made === 2 * every.length - ALIKE, `${made} orders`);
    },
  },
  'one_key_steps.txt',
);
