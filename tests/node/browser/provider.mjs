// The provider centre: record, company and contact, a registration with what is wrong said at once, a validation that
// fails and is resolved, and the link.
import assert from 'node:assert/strict';
import { CONSUMER, PASSWORD, PROVIDER, Person, host, run, until } from './person.mjs';

let ada;
const heading = (name) => ada.page.getByRole('heading', { name, exact: true });
const field = (label) => ada.page.getByLabel(label, { exact: true });
const register = async (url, contact) => {
  await ada.choose('Contact', 'second', contact);
  await field('URL of the consumer’s instance').fill(url);
  await ada.press('Save');
};

/** The next answer to this operation reaches the page only after what it tells of has changed, as on a slow line. */
const overtaken = (operation) => ada.page.evaluate((operation) => {
  const real = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await real(url, options);
    if (!options?.body?.includes?.(operation)) return answer;
    window.fetch = real;
    const text = await answer.text();
    const { registration } = JSON.parse(text).data;
    const query = 'query($id: ID!) { registration(id: $id) { state } }';
    const body = JSON.stringify({ query, variables: { id: registration.id } });
    for (let state = registration.state; state === 'AWAITING_VALIDATION';) {
      await new Promise((done) => setTimeout(done, 50));
      state = (await (await real('/graphql', { ...options, body })).json()).data.registration.state;
    }
    await new Promise((done) => setTimeout(done, 300));
    return new Response(text, { headers: { 'content-type': 'application/json' } });
  };
}, operation);

await run({
  async 'the provider record is changed, and a name that cannot be is refused where it is typed'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    await ada.follow('Provider centre');
    await ada.sees('acme-exchange');
    await ada.look('provider');
    await ada.press('Change');
    await field('Name of the service').fill('acme exchange');
    await ada.press('Save');
    await ada.sees('Letters, digits and dashes only.');
    await ada.finds('id', 'record-name');
    await ada.look('provider-problem');
    await field('Name of the service').fill('acme-exchange-2');
    await ada.press('Save');
    await ada.sees('The provider record was saved.');
    await ada.sees('acme-exchange-2');
  },

  async 'a company and its contact are added'() {
    await ada.follow('Companies');
    await heading('Companies').waitFor();
    await ada.look('companies');
    await field('Name').fill('Second Consumer');
    await ada.press('Add');
    await heading('Second Consumer').waitFor();
    await ada.sees('Nobody is known at this company yet.');
    await field('Name').fill('Second Person');
    await field('Email address').fill('nonsense');
    await ada.press('Add');
    await ada.sees('Enter an email address');
    await ada.look('company-problem');
    await field('Email address').fill('second@consumer.example.com');
    await ada.press('Add');
    await ada.sees('Second Person was added.');
    await ada.look('company');
  },

  async 'a contact is switched off after a question, which takes the focus and gives it back'() {
    await ada.page.getByRole('button', { name: 'Switch off Second Person' }).focus();
    await ada.page.keyboard.press('Enter');
    const dialog = ada.page.getByRole('dialog', { name: 'Switch Second Person off?' });
    await dialog.waitFor();
    await ada.look('company-ask');
    await ada.page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await ada.finds('textContent', /Switch off/);
    await ada.page.keyboard.press('Enter');
    await ada.press('Switch off');
    await ada.sees(/^The account of .* is switched off\.$/);
  },

  async 'what is wrong with a registration is said before it is saved'() {
    await ada.page.getByRole('main').getByRole('link', { name: 'Register a consumer' }).click();
    await heading('Register a consumer').waitFor();
    await field('URL of the consumer’s instance').fill('consumer');
    await ada.press('Save');
    await ada.sees('This is no URL.');
    await ada.look('register-problem');
    await field('URL of the consumer’s instance').fill(`${CONSUMER}/connect`);
    await ada.page.keyboard.press('Tab');
    await ada.sees('Only scheme, host and port');
    await field('URL of the consumer’s instance').fill(PROVIDER);
    await ada.page.keyboard.press('Tab');
    await ada.sees('This is our own URL.');
  },

  async 'the checks are tried before anything is saved'() {
    await field('URL of the consumer’s instance').fill(CONSUMER);
    await ada.press('Try the checks');
    await ada.sees('The checks would not pass yet.', 20_000);
    await ada.sees(/contact.s account is switched off|unfinished registration|registration/i);
    await ada.look('register-tried');
  },

  async 'a second registration for the same instance is refused with the reason, until the first is cancelled'() {
    const off = 'Switched off: Second Person <second@consumer.example.com>';
    await register(CONSUMER, off);
    await ada.sees('Finish or cancel it first.');
    await ada.finds('id', 'url');
    await ada.look('register-refused');
    await ada.goto(`/registrations/${process.env.REGISTRATION_ID}`);
    await heading('REG-000001').waitFor();
    // Whoever looks at the same instance again and again waits for their turn.
    await ada.sees('The link was sent to the contact.', 60_000);
    await ada.look('registration-sent');
    await ada.press('Cancel the registration');
    await ada.page.getByRole('dialog').getByRole('button', { name: 'Cancel the registration' }).click();
    await ada.page.locator('.badge', { hasText: 'Cancelled' }).waitFor();
    await ada.follow('Provider centre');
    await ada.page.getByRole('main').getByRole('link', { name: 'Register a consumer' }).click();
    await ada.choose('Company', 'second', 'Second Consumer');
    await overtaken('query Registration(');
    await register(CONSUMER, off);
    await heading('REG-000002').waitFor();
  },

  async 'validation fails: a banner leads to the health dashboard, which says what to do'() {
    await ada.page.locator('.badge', { hasText: 'Validation Failed' }).waitFor({ timeout: 20_000 });
    assert.equal(await ada.page.getByRole('heading', { name: 'Registration link' }).count(), 0, 'no link before that');
    await ada.look('registration-failed');
    await ada.tabs('registration-failed');
    await ada.follow('Open the health dashboard');
    await heading('Health dashboard').waitFor();
    await ada.sees(/contact.s account is switched off/);
    await ada.look('health-issue');
  },

  async 'a remedy that cannot be undone is asked about first, with a way to what it is about'() {
    const variables = [{ name: 'registrationId', value: process.env.REGISTRATION_ID }];
    const end = await ada.alters('query Health(', ({ issues }) => Object.assign(issues.edges[0].node.remedy, { mutation: 'cancelRegistration', variables }));
    let applied = 0;
    const watch = await ada.meddle('mutation ApplyRemedy', (route) => {
      applied += 1;
      return route.abort();
    });
    await ada.page.reload();
    await ada.page.getByRole('link', { name: 'See the other registration' }).waitFor();
    await ada.press('Cancel the other registration');
    await ada.page.getByRole('dialog', { name: 'Cancel the other registration?' }).waitFor();
    await ada.look('health-remedy');
    await ada.page.keyboard.press('Escape');
    await ada.finds('textContent', 'Cancel the other registration');
    assert.equal(applied, 0);
    await watch();
    await end();
    await ada.page.reload();
  },

  async 'an issue is taken on, and muted with a reason and an end'() {
    await ada.press('Look after it');
    await ada.sees('looks after it.');
    await ada.press('Mute');
    const dialog = ada.page.getByRole('dialog', { name: 'Mute this issue?' });
    await dialog.getByRole('button', { name: 'Mute' }).click();
    await ada.sees('Say why, for those who come after you.');
    await ada.look('health-mute');
    await ada.tabs('health-mute');
    await dialog.getByLabel('Why').fill('The contact starts on Monday.');
    await dialog.getByRole('button', { name: 'Mute' }).click();
    await ada.sees(/The contact starts on Monday/);
    await ada.look('health-muted');
    await ada.press('Unmute');
    await ada.sees('heard again.');
    await until('it is muted no more', async () => await ada.page.getByText(/The contact starts on Monday/).count() === 0);
    await ada.page.getByRole('button', { name: 'Stop following' }).waitFor();
    await ada.page.getByLabel('Show').selectOption('followed');
    await ada.sees(/contact.s account is switched off/);
    await ada.page.getByLabel('Show').selectOption('mine');
    await ada.sees(/contact.s account is switched off/);
    await ada.goto('/account');
    await heading('What you follow').waitFor();
    await ada.look('account-followed');
    await ada.page.getByRole('main').getByRole('link', { name: /contact.s account is switched off/ }).first().click();
    await heading('What is wrong').waitFor();
    await ada.look('issue');
  },

  async 'the remedy is one press away; resolved, the registration opens by itself and the letter goes out'() {
    await ada.press('Switch the account on');
    await ada.sees('It is resolved.', 20_000);
    await ada.look('issue-resolved');
    await ada.follow('Provider centre');
    await ada.follow('REG-000002');
    await ada.page.locator('.badge', { hasText: 'Open' }).waitFor();
    // Whoever looks at the same instance again and again waits for their turn.
    await ada.sees('The link was sent to the contact.', 60_000);
    await ada.look('registration-open');
  },

  async 'who edits what somebody else has changed meanwhile sees theirs beside their own, and chooses'() {
    const id = new URL(ada.page.url()).pathname.split('/').pop();
    const query = 'query($id: ID!) { registration(id: $id) { revision contact { id } company { id } } }';
    const { registration } = await ada.graphql(query, { id });
    const { contact } = await ada.mutate('createContact', { companyId: registration.company.id, name: 'Third Person', email: 'third@consumer.example.com' }, 'contact { id }');
    const { contact: fourth } = await ada.mutate('createContact', { companyId: registration.company.id, name: 'Fourth Person', email: 'fourth@consumer.example.com' }, 'contact { id }');
    await ada.page.reload();
    await ada.press('Change contact or URL');
    await field('URL of the consumer’s instance').fill(`${CONSUMER}/path`);
    await ada.press('Save');
    await ada.finds('id', 'url');
    await field('URL of the consumer’s instance').fill(CONSUMER);
    await ada.choose('Contact', 'third', 'Third Person <third@consumer.example.com>');
    const change = { registrationId: id, contactId: fourth.id, expectedRevision: registration.revision };
    await ada.mutate('updateRegistration', change, 'registration { id }');
    await ada.sees('Somebody changed this since you began.');
    await ada.sees('Contact: now Fourth Person; yours Third Person');
    await ada.press('Save');
    await ada.page.getByRole('alert').filter({ hasText: 'Nothing was saved' }).waitFor();
    await ada.look('registration-conflict');
    assert.equal((await ada.graphql(query, { id })).registration.contact.id, fourth.id, 'nobody’s change is taken back unseen');
    await ada.press('Keep mine');
    await ada.press('Save');
    await ada.sees(/^REG-\d+: saved\.$/);
    assert.equal((await ada.graphql(query, { id })).registration.contact.id, contact.id);
    await ada.page.locator('.badge', { hasText: 'Open' }).waitFor();
  },

  async 'a new link is shown once, and is no longer there after a reload'() {
    await ada.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await ada.press('Make a new link');
    await ada.page.getByRole('dialog').getByRole('button', { name: 'Make a new link' }).click();
    const secret = ada.page.locator('.secret');
    await secret.waitFor();
    assert((await secret.innerText()).startsWith(`${CONSUMER}/connect#`));
    await ada.look('registration-link');
    await ada.press('Copy the link');
    await ada.sees('Link copied');
    assert.equal(await ada.page.evaluate(() => navigator.clipboard.readText()), await secret.innerText());
    await ada.page.reload();
    // Whoever looks at the same instance again and again waits for their turn.
    await ada.sees('The link was sent to the contact.', 60_000);
    assert.equal(await secret.count(), 0);
  },

  async 'after a while the same control is still there, and asks for the password first'() {
    await host('@later 360');
    await ada.page.reload();
    await ada.press('Make a new link');
    await ada.page.getByRole('dialog').getByRole('button', { name: 'Make a new link' }).click();
    const dialog = ada.page.getByRole('dialog', { name: 'Is it you?' });
    await dialog.getByLabel('Your password').fill(PASSWORD);
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await ada.page.locator('.secret').waitFor();
  },

  async 'of any number of companies each can be chosen, by a part of its name'() {
    for (let i = 0; i < 60; i += 1) await ada.mutate('createCompany', { name: `Company ${i}` }, 'company { id }');
    await ada.goto('/registrations/new');
    await heading('Register a consumer').waitFor();
    const company = ada.page.getByRole('combobox', { name: 'Company', exact: true });
    const list = ada.page.getByRole('listbox', { name: 'Company: what fits', exact: true });
    const { keyboard } = ada.page;
    await company.focus();
    await keyboard.press('ArrowDown');
    await list.getByRole('option', { name: 'Company 59', exact: true }).waitFor();
    await ada.sees('There are more: type a part of the name.');
    assert.equal(await list.getByRole('option', { name: 'Consumer Ltd' }).count(), 0, 'the oldest is not among the newest');
    await ada.look('register-many');
    await keyboard.type('nobody');
    await ada.sees('Nothing fits “nobody”.');
    await company.fill('company 5');
    await list.getByRole('option', { name: 'Company 5', exact: true }).waitFor();
    await ada.hears('11 companies found.');
    await keyboard.press('ArrowDown');
    assert.equal(await list.getByRole('option', { selected: true }).innerText(), 'Company 5', 'what is named exactly so comes first');
    await keyboard.press('ArrowUp');
    assert.equal(await list.getByRole('option').last().getAttribute('aria-selected'), 'true', 'round and round');
    await keyboard.press('ArrowDown');
    await ada.look('register-found');
    const active = await company.getAttribute('aria-activedescendant');
    assert.equal(await ada.page.locator(`[id="${active}"]`).innerText(), 'Company 5');
    await keyboard.press('Enter');
    await list.waitFor({ state: 'hidden' });
    assert.equal(await company.inputValue(), 'Company 5');
    await ada.sees('This company has no contact here yet.');
  },

  async 'what is typed in whole is chosen; what fits nothing is not, and is said to be missing'() {
    const company = ada.page.getByRole('combobox', { name: 'Company', exact: true });
    await company.press('Escape');
    assert.equal(await company.inputValue(), '', 'Escape clears a field whose list is closed');
    await company.fill('consumer ltd');
    await company.press('Tab');
    await until('it is taken by its name', async () => await company.inputValue() === 'Consumer Ltd');
    await ada.page.getByRole('combobox', { name: 'Contact', exact: true }).waitFor();
    await company.fill('consumer x');
    await ada.sees('Nothing fits “consumer x”.');
    await ada.press('Save');
    await ada.sees('Choose the company.');
    await ada.finds('id', 'companyId');
    assert.equal(await company.inputValue(), 'consumer x', 'what was typed stays to be mended');
  },

  async 'who edits the provider record is shown what somebody else made of it meanwhile'() {
    await ada.follow('Provider centre');
    await ada.page.getByRole('button', { name: 'Change', exact: true }).click();
    await field('Name of the service').fill('acme-exchange-3');
    const { providerRecord } = await ada.graphql('{ providerRecord { revision } }');
    await ada.mutate('saveProviderRecord', { name: 'acme-exchange-4', expectedRevision: providerRecord.revision }, 'providerRecord { name }');
    await ada.sees('Name: now acme-exchange-4; yours acme-exchange-3');
    await ada.press('Save');
    await ada.page.getByRole('alert').filter({ hasText: 'Nothing was saved' }).waitFor();
    await ada.press('Take theirs');
    assert.equal(await field('Name of the service').inputValue(), 'acme-exchange-4');
    await ada.press('Do not save');
  },

  async 'the list finds by number and state'() {
    await ada.goto('/provider');
    await ada.page.getByLabel('State').selectOption('CANCELLED');
    await ada.page.getByRole('link', { name: 'REG-000001' }).waitFor();
    await until('the other is filtered out', async () => await ada.page.getByRole('link', { name: 'REG-000002' }).count() === 0);
    await ada.look('provider-filtered');
  },
});
