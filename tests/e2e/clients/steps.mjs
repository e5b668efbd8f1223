// The steps of the JavaScript clients: as steps.py, which says what each thing means.

import { readFileSync } from 'node:fs';

export const REST = process.env.CLIENTS_REST;
export const STREAM = process.env.CLIENTS_STREAM ?? '';
export const KEY = process.env.CLIENTS_KEY;
export const SECRET = process.env.CLIENTS_SECRET;
export const THROUGH_PROXY = process.env.CLIENTS_THROUGH === 'proxy';
const CONTROL = process.env.CLIENTS_CONTROL;
const EXECUTED = process.env.CLIENTS_EXECUTED;

async function post(command, body) {
  const answer = await fetch(`${CONTROL}/${command}`, { method: 'POST', body: JSON.stringify(body) });
  check(answer.ok, `${command}: ${answer.status}`);
}

async function counts() {
  return (await fetch(`${CONTROL}/received`)).json();
}

export const exchange = {
  script: (target, once = [], always) => post('script', { target, clear: true, once, always }),
  release: () => post('release', {}),
  received: async (method) => (await counts()).methods[method]?.received ?? 0,
  orders: async () => (await counts()).orders_placed,
  executed: () => readFileSync(EXECUTED, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)),
};

// The door of the old proxy's callers. To the proxy it is another caller than KEY.
export async function backend(method, params) {
  const headers = { 'Content-Type': 'application/json', 'X-Proxy-Token': process.env.CLIENTS_TOKEN };
  const url = REST.replace(/\/exchange\/v1$/, '/proxy/private');
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ method, params }) });
  return { status: answer.status, text: await answer.text() };
}

export function check(condition, what) {
  if (!condition) throw new Error(typeof what === 'string' ? what : JSON.stringify(what));
}

// Exactly one of these errors must be thrown.
export async function raises(expected, call) {
  let error;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  check(error !== undefined, `nothing was thrown, expected ${expected.map((kind) => kind.name)}`);
  if (!expected.includes(error.constructor)) throw new Error(`threw ${error.constructor.name}: ${error.message}`);
  return error;
}

// Meanwhile exactly one order must come into being, from exactly one request.
export async function oneOrder(fault, call, method = 'private/create-order') {
  const [orders, received] = [await exchange.orders(), await exchange.received(method)];
  await exchange.script(method, [fault]);
  try {
    await call();
  } finally {
    await exchange.release();
    await exchange.script(method);
  }
  const [made, requests] = [(await exchange.orders()) - orders, (await exchange.received(method)) - received];
  check(made === 1 && requests === 1, `${made} orders at the exchange, from ${requests} requests`);
}

export const CUT = { do: 'cut', when: 'after' };
export const SILENT = { do: 'hang', when: 'after' };
export const INCONCLUSIVE = { do: 'code', code: 50001, when: 'after' };
export const LOST = [CUT, { do: 'cut', when: 'within' }, { do: 'cut', when: 'late', late_ms: 1500 }];
export const LATE = { do: 'pass', delay_ms: 1500 };
export const ORDER = { instrument_name: 'BTC_USD', side: 'BUY', type: 'LIMIT', quantity: '0.01', price: '30000' };

// Meanwhile the exchange executes exactly one order, of this name, from exactly one request. Returns its line.
export async function oneExecution(name, fault, call) {
  const before = exchange.executed().length;
  await post('state', { names: 'again' });
  await oneOrder(fault, call);
  const lines = exchange.executed().slice(before);
  check(lines.length === 1 && lines[0].client_oid === name, lines);
  return lines;
}

// What an order comes to that is placed again and again, while its outcome is unknown: undefined.
export async function untilCertain(ask) {
  for (let tries = 0; tries < 100; tries += 1) {
    const told = await ask();
    if (told !== undefined) return told;
    await new Promise((go) => { setTimeout(go, 300); });
  }
  throw new Error('still unknown');
}

function names(shared) {
  const parts = readFileSync(new URL(shared, import.meta.url), 'utf8').split('----\n');
  const wanted = (THROUGH_PROXY ? parts : parts.slice(0, 1)).join('').split('\n');
  return wanted.filter((name) => name && !name.startsWith('#'));
}

function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Runs the steps of the shared list in its order, and ends the process.
export async function run(steps, ...lists) {
  const wanted = lists.flatMap(names);
  let failed = 0;
  for (const name of wanted) {
    try {
      check(typeof steps[name] === 'function', 'there is no such step');
      await within(60000, steps[name]());
      console.log(`PASS ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}: ${error.message}`);
      console.error(error.stack);
    }
  }
  await steps.close?.();
  console.log(`DONE ${wanted.length}`);
  process.exit(failed ? 1 : 0);
}
