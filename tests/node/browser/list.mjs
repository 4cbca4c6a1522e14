// Ten thousand connections: the list answers at once, searched, filtered and paged through.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, host, run } from './person.mjs';

/** What a person takes for at once. */
const QUICK_MS = 400;
/** Going from page to page may take so long, twice, before a person thinks of something else; in a program that is not optimised. */
const OPEN_MS = 1_000;
/** A frame that is drawn so late is seen as a jerk. */
const JERK_MS = 100;
let grace;

const rows = () => grace.page.locator('table.rows tbody tr');

/** How often something is done at most until it was quick once. */
const TRIES = 10;

/**
 * Does the same three times, or until it was quick: the best shows what it takes, the others what else the machine does.
 * Answers the number of the last time.
 */
async function quick(what, once, most = QUICK_MS) {
  const took = [];
  for (let i = 0; i < 3 || (i < TRIES && Math.min(...took) >= most); i += 1) {
    const begun = Date.now();
    await once(i);
    took.push(Date.now() - begun);
  }
  console.log(`${what}: ${took.join(', ')} ms`);
  assert(Math.min(...took) < most, `${what} took ${took} ms`);
  return took.length - 1;
}

await run({
  async 'the first page of ten thousand is there at once'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    await grace.page.getByRole('link', { name: 'Connections', exact: true }).first().waitFor();
    await quick('opening', async () => {
      await grace.follow('Companies');
      await grace.heading('Companies');
      await grace.follow('Connections');
      await rows().nth(49).waitFor();
    }, OPEN_MS);
    assert.equal(await rows().count(), 50, 'a page at a time, so that the page stays small');
  },

  async 'it scrolls without a jerk'() {
    const longest = () => grace.page.evaluate(async () => {
      let worst = 0;
      let last = await new Promise(requestAnimationFrame);
      for (let top = 0; top < document.body.scrollHeight; top += 60) {
        scrollTo(0, top);
        const now = await new Promise(requestAnimationFrame);
        worst = Math.max(worst, now - last);
        last = now;
      }
      return Math.round(worst);
    });
    // As above: what a busy machine adds to one time is not there every time.
    const took = [];
    while (took.length < 3 || (took.length < TRIES && Math.min(...took) >= JERK_MS)) took.push(await longest());
    console.log(`the longest frame: ${took.join(', ')} ms`);
    assert(Math.min(...took) < JERK_MS, `a frame took ${took} ms`);
    await grace.page.evaluate(() => scrollTo(0, 0));
  },

  async 'searching finds one of them while the person types'() {
    const last = await quick('searching', async (i) => {
      await grace.page.getByLabel('Search').fill(`partner-${7_775 + i}.`);
      await grace.page.getByRole('link', { name: `Partner ${7_775 + i}`, exact: true }).waitFor();
      await grace.page.waitForFunction(() => document.querySelectorAll('table.rows tbody tr').length === 1);
    });
    await grace.page.reload();
    await grace.page.getByRole('link', { name: `Partner ${7_775 + last}`, exact: true }).waitFor();
    assert.equal(await rows().count(), 1, 'the search is in the address, so going back finds it');
  },

  async 'nothing that fits is said to be so, with a way out'() {
    await grace.page.getByLabel('Search').fill('nobody has this');
    await grace.sees('Nothing fits.');
    await grace.press('Show all');
    await rows().nth(49).waitFor();
  },

  async 'pages follow each other both ways'() {
    const begins = [];
    await quick('the next page', async () => {
      begins.push(await rows().first().getByRole('rowheader').innerText());
      await grace.press('Next');
      await grace.page.waitForFunction((text) => document.querySelector('table.rows tbody th').innerText !== text, begins.at(-1));
    });
    assert.equal(new Set(begins).size, begins.length, 'each page begins with another');
    for (const text of begins.reverse()) {
      await grace.press('Previous');
      await grace.page.waitForFunction((text) => document.querySelector('table.rows tbody th').innerText === text, text);
    }
    await grace.look('connections-many');
  },

  async 'the state narrows it down'() {
    await grace.page.getByLabel('State').selectOption('PENDING');
    await grace.sees('Nothing fits.');
    await grace.page.getByLabel('State').selectOption('ONBOARDED');
    await rows().nth(49).waitFor();
  },

  async 'the order is chosen, and is that of the whole list'() {
    const first = (text) => grace.page.waitForFunction((text) => document.querySelector('table.rows tbody th a')?.innerText === text, text);
    await grace.page.getByLabel('Order').selectOption({ label: 'Name, A to Z' });
    await first('Partner 1');
    assert.deepEqual((await rows().getByRole('rowheader').getByRole('link').allInnerTexts()).slice(0, 3), ['Partner 1', 'Partner 10', 'Partner 100']);
    await grace.page.getByLabel('Order').selectOption({ label: 'Newest first' });
    await grace.page.waitForFunction(() => document.querySelector('table.rows tbody th a')?.innerText !== 'Partner 1');
  },

  async 'on a narrow screen the filters are folded away until one is set'() {
    const state = grace.page.getByLabel('State');
    await grace.page.setViewportSize({ width: 360, height: 800 });
    await state.waitFor();
    await grace.goto('/connections');
    await rows().first().waitFor();
    assert.equal(await state.isVisible(), false);
    await grace.page.getByText('Filter and order').click();
    await state.waitFor();
    await grace.tabs('connections, narrow');
    await grace.page.setViewportSize({ width: 1440, height: 900 });
  },

  async 'ten thousand registrations are listed, searched and paged through as quickly'() {
    const ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    const found = ada.page.locator('table.rows tbody tr');
    await quick('opening the registrations', async () => {
      await ada.follow('Connections');
      await ada.heading('Connections');
      await ada.follow('Provider centre');
      await found.nth(49).waitFor();
    }, OPEN_MS);
    await quick('searching the registrations', async (i) => {
      await ada.page.getByLabel('Search').fill(`partner-${7_775 + i}.`);
      await ada.page.waitForFunction(([n]) => document.querySelectorAll('table.rows tbody tr').length === 1 && document.querySelector('table.rows tbody tr').innerText.includes(n), [`${7_775 + i}`]);
    });
    await ada.page.getByLabel('Search').fill('');
    await found.nth(49).waitFor();
    await quick('the next page of the registrations', async () => {
      const before = await found.first().getByRole('rowheader').innerText();
      await ada.press('Next');
      await ada.page.waitForFunction((text) => document.querySelector('table.rows tbody th').innerText !== text, before);
    });
    await ada.look('registrations-many');
    await ada.close();
  },

  async 'the map of so many stays legible, and what needs a look comes first, however old it is'() {
    await grace.follow('Health');
    await grace.heading('Health');
    await grace.page.getByRole('list', { name: 'None needs a look' }).locator('.map-item').nth(40).waitFor();
    // The only one with another instance behind it is the oldest of all.
    await host('@stop provider');
    const troubled = grace.page.getByRole('list', { name: 'Need a look' }).getByRole('link', { name: /^provider/ });
    await troubled.waitFor({ timeout: 45_000 });
    await grace.look('health-many');
    await grace.goto('/connections');
    await grace.page.getByLabel('Health').selectOption({ label: 'Needs a look' });
    await grace.page.waitForFunction(() => document.querySelectorAll('table.rows tbody tr').length === 1);
    await rows().getByRole('link', { name: 'provider', exact: true }).waitFor();
  },

  async 'the issues of so many are paged through, and none is out of reach'() {
    await grace.goto('/health');
    const issues = grace.page.locator('.issues > li h3');
    await issues.nth(14).waitFor();
    const severe = await grace.page.locator('.issues .badge', { hasText: /Critical|High/ }).evaluateAll((found) => found.map(({ className }) => className));
    assert(severe.length > 0 && severe.every((name) => name.includes('bad')), `what is high is red, whether it blocks or not: ${severe}`);
    const pages = grace.page.getByRole('navigation', { name: 'Pages of the issues' });
    await pages.getByRole('button', { name: 'Next' }).click();
    await grace.finds('id', 'issues');
    await grace.page.waitForFunction(() => document.querySelectorAll('.issues > li').length < 15);
    await pages.getByRole('button', { name: 'Previous' }).click();
    await issues.nth(14).waitFor();
  },
});
