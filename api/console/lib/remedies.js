// What to do about a finding: a call that the instance makes, a setting of the operator, or words.
import { may } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { ask } from './say.js';
import { html, nothing } from './view.js';
import { button } from './ui.js';

const APPLY = gql`mutation ApplyRemedy($input: ApplyRemedyInput!) {
  applyRemedy(input: $input) { scan { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What a press does, by the mutation that the remedy calls. */
const LABELS = {
  cancelRegistration: 'Cancel the other registration',
  discardStaleAttempts: 'Discard what is left',
  updateContact: 'Switch the account on',
  grantRole: 'Grant the role',
  syncConnectionSettings: 'Sync the settings',
  renewConnectionCredentials: 'Renew the credentials',
  refreshConnectionPeer: 'Ask the other side again',
  retryConnectionWork: 'Try the work again',
  resumeConnection: 'Resume the connection',
  retryPhase: 'Retry the phase that failed',
  startOnboarding: 'Start the registration',
  rotateKey: 'Rotate the key',
};

/** Remedies that leave something open, which a person enters on a page. */
const PAGES = {
  saveProviderRecord: html`<p>Save the provider record in the <a href="/provider">provider centre</a>.</p>`,
  chooseProviderCompany: html`<p>Choose the provider company, then get started again.</p>`,
  confirmSurvivor: html`<p>An administrator of this instance stops every other copy of it. Then, on the page of the connection, they confirm that this one goes on.</p>`,
};

const WORDS = { saveProviderRecord: 'Save the provider record in the provider centre.', chooseProviderCompany: 'Choose the provider company.', confirmSurvivor: 'Stop every other copy of this instance, then confirm on the page of the connection that this one goes on.' };

/** What is asked before a remedy that cannot be undone. */
const QUESTIONS = {
  cancelRegistration: {
    title: 'Cancel the other registration?',
    body: html`<p>Its link stops working, and an onboarding under way is undone on both sides. This is final; you can register the consumer anew.</p>`,
    confirm: 'Cancel the other registration',
    danger: true,
  },
};

/** What to do about a finding, in words only: for where there is nothing yet to press a button for. */
export function remedyWords({ kind, text, setting, value, mutation }) {
  if (text) return text;
  if (kind === 'CONFIG') return `An operator of this instance sets ${setting}, for example to ${value}.`;
  return mutation in WORDS ? WORDS[mutation] : mutation in LABELS ? `${LABELS[mutation]}.` : '';
}

/** A way to what a call is about, beside what was entered so far: another registration that is to be looked at first. */
export function remedyPlace(remedy) {
  const id = remedy?.variables?.find(({ name }) => name === 'registrationId')?.value;
  return id ? html`<a href="/registrations/${id}" target="_blank">See the other registration</a>` : nothing;
}

/** The sentence or control for an issue's remedy. `command` runs it; `done` is called with the scan that follows. */
export function remedy(issue, command, done) {
  const { kind, text, setting, value, mutation } = issue.remedy;
  if (kind === 'HUMAN') return html`<p>${text || 'Look at the documentation of the check.'}</p>`;
  if (kind === 'CONFIG') return html`<p>An operator of this instance sets <code>${setting}</code>, for example to <code>${value}</code>, and starts it again.</p>`;
  if (PAGES[mutation]) return PAGES[mutation];
  if (!may(issue, 'applyRemedy')) return html`<p>Ask an administrator of this instance: it is a press of a button for them.</p>`;
  const run = async () => {
    if (mutation in QUESTIONS && !await ask(QUESTIONS[mutation])) return;
    const payload = await command.run(() => mutate(APPLY, { issueId: issue.id }));
    if (payload) done(payload.scan);
  };
  return html`<div class="buttons">${button(LABELS[mutation] ?? 'Apply the remedy', run, { busy: command.busy, kind: 'secondary' })}${mutation in LABELS ? nothing : html` <code>${mutation}</code>`} ${remedyPlace(issue.remedy)}</div>`;
}
