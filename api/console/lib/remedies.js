// What to do about a finding: a call that a button makes, a setting of the operator, or words.
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { html, nothing } from './view.js';
import { button } from './ui.js';

const CALLS = {
  discardStaleAttempts: {
    label: 'Discard what is left',
    operation: gql`mutation DiscardStaleAttempts($input: DiscardStaleAttemptsInput!) {
      discardStaleAttempts(input: $input) { subjectId refusal { ...RefusalParts } }
    }
    ${REFUSAL}`,
  },
  updateContact: {
    label: 'Switch the account on',
    operation: gql`mutation ActivateContact($input: UpdateContactInput!) {
      updateContact(input: $input) { contact { id active revision } refusal { ...RefusalParts } }
    }
    ${REFUSAL}`,
  },
  grantRole: {
    label: 'Grant the role',
    operation: gql`mutation GrantRole($input: GrantRoleInput!) {
      grantRole(input: $input) { contact { id roles } refusal { ...RefusalParts } }
    }
    ${REFUSAL}`,
  },
};

const WORDS = { true: true, false: false };

/** The sentence or control for a remedy. `command` runs calls; `done` is called after one succeeded. */
export function remedy(remedy, command, done) {
  if (!remedy) return nothing;
  if (remedy.kind === 'HUMAN') return html`<p>${remedy.text || 'Look at the documentation of the check.'}</p>`;
  if (remedy.kind === 'CONFIG') return html`<p>An operator of this instance sets <code>${remedy.setting}</code>, for example to <code>${remedy.value}</code>, and starts it again.</p>`;
  const call = CALLS[remedy.mutation];
  if (call) {
    const input = Object.fromEntries(remedy.variables.map(({ name, value }) => [name, WORDS[value] ?? value]));
    const run = async () => {
      if (await command.run(() => mutate(call.operation, input))) done();
    };
    return html`<div class="buttons">${button(call.label, run, { busy: command.busy, kind: 'secondary' })}</div>`;
  }
  if (remedy.mutation === 'saveProviderRecord') return html`<p>Save the provider record in the <a href="/provider">provider centre</a>.</p>`;
  if (remedy.mutation === 'chooseProviderCompany') return html`<p>Choose the provider company, then get started again.</p>`;
  return html`<p>Through the API: <code>${remedy.mutation}</code>.</p>`;
}
