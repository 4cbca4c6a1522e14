// A connection goes down and comes up again, and the screens follow without being asked.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { CONSUMER, Person, host, run } from './person.mjs';

let grace, other;
const status = (person, way) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: `${way} status` }) }).locator('.panel-head .badge');

await run({
  async 'both directions are up'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    const { connections } = await grace.graphql('{ connections { edges { node { id } } } }');
    await grace.goto(`/connections/${connections.edges[0].node.id}`);
    await status(grace, 'Outbound').filter({ hasText: 'Up' }).waitFor();
    other = await Person.at(CONSUMER, 'dashboard', { storageState: await grace.context.storageState() });
    await other.goto('/health');
    await other.sees('1 of 1');
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
    await other.goto('/errors');
    await other.sees('Reference');
    await other.look('errors');
    await other.goto('/health');
    await other.page.locator('#score-number').waitFor();
    await other.sees('0 of 1');
    await other.look('health-down');
  },

  async 'the provider is back: the page says Up'() {
    await host('@start provider');
    await status(grace, 'Outbound').filter({ hasText: 'Up' }).waitFor({ timeout: 45_000 });
    assert.equal(await grace.page.getByText('Why it is not up').count(), 0);
    await other.sees('1 of 1', 45_000);
  },
});
