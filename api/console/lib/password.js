// A password that somebody chooses: for themselves, or as an administrator for another person.
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { askFor, toast } from './say.js';
import { button } from './ui.js';
import { html } from './view.js';

export const PASSWORD = gql`mutation SetPassword($input: SetPasswordInput!) {
  setPassword(input: $input) { done refusal { ...RefusalParts } }
}
${REFUSAL}`;

const LEAST = 12;

export const HELP = `At least ${LEAST} characters.`;

/** What is wrong with a password as far as its length tells. */
export const passwordProblem = (password) => ([...password].length >= LEAST ? null : `Use at least ${LEAST} characters.`);

/** The control beside a person, for administrators. `act` carries it out. */
export function setPasswordFor(person, act) {
  async function press() {
    const said = await askFor({
      title: `Set a password for ${person.name}?`,
      body: 'Their old one works no more, and wherever they are signed in ends, access tokens too. Tell them the new one in person; they can change it under Your account.',
      confirm: 'Set it',
      cancel: 'Not now',
      fields: [{ name: 'password', type: 'password', label: 'New password', maxlength: 256, autocomplete: 'new-password', help: HELP, check: passwordProblem }],
    });
    if (said && await act.run(() => mutate(PASSWORD, { userId: person.id, password: said.password }))) toast(`${person.name} signs in with the new password from now on.`);
  }
  return button(html`Set a password<span class="unseen"> for ${person.name}</span>`, press, { kind: 'text' });
}
