// What the scripts share: their settings from the environment, and a line a case.
//
//   GRAPHQL_URL            the endpoint, http://host:port/graphql
//   HEADERS                JSON object, sent with each request and upgrade
//   INIT_PAYLOAD           JSON object for connection_init
//   QUERY                  a query that any caller may send
//   SUBSCRIPTION           a subscription that delivers something soon after it starts, and goes on
//   SUBSCRIPTION_VARIABLES its variables, as JSON
//   ENDING                 a subscription that ends by itself; its cases are left out without one
//   MUTATION, MUTATION_VARIABLES
//                          a mutation of which SUBSCRIPTION delivers the event; its cases are left out without one
import { setTimeout as sleep } from 'node:timers/promises';

const text = (name, otherwise) => process.env[name] || otherwise;
const json = (name, otherwise) => JSON.parse(text(name, JSON.stringify(otherwise)));

export const settings = {
  url: text('GRAPHQL_URL', 'http://127.0.0.1:8080/graphql'),
  headers: json('HEADERS', {}),
  initPayload: json('INIT_PAYLOAD', null),
  query: text('QUERY', '{ __typename }'),
  subscription: { query: text('SUBSCRIPTION'), variables: json('SUBSCRIPTION_VARIABLES', {}) },
  ending: text('ENDING') && { query: text('ENDING') },
  mutation: text('MUTATION') && { query: text('MUTATION'), variables: json('MUTATION_VARIABLES', {}) },
};
settings.socketUrl = settings.url.replace(/^http/, 'ws');

let failed = 0;
let passed = 0;

export async function check(name, run) {
  try {
    await run();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${String(error?.message ?? error).replace(/\s+/g, ' ').slice(0, 300)}`);
  }
}

export function assert(holds, message) {
  if (!holds) throw new Error(message);
}

export async function within(milliseconds, promise, what) {
  const late = Symbol('late');
  const result = await Promise.race([promise, sleep(milliseconds, late, { ref: true })]);
  assert(result !== late, `${what}: nothing within ${milliseconds} ms`);
  return result;
}

export function post(body, headers = {}) {
  return fetch(settings.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json', ...settings.headers, ...headers },
    body: JSON.stringify(body),
  });
}

export async function mutate() {
  const answer = await (await post(settings.mutation)).json();
  assert(answer.data && !answer.errors, `the mutation failed: ${JSON.stringify(answer)}`);
}

// Gathers what a client's `subscribe` delivers.
export function gather(subscribe) {
  const seen = { results: [], error: undefined, completed: false };
  const waiting = new Set();
  const wake = () => waiting.forEach((resume) => resume());
  seen.stop = subscribe({
    next: (result) => { seen.results.push(result); wake(); },
    error: (error) => { seen.error = error ?? new Error('an error without a reason'); wake(); },
    complete: () => { seen.completed = true; wake(); },
  });
  seen.until = async (holds, what, milliseconds = 10_000) => {
    const end = Date.now() + milliseconds;
    while (!holds(seen)) {
      assert(Date.now() < end, `${what}: not within ${milliseconds} ms, ${seen.results.length} results, error ${JSON.stringify(seen.error)}`);
      await Promise.race([new Promise((resume) => waiting.add(resume)), sleep(50)]);
    }
    return seen;
  };
  return seen;
}

export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
