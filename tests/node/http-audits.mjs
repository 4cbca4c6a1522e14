// GraphQL over HTTP: every audit of npm graphql-http, each level, against a running instance.
import { serverAudits } from 'graphql-http';
import { assert, check, finish, post, settings } from './cases.mjs';

const fetchFn = (url, init = {}) => fetch(url, { ...init, headers: { ...settings.headers, ...init.headers } });

for (const audit of serverAudits({ url: settings.url, fetchFn })) {
  await check(`${audit.id} ${audit.name}`, async () => {
    const result = await audit.fn();
    assert(result.status === 'ok', `${result.reason} (status ${result.response?.status})`);
  });
}

await check('answers are not for caches', async () => {
  const answer = await post({ query: settings.query });
  assert(answer.headers.get('cache-control') === 'no-store', `cache-control: ${answer.headers.get('cache-control')}`);
});

await check('a request error has no data entry', async () => {
  for (const query of ['{', '{ noSuchField }', '']) {
    const answer = await post({ query });
    const body = await answer.json();
    assert(answer.status === 400, `${query}: status ${answer.status}`);
    assert(!('data' in body) && body.errors?.[0]?.extensions?.code === 'INVALID_INPUT', `${query}: ${JSON.stringify(body)}`);
  }
});

await check('what no preflight guards is not executed', async () => {
  const body = JSON.stringify({ query: settings.query });
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    const answer = await fetchFn(settings.url, { method: 'POST', headers: { 'content-type': type }, body });
    assert(answer.status === 415, `${type}: status ${answer.status}`);
  }
});

await check('a mutation by GET is refused with 405 and says how', async () => {
  const url = `${settings.url}?query=${encodeURIComponent('mutation { __typename }')}`;
  const answer = await fetchFn(url);
  assert(answer.status === 405 && answer.headers.get('allow') === 'POST', `status ${answer.status}, allow ${answer.headers.get('allow')}`);
});

await check('a document that nests without end does not end the server', async () => {
  const bombs = ['['.repeat(4000), '{a'.repeat(4000), `query($a: ${'['.repeat(4000)}`, `{ a(b: ${'{c:'.repeat(4000)}`];
  for (const query of bombs) assert((await post({ query })).status === 400, 'not refused');
  assert((await post({ query: settings.query })).status === 200, 'no answer afterwards');
});

finish();
