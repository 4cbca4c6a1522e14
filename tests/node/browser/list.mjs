// Ten thousand connections: the list answers at once, searched, filtered and paged through.
import assert from 'node:assert/strict';
import { CONSUMER, Person, run } from './person.mjs';

const QUICK_MS = 1_000;
let grace;

const rows = () => grace.page.locator('table.rows tbody tr');

async function quick(what, act, shown) {
  const begun = Date.now();
  await act();
  await shown();
  const took = Date.now() - begun;
  console.log(`${what}: ${took} ms`);
  assert(took < QUICK_MS, `${what} took ${took} ms`);
}

await run({
  async 'the first page of ten thousand is there at once'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    await grace.page.getByRole('link', { name: 'Connections', exact: true }).first().waitFor();
    await quick('opening', () => grace.follow('Connections'), () => rows().nth(49).waitFor());
    assert.equal(await rows().count(), 50, 'a page at a time, so that the page stays small');
  },

  async 'searching finds one of them while the person types'() {
    await quick('searching', () => grace.page.getByLabel('Search').fill('partner-7777.'), async () => {
      await grace.page.getByRole('link', { name: 'Partner 7777', exact: true }).waitFor();
      await grace.page.waitForFunction(() => document.querySelectorAll('table.rows tbody tr').length === 1);
    });
    await grace.page.reload();
    await grace.page.getByRole('link', { name: 'Partner 7777', exact: true }).waitFor();
    assert.equal(await rows().count(), 1, 'the search is in the address, so going back finds it');
  },

  async 'nothing that fits is said to be so, with a way out'() {
    await grace.page.getByLabel('Search').fill('nobody has this');
    await grace.sees('Nothing fits.');
    await grace.press('Show all');
    await rows().nth(49).waitFor();
  },

  async 'pages follow each other both ways'() {
    const first = await rows().first().innerText();
    await quick('the next page', () => grace.press('Next'), () => grace.page.waitForFunction((text) => document.querySelector('table.rows tbody tr').innerText !== text, first));
    await grace.press('Previous');
    await grace.page.waitForFunction((text) => document.querySelector('table.rows tbody tr').innerText === text, first);
    await grace.look('connections-many');
  },

  async 'the state narrows it down'() {
    await grace.page.getByLabel('State').selectOption('PENDING');
    await grace.sees('Nothing fits.');
    await grace.page.getByLabel('State').selectOption('ONBOARDED');
    await rows().nth(49).waitFor();
  },

  async 'the map of so many stays legible'() {
    await grace.follow('Health');
    await grace.heading('Health');
    await grace.page.locator('.map-item').nth(40).waitFor();
  },
});
