// Every letter as its reader sees it: the HTML at each size and in both schemes, and the text no wider than a letter is.
import assert from 'node:assert/strict';
import { PROVIDER, Person, mail, run, until } from './person.mjs';

let ada;
const KINDS = { 'registration-link': /^Subject: Connect your instance/m, 'sign-in-code': /^Subject: Your sign-in code/m, 'confirmation-code': /^Subject: Your code to confirm/m, issues: /issues about/, 'onboarding-complete': /^Subject: Connected to/m };
const found = (pattern) => mail().find((letter) => pattern.test(letter.head));

await run({
  async 'one letter of each kind is on its way'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.goto('/sign-in');
    await ada.page.fill('#email', 'contact@consumer.example.com');
    await ada.press('Email me a one-time code instead');
    await ada.heading('Enter your code');
    await ada.goto('/sign-in');
    await ada.signIn('admin@provider.example.com');
    await ada.mutate('requestStepUpCode', {}, 'done');
    const { company } = await ada.mutate('createCompany', { name: 'A Company with a Rather Long Name, to Be Read on a Narrow Screen' }, 'company { id }');
    const { contact } = await ada.mutate('createContact', { companyId: company.id, name: 'Second Person', email: 'second@consumer.example.com' }, 'contact { id }');
    await ada.mutate('updateContact', { userId: contact.id, active: false }, 'contact { id }');
    await ada.mutate('createRegistration', { companyId: company.id, contactId: contact.id, url: 'https://nowhere.example.org', environment: 'NON_PRODUCTION' }, 'registration { id }');
    for (const [name, pattern] of Object.entries(KINDS)) await until(`a letter: ${name}`, () => found(pattern), 30_000);
  },

  async 'each looks right as HTML'() {
    for (const [name, pattern] of Object.entries(KINDS)) {
      await ada.page.goto('about:blank');
      await ada.page.setContent(found(pattern).html);
      await ada.heading(/./);
      await ada.look(`letter-${name}`);
    }
  },

  async 'each reads well as text'() {
    for (const [name, pattern] of Object.entries(KINDS)) {
      const { text } = found(pattern);
      assert(text.startsWith('Hello '), `${name}: ${text}`);
      const wide = text.split(/\r?\n/).filter((line) => line.length > 78 && !line.includes('https://'));
      assert.deepEqual(wide, [], name);
    }
  },
});
