// What people do on the pages of two connected instances, day by day; and what is shown when there is no network and no
// session.
import assert from 'node:assert/strict';
import { CONSUMER, PASSWORD, PROVIDER, Person, host, mail, offered, run, until } from './person.mjs';

let ada, grace, connection;

await run({
  async 'a provider offers two definitions, and the consumer hears of them'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    for (const name of ['order-form', 'return-form']) {
      await ada.mutate('saveDefinition', { kind: 'RECORD_PRODUCER', name, description: 'Parts.', fieldSchema: '{"type":"object","properties":{}}' }, 'definition { id }');
    }
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    connection = await grace.first('connections');
    await offered(grace, connection, 2);
  },

  async 'a person is added, and a role is granted after a question'() {
    await ada.goto('/people');
    await ada.heading('People');
    await ada.look('people-list');
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

  async 'somebody who left is switched off, and on again; whoever holds a key role sets their own password'() {
    await ada.press('Switch off Second Person');
    await ada.page.getByRole('dialog', { name: 'Switch Second Person off?' }).waitFor();
    await ada.look('people-switch');
    await ada.press('Switch off');
    await ada.sees('The account of Second Person is switched off.');
    const other = await Person.at(PROVIDER, 'second');
    other.expects(/403/);
    await other.goto('/sign-in');
    await other.page.fill('#email', 'second@provider.example.com');
    await other.page.fill('#password', 'a password for the second');
    await other.press('Sign in');
    await other.sees('Not signed in.');
    await other.close();
    await ada.press('Switch on Second Person');
    await ada.page.getByRole('button', { name: 'Switch off Second Person' }).waitFor();
    await grace.goto('/people');
    const controls = (email) => grace.page.getByRole('row').filter({ hasText: email }).getByRole('button', { name: /^Set a password/ });
    await controls('operator@consumer.example.com').waitFor();
    assert.equal(await controls('auditor@consumer.example.com').count(), 0);
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
    await grace.goto('/checks');
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
    assert.equal(await grace.page.locator('.notice.bad').count(), 0, 'what failed before is over');
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
    await ada.page.locator('.page-head .badge', { hasText: 'Suspended' }).waitFor();
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
    await dialog.locator('.problem').waitFor();
    await grace.finds('id', 'step-up');
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
    await dialog.getByLabel('Code from the email').waitFor();
    await ada.hears('An email with a code is on its way to you.');
    await ada.finds('id', 'step-up');
    await ada.look('step-up-code');
    await ada.tabs('step-up-code');
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await ada.sees('Enter the code from the email.');
    const letter = () => mail().findLast(({ head }) => /^Subject: Your code to confirm/m.test(head));
    await dialog.getByLabel('Code from the email').fill((await until('the letter', letter)).text.match(/^\s*(\d{8})\s*$/m)[1]);
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
    const { accessTokens } = await grace.graphql('{ accessTokens { edges { node { name } } } }');
    assert.deepEqual(accessTokens.edges, []);
  },

  async 'a browser elsewhere is signed out from here'() {
    const other = await Person.at(CONSUMER, 'elsewhere');
    await other.signIn('admin@consumer.example.com');
    await other.heading('consumer');
    await grace.page.reload();
    await grace.page.getByRole('button', { name: /^Sign it out/ }).first().click();
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Sign it out' }).click();
    await grace.sees('Signed out there.');
    // Its stream has ended with the session.
    other.expects(/401/);
    await other.goto('/health');
    await other.page.waitForURL(/sign-in/);
    await other.close();
  },

  async 'off-boarded by whoever enters the other side’s name, both see by whom and why, and the provider registers again'() {
    await ada.goto(`/connections/${await ada.first('connections')}`);
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
    grace.expects(/401/);
    await grace.context.clearCookies();
    await grace.page.getByLabel('Search').fill('a');
    await grace.page.getByRole('dialog', { name: 'You are signed out' }).waitFor();
    await grace.look('signed-out');
    await grace.page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click();
    await grace.signIn('admin@consumer.example.com');
    await grace.heading('Companies');
  },

  async 'signing out is one press in the menu'() {
    await grace.page.locator('.menu summary').click();
    await grace.look('menu');
    await grace.press('Sign out');
    await grace.heading('You are signed out');
    await grace.goto('/companies');
    await grace.page.waitForURL(/sign-in/);
  },
});
