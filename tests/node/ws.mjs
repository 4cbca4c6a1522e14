// graphql-transport-ws: npm graphql-ws as a client, and the rules of its protocol on a bare npm ws socket.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { assert, check, finish, gather, mutate, settings, within } from './cases.mjs';

const { headers, initPayload, query, socketUrl, subscription } = settings;

class SocketWithHeaders extends WebSocket {
  constructor(url, protocols) { super(url, protocols, { headers }); }
}

const sockets = [];
function client(options = {}) {
  const made = createClient({
    url: socketUrl,
    webSocketImpl: SocketWithHeaders,
    connectionParams: initPayload ?? undefined,
    retryAttempts: 5,
    retryWait: () => new Promise((done) => setTimeout(done, 50)),
    on: { opened: (socket) => sockets.push(socket) },
    ...options,
  });
  return made;
}

await check('a query: one result, then complete', async () => {
  const made = client();
  const seen = gather((sink) => made.subscribe({ query }, sink));
  await seen.until((s) => s.completed || s.error, 'complete');
  assert(!seen.error && seen.results.length === 1 && seen.results[0].data, JSON.stringify(seen));
  await made.dispose();
});

await check('a subscription delivers', async () => {
  const made = client();
  const seen = gather((sink) => made.subscribe(subscription, sink));
  if (settings.mutation) { await new Promise((done) => setTimeout(done, 300)); await mutate(); }
  await seen.until((s) => s.results.length >= 1 || s.error, 'an event');
  assert(!seen.error && seen.results[0].data && !seen.results[0].errors, JSON.stringify(seen.error ?? seen.results[0]));
  seen.stop();
  await made.dispose();
});

await check('cut off, the client comes back and receives again', async () => {
  const made = client({ shouldRetry: () => true });
  const seen = gather((sink) => made.subscribe(subscription, sink));
  if (settings.mutation) { await new Promise((done) => setTimeout(done, 300)); await mutate(); }
  await seen.until((s) => s.results.length >= 1, 'an event');
  const before = seen.results.length;
  const opened = sockets.length;
  sockets.at(-1).terminate();
  const end = Date.now() + 5000;
  while (sockets.length === opened && Date.now() < end) await new Promise((done) => setTimeout(done, 20));
  if (settings.mutation) { await new Promise((done) => setTimeout(done, 300)); await mutate(); }
  await seen.until((s) => s.results.length > before, 'an event after the cut');
  seen.stop();
  await made.dispose();
});

if (settings.ending) {
  await check('a subscription that ends, completes', async () => {
    const made = client();
    const seen = gather((sink) => made.subscribe(settings.ending, sink));
    await seen.until((s) => s.completed || s.error, 'complete');
    assert(seen.completed && !seen.error && seen.results.length >= 1, JSON.stringify(seen));
    await made.dispose();
  });
}

for (const [name, document] of [['does not parse', '{'], ['does not validate', 'subscription { noSuchField }']]) {
  await check(`a document that ${name} is an error, at once and once`, async () => {
    const opened = sockets.length;
    const made = client();
    const seen = gather((sink) => made.subscribe({ query: document }, sink));
    await seen.until((s) => s.error || s.completed || s.results.length, 'an error');
    assert(Array.isArray(seen.error) && seen.error[0]?.extensions?.code === 'INVALID_INPUT', JSON.stringify(seen));
    assert(sockets.length === opened + 1, 'the client tried again');
    await made.dispose();
  });
}

// A socket without a client's manners.
function bare(protocols = ['graphql-transport-ws'], options = {}) {
  const socket = new WebSocket(socketUrl, protocols, { headers, ...options });
  const messages = [];
  const closed = new Promise((done) => socket.on('close', (code) => done(code)));
  const opened = new Promise((done, fail) => { socket.on('open', done); socket.on('error', fail); });
  opened.catch(() => {});
  socket.on('message', (data) => messages.push(JSON.parse(data)));
  const send = (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  return { socket, messages, closed, opened, send };
}

const init = { type: 'connection_init', ...(initPayload ? { payload: initPayload } : {}) };
const subscribe = (id) => ({ id, type: 'subscribe', payload: subscription });
const breaches = [
  ['subscribe before the acknowledgement', 4401, [subscribe('a')]],
  ['a second connection_init', 4429, [init, init]],
  ['an id that is in use', 4409, [init, subscribe('a'), subscribe('a')]],
  ['no JSON', 4400, [init, 'nonsense']],
  ['an unknown type', 4400, [init, { type: 'hello' }]],
  ['a type of the legacy protocol', 4400, [init, { id: 'a', type: 'start', payload: { query } }]],
  ['a type that only a server sends', 4400, [init, { id: 'a', type: 'next', payload: {} }]],
  ['subscribe without an id', 4400, [init, { type: 'subscribe', payload: { query } }]],
  ['subscribe with an empty id', 4400, [init, { id: '', type: 'subscribe', payload: { query } }]],
  ['subscribe without a payload', 4400, [init, { id: 'a', type: 'subscribe' }]],
  ['no connection_init', 4408, []],
];
for (const [name, code, messages] of breaches) {
  await check(`${name} closes with ${code}`, async () => {
    const { opened, send, closed } = bare();
    await within(5000, opened, 'open');
    messages.forEach(send);
    const got = await within(15_000, closed, 'close');
    assert(got === code, `closed with ${got}`);
  });
}

await check('another sub-protocol is refused', async () => {
  const { opened, closed } = bare([]);
  await within(5000, opened, 'open');
  const code = await within(5000, closed, 'close');
  assert(code === 4406, `closed with ${code}`);
});

await check('another origin is refused', async () => {
  const { opened } = bare(['graphql-transport-ws'], { origin: 'https://evil.example' });
  const refused = await opened.then(() => null, (error) => error);
  assert(/ 403$/.test(refused?.message), String(refused));
});

await check('ping is answered by pong with the same payload, also before the acknowledgement', async () => {
  const { opened, send, messages, socket } = bare();
  await within(5000, opened, 'open');
  send({ type: 'ping', payload: { mark: 1 } });
  const end = Date.now() + 2000;
  while (!messages.length && Date.now() < end) await new Promise((done) => setTimeout(done, 10));
  assert(JSON.stringify(messages) === '[{"type":"pong","payload":{"mark":1}}]', JSON.stringify(messages));
  socket.terminate();
});

finish();
