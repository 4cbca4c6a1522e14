// What each person is offered: nothing that would be refused to them, and where they cannot go on, why and who can.
import assert from 'node:assert/strict';
import { CONSUMER, PASSWORD, PROVIDER, Person, host, linkInLetter, run, until } from './person.mjs';

let grace, operator, viewer, connection;

/** The controls and ways on of the page's content, by name. */
const controls = (person) => person.page.getByRole('main').locator('button, a.button').evaluateAll((found) => found.filter((one) => one.checkVisibility()).map((one) => one.innerText.trim()));
const offers = (person, what, expected) => until(`${person.name}: ${what} offers ${expected.join(', ') || 'nothing'}`, async () => JSON.stringify(await controls(person)) === JSON.stringify(expected))
  .catch(async (error) => assert.fail(`${error.message}, but ${JSON.stringify(await controls(person))}`));

/** Goes to both ways of connecting, and looks at what they offer. */
async function offered(person, ready, inWizard, inForm) {
  await person.goto(`${connection}/wizard`);
  await person.page.getByRole('heading', { name: ready }).waitFor();
  await offers(person, `the wizard, “${ready}”,`, inWizard);
  await person.look(`rights-${person.name}-wizard-${ready.toLowerCase().replaceAll(' ', '-')}`);
  await person.goto(`${connection}/form`);
  await person.heading('Provider connection');
  await offers(person, `the form, “${ready}”,`, inForm);
}

await run({
  async 'who may not choose the company is told who may'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.goto(await linkInLetter());
    await grace.press('Continue');
    await grace.signIn('admin@consumer.example.com');
    await grace.press('Open the invitation');
    await grace.page.waitForURL(/wizard/);
    connection = new URL(grace.page.url()).pathname.match(/^\/connections\/[^/]+/)[0];
    operator = await Person.at(CONSUMER, 'operator');
    await operator.signIn('operator@consumer.example.com');
    viewer = await Person.at(CONSUMER, 'viewer');
    await viewer.signIn('viewer@consumer.example.com');
    for (const person of [operator, viewer]) {
      await offered(person, 'Select provider', [], []);
      await person.sees('You cannot go on here.');
      await person.sees(/Ask an administrator of this instance/);
    }
  },

  async 'an operator looks again at what was mended; who only looks on can follow it'() {
    await host('@stop provider');
    await grace.page.fill('#company-name', 'Provider Inc');
    await grace.press('Get Started');
    await grace.page.getByRole('heading', { name: 'What has to be mended' }).waitFor({ timeout: 30_000 });
    await offered(viewer, 'What has to be mended', ['Follow'], ['Follow']);
    const mend = ['Look after it', 'Follow', 'Mute', 'Validate and resolve'];
    await offered(operator, 'What has to be mended', mend, mend);
    await operator.goto(`${connection}/wizard`);
    await host('@start provider');
    await operator.press('Validate and resolve');
    await operator.page.getByRole('heading', { name: 'Ready to register' }).waitFor({ timeout: 30_000 });
  },

  async 'who may not start sees that an administrator can'() {
    await offered(viewer, 'Ready to register', [], []);
    await viewer.sees('You cannot go on here.');
    await offered(operator, 'Ready to register', [], []);
    await operator.sees('You cannot go on here.');
  },

  async 'while the contact is waited for, whoever began it has the address; another administrator asks with their own account'() {
    const second = { email: 'second-admin@consumer.example.com', name: 'Second Administrator', password: PASSWORD, roles: ['ADMIN'] };
    await grace.mutate('createUser', second, 'user { id }');
    await grace.press('Start Registration');
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
    for (const person of [operator, viewer]) {
      await offered(person, 'Registration is under way', [], []);
      await person.sees(/^Another account has the address to approve at\./);
    }
    const other = await Person.at(CONSUMER, 'second-admin');
    await other.signIn(second.email);
    await offered(other, 'Registration is under way', ['Ask with my account', 'Start over', 'Cancel'], ['Ask with my account']);
    // What the contact decides at the address of another account does not arrive, and the page about it leads back.
    other.expects(/404/);
    await other.goto(grace.page.url());
    await other.signIn('contact@consumer.example.com');
    await other.press('Allow');
    await other.heading('The provider\'s answer was not taken');
    await other.look('rights-answer-not-taken');
    await other.follow('Go on with the registration');
    await other.press('Ask with my account');
    await other.hears('A fresh address is being made.');
    await other.page.getByRole('link', { name: 'Approve at the provider' }).waitFor({ timeout: 20_000 });
    await other.finds('textContent', 'Registration is under way');
    await other.goto(`${connection}/form`);
    const link = other.page.getByRole('link', { name: 'Approve at the provider' });
    const before = await link.getAttribute('href');
    await other.press('Make a fresh address');
    await other.hears('A fresh address is being made.');
    await until('a fresh address is there', async () => await link.count() && (await link.getAttribute('href')) !== before, 20_000);
    await link.click();
    await other.press('Deny');
    await other.page.waitForURL((url) => url.origin === CONSUMER);
    await other.close();
  },

  async 'who may not retry sees that an administrator can'() {
    for (const person of [operator, viewer]) {
      await offered(person, 'Registration stopped', [], []);
      await person.goto(`${connection}/wizard`);
      await person.sees(/An administrator of this instance can retry it/);
    }
  },

  async 'settings that are not synced yet are synced at once by operators only'() {
    await grace.goto(`${connection}/wizard`);
    await grace.press('Retry');
    await grace.page.getByRole('link', { name: 'Approve at the provider' }).click({ timeout: 20_000 });
    await grace.signIn('contact@consumer.example.com');
    await grace.press('Allow');
    await grace.page.getByRole('heading', { name: 'Your connection', exact: true }).waitFor({ timeout: 30_000 });
    for (const [person, expected] of [[operator, ['Sync now', 'Done']], [viewer, ['Back to the connection']]]) {
      const end = await person.alters('query Settings(', ({ connection: { settings } }) => { settings.agreed = false; });
      await person.goto(`${connection}/settings`);
      await person.sees('The two sides do not hold the same settings yet.');
      await offers(person, 'settings', expected);
      await end();
    }
    await viewer.goto(`${connection}/settings?from=wizard`);
    await viewer.follow('Back to the connection');
    await viewer.heading('provider');
    await viewer.page.getByRole('heading', { name: 'Outbound status' }).waitFor();
    assert.equal(await viewer.page.getByText('Settings saved').count(), 0, 'who saved nothing is told nothing');
  },

  async 'nobody is led to pages that are not for them'() {
    const { page } = viewer;
    for (const [path, heading] of [['/', 'consumer'], ['/connections', 'Connections'], ['/provider', 'Provider centre']]) {
      await viewer.goto(path);
      await viewer.heading(heading);
      await page.locator('.loading').waitFor({ state: 'detached' });
      for (const name of ['Open a registration link', 'Register a consumer', 'Set up the provider record']) {
        assert.equal(await page.getByRole('main').getByRole('link', { name }).count(), 0, `${path}: ${name}`);
      }
    }
    const auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.signIn('auditor@consumer.example.com');
    await auditor.goto('/keys/approvals');
    await auditor.sees('Nobody asked for an approval yet.');
    await offers(auditor, 'approvals', []);
    await auditor.close();
  },

  async 'whoever only grants key roles sees to whom, and grants all but their own'() {
    const granter = await Person.at(CONSUMER, 'granter');
    await granter.goto('/people');
    await granter.signIn('granter@consumer.example.com');
    const row = granter.page.getByRole('row').filter({ hasText: 'viewer@consumer.example.com' });
    await row.getByRole('button', { name: /^Grant Key operator/ }).click();
    await granter.look('people-grant-key-role');
    await granter.press('Grant it');
    await row.getByText('Viewer, Key operator').waitFor();
    await row.getByRole('button', { name: /^Remove Key operator/ }).waitFor();
    assert.equal(await granter.page.getByRole('button', { name: /^Grant Key administrator/ }).count(), 0, 'that is for the host');
    await granter.sees('linkspan role grant');
    await granter.look('people-key-administrator');
    await granter.close();
  },
});
