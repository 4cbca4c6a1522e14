// Create your connection: from the link in a letter to *Onboarded*, one step after the other.
// Everything shown is read from the instance, so the page can be closed at any time and opened on another device.
import { may } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { checklist, issueList, progress, warningList, warnings } from '../lib/checks.js';
import { DIRECTION, ISSUE, ONBOARDING, REFUSAL, SCAN } from '../lib/fragments.js';
import { CHECK, GET_STARTED, RETRY, START, awaited, cannot, chooseAndCheck, departure } from '../lib/onboarding.js';
import { failedPhase, message, phaseList, phaseProgress, waitsForContact } from '../lib/phases.js';
import { command, ofAnother, resource } from '../lib/resource.js';
import { announce, ask, toast } from '../lib/say.js';
import { address, badge, button, connectionBadge, directionBadge, facts, fingerprint, head, notice, on, outcome, section } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';
import { companyChoice } from './company-choice.js';

const CONNECTION = gql`query Wizard($id: ID!) {
  connection(id: $id) {
    id role state stateLabel validatedAt onboardedAt
    company { id name }
    peer { name origin fingerprintText version }
    actions { name label allowed needsStepUp reason }
    latestScan { ...ScanParts }
    issues { ...IssueParts }
    onboarding { ...OnboardingParts }
    outbound { ...DirectionParts }
    inbound { ...DirectionParts }
  }
  companies(first: 1) { edges { node { id } } }
  suites { code label checks { code label asks } }
}
${SCAN} ${ISSUE} ${ONBOARDING} ${DIRECTION}`;

const OVER = gql`mutation StartOver($input: StartOverInput!) {
  startOver(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const CANCEL = gql`mutation CancelOnboarding($input: CancelOnboardingInput!) {
  cancelOnboarding(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const STEPS = ['Open the link', 'Select the provider', 'Run the checks', 'Register', 'Configure settings'];
const STEP_OF = { PENDING: 1, AWAITING_VALIDATION: 2, VALIDATION_FAILED: 2, VALIDATED: 3, ONBOARDING: 3, ONBOARDED: 4, SUSPENDED: 4 };

/** What whoever is allowed any of it can do on the classic form, too. */
const VERBS = [GET_STARTED, 'startOnboarding', 'retryPhase', 'startOver', 'cancelOnboarding'];

export default function wizard({ params, update, navigate, viewer }) {
  const id = params.id;
  const all = resource(CONNECTION, { id }, changed);
  const act = command(update);
  const choice = companyChoice(update, () => all.refresh());
  const issues = issueList(update, () => all.refresh(), viewer);
  const leave = departure(all);
  let said = null;

  function changed() {
    const connection = all.data?.connection;
    if (connection) {
      speak(connection);
      leave.follow();
    }
    update();
  }

  function speak(connection) {
    const attempt = connection.onboarding;
    const words = connection.state === 'ONBOARDING' && attempt ? message(attempt) : connection.stateLabel;
    if (said !== null && words !== said) announce(words);
    said = words;
  }

  async function getStarted(connection) {
    const company = await choice.settle(connection, all.data.companies.edges.length > 0);
    if (!company) return;
    const done = await act.run(() => chooseAndCheck(id, connection.company, company));
    if (done) announce('The checks run.');
    await all.refresh();
  }

  const start = (operation) => leave.begin(() => act.run(() => mutate(operation, { connectionId: id })));

  async function simple(operation, words) {
    if (await act.run(() => mutate(operation, { connectionId: id }))) toast(words);
    await all.refresh();
  }

  async function startOver() {
    const sure = await ask({
      title: 'Start over?',
      body: html`<p>What this attempt made is undone on both sides, and a new attempt begins. The registration link stays good.</p>`,
      confirm: 'Start over',
    });
    if (sure) await start(OVER);
  }

  async function cancel() {
    const sure = await ask({
      title: 'Cancel onboarding?',
      body: html`<p>What this attempt made is undone on both sides. You can get started again with the same link, as long as it is good.</p>`,
      confirm: 'Cancel onboarding',
      danger: true,
    });
    if (sure) await simple(CANCEL, 'Onboarding was cancelled. Nothing is left of the attempt.');
  }

  function provider(connection) {
    return section('provider', 'Who invites you', html`${facts([
      connection.peer.name && ['Provider', connection.peer.name],
      ['Its instance', address(connection.peer.origin)],
      connection.company && ['Company', connection.company.name],
    ])}
    <details class="more" ?open=${connection.state === 'VALIDATED'}><summary>Compare the fingerprint</summary>
      <p>The letter, and the page on which the contact approves, must show the same. If one differs, stop.</p>${fingerprint(connection.peer.fingerprintText)}</details>`);
  }

  const choose = (connection, known, again = false) => section('choose', again ? 'Run all checks again' : 'Select provider', html`
    <p>${again ? 'For this company, or for another that this provider is.' : may(connection, GET_STARTED) ? 'Say which company this provider is. It is how people here find the connection again.' : connection.company ? 'The checks come next.' : 'Which company this provider is has not been said yet.'}</p>
    ${may(connection, GET_STARTED)
      ? html`${choice.view(connection, known)}
        <div class="buttons">${button(again ? 'Run the checks' : 'Get Started', () => getStarted(connection), { busy: act.busy, kind: again ? 'secondary' : '' })}</div>
        <p class="small">Only the checks contact the other instance. It takes a few seconds.</p>`
      : cannot(connection, GET_STARTED)}`);

  const checking = (connection, suites) => section('checks', 'Checks are running', html`
    <p>Each question is answered by this instance, or by asking the provider’s. You can close this page and come back.</p>
    ${connection.latestScan ? html`${progress(connection.latestScan)}${checklist(connection.latestScan, suites)}` : nothing}`, { aside: badge(connection.state, connection.stateLabel) });

  const failedChecks = (connection, suites, known) => html`
    ${section('issues', 'What has to be mended', html`
      <p>Registration cannot start yet. ${connection.issues.some((issue) => may(issue, 'validateIssue')) ? 'Mend each issue, then validate it' : 'An operator or administrator of this instance mends each issue and validates it'}: when the last one is resolved or waived, the connection becomes <em>Validated</em> by itself.</p>
      ${connection.issues.length ? issues(connection.issues) : notice('warn', 'The scan itself did not come to an end.', html`<p>No issue stands in the way. Run the checks again.</p>`)}`, { aside: badge(connection.state, connection.stateLabel) })}
    ${may(connection, GET_STARTED) || !connection.issues.length ? choose(connection, known, true) : nothing}
    ${connection.latestScan && !connection.latestScan.only ? html`<details class="panel more"><summary>All checks of the last scan</summary>${checklist(connection.latestScan, suites)}</details>` : nothing}`;

  function validated(connection, suites) {
    const scan = connection.latestScan;
    const worth = scan && !scan.only ? warnings(scan) : [];
    return section('ready', 'Ready to register', html`
      <p>All checks passed${connection.validatedAt ? html`, ${on(connection.validatedAt)}` : nothing}. <em>Start Registration</em> takes you to the provider, where the named contact signs in and allows the connection. Then both instances exchange keys and settings.</p>
      ${worth.length ? warningList(worth) : nothing}
      ${may(connection, 'startOnboarding')
        ? html`<div class="buttons">${button('Start Registration', () => start(START), { busy: act.busy })}
          ${button('Run the checks again', () => simple(CHECK, 'The checks run.'), { kind: 'secondary', busy: act.busy })}</div>`
        : cannot(connection, 'startOnboarding')}
      ${scan && !scan.only ? html`<details class="more"><summary>What was checked</summary>${checklist(scan, suites)}</details>` : nothing}`, { aside: badge(connection.state, connection.stateLabel) });
  }

  function onboarding(connection) {
    const attempt = connection.onboarding;
    if (!attempt) return nothing;
    const failed = failedPhase(attempt);
    const ways = ['retryPhase', 'startOver', 'cancelOnboarding'].some((name) => may(connection, name)) ? 'Nothing is spoilt: retry it, start over, or cancel.' : 'Nothing is spoilt. An administrator of this instance can retry it, start over, or cancel.';
    return section('progress', failed ? 'Registration stopped' : 'Registration is under way', html`
      ${failed ? html`<p>The phase <strong>“${failed.label}”</strong> failed. ${ways}</p>` : html`<p>${attempt.phases.some(waitsForContact) ? 'It waits until the named contact approves. You can close this page, and come back from any device.' : 'You can close this page: it goes on by itself, and you can look again from any device.'}</p>`}
      ${phaseProgress(attempt)}
      ${phaseList(attempt, awaited(connection, act.busy, simple))}
      <div class="buttons">
        ${failed && may(connection, 'retryPhase') ? button('Retry', () => simple(RETRY, 'The phase is tried again.'), { busy: act.busy }) : nothing}
        ${may(connection, 'startOver') ? button('Start over', startOver, { kind: 'secondary', busy: act.busy }) : nothing}
        ${may(connection, 'cancelOnboarding') ? button('Cancel', cancel, { kind: 'secondary', busy: act.busy }) : nothing}
      </div>`, { aside: failed ? badge('FAILED', 'Failed') : badge(connection.state, connection.stateLabel) });
  }

  /** Whoever comes back later is told what became of it. */
  function outcomeOf({ outbound, peer }) {
    const them = peer.name ?? host(peer.origin);
    return outbound.status === 'SUSPENDED'
      ? notice('warn', `Suspended by ${them}.`, html`<p>It was onboarded, and all settings have synced. Nothing is exchanged until ${them} resumes it. <a href="/connections/${id}">Why, and what to do</a></p>`)
      : notice('good', 'Onboarding Complete', html`<p>This instance and ${them} are connected. All settings have synced.</p>`);
  }

  const success = (connection) => html`
    ${outcomeOf(connection)}
    ${section('done', 'Your connection', html`
      ${facts([
        ['State', connectionBadge(connection)],
        ['Provider', html`${connection.peer.name ?? connection.company?.name}<br><span class="quiet">${address(connection.peer.origin)}</span>`],
        ['Company', connection.company?.name ?? '–'],
        ['Outbound status', directionBadge(connection.outbound)],
        ['Inbound status', directionBadge(connection.inbound)],
        ['Connection established', on(connection.onboardedAt)],
      ])}
      <div class="buttons">
        <a class="button" href="/connections/${id}/settings?from=wizard">Configure settings</a>
        <a class="button secondary" href="/connections/${id}">See the connection</a>
      </div>`)}`;

  function body(connection, data) {
    const { suites } = data;
    const known = data.companies.edges.length > 0;
    switch (connection.state) {
      case 'PENDING': return choose(connection, known);
      case 'AWAITING_VALIDATION': return checking(connection, suites);
      case 'VALIDATION_FAILED': return failedChecks(connection, suites, known);
      case 'VALIDATED': return validated(connection, suites);
      case 'ONBOARDING': return onboarding(connection);
      case 'ONBOARDED': return success(connection);
      default: return notice('warn', `The connection is ${connection.stateLabel}.`, html`<p><a href="/connections/${id}">See the connection</a></p>`);
    }
  }

  function steps(connection) {
    const now = STEP_OF[connection.state] ?? 4;
    return html`<ol class="steps-line" aria-label="Steps">${STEPS.map((step, at) => html`<li class=${at < now ? 'over' : at === now ? 'now' : ''} aria-current=${at === now ? 'step' : nothing}><span>${step}${at < now ? html`<span class="unseen">, done</span>` : nothing}</span></li>`)}</ol>`;
  }

  function view() {
    return all.view((data) => {
      const connection = data.connection;
      if (!connection) return html`${head('No such connection')}${notice('warn', 'There is no connection under this address, or it is not yours to see.', html`<p><a href="/connections">See your connections</a>, or <a href="/connect">open a registration link</a>.</p>`)}`;
      if (connection.role === 'PROVIDER') {
        queueMicrotask(() => navigate(`/connections/${id}`, { replace: true }));
        return nothing;
      }
      const done = connection.state === 'ONBOARDED';
      const gone = connection.state.startsWith('OFFBOARD');
      const over = gone || connection.state === 'SUSPENDED';
      return html`
        ${head(done ? `Connected with ${connection.peer.name ?? host(connection.peer.origin)}` : over ? `The connection with ${connection.peer.name ?? host(connection.peer.origin)}` : 'Create your connection', { lead: done || over ? nothing : html`With <strong>${connection.peer.name ?? host(connection.peer.origin)}</strong>. You can leave at any time; what has begun continues.` })}
        ${gone ? nothing : steps(connection)}
        ${outcome(act)}
        <div class="columns"><div class="column-main">${body(connection, data)}</div>
        ${done || over ? nothing : html`<div class="column-side">${provider(connection)}${VERBS.some((name) => may(connection, name)) ? html`<p class="small">Prefer everything on one form? <a href="/connections/${id}/form">Use the classic form</a></p>` : nothing}</div>`}</div>`;
    });
  }

  const ready = all.refresh();
  // Phases that take long are said to: that is a matter of the clock, not of a change.
  const clock = setInterval(changed, 5_000);
  return {
    title: () => 'Create your connection',
    view,
    ready,
    refresh: all.refresh,
    subjects: ['CONNECTION', 'ONBOARDING', 'SCAN', 'ISSUE', 'COMPANY'],
    changed: (event) => (ofAnother(event, id) ? null : all.refresh()),
    leave: () => clearInterval(clock),
  };
}
