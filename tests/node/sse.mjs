// Server-sent events: npm graphql-sse as a client (distinct connections), and the stream as it is on the wire.
import { createClient } from 'graphql-sse';
import { assert, check, finish, gather, mutate, post, settings, within } from './cases.mjs';

const { headers, query, subscription, url } = settings;
const client = () => createClient({ url, headers, retryAttempts: 3, retry: () => new Promise((done) => setTimeout(done, 50)) });
const eventStream = { accept: 'text/event-stream' };

await check('a query: one result, then complete', async () => {
  const made = client();
  const seen = gather((sink) => made.subscribe({ query }, sink));
  await seen.until((s) => s.completed || s.error, 'complete');
  assert(!seen.error && seen.results.length === 1 && seen.results[0].data, JSON.stringify(seen));
  made.dispose();
});

await check('a subscription delivers', async () => {
  const made = client();
  const seen = gather((sink) => made.subscribe(subscription, sink));
  if (settings.mutation) { await new Promise((done) => setTimeout(done, 300)); await mutate(); }
  await seen.until((s) => s.results.length >= 1 || s.error, 'an event');
  assert(!seen.error && seen.results[0].data && !seen.results[0].errors, JSON.stringify(seen.error ?? seen.results[0]));
  seen.stop();
  made.dispose();
});

if (settings.ending) {
  await check('a subscription that ends, completes', async () => {
    const made = client();
    const seen = gather((sink) => made.subscribe(settings.ending, sink));
    await seen.until((s) => s.completed || s.error, 'complete');
    assert(seen.completed && !seen.error && seen.results.length >= 1, JSON.stringify(seen));
    made.dispose();
  });
}

await check('an invalid request is an error to the client', async () => {
  const made = client();
  const seen = gather((sink) => made.subscribe({ query: 'subscription { noSuchField }' }, sink));
  await seen.until((s) => s.error || s.completed || s.results.length, 'an error');
  assert(seen.error && !seen.results.length, JSON.stringify(seen));
  made.dispose();
});

await check('an invalid request by POST is answered with 400 and its errors', async () => {
  const answer = await post({ query: 'subscription { noSuchField }' }, eventStream);
  const body = await answer.json();
  assert(answer.status === 400 && body.errors?.[0]?.extensions?.code === 'INVALID_INPUT', `${answer.status} ${JSON.stringify(body)}`);
});

await check('on the wire: media type, headers, one next and one complete', async () => {
  const answer = await post({ query }, eventStream);
  assert(answer.status === 200, `status ${answer.status}`);
  assert(answer.headers.get('content-type') === 'text/event-stream; charset=utf-8', answer.headers.get('content-type'));
  assert(answer.headers.get('cache-control') === 'no-store', answer.headers.get('cache-control'));
  const text = await within(10_000, answer.text(), 'the end of the stream');
  const events = text.split('\n\n').filter((event) => event && !event.startsWith(':'));
  assert(events.length === 2 && /^event: next\ndata: \{/.test(events[0]) && events[1] === 'event: complete\ndata: ', JSON.stringify(text));
});

await check('an EventSource (GET) gets its errors as an event', async () => {
  const answer = await fetch(`${url}?query=${encodeURIComponent('subscription { noSuchField }')}`, { headers: { ...headers, ...eventStream } });
  const text = await within(10_000, answer.text(), 'the end of the stream');
  assert(answer.status === 200 && /^event: next\ndata: \{"errors":\[/.test(text), `${answer.status} ${text}`);
});

finish();
