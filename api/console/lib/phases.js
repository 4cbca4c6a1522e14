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
  return `${current.message}: ${current.label}.${takesLong(current) && current.name !== 'AUTHORIZE_CONTACT' ? ' This takes longer than usual.' : ''}`;
}

/** The phase that failed, if one did. */
export const failedPhase = (attempt) => attempt?.phases.find((phase) => phase.state === 'FAILED');

/** How far the attempt is. */
export const phaseProgress = (attempt) => {
  const done = attempt.phases.filter(isOver).length;
  return html`<div class="progress"><progress max=${attempt.phases.length} value=${done} aria-label="Phases that are done"></progress><span class="small">${done} of ${attempt.phases.length} phases</span></div>`;
};

function detail(phase, contact) {
  if (phase.state === 'RUNNING' && phase.name === 'AUTHORIZE_CONTACT') return contact;
  if (phase.failure && phase.nextTryAt) return html`<p class="small">${phase.failure.message} Next try ${soon(phase.nextTryAt)}; so far ${phase.tries}.</p>`;
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

/** While the contact is waited for. */
export const approval = (attempt) => html`<div class="approval">${notice('calm', 'The named contact approves on the provider’s instance.', html`
  ${attempt.authorizationUrl
    ? html`<p>Sign in there as the contact that the registration names. You can do it on another device, too: this page goes on by itself.</p>
      <p><a class="button" href=${attempt.authorizationUrl} rel="noreferrer">Approve at the provider</a></p>
      <p class="fine">Good until ${on(attempt.authorizationExpiresAt)}; after that a fresh one is made.</p>`
    : html`<p>The address to approve at is being made.</p>`}`)}</div>`;
