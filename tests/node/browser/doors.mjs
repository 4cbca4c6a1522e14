// The pages that the server draws, which work without script: documentation, signing in, opening a link, giving consent,
// and each refusal that a person meets there. All of them at every size and in both schemes, and by keyboard.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { CONSUMER, PROVIDER, Person, codeInLetter, host, linkInLetter, looked, run, until, walked } from './person.mjs';

const ADMIN = 'admin@consumer.example.com';
const AUDITOR = 'auditor@consumer.example.com';
const CONTACT = 'contact@consumer.example.com';
const COLLEAGUE = 'colleague@consumer.example.com';
const SOURCE = new URL('../../../api/src/http/', import.meta.url);
/** The templates that were seen. */
const seen = new Set();
let reader, grace, carl, link, connection, approval;

/** Looks at the page that the server drew from this template, and goes through it by keyboard. */
async function door(person, template, name) {
  seen.add(`${template}.html`);
  await person.look(name);
  await person.tabs(name);
}

/** Does something that the server answers with this status. */
async function answers(person, status, act) {
  if (status >= 400) person.expects(new RegExp(String(status)));
  const answer = person.page.waitForResponse((response) => response.request().isNavigationRequest() && response.status() === status);
  await act();
  await answer;
}

const wizard = (fields) => grace.graphql(`query($id: ID!) { connection(id: $id) { ${fields} } }`, { id: connection }).then((data) => data.connection);

/** The address at which the contact approves, another than this. */
const address = (before) => until('an address to approve at', async () => {
  const url = (await wizard('onboarding { authorizationUrl }')).onboarding?.authorizationUrl;
  return url !== before && url;
}, 30_000);

await run({
  async 'what a check asks and what a refusal means is documented for everybody'() {
    reader = await Person.at(PROVIDER, 'reader');
    for (const path of ['/docs/', '/docs/checks', '/docs/refusals', '/docs']) {
      await reader.goto(path);
      await reader.heading('Documentation');
      // The same page under each address.
      for (const paths of [looked, walked]) paths.add(path);
    }
    await door(reader, 'docs', 'docs');
    await reader.follow('Clock skew');
    await reader.heading('Check: Clock skew');
    await door(reader, 'message', 'docs-check');
    await reader.goto('/docs/refusals/link-contested');
    await reader.page.getByRole('heading', { name: 'What to do', level: 2 }).waitFor();
    await door(reader, 'message', 'docs-refusal');
    await reader.goto('/docs/outages');
    await reader.heading('What both sides show when something breaks');
    await door(reader, 'outages', 'docs-outages');
  },

  async 'an address under which there is nothing says so, and leads on'() {
    await answers(reader, 404, () => reader.goto('/docs/checks/nothing'));
    await door(reader, 'message', 'docs-nothing');
    await answers(reader, 404, () => reader.goto('/nothing/here'));
    await reader.heading('No such page');
    await door(reader, 'message', 'nothing-here');
    await reader.goto('/playground');
    assert.equal(new URL(reader.page.url()).pathname, '/sign-in', 'the playground is for people who signed in');
  },

  async 'a wrong password is told at the field, and so is that it was tried too often'() {
    await reader.page.fill('#email', 'stranger@provider.example.com');
    await reader.page.fill('#password', 'not the password');
    await answers(reader, 403, () => reader.press('Sign in'));
    await reader.sees('Not signed in.');
    await reader.finds('id', 'password');
    await door(reader, 'sign_in', 'sign-in-wrong');
    const form = { email: 'stranger@provider.example.com', password: 'not the password' };
    for (let i = 0; i < 10; i += 1) await reader.page.request.post(`${PROVIDER}/sign-in`, { form, headers: { origin: PROVIDER } });
    await reader.page.fill('#password', 'not the password');
    await answers(reader, 429, () => reader.press('Sign in'));
    await door(reader, 'sign_in', 'sign-in-limited');
  },

  async 'a wrong code is told, another email can be asked for, and the right code signs in'() {
    await reader.goto('/sign-in');
    await reader.page.fill('#email', CONTACT);
    await reader.press('Email me a one-time code instead');
    await reader.heading('Enter your code');
    await door(reader, 'code', 'code');
    await reader.page.fill('#code', '00000000');
    await answers(reader, 403, () => reader.press('Sign in'));
    await reader.finds('id', 'code');
    await door(reader, 'code', 'code-wrong');
    const before = await codeInLetter();
    await reader.press('Send another email');
    await reader.heading('Enter your code');
    await reader.page.fill('#code', await codeInLetter(before));
    await reader.press('Sign in');
    await reader.heading('provider');
  },

  async 'a form that another site sent does nothing, nor does one that is none'() {
    for (const [type, status, heading] of [['application/x-www-form-urlencoded', 403, 'This form came from somewhere else'], ['text/plain', 415, 'This form cannot be read']]) {
      await reader.page.goto('about:blank');
      await reader.page.setContent(`<form method="post" action="${PROVIDER}/connect" enctype="${type}"><button name="link" value="a">Go</button></form>`);
      await answers(reader, status, () => reader.press('Go'));
      await reader.heading(heading);
      await door(reader, 'message', heading.toLowerCase().replaceAll(' ', '-'));
    }
    await reader.close();
  },

  async 'without script, whoever got a link pastes it, signs in, and opens it'() {
    link = await linkInLetter();
    const nora = await Person.at(CONSUMER, 'without-script', { javaScriptEnabled: false });
    await nora.goto('/connect');
    await nora.page.locator('noscript .notice').waitFor();
    await nora.page.getByLabel('Registration link').fill(link);
    await nora.press('Continue');
    await nora.signIn(ADMIN);
    await nora.sees(PROVIDER);
    await nora.press('Open the invitation');
    await nora.page.waitForURL(/wizard/);
    await nora.page.locator('noscript p').waitFor();
    await nora.close();
  },

  async 'a link is pasted where there is none, and one that was damaged is told where it is entered'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.goto('/connect');
    await door(grace, 'connect', 'connect-paste');
    await grace.page.getByLabel('Registration link').fill(link.slice(0, -20));
    await answers(grace, 400, () => grace.press('Continue'));
    await grace.sees('This link cannot be used.');
    await grace.finds('id', 'link');
    await door(grace, 'connect', 'connect-damaged');
  },

  async 'a link that is pasted over the page is taken, and survives signing in and an account that may not open it'() {
    await grace.goto(link);
    await grace.sees(PROVIDER);
    await door(grace, 'connect', 'connect');
    await grace.press('Continue');
    await grace.page.waitForURL(/sign-in/);
    await door(grace, 'sign_in', 'sign-in');
    await grace.signIn(AUDITOR);
    await grace.sees('You are signed in.');
    await door(grace, 'connect', 'connect-signed-in');
    await answers(grace, 403, () => grace.press('Open the invitation'));
    await grace.heading('An administrator is needed');
    await door(grace, 'not_an_administrator', 'connect-no-administrator');
    await grace.press('Switch account');
    await grace.signIn(ADMIN);
    await grace.press('Open the invitation');
    await grace.page.waitForURL(/wizard/);
    connection = new URL(grace.page.url()).pathname.split('/')[2];
    const { company } = await grace.mutate('createCompany', { name: 'Provider Inc' }, 'company { id }');
    await grace.mutate('chooseProviderCompany', { connectionId: connection, companyId: company.id }, 'connection { state }');
    await grace.mutate('runPreOnboardingChecks', { connectionId: connection }, 'connection { state }');
    await until('validated', async () => (await wizard('state')).state === 'VALIDATED', 30_000);
    await grace.mutate('startOnboarding', { connectionId: connection }, 'connection { state }');
    approval = await address();
  },

  async 'whoever is not the contact is told who is, and switches the account at once'() {
    carl = await Person.at(PROVIDER, 'contact');
    await carl.goto(approval);
    await door(carl, 'sign_in', 'sign-in-to-approve');
    await answers(carl, 403, () => carl.signIn(COLLEAGUE));
    await carl.heading('Someone else is expected');
    await door(carl, 'mismatch', 'consent-wrong-person');
    await carl.press('Switch account');
    await carl.signIn(CONTACT);
    await carl.page.getByRole('button', { name: 'Allow' }).waitFor();
    await door(carl, 'consent', 'consent');
  },

  async 'an approval that is over says so, and what to do; the next one, without script, is given'() {
    await host('@later 660');
    carl.expects(/40\d/);
    await carl.press('Allow');
    await carl.page.getByRole('heading', { name: 'What to do', level: 2 }).waitFor();
    await door(carl, 'message', 'consent-over');
    const next = await address(approval);
    const nora = await Person.at(PROVIDER, 'contact-without-script', { javaScriptEnabled: false });
    await nora.goto(next);
    await nora.signIn(CONTACT);
    await nora.press('Allow');
    await nora.page.waitForURL((url) => url.origin === CONSUMER);
    await nora.close();
  },

  async 'an answer of the provider that belongs to nothing here is refused on a page'() {
    grace.expects(/40\d/);
    await grace.goto('/oauth/callback?state=nothing&code=nothing&iss=https%3A%2F%2Felsewhere.example');
    await grace.heading('The provider\'s answer was not taken');
    await grace.page.getByRole('link', { name: 'Your connections', exact: true }).waitFor();
    await door(grace, 'message', 'callback-refused');
    await grace.goto('/oauth/callback?error=nothing&code=nothing');
    await grace.heading('The provider\'s answer was not taken');
  },

  async 'whoever signs out is told what that means'() {
    await grace.goto('/');
    await grace.heading('consumer');
    await grace.page.locator('.menu summary').click();
    await grace.press('Sign out');
    await grace.heading('You are signed out');
    await door(grace, 'signed_out', 'signed-out-page');
  },

  async 'no page of the server was left out, neither to the eye nor by keyboard'() {
    // What the console is drawn into, and what the others are drawn into, are no pages of their own.
    const templates = fs.readdirSync(new URL('pages/templates/', SOURCE)).filter((name) => !['layout.html', 'console.html'].includes(name));
    assert.deepEqual(templates.filter((name) => !seen.has(name)), [], 'templates');
    const named = { AUTHORIZE: '/oauth/authorize', CALLBACK_PATH: '/oauth/callback' };
    const routes = ['docs', 'sign_in', 'connect', 'oauth'].flatMap((room) => [...fs.readFileSync(new URL(`${room}.rs`, SOURCE), 'utf8').matchAll(/\.route\((?:"([^"]+)"|(\w+)), get\(/g)]);
    // What is well known is for programs.
    const patterns = routes.map(([, path, name]) => path ?? named[name]).filter((path) => !path?.startsWith('/.well-known/'));
    assert(patterns.length > 12, 'the routes were not found');
    for (const [what, paths] of Object.entries({ looked, walked })) {
      const fits = (pattern) => [...paths].some((path) => new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`).test(path));
      assert.deepEqual(patterns.filter((pattern) => !fits(pattern)), [], what);
    }
  },
});
