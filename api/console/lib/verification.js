// Verifying a connection: real messages both ways, and what each step found.
import { offered } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { announce } from './say.js';
import { badge, button, mark, on, outcome, refusal, section, spinner } from './ui.js';
import { html, nothing } from './view.js';

export const VERIFICATION = gql`fragment VerificationParts on ConnectionVerification {
  startedAt finishedAt state stateLabel
  steps { name label state stateLabel roundTripMs ours theirs failure { ...RefusalParts } }
}
${REFUSAL}`;

const VERIFY = gql`mutation VerifyConnection($input: VerifyConnectionInput!) {
  verifyConnection(input: $input) { verification { startedAt state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const TONES = { PASSED: 'good', FAILED: 'bad' };

/** What was held on both sides, where it is compared. */
const compared = ({ ours, theirs, state }) => (ours === null && theirs === null ? nothing
  : state === 'PASSED' ? html`<details class="more"><summary>The same on both sides</summary><code>${ours}</code></details>`
    : html`We hold <code>${ours ?? 'nothing'}</code>, they hold <code>${theirs ?? 'nothing'}</code>.`);

const step = (one) => html`<li class=${TONES[one.state] ?? 'waiting'}>
  ${one.state === 'RUNNING' ? spinner() : mark(TONES[one.state] ?? 'quiet')}
  <span class="check-name">${one.label}</span>
  <span class="check-answer">${one.stateLabel}${one.roundTripMs === null ? nothing : html` in ${one.roundTripMs} ms`}</span>
  <span class="check-asks small">${compared(one)}</span>
  ${one.failure ? html`<div class="check-asks">${refusal(one.failure)}</div>` : nothing}</li>`;

/** The panel of a connection's page. `command` runs the verification, `refresh` loads the connection again. */
export function verification(connection, command, refresh) {
  const found = connection.verification;
  const verb = connection.actions.find((action) => action.name === 'verifyConnection');
  if (!offered(verb) && !found) return nothing;
  const running = found?.state === 'RUNNING';
  const verify = async () => {
    if (await command.run(() => mutate(VERIFY, { connectionId: connection.id }))) announce('The connection is being verified.');
    await refresh();
  };
  return section('verification', 'Verification', html`
    <p class="small">Sealed messages go both ways over the real path, and both sides compare keys, settings and versions.${found ? html` Last verified ${on(found.startedAt)}.` : nothing}</p>
    ${found ? html`<ol class="checks">${found.steps.map(step)}</ol>` : nothing}
    ${outcome(command)}
    <div class="buttons">${offered(verb) ? button('Verify the connection', verify, { kind: 'secondary', busy: command.busy || running }) : html`<p class="small">${verb?.reason}</p>`}</div>`,
  { aside: found ? badge(found.state, found.stateLabel) : nothing });
}
