// What the wizard and the classic form both ask of a connection on its way to being onboarded.
import { may } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { approval, failedPhase } from './phases.js';
import { button, notice } from './ui.js';
import { html, nothing } from './view.js';

const CHOOSE = gql`mutation ChooseCompany($input: ChooseProviderCompanyInput!) {
  chooseProviderCompany(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const CHECK = gql`mutation RunChecks($input: RunPreOnboardingChecksInput!) {
  runPreOnboardingChecks(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const START = gql`mutation StartOnboarding($input: StartOnboardingInput!) {
  startOnboarding(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const RETRY = gql`mutation RetryPhase($input: RetryPhaseInput!) {
  retryPhase(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
/** Has a fresh address to approve at made, for whoever asks. */
const AGAIN = gql`mutation ContinueAuthorization($input: ContinueAuthorizationInput!) {
  continueAuthorization(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** Says which company the provider is, unless that is known already, and has the checks run. */
export async function chooseAndCheck(id, known, company) {
  if (company !== known?.id) {
    const chosen = await mutate(CHOOSE, { connectionId: id, companyId: company });
    if (chosen.refusal) return chosen;
  }
  return mutate(CHECK, { connectionId: id });
}

/**
 * What whoever gets started must be allowed: to choose the company. Operators may run the checks, but one of these
 * asks whether whoever runs them is an administrator, so that theirs would fail.
 */
export const GET_STARTED = 'chooseProviderCompany';

/** Instead of a control that would be refused: why, and who can go on. */
export const cannot = (connection, name) => notice('warn', 'You cannot go on here.', html`<p>${connection.actions.find((action) => action.name === name)?.reason} Ask an administrator of this instance to open this page.</p>`);

/** While the contact is waited for: how they approve, and for those who may, what asks for it again; `send(operation, words)` does. */
export const awaited = (connection, busy, send) => approval(connection.onboarding, (label) => (may(connection, 'retryPhase')
  ? html`<div class="buttons">${button(label, () => send(AGAIN, 'A fresh address is being made.'), { kind: 'secondary', busy })}</div>`
  : nothing));

/** The states in which an attempt that was started is on its way. */
const ON_ITS_WAY = new Set(['AWAITING_VALIDATION', 'ONBOARDING']);

/**
 * Takes whoever starts an attempt here to the provider, once there is an address to approve it at. Who only looks on
 * stays, and so does who was refused; the address of another attempt than their own takes nobody anywhere.
 */
export function departure(all) {
  /** The number of the attempt before the one that was started here. */
  let before = null;
  const now = () => all.data.connection;

  /** Starts an attempt with `act`, which answers whether it was started. */
  async function begin(act) {
    const number = now().onboarding?.number ?? 0;
    const started = await act();
    await all.refresh();
    if (!started) return;
    before = number;
    follow();
  }

  /** Goes when it is time; called whenever the connection changed. */
  function follow() {
    if (before === null) return;
    const { state, onboarding } = now();
    const own = onboarding?.number > before ? onboarding : null;
    if (!ON_ITS_WAY.has(state) || (own && failedPhase(own))) before = null;
    else if (own?.authorizationUrl) {
      before = null;
      location.assign(own.authorizationUrl);
    }
  }

  return { begin, follow };
}
