// What the console does between its pages: refreshes that fail, pages that are slow, the way back, where the focus is
// when what had it is gone, what is said aloud, and a session that ends.
import assert from 'node:assert/strict';
import { CONSUMER, PASSWORD, PROVIDER, Person, run, until } from './person.mjs';

const ADMIN = 'admin@consumer.example.com';
const CONTACT = 'contact@consumer.example.com';
let ada, grace, connection;

const abort = (route) => route.abort();
/** What a browser says of it. */
const ABORTED = /ERR_FAILED|Failed to load resource/;
const answer = (code) => (route) => route.fulfill({ json: { data: null, errors: [{ message: 'No.', extensions: { code, traceId: '0' } }] } });
const panel = (person, heading) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: heading, exact: true }) });
const gone = (person, text) => until(`“${text}” is gone`, async () => await person.page.getByText(text).count() === 0);

await run({
  async 'a refresh that fails is said, beside what was there before, and mends itself'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn(ADMIN);
    connection = `/connections/${await grace.first('connections')}`;
    grace.expects(ABORTED);
    await grace.goto(connection);
    await grace.heading('provider');
    const end = await grace.meddle('query Connection(', abort);
    await grace.sees('What you see could not be brought up to date.');
    await panel(grace, 'Outbound status').waitFor();
    await grace.look('stale');
    await end();
    await gone(grace, 'could not be brought up to date');
  },

  async 'what one may no longer see goes from the screen'() {
    const end = await grace.meddle('query Connection(', answer('FORBIDDEN'));
    await grace.sees('This is not yours to see.');
    assert.equal(await panel(grace, 'Outbound status').count(), 0);
    assert.equal(await grace.page.getByRole('heading', { level: 1 }).count(), 1, 'a page without its own heading has that of the frame');
    await end();
  },

  async 'a part of a page that cannot be loaded is missed, not left out'() {
    grace.expects(ABORTED);
    const ends = [await grace.meddle('query HealthOverview', abort), await grace.meddle('query OutboundHistory', abort)];
    await grace.goto('/health');
    await grace.sees('The score could not be loaded.');
    await grace.goto(connection);
    await grace.sees('The history could not be loaded.');
    for (const end of ends) await end();
    await grace.press('Try again');
    await panel(grace, 'Outbound status').getByText('The last day').waitFor();
  },

  async 'a mistake in the program of a page is told as one, and mends itself'() {
    grace.expects(/TypeError/);
    const end = await grace.meddle('query Connection(', (route) => route.fulfill({ json: { data: { connection: { outbound: {}, inbound: {} }, suites: [] } } }));
    await grace.goto(connection);
    await grace.sees('Something in this page is broken.');
    await grace.look('mistake');
    await end();
    await grace.heading('provider');
  },

  async 'a search that fails shows no rows of the search before it'() {
    grace.expects(ABORTED);
    const rows = grace.page.locator('table.rows tbody tr');
    await grace.goto('/connections');
    await rows.first().waitFor();
    const end = await grace.meddle('query Connections(', abort);
    await grace.page.getByLabel('Search').fill('nobody has this');
    await grace.sees('This instance cannot be reached.');
    assert.equal(await rows.count(), 0);
    await end();
    await grace.press('Try again');
    await grace.sees('Nothing fits.');
  },

  async 'contacts that could not be loaded are not taken for none'() {
    ada.expects(ABORTED);
    const end = await ada.meddle('query CompanyContacts', abort);
    await ada.goto(`/registrations/new?company=${process.env.COMPANY_ID}`);
    await ada.sees('This instance cannot be reached.');
    assert.equal(await ada.page.getByText('This company has no contact here yet.').count(), 0);
    await end();
    await ada.press('Try again');
    await ada.page.getByLabel('Contact', { exact: true }).waitFor();
  },

  async 'a select shows what is chosen after everything is shown again'() {
    await grace.goto('/connections');
    await grace.page.getByLabel('State').selectOption('PENDING');
    await grace.sees('Nothing fits.');
    await grace.press('Show all');
    await grace.page.locator('table.rows tbody tr').first().waitFor();
    assert.equal(await grace.page.getByLabel('State').inputValue(), '');
    await grace.finds('tagName', 'H1');
  },

  async 'a search in the audit trail stays within what it is about'() {
    await ada.goto('/audit');
    await ada.page.getByLabel('About').selectOption('registration.');
    await ada.sees('registration.create');
    await ada.page.getByLabel('Operation begins with').fill('session.');
    await ada.sees('Nothing fits.');
  },

  async 'on a slow page the focus waits at a heading, and goes on to that of the page'() {
    const end = await grace.meddle('query Connection(', async (route) => {
      await new Promise((next) => setTimeout(next, 1_500));
      await route.fallback();
    });
    await grace.goto('/connections');
    await grace.page.getByRole('main').getByRole('link', { name: 'provider' }).click();
    await grace.finds('tagName', 'H1');
    assert.equal(await panel(grace, 'Outbound status').count(), 0, 'it is still loading');
    await grace.look('loading');
    await grace.heading('provider');
    await grace.finds('textContent', 'provider');
    await end();
  },

  async 'who goes back is where they left, by eye and by focus'() {
    await grace.goto('/playground');
    await grace.heading('API playground');
    await grace.goto('/health');
    await grace.page.setViewportSize({ width: 1440, height: 300 });
    const link = grace.page.locator('a.map-item');
    await link.scrollIntoViewIfNeeded();
    const before = await grace.page.evaluate(() => scrollY);
    assert(before > 0, 'the page does not scroll');
    const end = await grace.meddle('query Health', async (route) => {
      await new Promise((next) => setTimeout(next, 700));
      await route.fallback();
    });
    await link.click();
    await grace.heading('provider');
    assert.equal(await grace.page.evaluate(() => scrollY), 0);
    await grace.page.goBack();
    await grace.finds('className', 'map-item');
    assert.equal(await grace.page.evaluate(() => scrollY), before);
    await end();
    await grace.page.setViewportSize({ width: 1440, height: 900 });
  },

  async 'a page reaches nothing that is not its own'() {
    await grace.goto('/companies');
    grace.expects(/Content Security Policy|a request to/);
    const tried = await grace.page.evaluate((other) => fetch(other).then(() => 'reached', () => 'refused'), PROVIDER);
    assert.equal(tried, 'refused');
  },

  async 'a form that is closed gives the focus back to what opened it'() {
    await ada.goto('/provider');
    await ada.tabTo('button', 'Change');
    await ada.page.keyboard.press('Enter');
    await ada.finds('id', 'record-name');
    await ada.tabTo('button', 'Do not save');
    await ada.page.keyboard.press('Enter');
    await ada.finds('textContent', 'Change');
    await ada.page.keyboard.press('Enter');
    await ada.finds('id', 'record-name');
    await ada.page.keyboard.press('Enter');
    await ada.hears('The provider record was saved.');
    await ada.finds('textContent', 'Change');
    await ada.tabTo('button', 'Publish a definition');
    await ada.page.keyboard.press('Enter');
    await ada.finds('id', 'definition-name');
    await ada.tabTo('button', 'Do not save');
    await ada.page.keyboard.press('Enter');
    await ada.finds('textContent', 'Publish a definition');
  },

  async 'two things said at once are both said, also over a dialog'() {
    await grace.page.clock.install();
    await grace.goto('/design');
    await grace.heading('Design language');
    for (const name of ['Leads on', 'Beside it']) await grace.press(name);
    for (const words of ['A message for a while.', 'Worth a look.']) await grace.hears(words);
    await grace.press('Ask first');
    await grace.page.evaluate(() => document.querySelectorAll('button').forEach((one) => one.textContent === 'Leads on' && one.click()));
    await until('it is heard in spite of the dialog', () => grace.page.evaluate(() => window.heard.filter((said) => said === 'A message for a while.').length === 2));
    await grace.page.keyboard.press('Escape');
    assert.equal(await grace.page.locator('.toast').count(), 2, 'the same words are shown once');
    await grace.page.clock.fastForward(9_000);
    await until('what only tells goes', async () => await grace.page.locator('.toast').count() < 2);
    assert.equal(await grace.page.locator('.toast').count(), 1, 'what matters stays until it is closed');
    await grace.press('Close this message');
    await grace.finds('tagName', 'H1');
  },

  async 'whoever stays on a page whose session ended sees that it ended, until they sign in'() {
    await grace.goto('/companies');
    await grace.heading('Companies');
    const cookies = await grace.context.cookies();
    grace.expects(/401/);
    await grace.context.clearCookies();
    await grace.page.getByLabel('Search').fill('a');
    await grace.page.getByRole('dialog', { name: 'You are signed out' }).getByRole('button', { name: 'Stay here' }).click();
    const sign = grace.page.getByRole('link', { name: 'Signed out: sign in' });
    await sign.waitFor();
    await grace.look('signed-out-stay');
    await grace.page.getByLabel('Search').fill('ab');
    await grace.sees('Your session has ended.');
    assert.equal(await grace.page.getByRole('dialog').count(), 0, 'asked once');
    await grace.context.addCookies(cookies);
    await grace.page.evaluate(() => dispatchEvent(new Event('offline')));
    await grace.page.evaluate(() => dispatchEvent(new Event('online')));
    await sign.waitFor({ state: 'detached' });
  },

  async 'whoever comes back to a page while somebody else is signed in sees nothing of the other'() {
    await ada.goto('/people');
    await ada.heading('People');
    const elsewhere = await ada.context.newPage();
    await elsewhere.goto(`${PROVIDER}/sign-in`);
    await elsewhere.fill('#email', CONTACT);
    await elsewhere.fill('#password', PASSWORD);
    await elsewhere.getByRole('button', { name: 'Sign in' }).click();
    const who = (page) => page.locator('#viewer', { hasText: CONTACT }).waitFor({ state: 'attached' });
    await who(elsewhere);
    await elsewhere.close();
    await ada.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await who(ada.page);
    await ada.sees('This is not yours to see.');
    assert.equal(await ada.page.getByRole('link', { name: 'Keys', exact: true }).count(), 0);
  },
});
