// From the letter to *Onboarded*, as the consumer's administrator: a failed validation on the way, the wrong person at
// the provider, a browser that is closed in the middle, and a second device.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, host, linkInLetter, run, until } from './person.mjs';

const ADMIN = 'admin@consumer.example.com';
const CONTACT = 'contact@consumer.example.com';
const COLLEAGUE = 'colleague@consumer.example.com';
let grace, link, wizard;

await run({
  async 'the link’s secret leaves the address and the history before anything else happens'() {
    link = await linkInLetter();
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.goto(link);
    await grace.heading('Create your connection');
    await grace.sees(PROVIDER);
    const secret = new URL(link).hash.match(/t=([^&]+)/)[1];
    assert.equal(new URL(grace.page.url()).hash, '');
    const kept = await grace.page.evaluate(() => JSON.stringify([history.state, { ...localStorage }, { ...sessionStorage }]));
    assert(!kept.includes(secret));
    await grace.look('connect');
  },

  async 'the link survives signing in'() {
    await grace.press('Continue');
    await grace.page.waitForURL(/sign-in/);
    await grace.look('sign-in');
    await grace.signIn(ADMIN);
    await grace.press('Continue');
    await grace.page.waitForURL(/wizard/);
    wizard = new URL(grace.page.url()).pathname;
    await grace.heading('Create your connection');
  },

  async 'the first paint takes less than 100 KiB'() {
    const visitor = await Person.at(CONSUMER, 'visitor', { storageState: await grace.context.storageState() });
    const session = await visitor.context.newCDPSession(visitor.page);
    let bytes = 0;
    await session.send('Network.enable');
    session.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
    await visitor.goto(wizard);
    await visitor.page.getByRole('button', { name: 'Get Started' }).waitFor();
    console.log(`first paint: ${bytes} bytes`);
    assert(bytes > 10_000 && bytes < 100 * 1024, `${bytes} bytes`);
    await visitor.close();
  },

  async 'why no company can be chosen is said, and a company is added on the spot'() {
    await grace.sees('No company is known here yet.');
    await grace.look('wizard-choose');
    await grace.press('Get Started');
    await grace.sees('Enter the name of the provider’s company.');
    await grace.finds('id', 'company-name');
    await grace.look('wizard-choose-problem');
  },

  async 'a check that fails says what is wrong, and Start Registration is not offered'() {
    await host('@stop provider');
    await grace.page.fill('#company-name', 'Provider Inc');
    await grace.press('Get Started');
    await grace.page.getByRole('heading', { name: 'Checks are running' }).waitFor();
    await grace.page.getByRole('heading', { name: 'What has to be mended' }).waitFor({ timeout: 30_000 });
    assert.equal(await grace.page.getByRole('button', { name: 'Start Registration' }).count(), 0);
    await grace.look('wizard-failed');
  },

  async 'looking again at what is still so says so'() {
    await grace.page.getByRole('button', { name: 'Validate and resolve' }).first().click();
    await grace.sees('Looked again: still so.', 30_000);
  },

  async 'mended and validated, the connection is validated by itself'() {
    await host('@start provider');
    const ready = grace.page.getByRole('heading', { name: 'Ready to register' });
    const validate = grace.page.getByRole('button', { name: 'Validate and resolve' });
    for (let left = await validate.count(); left > 0; left -= 1) {
      await validate.first().click();
      await until('an issue is resolved', async () => (await validate.count()) < left, 30_000);
    }
    await ready.waitFor({ timeout: 20_000 });
    await grace.look('wizard-validated');
  },

  async 'Start Registration is pressed by keyboard alone, and leads to the provider'() {
    await grace.page.reload();
    await grace.page.getByRole('button', { name: 'Start Registration' }).waitFor();
    await grace.tabTo('button', 'Start Registration');
    await grace.page.keyboard.press('Enter');
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
    await grace.page.waitForSelector('#password');
    await grace.look('sign-in-to-approve');
  },

  async 'the wrong person is told so, and nothing is spoilt'() {
    grace.expects(/403/);
    await grace.signIn(COLLEAGUE);
    await grace.heading('Someone else is expected');
    await grace.look('consent-wrong-person');
  },

  async 'the browser is closed in the middle; a second device shows how far it is'() {
    await grace.close();
    grace = await Person.at(CONSUMER, 'second-device', { viewport: { width: 390, height: 844 } });
    await grace.goto(wizard);
    await grace.signIn(ADMIN);
    await grace.page.getByRole('heading', { name: 'Registration is under way' }).waitFor();
    await grace.sees('The named contact approves on the provider’s instance.');
    assert.equal(await grace.page.getByRole('listitem').filter({ hasText: 'Echo test' }).count() > 0, true, 'every phase is listed up front');
    await grace.look('wizard-onboarding');
  },

  async 'the contact denies: what happened and what to do is on the screen'() {
    await grace.follow('Approve at the provider');
    await grace.signIn(CONTACT);
    await grace.page.getByRole('button', { name: 'Allow' }).waitFor();
    await grace.look('consent');
    await grace.press('Deny');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.page.getByRole('heading', { name: 'Registration stopped' }).waitFor();
    await grace.look('wizard-denied');
  },

  async 'after a retry the contact allows, and the connection is onboarded and up both ways'() {
    await grace.press('Retry');
    await grace.page.getByRole('link', { name: 'Approve at the provider' }).click({ timeout: 20_000 });
    await grace.press('Allow');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.page.getByRole('heading', { name: 'Your connection', exact: true }).waitFor({ timeout: 30_000 });
    await until('both directions are up', async () => (await grace.page.locator('.badge.good', { hasText: 'Up' }).count()) === 2);
    await grace.sees('Onboarding Complete');
    await grace.look('wizard-done');
  },

  async 'Configure settings and Done lead to the connection, and a scan is offered'() {
    await grace.follow('Configure settings');
    await grace.heading('Settings');
    await grace.page.getByLabel('Activate new record producers automatically').check();
    await grace.sees('What will change');
    await grace.look('settings');
    await grace.press('Done');
    await grace.sees('Settings saved.');
    await grace.look('connection');
    const { connections } = await grace.graphql('{ connections { edges { node { state settings { autoActivateRecordProducers } } } } }');
    assert.deepEqual(connections.edges[0].node, { state: 'ONBOARDED', settings: { autoActivateRecordProducers: true } });
  },
});
