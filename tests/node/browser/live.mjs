// A connection goes down and comes up again, and the screens follow without being asked.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { CONSUMER, Person, host, run, until } from './person.mjs';

let grace, other;
let asked = 0;
/** The number on the dashboard while all works. */
let whole;
const score = async () => Number.parseInt(await other.page.locator('#score-number').innerText(), 10);
const status = (person, way) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: `${way} status` }) }).locator('.panel-head .badge');

await run({
  async 'both directions are up'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    await grace.goto(`/connections/${await grace.first('connections')}`);
    await status(grace, 'Outbound').filter({ hasText: 'Up' }).waitFor();
    other = await Person.at(CONSUMER, 'dashboard', { storageState: await grace.context.storageState() });
    await other.page.clock.install();
    other.page.on('request', (request) => {
      if (request.method() === 'POST' && request.headers().accept?.includes('application/json')) asked += 1;
    });
    const live = other.page.waitForResponse((response) => response.headers()['content-type']?.startsWith('text/event-stream'));
    await other.goto('/health');
    await other.sees('1 of 1');
    await live;
    let before;
    do {
      before = asked;
      await other.page.waitForTimeout(1_000);
    } while (asked !== before);
    // Longer than any page waits before it asks again, and not so long that the stream is taken for dead.
    await other.page.clock.fastForward(30_000);
    await other.page.waitForTimeout(1_000);
    assert.equal(asked, before, 'the dashboard does not ask by itself: it is told');
    whole = await score();
    await other.page.getByText('How it is made').click();
    await other.sees(/% .*\+|\+.*%|× /);
  },

  async 'the provider dies: within moments the page says Down, and why'() {
    await host('@stop provider');
    await status(grace, 'Outbound').filter({ hasText: 'Down' }).waitFor({ timeout: 45_000 });
    await grace.sees('Why it is not up');
    await grace.page.getByRole('heading', { name: 'Why it does not work' }).waitFor();
    await grace.sees('What to do:');
    await grace.page.locator('.chain li.bad').first().waitFor();
    await grace.look('connection-down');
    const saved = grace.page.waitForEvent('download');
    await grace.press('Save a support bundle');
    const bundle = JSON.parse(fs.readFileSync(await (await saved).path(), 'utf8'));
    assert.equal(bundle.format, 'linkspan support bundle 1');
    await grace.page.getByRole('heading', { name: 'What failed' }).waitFor();
    const errors = await Person.at(CONSUMER, 'errors', { storageState: await grace.context.storageState() });
    await errors.goto('/errors');
    await errors.sees('Reference');
    await errors.look('errors');
    const id = new URL(grace.page.url()).pathname.split('/')[2];
    const asked = errors.page.waitForRequest((request) => request.postDataJSON()?.variables?.subjectId === id);
    await errors.goto(`/errors?subject=${id}`);
    await asked;
    await errors.sees('Only what concerns');
    await errors.page.getByRole('table').getByRole('link', { name: 'provider', exact: true }).first().waitFor();
    await errors.look('errors-of-one');
    await errors.close();
    await other.sees('0 of 1', 45_000);
    await other.page.getByRole('list', { name: 'Need a look' }).getByRole('link', { name: /^provider/ }).waitFor();
    await until('the score is lower', async () => await score() < whole);
    await other.look('health-down');
  },

  async 'the provider is back: the page says Up'() {
    await host('@start provider');
    await status(grace, 'Outbound').filter({ hasText: 'Up' }).waitFor({ timeout: 45_000 });
    assert.equal(await grace.page.getByText('Why it is not up').count(), 0);
    const past = grace.page.locator('.history').first();
    await past.locator('.legend').getByText('Down').waitFor();
    await past.getByText('What was not as it should be').click();
    await past.getByText(/down \d+ (second|minute)/).waitFor();
    const panel = grace.page.locator('.panel', { has: grace.page.getByRole('heading', { name: 'Outbound status' }) });
    await panel.getByText('What changed in the last week').click();
    const week = panel.locator('details', { hasText: 'What changed in the last week' });
    await week.locator('.badge', { hasText: 'Down' }).waitFor();
    const moments = await week.locator('time').evaluateAll((found) => found.map(({ dateTime }) => Date.parse(dateTime)));
    assert(moments.length > 1);
    assert.deepEqual(moments, moments.toSorted((a, b) => b - a), 'the newest first');
    await grace.look('connection-history');
    await other.sees('1 of 1', 45_000);
    await until('the score is what it was', async () => await score() === whole);
  },

  async 'after two days there is a picture of ninety'() {
    await host(`@later ${2 * 24 * 3_600}`);
    grace.expects(/401/);
    other.expects(/401/);
    await other.close();
    await grace.context.clearCookies();
    const page = grace.page.url();
    await grace.signIn('admin@consumer.example.com');
    await grace.goto(page);
    const many = grace.page.getByRole('img', { name: /^The last 90 days: messages got through in \d/ });
    await many.first().waitFor({ timeout: 30_000 });
    assert((await many.first().locator('rect:not(.bar-quiet)').count()) >= 2, 'more than one day is on it');
    await grace.look('connection-days');
  },
});
