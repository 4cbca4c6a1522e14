// Without mail, and with the classic form: the provider is guided through setting up, shares the link by hand; the
// consumer's administrator fills in the provider connection, connects, and is guided until the connection is verified.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, host, run, until } from './person.mjs';

const CONTACT = 'contact@consumer.example.com';
/** What a browser says of an instance that is not there. */
const STOPPED = /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|Failed to load resource|Failed to fetch/;
let ada, grace, link, connection;

const field = (person, label) => person.page.getByLabel(label, { exact: true });
const readonly = (person, label) => person.page.getByRole('group', { name: label, exact: true });
const activity = (person, label) => person.page.getByRole('listitem').filter({ has: person.page.getByRole('heading', { name: label, exact: true }) });
const stands = (person, label, state) => activity(person, label).locator('.badge', { hasText: state }).waitFor();
const connect = () => grace.page.getByRole('button', { name: 'Connect to provider' });
const complete = (person, label) => activity(person, label).getByRole('button', { name: /^Mark Complete/ }).click();

await run({
  async 'the guided set-up says what comes next, and locks what must wait'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    await ada.sees('New here?');
    await ada.look('start-fresh');
    await ada.follow('Guided set-up');
    await ada.page.getByRole('heading', { name: 'As a provider' }).waitFor();
    assert.equal(new URL(ada.page.url()).pathname, '/setup/provider');
    await stands(ada, 'Create the provider record', 'Done: to be marked');
    await stands(ada, 'Register a consumer', 'Locked');
    assert.equal(await activity(ada, 'Register a consumer').getByRole('button').count(), 0, 'what is locked offers no control');
    await ada.look('setup-provider');
    const other = await Person.at(PROVIDER, 'beside', { storageState: await ada.context.storageState() });
    const live = other.page.waitForResponse((response) => response.headers()['content-type']?.startsWith('text/event-stream'));
    await other.goto('/setup/provider');
    await live;
    await other.page.waitForTimeout(500);
    await stands(other, 'Create the provider record', 'Done: to be marked');
    await complete(ada, 'Create the provider record');
    await stands(ada, 'Create the provider record', 'Completed');
    await stands(other, 'Create the provider record', 'Completed');
    await other.close();
    await ada.finds('id', /^activity-/);
    await complete(ada, 'Enter a company and its contact');
    await stands(ada, 'Register a consumer', 'Available');
  },

  async 'an activity whose verification does not hold is completed with a reason only'() {
    await complete(ada, 'Publish definitions');
    const dialog = ada.page.getByRole('dialog', { name: /complete all the same/ });
    await dialog.getByRole('button', { name: 'Mark Complete' }).click();
    await ada.sees('Say why, for those who come after you.');
    await ada.look('setup-override');
    await dialog.getByLabel('Reason').fill('Definitions follow next month.');
    await dialog.getByRole('button', { name: 'Mark Complete' }).click();
    await stands(ada, 'Publish definitions', 'Completed');
    await ada.sees(/Definitions follow next month/);
  },

  async 'with mail off, the link is shared by hand'() {
    await activity(ada, 'Register a consumer').getByRole('link').click();
    await ada.heading('Register a consumer');
    await ada.sees('you get a link to pass on');
    await ada.choose('Company', 'consumer', 'Consumer Ltd');
    await ada.choose('Contact', 'contact@', `Named Contact <${CONTACT}>`);
    await field(ada, 'URL of the consumer’s instance').fill(CONSUMER);
    await ada.press('Save');
    await ada.heading('REG-000001');
    await ada.page.locator('.badge', { hasText: 'Open' }).waitFor({ timeout: 20_000 });
    await ada.sees('Share the link yourself.');
    await ada.look('registration-share');
    await ada.press('Make a link to share');
    await ada.page.getByRole('dialog').getByRole('button', { name: 'Make a new link' }).click();
    link = await ada.page.locator('.secret').innerText();
    assert(link.startsWith(`${CONSUMER}/connect#`), link);
    await ada.look('registration-share-link');
  },

  async 'whoever got the link opens it, signs in, and takes the classic form'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.goto(link);
    await grace.press('Continue');
    await grace.signIn('admin@consumer.example.com');
    await grace.press('Open the invitation');
    await grace.page.waitForURL(/wizard/);
    await grace.follow('Use the classic form');
    await grace.heading('Provider connection');
    assert.equal(await readonly(grace, 'State').innerText(), 'Pending');
    assert.equal(await readonly(grace, 'URL').innerText(), PROVIDER);
    for (const way of ['Outbound status', 'Inbound status']) assert.match(await readonly(grace, way).innerText(), /^Blank/);
    assert.equal(await grace.page.getByRole('button', { name: 'Connect to provider' }).count(), 0, 'not before the checks passed');
    await grace.look('form-pending');
  },

  async 'Save without a company says what is missing, where it is missing'() {
    await field(grace, 'Name of the provider’s company').fill('');
    await grace.press('Save');
    await grace.sees('Enter the name of the provider’s company.');
    await grace.finds('id', 'company-name');
    await grace.look('form-problem');
  },

  async 'Save runs the checks; while the provider is down they fail, and a banner leads to the Health Dashboard'() {
    ada.expects(STOPPED);
    await host('@stop provider');
    // What comes after the first answer waits, so that there is time to look at it.
    let go, awaiting;
    const waits = new Promise((done) => { go = done; });
    const end = await grace.meddle('query ClassicForm', async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      if (awaiting && json.data.connection.state !== 'AWAITING_VALIDATION') await waits;
      awaiting ||= json.data.connection.state === 'AWAITING_VALIDATION';
      await route.fulfill({ response, json });
    });
    await field(grace, 'Name of the provider’s company').fill('Provider Inc');
    await grace.tabTo('button', 'Save');
    await grace.page.keyboard.press('Enter');
    await readonly(grace, 'State').getByText('Awaiting validation').waitFor();
    await grace.hears('The company was saved. The checks run.');
    await grace.look('form-awaiting');
    go();
    await end();
    await grace.page.getByRole('alert').getByText('Validation failed.').waitFor({ timeout: 30_000 });
    assert.equal(await readonly(grace, 'State').innerText(), 'Validation failed');
    assert.equal(await connect().count(), 0, 'not before the checks passed');
    await grace.hears('Validation failed');
    await grace.look('form-failed');
    await grace.tabs('form-failed');
    await grace.follow('Open the health dashboard');
    await grace.heading('Health');
  },

  async 'mended there, the connection is validated, and going back leads on'() {
    ada.expects(STOPPED);
    await host('@start provider');
    const validate = grace.page.getByRole('button', { name: 'Validate and resolve' });
    await validate.first().waitFor();
    await grace.look('health-connection');
    await grace.tabs('health-connection');
    for (let left = await validate.count(); left > 0; left -= 1) {
      await validate.first().click();
      await until('an issue is resolved', async () => (await validate.count()) < left, 30_000);
    }
    await grace.sees('No open issue.');
    await grace.finds('textContent', 'Open issues');
    await grace.page.goBack();
    await grace.heading('Provider connection');
    await connect().waitFor();
    assert.equal(await readonly(grace, 'State').innerText(), 'Validated');
    assert.match(await readonly(grace, 'Outbound status').innerText(), /Not onboarded|Blank/);
    await grace.look('form-validated');
  },

  async 'another company is another connection to validate'() {
    await grace.tabTo('button', 'Add it now');
    await grace.page.keyboard.press('Enter');
    await grace.finds('id', 'company-name');
    await grace.tabTo('button', 'Select a known company instead');
    await grace.page.keyboard.press('Enter');
    await grace.finds('id', 'company');
    await grace.press('Add it now');
    await field(grace, 'Name of the provider’s company').fill('Provider Group');
    await grace.press('Save');
    await grace.sees('Provider Group was added.');
    // While the checks run, it is shown and not a field.
    const company = () => field(grace, 'Company').inputValue().catch(() => '');
    await until('it is validated for that company', async () => await connect().isVisible() && (await company()) === 'Provider Group', 30_000);
    connection = new URL(grace.page.url()).pathname.match(/^\/connections\/[^/]+/)[0];
    await connect().click();
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
  },

  async 'the contact denies: the form says what failed, and Retry goes on'() {
    await grace.signIn(CONTACT);
    await grace.press('Deny');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.goto(`${connection}/form`);
    await grace.page.getByRole('heading', { name: 'Stopped', exact: true }).waitFor();
    await grace.page.getByRole('main').getByRole('alert').first().waitFor();
    await grace.look('form-stopped');
    await grace.tabs('form-stopped');
    await grace.tabTo('button', 'Retry');
    await grace.page.keyboard.press('Enter');
    await grace.page.getByRole('link', { name: 'Approve at the provider' }).waitFor({ timeout: 20_000 });
    await grace.finds('textContent', 'Connecting');
    await grace.look('form-connecting');
  },

  async 'the form shows on another device how far it is'() {
    const tablet = await Person.at(CONSUMER, 'tablet', { storageState: await grace.context.storageState(), viewport: { width: 800, height: 1100 } });
    await tablet.goto(`${connection}/form`);
    await tablet.page.getByRole('heading', { name: 'Connecting', exact: true }).waitFor();
    await tablet.sees('Provider onboarding started');
    await tablet.close();
  },

  async 'the named contact allows, and the messages lead to Onboarding Complete'() {
    await grace.follow('Approve at the provider');
    await grace.press('Allow');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.goto(`${connection}/form`);
    await grace.page.getByRole('heading', { name: 'Connected', exact: true }).waitFor({ timeout: 30_000 });
    for (const words of ['Provider onboarding started', 'Syncing settings to complete onboarding', 'Onboarding Complete']) await grace.sees(words);
    for (const way of ['Outbound status', 'Inbound status']) await readonly(grace, way).getByText('Up').waitFor({ timeout: 20_000 });
    await grace.look('form-onboarded');
    await grace.press('Close');
    await grace.heading('provider');
  },

  async 'Mark Complete unlocks Verify the connection, which sends real messages both ways and says each result'() {
    await grace.follow('Guided set-up');
    await grace.page.getByRole('heading', { name: 'As a consumer' }).waitFor();
    await stands(grace, 'Verify the connection', 'Locked');
    await complete(grace, 'Open the registration link');
    await stands(grace, 'Connect', /Available|In progress|Done/);
    await complete(grace, 'Connect');
    await stands(grace, 'Verify the connection', 'Available');
    await grace.look('setup-consumer');
    await activity(grace, 'Configure settings').getByRole('link').click();
    await grace.heading('Settings');
    await grace.press('Done');
    await grace.sees('Settings saved as they are.');
    await grace.follow('Guided set-up');
    await complete(grace, 'Configure settings');
    await stands(grace, 'Configure settings', 'Completed');
    await activity(grace, 'Verify the connection').getByRole('link').click();
    await grace.heading('provider');
    await grace.press('Verify the connection');
    const panel = grace.page.locator('.panel', { has: grace.page.getByRole('heading', { name: 'Verification' }) });
    await panel.locator('.panel-head .badge', { hasText: 'Passed' }).waitFor({ timeout: 30_000 });
    assert.equal(await panel.locator('.checks li.good').count(), 5, 'each step has its result');
    await grace.look('connection-verified');
    await grace.follow('Guided set-up');
    await complete(grace, 'Verify the connection');
    await stands(grace, 'Verify the connection', 'Completed');
  },

  async 'where a step fails, it says which and why, and the activity cannot be taken for complete'() {
    await ada.goto('/connections');
    await ada.page.locator('table.rows a').first().click();
    await ada.heading('consumer');
    await ada.press('Suspend');
    await ada.page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
    await ada.page.getByRole('button', { name: 'Resume' }).waitFor();
    await grace.goto(connection);
    await grace.heading('provider');
    await grace.press('Verify the connection');
    const panel = grace.page.locator('.panel', { has: grace.page.getByRole('heading', { name: 'Verification' }) });
    await panel.locator('.panel-head .badge', { hasText: 'Failed' }).waitFor({ timeout: 30_000 });
    await panel.locator('.checks li.bad').first().waitFor();
    await grace.look('connection-verification-failed');
  },
});
