// Every page of two connected instances, at every size and in both schemes; all of it by keyboard; and what is shown
// when there is no network, no session, no page, and no right to see it.
import assert from 'node:assert/strict';
import { CONSUMER, PASSWORD, PROVIDER, Person, codeInLetter, host, looked, mail, run, until, walked } from './person.mjs';

const CONTACT = 'contact@consumer.example.com';
let ada, grace, connection;

const first = async (person, list) => (await person.graphql(`{ ${list} { edges { node { id } } } }`))[list].edges[0].node.id;

async function visit(person, path, name, ready) {
  await person.goto(path);
  await person.heading(ready);
  await person.look(name);
  await person.tabs(name);
  // One that leads on to another was seen, too.
  for (const seen of [looked, walked]) seen.add(new URL(path, person.origin).pathname);
}

await run({
  async 'the pages of the provider'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.goto('/connections');
    await ada.signIn('admin@provider.example.com');
    await ada.heading('Connections');
    assert.equal(new URL(ada.page.url()).pathname, '/connections', 'signing in leads back to where one wanted to go');
    connection = await first(ada, 'connections');
    await visit(ada, '/provider', 'provider-nothing-published', 'Provider centre');
    await ada.press('Publish a definition');
    await ada.page.getByLabel('Name of the definition').fill('order-form');
    await ada.page.getByLabel('What it is for').fill('Orders of parts.');
    await ada.page.getByLabel('Fields').fill('{ "type": "nonsense" }');
    await ada.press('Publish');
    await ada.page.locator('.problem, .notice.bad').first().waitFor();
    await ada.look('definition-problem');
    await ada.page.getByLabel('Fields').fill('{ "type": "object", "properties": { "title": { "type": "string" } } }');
    await ada.press('Publish');
    await ada.sees('order-form is published, version 1.');
    const fieldSchema = '{"type":"object","properties":{}}';
    await ada.mutate('saveDefinition', { kind: 'RECORD_PRODUCER', name: 'return-form', description: 'Sends parts back.', fieldSchema }, 'definition { id }');
    await ada.mutate('saveDefinition', { kind: 'TASK_DEFINITION', name: 'incident', description: 'Something is broken.', fieldSchema }, 'definition { id }');
    await ada.sees('incident');
    await ada.look('provider-definitions');
    await visit(ada, '/', 'start-provider', 'provider');
    await visit(ada, '/connections', 'connections-provider', 'Connections');
    await visit(ada, `/connections/${connection}`, 'connection-provider', 'consumer');
    await visit(ada, `/connections/${connection}/settings`, 'settings-provider', 'Settings');
    await visit(ada, '/registrations/new', 'register', 'Register a consumer');
    await visit(ada, `/registrations/${process.env.REGISTRATION_ID}`, 'registration-complete', 'REG-000001');
    await visit(ada, `/companies/${process.env.COMPANY_ID}`, 'company-contacts', 'Consumer Ltd');
    await visit(ada, '/people', 'people', 'People');
    await visit(ada, '/account', 'account', 'Your account');
    await visit(ada, '/scans/nothing', 'no-scan', 'No such scan');
    await visit(ada, '/issues/nothing', 'no-issue', 'No such issue');
  },

  async 'the pages of the consumer'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    connection = await first(grace, 'connections');
    await until('the offer arrived', async () => (await grace.graphql('query($id: ID!) { connection(id: $id) { settings { recordProducers { name } } } }', { id: connection })).connection.settings.recordProducers.length === 2, 30_000);
    await visit(grace, '/', 'start', 'consumer');
    await visit(grace, `/connections/${connection}/settings`, 'settings-offered', 'Settings');
    await visit(grace, `/connections/${connection}/form`, 'form-complete', 'Provider connection');
    await visit(grace, `/connections/${connection}/wizard`, 'wizard-complete', 'Connected with');
    await visit(grace, '/setup', 'setup', 'Guided set-up');
    await visit(grace, '/companies', 'companies', 'Companies');
    await visit(grace, '/errors', 'errors-none', 'Error log');
    await visit(grace, '/audit', 'audit', 'Audit log');
    await visit(grace, '/health', 'health', 'Health');
    await visit(grace, '/keys', 'keys', 'Keys');
    await visit(grace, '/design', 'design', 'Design language');
    await visit(grace, '/provider', 'provider-none', 'Provider centre');
    await visit(grace, `/connections/${connection}/nothing`, 'no-page', 'No such page');
    await visit(grace, '/connections/nothing', 'no-connection', 'No such connection');
  },

  async 'the pages of those who look after keys'() {
    const auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.signIn('auditor@consumer.example.com');
    await visit(auditor, '/keys/modules/identity', 'key-module', 'identity');
    await visit(auditor, '/keys/access?module=links', 'keys-access', 'Keys');
    await visit(auditor, '/keys/approvals', 'keys-approvals', 'Keys');
    await visit(auditor, '/keys/decisions/00000000-0000-0000-0000-000000000000', 'keys-no-decision', 'How access was decided');
    await auditor.close();
  },

  async 'moments are shown to the second for whoever chooses so, by keyboard, and stay so'() {
    await grace.goto(`/connections/${connection}`);
    await grace.heading('provider');
    const moment = grace.page.getByRole('main').locator('time').first();
    assert.doesNotMatch(await moment.innerText(), /\d\d:\d\d:\d\d/);
    await grace.page.locator('.menu summary').focus();
    await grace.page.keyboard.press('Enter');
    await grace.tabTo('button', 'Exact times');
    await grace.page.keyboard.press('Enter');
    await until('to the second', async () => /^\d+ \w+ \d{4}, \d\d:\d\d:\d\d \S+$/.test(await moment.innerText()));
    assert.equal(await grace.page.getByRole('button', { name: 'Exact times' }).getAttribute('aria-pressed'), 'true');
    await grace.look('exact-times');
    await grace.page.reload();
    await until('still so', async () => /\d\d:\d\d:\d\d/.test(await moment.innerText()));
    await grace.page.locator('.menu summary').click();
    await grace.press('Exact times');
    await until('as before', async () => !/\d\d:\d\d:\d\d/.test(await moment.innerText()));
  },

  async 'a scan of the connection is asked for, and shows each answer as it comes'() {
    await grace.goto(`/connections/${connection}`);
    await grace.press('Run a scan');
    await grace.heading('Scan of provider');
    await grace.page.locator('.page-head .badge', { hasText: 'Passed' }).waitFor({ timeout: 30_000 });
    await grace.look('scan');
    await grace.tabs('scan');
  },

  async 'whoever looks after an instance chooses its letters, and how often it is checked'() {
    await grace.page.locator('.menu summary').click();
    await grace.follow('Your account');
    await grace.heading('Your account');
    await grace.page.getByLabel(/^When letters reach/).selectOption('DIGEST');
    await grace.sees('Your choice was saved.');
    await grace.page.reload();
    await grace.sees('One letter a day, about everything that is open.');
    await visit(grace, '/checks', 'checks', 'Checks');
    await grace.press('Change Connection health');
    await grace.page.getByLabel('Unit').selectOption('minutes');
    await grace.page.getByLabel('Runs every').fill('50');
    const of = '{ checkSchedules { suite revision } }';
    const { revision: expectedRevision } = (await grace.graphql(of)).checkSchedules.find(({ suite }) => suite === 'CONNECTION_HEALTH');
    await grace.mutate('updateCheckSchedule', { suite: 'CONNECTION_HEALTH', intervalSeconds: 5_400, enabled: true, expectedRevision }, 'checkSchedule { revision }');
    await grace.sees('Runs every: now 1 hour 30 minutes; yours 50 minutes');
    await grace.press('Save');
    await grace.page.getByRole('alert').filter({ hasText: 'Nothing was saved' }).waitFor();
    await grace.press('Keep mine');
    await grace.page.getByLabel('Runs every').fill('0');
    await grace.press('Save');
    await grace.page.locator('.problem').waitFor();
    await grace.finds('id', 'interval');
    await grace.look('checks-problem');
    await grace.page.getByLabel('Runs every').fill('120');
    await grace.press('Save');
    await grace.sees('Runs every 2 hours');
    await grace.press('Check the key service now');
    await grace.heading('Scan of This instance');
    await grace.page.locator('.page-head .badge', { hasText: 'Passed' }).waitFor({ timeout: 30_000 });
  },

  async 'a person is added, and a role is granted after a question'() {
    // Whoever grants roles has signed in within five minutes, however long all that took.
    await ada.context.clearCookies();
    await ada.goto('/people');
    await ada.signIn('admin@provider.example.com');
    await visit(ada, '/people', 'people-list', 'People');
    await ada.press('Add');
    await ada.sees('Enter the person’s name.');
    await ada.look('people-problem');
    await ada.page.getByLabel('Name', { exact: true }).fill('Second Person');
    await ada.page.getByLabel('Email address').fill('second@provider.example.com');
    await ada.press('Add');
    await ada.press('Grant Operator to Second Person');
    await ada.look('people-grant');
    await ada.press('Grant it');
    await ada.page.getByRole('button', { name: 'Remove Operator from Second Person' }).waitFor();
  },

  async 'an administrator sets a password for somebody, who signs in with it'() {
    await ada.press('Set a password for Second Person');
    const dialog = ada.page.getByRole('dialog', { name: /^Set a password for Second Person/ });
    await dialog.getByLabel('New password').fill('too short');
    await dialog.getByRole('button', { name: 'Set it' }).click();
    await ada.sees('Use at least 12 characters.');
    await ada.finds('id', 'ask-password');
    await ada.look('people-password');
    await dialog.getByLabel('New password').fill('a password for the second');
    await dialog.getByRole('button', { name: 'Set it' }).click();
    await ada.sees('Second Person signs in with the new password from now on.');
    const other = await Person.at(PROVIDER, 'second');
    await other.signIn('second@provider.example.com', 'a password for the second');
    await other.heading('provider');
    await other.close();
  },

  async 'choices of settings are saved after the difference was shown, beside what somebody else changed meanwhile'() {
    await grace.goto(`/connections/${connection}/settings`);
    await grace.page.getByLabel('order-form').click();
    await grace.sees(/order-form: becomes (in)?active/);
    await grace.look('settings-difference');
    const read = 'query($id: ID!) { connection(id: $id) { settings { revision recordProducers { name active } } } }';
    const settings = async () => (await grace.graphql(read, { id: connection })).connection.settings;
    const states = (all) => Object.fromEntries(all.map(({ name, active }) => [name, active]));
    const { revision: expectedRevision, recordProducers } = await settings();
    const before = states(recordProducers);
    // Meanwhile somebody else changes the other one.
    const activeRecordProducers = Object.entries({ ...before, 'return-form': !before['return-form'] }).filter(([, active]) => active).map(([name]) => name);
    await grace.mutate('updateSettings', { connectionId: connection, expectedRevision, activeRecordProducers }, 'settings { revision }');
    await until('theirs is shown', async () => await grace.page.getByLabel('return-form').isChecked() === !before['return-form']);
    await grace.press('Done');
    await grace.sees(/[02] active of 2/);
    assert.deepEqual(states((await settings()).recordProducers), { 'order-form': !before['order-form'], 'return-form': !before['return-form'] }, 'neither takes the other’s back');
  },

  async 'the playground documents the schema and runs operations, live ones too'() {
    await visit(grace, '/playground', 'playground', 'API playground');
    await grace.press('Run');
    await grace.sees('"email": "admin@consumer.example.com"');
    await grace.page.getByLabel('Find a type or field').fill('authorizationUrl');
    await grace.press('OnboardingAttempt.authorizationUrl');
    await grace.sees('Where the contact approves, on the provider');
    await grace.look('playground-answer');
    await grace.press('Query');
    await grace.sees('So many from the start, 250 at most');
    await grace.press('Changes, live');
    await grace.press('Run');
    await grace.sees('"kind":"PRESENT"');
    await grace.press('Stop');
  },

  async 'the playground says what really came: an event in two pieces, no JSON, no schema'() {
    await grace.page.evaluate(() => {
      const real = window.fetch;
      const pieces = ['event: next\ndata: {"data":{"changes":{"kind":', '"IN_TWO_PIECES"}}}\n\n'];
      const body = () => new ReadableStream({
        async start(stream) {
          for (const piece of pieces) {
            stream.enqueue(new TextEncoder().encode(piece));
            await new Promise((next) => setTimeout(next, 200));
          }
          stream.close();
        },
      });
      const answers = [() => new Response(body(), { headers: { 'content-type': 'text/event-stream' } }), () => new Response('<h1>Bad gateway</h1>', { status: 502 })];
      window.fetch = (url, options) => {
        const mine = ['changes { cursor kind subject subjectId state at }', 'viewer { name email roles }'].some((text) => options?.body?.includes(text));
        if (!mine) return real(url, options);
        const answer = answers.shift();
        if (!answers.length) window.fetch = real;
        return Promise.resolve(answer());
      };
    });
    await grace.press('Run');
    await grace.sees('"kind":"IN_TWO_PIECES"');
    await grace.press('Who am I?');
    await grace.press('Run');
    await grace.sees('The answer (status 502) is no JSON');
    const forbidden = { errors: [{ message: 'The schema is not shown to you.', extensions: { code: 'FORBIDDEN' } }] };
    await grace.page.route('**/graphql', (route) => (route.request().postData()?.includes('__schema') ? route.fulfill({ json: forbidden }) : route.continue()));
    await grace.page.reload();
    await grace.sees('The schema is not shown here.');
    await grace.look('playground-without-schema');
    await grace.press('Run');
    await grace.sees('"email": "admin@consumer.example.com"');
    await grace.page.unroute('**/graphql');
  },

  async 'an address with a plain id, as letters have it, leads to the page'() {
    const uuid = Buffer.from(connection, 'base64url').toString().split(':')[1];
    await grace.goto(`/connections/${uuid}`);
    await grace.heading('provider');
    assert.equal(new URL(grace.page.url()).pathname, `/connections/${connection}`);
  },

  async 'whoever moves starts at the heading of where they are, and going back works'() {
    await grace.goto('/');
    await grace.heading('consumer');
    await grace.follow('Health');
    await grace.heading('Health');
    await grace.finds('tagName', 'H1');
    assert.match(await grace.page.title(), /^Health dashboard – consumer – Linkspan$/);
    await grace.page.goBack();
    await grace.heading('consumer');
  },

  async 'without a network the console says so, keeps what it shows, and catches up'() {
    grace.expects(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK_CHANGED|Failed to load resource/);
    await grace.goto(`/connections/${connection}`);
    await grace.heading('provider');
    await grace.context.setOffline(true);
    await grace.sees('Not live: reconnecting …', 30_000);
    await grace.page.getByRole('heading', { name: 'Outbound status' }).waitFor();
    await grace.look('offline');
    await grace.page.getByRole('button', { name: 'Suspend' }).click();
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
    // What failed is the pause, not only a look at what is shown.
    await grace.page.locator('.notice.bad', { hasText: 'This instance cannot be reached' }).waitFor();
    await grace.context.setOffline(false);
    await until('live again', async () => !await grace.page.getByText('Not live: reconnecting …').isVisible(), 30_000);
  },

  async 'suspended on one side, the other sees by whom and why; resumed, both are up again'() {
    await ada.goto('/connections');
    await ada.page.locator('.badge', { hasText: 'Up' }).first().waitFor();
    await grace.press('Suspend');
    await grace.page.getByRole('dialog').getByLabel('Reason').fill('We move our data centre.');
    await grace.look('connection-suspend');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Suspend' }).click();
    await grace.page.getByRole('button', { name: 'Resume' }).waitFor();
    await grace.sees('Suspended by us.');
    await grace.sees('Resume it to go on.');
    await grace.page.getByRole('heading', { name: 'Why nothing is exchanged' }).waitFor();
    assert.equal(await grace.page.locator('.chain li.bad, .notice.bad').count(), 0, 'what somebody paused is no failure');
    await grace.look('connection-suspended');
    await ada.page.locator('.badge', { hasText: 'Suspended' }).first().waitFor({ timeout: 40_000 });
    await ada.page.locator('table.rows a').first().click();
    await ada.sees('Suspended by consumer.');
    await ada.sees(/We move our data centre\./);
    await ada.sees('Only consumer can resume it');
    assert.equal(await ada.page.getByRole('button', { name: 'Resume' }).count(), 0);
    await ada.look('connection-suspended-by-them');
    await ada.goto('/connections');
    await grace.press('Resume');
    await until('both are up', async () => await ada.page.locator('.badge', { hasText: 'Up' }).count() === 2, 40_000);
    const log = grace.page.getByRole('table', { name: /^What was done to this connection/ });
    await log.locator('code', { hasText: 'connection.suspend' }).waitFor();
    await grace.look('connection-log');
    await grace.page.getByRole('link', { name: 'Everything that was done to this connection' }).click();
    await grace.heading('Audit log');
    await grace.page.locator('code', { hasText: 'connection.suspend' }).waitFor();
  },

  async 'the contact of another company signs in with a code, and sees its own and no control that would be refused'() {
    const contact = await Person.at(PROVIDER, 'contact');
    await contact.goto('/sign-in');
    await contact.page.fill('#email', CONTACT);
    await contact.press('Email me a one-time code instead');
    await contact.heading('Enter your code');
    await contact.look('code');
    await contact.page.fill('#code', await codeInLetter());
    await contact.press('Sign in');
    await contact.heading('provider');
    assert.equal(await contact.page.getByRole('link', { name: 'Keys', exact: true }).count(), 0);
    await contact.look('start-contact');
    await contact.follow('Provider centre');
    await contact.heading('Provider centre');
    assert.equal(await contact.page.getByRole('link', { name: 'Register a consumer' }).count(), 0);
    await contact.look('provider-contact');
    await contact.follow('Health');
    await contact.heading('Health');
    await contact.sees('1 of 1');
    await contact.look('health-contact');
    await contact.close();
  },

  async 'what matters most is done only after the password was given again, and then at once'() {
    await host('@later 360');
    await grace.goto('/account');
    await grace.page.getByLabel('What it is for').fill('pipeline');
    await grace.press('Make a token');
    const dialog = grace.page.getByRole('dialog', { name: 'Is it you?' });
    await dialog.waitFor();
    await grace.finds('id', 'step-up');
    await grace.look('step-up');
    await dialog.getByLabel('Your password').fill('not the password');
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await dialog.getByRole('alert').waitFor();
    await grace.look('step-up-wrong');
    await dialog.getByLabel('Your password').fill(PASSWORD);
    await grace.page.keyboard.press('Enter');
    await grace.sees('Shown once.');
    await grace.finds('id', 'token-secret');
    await grace.look('account-token');
    await grace.press('I have it');
    await grace.page.getByRole('button', { name: /^End it.*pipeline/ }).click();
    await grace.page.getByRole('dialog').getByRole('button', { name: 'End it' }).click();
    await grace.sees('The token works no more.');
    await until('the token is gone', async () => await grace.page.getByRole('button', { name: /^End it.*pipeline/ }).count() === 0);
  },

  async 'whoever has no password confirms with a code by mail'() {
    await host('@later 360');
    await ada.page.reload();
    await ada.goto('/account');
    await ada.page.getByLabel('What it is for').fill('by mail');
    await ada.press('Make a token');
    const dialog = ada.page.getByRole('dialog', { name: 'Is it you?' });
    await dialog.getByRole('button', { name: 'Email me a code instead' }).click();
    await dialog.getByLabel('Code from the letter').waitFor();
    await ada.hears('A letter with a code is on its way to you.');
    await ada.finds('id', 'step-up');
    await ada.look('step-up-code');
    await ada.tabs('step-up-code');
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await ada.sees('Enter the code from the letter.');
    const letter = () => mail().findLast(({ head }) => /^Subject: Your code to confirm/m.test(head));
    await dialog.getByLabel('Code from the letter').fill((await until('the letter', letter)).text.match(/^\s*(\d{8})\s*$/m)[1]);
    await ada.page.keyboard.press('Enter');
    await ada.sees('Shown once.');
    await ada.press('I have it');
  },

  async 'whoever does not confirm is told what was not done, and nothing was'() {
    await host('@later 360');
    await grace.page.getByLabel('What it is for').fill('another');
    await grace.press('Make a token');
    await grace.page.getByRole('dialog', { name: 'Is it you?' }).waitFor();
    await grace.page.keyboard.press('Escape');
    await grace.page.locator('#main, main').getByRole('alert').waitFor();
    const { accessTokens } = await grace.graphql('{ accessTokens { name } }');
    assert.deepEqual(accessTokens, []);
  },

  async 'a browser elsewhere is signed out from here'() {
    const other = await Person.at(CONSUMER, 'elsewhere');
    await other.signIn('admin@consumer.example.com');
    await other.heading('consumer');
    await grace.page.reload();
    await grace.page.getByRole('button', { name: /^Sign it out/ }).first().click();
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Sign it out' }).click();
    await grace.sees('Signed out there.');
    await other.goto('/health');
    await other.page.waitForURL(/sign-in/);
    await other.close();
  },

  async 'off-boarded by whoever enters the other side’s name, both see by whom and why, and the provider registers again'() {
    await ada.goto(`/connections/${await first(ada, 'connections')}`);
    await ada.press('Off-board');
    const dialog = ada.page.getByRole('dialog');
    await dialog.getByLabel(/^Enter/).fill('provider');
    await dialog.getByLabel('Reason').fill('The contract ended.');
    await dialog.getByRole('button', { name: 'Off-board' }).click();
    await ada.sees('Enter consumer, exactly as it is written here.');
    await ada.look('connection-offboard');
    await dialog.getByLabel(/^Enter/).fill('consumer');
    await ada.page.keyboard.press('Enter');
    await ada.page.getByRole('dialog', { name: 'Is it you?' }).getByLabel('Your password').fill(PASSWORD);
    await ada.page.keyboard.press('Enter');
    await ada.sees('Off-boarded by us.');
    await ada.sees('Both sides know.', 30_000);
    await ada.look('connection-offboarded');
    await grace.goto(`/connections/${connection}`);
    await grace.sees('Off-boarded by provider.', 30_000);
    await grace.sees(/The contract ended\./);
    assert.equal(await grace.page.getByRole('button', { name: /Suspend|Resume|Off-board|Register again/ }).count(), 0);
    await grace.look('connection-offboarded-by-them');
    await ada.press('Register again');
    await ada.heading('REG-000002');
  },

  async 'a session that ended is said to have ended, and signing in leads back'() {
    await grace.goto('/companies');
    await grace.heading('Companies');
    await grace.context.clearCookies();
    await grace.page.getByLabel('Search').fill('a');
    await grace.page.getByRole('dialog', { name: 'You are signed out' }).waitFor();
    await grace.look('signed-out');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
    await grace.signIn('admin@consumer.example.com');
    await grace.heading('Companies');
  },

  async 'no page of the router was left out, neither to the eye nor by keyboard'() {
    const program = await grace.page.locator('script[type=module]').getAttribute('src');
    const [, routes] = (await (await grace.page.request.get(new URL(program, CONSUMER).href)).text()).match(/const ROUTES = \[([^;]*)\];/);
    const patterns = [...routes.matchAll(/\['([^']+)'/g)].map(([, path]) => path);
    assert(patterns.length > 20, 'the routes were not found');
    for (const [what, paths] of Object.entries({ looked, walked })) {
      // A part that stands for itself is no name of something.
      const fits = (pattern, path) => path.split('/').length === pattern.split('/').length && pattern.split('/').every((part, at) => part === path.split('/')[at] || (part.startsWith(':') && !patterns.includes(path)));
      assert.deepEqual(patterns.filter((pattern) => ![...paths].some((path) => fits(pattern, path))), [], what);
    }
  },

  async 'signing out is one press in the menu'() {
    await grace.page.locator('.menu summary').click();
    await grace.look('menu');
    await grace.press('Sign out');
    await grace.heading('You are signed out');
    await grace.look('signed-out-page');
    await grace.goto('/companies');
    await grace.page.waitForURL(/sign-in/);
  },
});
