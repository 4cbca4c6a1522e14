// From the letter to *Onboarded*, as the consumer's administrator: a failed validation on the way, the wrong person at
// the provider, a browser that is closed in the middle, and a second device. Pages without script are looked at elsewhere.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, host, letters, linkInLetter, run, until } from './person.mjs';

const ADMIN = 'admin@consumer.example.com';
const OTHER = 'auditor@consumer.example.com';
const CONTACT = 'contact@consumer.example.com';
const COLLEAGUE = 'colleague@consumer.example.com';
let grace, link, wizard, fingerprint;

/** The fingerprint that a page shows, as people compare it. */
const shown = async () => (await grace.page.locator('.fingerprint li').allTextContents()).join(' ');
const approve = () => grace.page.getByRole('link', { name: 'Approve at the provider' });

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
  },

  async 'the link survives signing in, and switching from an account that may not open it'() {
    grace.expects(/403/);
    await grace.press('Continue');
    await grace.page.waitForURL(/sign-in/);
    await grace.signIn(OTHER);
    await grace.sees('You are signed in.');
    await grace.press('Open the invitation');
    await grace.heading('An administrator is needed');
    await grace.sees(OTHER);
    await grace.press('Switch account');
    await grace.page.waitForURL(/sign-in/);
    await grace.signIn(ADMIN);
    await grace.sees(PROVIDER);
    await grace.press('Open the invitation');
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
    await grace.tabs('wizard-choose');
    await grace.press('Get Started');
    await grace.sees('Enter the name of the provider’s company.');
    await grace.finds('id', 'company-name');
    await grace.look('wizard-choose-problem');
  },

  async 'a check that fails says what is wrong, and Start Registration is not offered'() {
    // One check takes so long that there is time to see the others answered; what comes after that waits to be looked at.
    await host('@hang KEY_SERVICE_HEALTH');
    await host('@stop provider');
    let go, some;
    const waits = new Promise((done) => { go = done; });
    const end = await grace.meddle('query Wizard', async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      const { state, latestScan } = json.data.connection;
      if (some) await waits;
      some ||= state === 'AWAITING_VALIDATION' && latestScan?.progress.done > 0 && latestScan.progress.done < latestScan.progress.total;
      await route.fulfill({ response, json });
    });
    await grace.page.fill('#company-name', 'Provider Inc');
    await grace.press('Get Started');
    await grace.page.getByRole('heading', { name: 'Checks are running' }).waitFor();
    await grace.finds('textContent', 'Checks are running');
    await until('some checks have answered', () => some);
    await grace.page.locator('.checks li.good').first().waitFor();
    await grace.page.locator('.checks li.waiting', { hasText: 'Not yet' }).first().waitFor();
    await grace.look('wizard-checking');
    await grace.tabs('wizard-checking');
    go();
    await end();
    await grace.page.getByRole('heading', { name: 'What has to be mended' }).waitFor({ timeout: 30_000 });
    await grace.finds('textContent', 'What has to be mended');
    await grace.hears('Validation failed');
    assert.equal(await grace.page.getByRole('button', { name: 'Start Registration' }).count(), 0);
    await grace.look('wizard-failed');
    await grace.tabs('wizard-failed');
  },

  async 'looking again at what is still so says so'() {
    await grace.page.getByRole('button', { name: 'Validate and resolve' }).first().click();
    await grace.sees('Looked again: still so.', 30_000);
    await grace.hears(/^Looking again: /);
    await grace.hears(/^Still so: /);
    await grace.finds('textContent', 'Validate and resolve');
  },

  async 'the way to add a company and back is one of the keyboard, too'() {
    await grace.tabTo('button', 'Add it now');
    await grace.page.keyboard.press('Enter');
    await grace.finds('id', 'company-name');
    await grace.tabTo('button', 'Select a known company instead');
    await grace.page.keyboard.press('Enter');
    await grace.finds('id', 'company');
  },

  async 'mended, and got started again, the connection is validated'() {
    await host('@mend');
    await host('@start provider');
    await grace.press('Run the checks');
    await grace.page.getByRole('heading', { name: 'Ready to register' }).waitFor({ timeout: 30_000 });
    await grace.finds('textContent', 'Ready to register');
    await grace.hears('Validated');
    await grace.look('wizard-validated');
    await grace.tabs('wizard-validated');
    fingerprint = await shown();
    assert.match(fingerprint, /^[A-Z2-7]{4}( [A-Z2-7]{4}){7}$/);
    assert(letters().some((letter) => letter.includes(link.split('#')[0]) && letter.includes(fingerprint)), 'the letter has the same');
  },

  async 'Start Registration is pressed by keyboard alone, and leads to the provider'() {
    await grace.page.reload();
    await grace.page.getByRole('button', { name: 'Start Registration' }).waitFor();
    await grace.tabTo('button', 'Start Registration');
    await grace.page.keyboard.press('Enter');
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
    await grace.page.waitForSelector('#password');
  },

  async 'the wrong person is told so, and nothing is spoilt'() {
    grace.expects(/403/);
    await grace.signIn(COLLEAGUE);
    await grace.heading('Someone else is expected');
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
    assert.equal(await shown(), fingerprint, 'the provider’s page has the same');
    await grace.press('Deny');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.page.getByRole('heading', { name: 'Registration stopped' }).waitFor();
    await grace.look('wizard-denied');
    await grace.tabs('wizard-denied');
  },

  async 'after a retry it goes on, and the focus with it'() {
    await grace.press('Retry');
    await approve().waitFor({ timeout: 20_000 });
    await grace.finds('textContent', 'Registration is under way');
    await grace.hears('The phase is tried again.');
  },

  async 'what fails while the contact is waited for is said by eye and ear, on the form, too'() {
    for (const [page, operation] of [[wizard, 'query Wizard'], [wizard.replace(/wizard$/, 'form'), 'query ClassicForm']]) {
      let loaded = false;
      const end = await grace.alters(operation, ({ connection: { onboarding } }) => {
        // It fails after the page was opened, which loads once more when it is live.
        if (!loaded) return void (loaded = true);
        const [now] = onboarding.phases.filter(({ state }) => state === 'RUNNING');
        const failure = { code: 'PEER_UNREACHABLE', codeLabel: 'Peer unreachable', message: 'Nothing takes a connection there.', field: null, reason: 'TCP', docsUrl: '/docs', traceId: '0', remedy: null };
        Object.assign(now, { failure, tries: 3, nextTryAt: new Date(Date.now() + 60_000).toISOString() });
        Object.assign(onboarding, { authorizationUrl: null, authorizationExpiresAt: null });
      });
      await grace.goto(page);
      await grace.sees(/^Nothing takes a connection there\. Next try .*; tried 3 times so far\.$/);
      await grace.hears(/ Nothing takes a connection there\.$/);
      await grace.sees('The address to approve at is being made.');
      if (page === wizard) await grace.look('wizard-tried-again');
      await end();
    }
    await grace.goto(wizard);
  },

  async 'a phase that takes long is said to, by eye and by ear'() {
    const end = await grace.alters('query Wizard', ({ connection: { onboarding: { phases } } }) => {
      const [now] = phases.filter(({ state }) => state !== 'DONE' && state !== 'SKIPPED');
      const next = phases[phases.indexOf(now) + 1];
      Object.assign(now, { state: 'DONE', stateLabel: 'Done' });
      Object.assign(next, { state: 'RUNNING', stateLabel: 'Running', startedAt: new Date(Date.now() - 15_000).toISOString(), deadline: new Date(Date.now() + 60_000).toISOString(), failure: null });
    });
    await grace.page.reload();
    await grace.page.getByRole('heading', { name: 'Registration is under way' }).waitFor();
    assert.equal(await grace.page.getByText('This takes longer than usual.').count(), 0);
    await grace.sees('This takes longer than usual.');
    await grace.hears(/ This takes longer than usual\.$/);
    await grace.look('wizard-long');
    await end();
    await grace.page.reload();
  },

  async 'a start over that is refused leads nowhere; one that is not, to the provider’s new question'() {
    await approve().waitFor();
    const old = await approve().getAttribute('href');
    const no = { code: 'WRONG_STATE', codeLabel: 'Not possible now', message: 'Somebody was quicker.', field: null, reason: null, docsUrl: '/docs', traceId: '0', remedy: null };
    const end = await grace.meddle('mutation StartOver', (route) => route.fulfill({ json: { data: { startOver: { connection: null, refusal: no } } } }));
    await grace.press('Start over');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Start over' }).click();
    await grace.sees('Somebody was quicker.');
    await grace.finds('textContent', 'Start over');
    await grace.page.waitForTimeout(1_000);
    assert.equal(new URL(grace.page.url()).pathname, wizard);
    await end();
    await grace.press('Start over');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Start over' }).click();
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
    assert.notEqual(grace.page.url(), old);
    await grace.page.getByRole('button', { name: 'Allow' }).waitFor();
  },

  async 'cancelled, nothing is left of the attempt, and it can be started anew'() {
    await grace.goto(wizard);
    await approve().waitFor();
    await grace.press('Cancel');
    await grace.look('wizard-cancel');
    await grace.tabs('wizard-cancel');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Cancel onboarding' }).click();
    await grace.page.getByRole('button', { name: 'Get Started' }).waitFor();
    await grace.finds('textContent', 'Select provider');
    await grace.hears('Onboarding was cancelled. Nothing is left of the attempt.');
    await grace.press('Get Started');
    await grace.page.getByRole('heading', { name: 'Ready to register' }).waitFor({ timeout: 20_000 });
    await grace.press('Start Registration');
    await grace.page.waitForURL((url) => url.origin === PROVIDER, { timeout: 20_000 });
  },

  async 'the contact allows, and the connection is onboarded and up both ways'() {
    await grace.press('Allow');
    await grace.page.waitForURL((url) => url.origin === CONSUMER);
    await grace.page.getByRole('heading', { name: 'Your connection', exact: true }).waitFor({ timeout: 30_000 });
    await until('both directions are up', async () => (await grace.page.locator('.badge.good', { hasText: 'Up' }).count()) === 2);
    await grace.sees('Onboarding Complete');
    const facts = await grace.page.locator('.facts > div').filter({ hasText: /^(Provider|Company|Connection established)/ }).allTextContents();
    assert.equal(facts.length, 3);
    assert(facts[0].includes(PROVIDER) && facts[1].includes('Provider Inc') && /\d{4}/.test(facts[2]), `${facts}`);
    await grace.look('wizard-done');
  },

  async 'Configure settings and Done lead to the connection, where a scan is offered'() {
    await grace.follow('Configure settings');
    await grace.heading('Settings');
    await grace.page.getByLabel('Activate new record producers automatically').check();
    await grace.sees('What will change');
    await grace.look('settings');
    await grace.press('Done');
    await grace.sees('Settings saved.');
    await grace.page.getByRole('button', { name: 'Run a scan suite' }).waitFor();
    await grace.look('connection');
    const { connections } = await grace.graphql('{ connections { edges { node { state settings { autoActivateRecordProducers } } } } }');
    assert.deepEqual(connections.edges[0].node, { state: 'ONBOARDED', settings: { autoActivateRecordProducers: true } });
    await grace.press('Run a scan suite');
    await grace.heading('Scan of provider');
    await grace.sees('Post-onboarding');
    await grace.page.locator('.page-head .badge', { hasText: 'Passed' }).waitFor({ timeout: 30_000 });
    await grace.page.goBack();
    await grace.heading('provider');
    await grace.page.getByRole('button', { name: 'Run a scan', exact: true }).waitFor();
    assert.equal(await grace.page.getByRole('button', { name: 'Run a scan suite' }).count(), 0, 'it is told once');
  },
});
