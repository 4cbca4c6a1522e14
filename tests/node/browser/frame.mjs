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
/** Refuses what is sent by `send` for a field, and looks whether the focus goes to where that is said. */
async function refused(person, operation, field, id, send) {
  const no = { code: 'INVALID_INPUT', codeLabel: 'Invalid input', message: `There is a mistake in ${id}.`, field, reason: null, docsUrl: '/docs', traceId: '0', remedy: null };
  const end = await person.meddle(`mutation ${operation}(`, (route) => route.fulfill({ json: { data: { done: { refusal: no } } } }));
  await send();
  await person.finds('id', id);
  await person.sees(`There is a mistake in ${id}.`);
  await end();
}
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

  async 'whoever is refused something at a field is taken there'() {
    await grace.goto('/companies');
    await grace.press('Add');
    await grace.finds('id', 'name');
    await grace.page.getByLabel('Name', { exact: true }).fill('Consumer Ltd');
    await refused(grace, 'CreateCompany', 'name', 'name', () => grace.press('Add'));
    await grace.goto('/account');
    await grace.page.getByLabel('What it is for').fill('pipeline');
    await refused(grace, 'CreateAccessToken', 'name', 'token-name', () => grace.press('Make a token'));
    await grace.page.getByLabel('New password').fill('a password for the second');
    await grace.page.getByLabel('The same again').fill('a password for the second');
    await refused(grace, 'SetPassword', 'password', 'new-password', async () => {
      await grace.press('Change the password');
      await grace.press('Change it');
    });
    await grace.goto('/checks');
    await grace.press('Change Connection health');
    await refused(grace, 'UpdateCheckSchedule', 'intervalSeconds', 'interval', () => grace.press('Save'));
    await ada.goto('/provider');
    await ada.press('Change');
    await refused(ada, 'SaveProviderRecord', 'name', 'record-name', () => ada.press('Save'));
    await ada.press('Do not save');
    await ada.press('Publish a definition');
    await refused(ada, 'SaveDefinition', 'fieldSchema', 'definition-schema', () => ada.press('Publish'));
    const manager = await Person.at(CONSUMER, 'manager');
    await manager.signIn('manager@consumer.example.com');
    await manager.goto('/keys');
    await manager.press('Create a module');
    await manager.page.getByLabel('Name of the module').fill('receipts');
    await refused(manager, 'CreateKeyModule', 'name', 'module-name', () => manager.press('Make a draft'));
    await manager.goto('/keys/approvals');
    await manager.press('Ask for an approval');
    await manager.page.getByLabel('Why', { exact: true }).fill('It is a year old.');
    await refused(manager, 'RequestKeyApproval', 'module', 'approval-module', () => manager.press('Ask'));
    await manager.close();
  },

  async 'of any number of access tokens the oldest is reached, too'() {
    const operator = await Person.at(CONSUMER, 'operator');
    await operator.signIn('operator@consumer.example.com');
    for (let i = 0; i < 51; i += 1) await operator.mutate('createAccessToken', { name: `Program ${i}`, days: 1 }, 'accessToken { id }');
    await operator.goto('/account');
    const pages = operator.page.getByRole('navigation', { name: 'Pages of the tokens' });
    await operator.sees('Program 50');
    assert.equal(await operator.page.getByText('Program 0', { exact: true }).count(), 0);
    await pages.getByRole('button', { name: 'Next' }).click();
    await operator.page.getByText('Program 0', { exact: true }).waitFor();
    await operator.finds('id', 'tokens');
    await operator.close();
  },

  async 'skipping to a part of the page takes nothing away that was entered'() {
    const url = ada.page.getByLabel('URL of the consumer’s instance');
    await ada.goto('/registrations/new');
    await url.fill('https://consumer.example');
    await ada.page.locator('.skip').focus();
    await ada.page.keyboard.press('Enter');
    await ada.finds('id', 'content');
    assert.equal(await url.inputValue(), 'https://consumer.example');
    await ada.page.evaluate(() => { location.hash = 'url'; });
    await ada.finds('id', 'url');
    await ada.page.goBack();
    await ada.finds('id', 'content');
    assert.equal(await url.inputValue(), 'https://consumer.example');
  },

  async 'a stream that ends after a while with nothing to tell is no lost connection'() {
    const other = await Person.at(CONSUMER, 'quiet', { storageState: await grace.context.storageState() });
    await other.page.clock.install();
    await other.page.addInitScript(() => {
      const real = window.fetch;
      window.streams = 0;
      window.fetch = (url, options) => {
        if (!options?.body?.includes('subscription Changes')) return real(url, options);
        window.streams += 1;
        const body = new ReadableStream({
          start(stream) {
            stream.enqueue(new TextEncoder().encode(':\n\n'));
            setTimeout(() => stream.close(), 5_000);
          },
        });
        return Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
      };
    });
    await other.goto('/companies');
    await other.heading('Companies');
    for (let streams = 1; streams <= 8; streams += 1) {
      await until(`stream ${streams}`, async () => {
        await other.page.clock.runFor(1_000);
        return await other.page.evaluate(() => window.streams) >= streams;
      });
      assert.equal(await other.page.getByText('Not live: reconnecting …').count(), 0, `while there is stream ${streams}`);
    }
    assert(!(await other.page.evaluate(() => window.heard)).some((said) => said.startsWith('The connection to this instance was lost')));
    await other.close();
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
    await ada.sees('This list is for the organisation’s own people.');
    assert.equal(await ada.page.getByRole('link', { name: 'Keys', exact: true }).count(), 0);
  },
});
