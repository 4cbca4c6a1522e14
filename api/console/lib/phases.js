// The phases of onboarding, all listed up front, under the three messages that people are told.
import { badge, mark, notice, on, refusal, soon, spinner } from './ui.js';
import { html, nothing } from './view.js';

/** After this long a phase is said to take long. */
const LONG_MS = 20_000;
const MARKS = { DONE: 'good', SKIPPED: 'quiet', FAILED: 'bad', PENDING: 'quiet' };

function groups(phases) {
  const found = [];
  for (const phase of phases) {
    const last = found.at(-1);
    if (last?.message === phase.message) last.phases.push(phase);
    else found.push({ message: phase.message, phases: [phase] });
  }
  return found;
}

const isOver = (phase) => phase.state === 'DONE' || phase.state === 'SKIPPED';

const takesLong = (phase) => phase.state === 'RUNNING' && Date.now() - new Date(phase.startedAt) > LONG_MS;

/** The message people are told now, for the live region. */
export function message(attempt) {
  const current = attempt.phases.find((phase) => !isOver(phase));
  if (!current) return 'Onboarding Complete';
  return `${current.message}: ${current.label}.${failedTry(attempt)}${takesLong(current) && !waitsForContact(current) ? ' This takes longer than usual.' : ''}`;
}

/** Why the last try of what is tried again by itself failed, as a sentence to add; empty where none failed. */
export function failedTry(attempt) {
  const message = attempt?.phases.find(({ state }) => state === 'RUNNING')?.failure?.message;
  return message ? ` ${message}` : '';
}

/** The phase that failed, if one did. */
export const failedPhase = (attempt) => attempt?.phases.find((phase) => phase.state === 'FAILED');

/** How far the attempt is. */
export const phaseProgress = (attempt) => {
  const done = attempt.phases.filter(isOver).length;
  return html`<div class="progress"><progress max=${attempt.phases.length} value=${done} aria-label="Phases that are done"></progress><span class="small">${done} of ${attempt.phases.length} phases</span></div>`;
};

/** Why the last try of a phase failed that is tried again by itself. */
export const triedAgain = (phase) => (phase.failure && phase.nextTryAt ? html`<p class="small">${phase.failure.message} Next try ${soon(phase.nextTryAt)}; tried ${phase.tries} ${phase.tries === 1 ? 'time' : 'times'} so far.</p>` : nothing);

/** The phase in which the contact is waited for, while it runs. */
export const waitsForContact = (phase) => phase?.state === 'RUNNING' && phase.name === 'AUTHORIZE_CONTACT';

function detail(phase, contact) {
  const tried = triedAgain(phase);
  if (waitsForContact(phase)) return html`${tried}${contact}`;
  if (tried !== nothing) return tried;
  if (phase.state === 'FAILED') return phase.failure ? refusal(phase.failure) : nothing;
  if (takesLong(phase)) return html`<p class="small">This takes longer than usual. It is tried again by itself until ${on(phase.deadline)}; you can close this page.</p>`;
  return nothing;
}

/** `contact` is drawn while the contact is waited for. */
export const phaseList = (attempt, contact = nothing) => html`<ol class="phases">${groups(attempt.phases).map((group) => {
  const over = group.phases.every(isOver);
  const begun = group.phases.some((phase) => phase.state !== 'PENDING');
  return html`<li class="phase-group ${over ? 'over' : begun ? 'now' : ''}"><h3>${group.message}</h3>
    <ol>${group.phases.map((phase) => html`<li class="phase ${phase.state.toLowerCase()}">
      <div class="phase-line">${phase.state === 'RUNNING' ? spinner() : mark(MARKS[phase.state])}<span>${phase.label}</span><span class="phase-state">${phase.state === 'FAILED' ? badge('FAILED', phase.stateLabel) : phase.stateLabel}</span></div>
      ${detail(phase, contact)}</li>`)}</ol></li>`;
})}</ol>`;

/**
 * While the contact is waited for. The answer comes back to the account that began it, which alone has the address;
 * `again(label)` draws what makes a fresh one for whoever presses it.
 */
export function approval(attempt, again) {
  const until = attempt.authorizationExpiresAt;
  const how = attempt.authorizationUrl
    ? html`<p>Sign in there as the contact that the registration names. To approve on another device, first sign in there to this instance with this account. This page goes on by itself.</p>
      <p><a class="button" href=${attempt.authorizationUrl} rel="noreferrer">Approve at the provider</a></p>
      <p class="fine">The address behind this button is good until ${on(until)}; after that a fresh one is made by itself. If the provider says that it does not know it, make one now.</p>
      ${again('Make a fresh address')}`
    : until
      ? html`<p>Another account has the address to approve at. An administrator can ask with their own instead; the address before is void then.</p>${again('Ask with my account')}`
      : html`<p>The address to approve at is being made.</p>`;
  return html`<div class="approval">${notice('calm', 'The named contact approves on the provider’s instance.', how)}</div>`;
}
