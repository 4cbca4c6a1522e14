// The classic form: a provider connection with its fields on one page, for those who know it so.
import { may as mayWith } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { issueList, progress } from '../lib/checks.js';
import { ISSUE, ONBOARDING, SCAN } from '../lib/fragments.js';
import { GET_STARTED, RETRY, START, awaited, cannot, chooseAndCheck, departure } from '../lib/onboarding.js';
import { failedPhase, failedTry, phaseProgress, triedAgain, waitsForContact } from '../lib/phases.js';
import { command, ofAnother, resource } from '../lib/resource.js';
import { announce } from '../lib/say.js';
import { address, badge, button, connectionBadge, directionBadge, head, mark, notice, outcome, refusal, section, spinner, submit } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host, local } from '../lib/words.js';
import { companyChoice } from './company-choice.js';

const CONNECTION = gql`query ClassicForm($id: ID!) {
  connection(id: $id) {
    id role state stateLabel
    company { id name } peer { name origin } banner { text healthUrl }
    actions { name label allowed needsStepUp reason }
    latestScan { ...ScanParts }
    issues { ...IssueParts }
    onboarding { ...OnboardingParts }
    outbound { status statusLabel } inbound { status statusLabel }
  }
  companies(first: 1) { edges { node { id } } }
}
${SCAN} ${ISSUE} ${ONBOARDING}`;

/** Where the wizard has nothing more to offer. */
const ENDED = new Set(['ONBOARDED', 'SUSPENDED', 'OFFBOARDING', 'OFFBOARDED']);
const MESSAGES = [
  ['Provider onboarding started', 'The connection is proven between the two instances, and keys are exchanged.'],
  ['Syncing settings to complete onboarding', 'What both sides need is set up and brought into line.'],
  ['Onboarding Complete', 'All settings have synced; both directions were tried.'],
];

export default function form({ params, update, navigate, viewer }) {
  const { id } = params;
  const all = resource(CONNECTION, { id }, changed);
  const act = command(update);
  const choice = companyChoice(update, () => all.refresh());
  const issues = issueList(update, () => all.refresh(), viewer);
  const leave = departure(all);
  let said = null;

  function changed() {
    const now = all.data?.connection;
    if (now) {
      const words = `${current(now) ?? now.stateLabel}${now.state === 'ONBOARDING' ? failedTry(now.onboarding) : ''}`;
      if (said !== null && said !== words) announce(words);
      said = words;
      leave.follow();
    }
    update();
  }

  const isOver = (phase) => phase.state === 'DONE' || phase.state === 'SKIPPED';
  const current = (now) => (now.state === 'ONBOARDED' ? MESSAGES[2][0] : now.state === 'ONBOARDING' ? now.onboarding?.phases.find((phase) => !isOver(phase))?.message : null);

  async function save(event, now) {
    event.preventDefault();
    const company = await choice.settle(now, all.data.companies.edges.length > 0);
    if (!company) return;
    const saved = await act.run(() => chooseAndCheck(id, now.company, company));
    if (saved) announce('The company was saved. The checks run.');
    await all.refresh();
  }

  const connect = () => leave.begin(() => act.run(() => mutate(START, { connectionId: id })));

  async function simple(operation, words) {
    if (await act.run(() => mutate(operation, { connectionId: id }))) announce(words);
    await all.refresh();
  }

  const readonly = (label, value) => {
    const name = `readonly-${label.toLowerCase().replaceAll(' ', '-')}`;
    return html`<div class="field"><span class="label" id=${name}>${label}</span><div class="readonly" role="group" aria-labelledby=${name}>${value}</div></div>`;
  };

  function messages(now) {
    const doing = current(now);
    if (!doing) return nothing;
    const at = MESSAGES.findIndex(([message]) => message === doing);
    const failed = failedPhase(now.onboarding);
    const running = now.onboarding?.phases.find((phase) => phase.state === 'RUNNING');
    const complete = now.state === 'ONBOARDED';
    return section('status', complete ? 'Connected' : failed ? 'Stopped' : 'Connecting', html`
      ${now.onboarding && !complete ? phaseProgress(now.onboarding) : nothing}
      <ol class="log">${MESSAGES.map(([message, about], index) => html`<li aria-current=${index === at ? 'step' : nothing}>
        ${index < at || complete ? mark('good') : index > at ? mark('quiet') : failed ? mark('bad') : spinner()}
        <strong>${message}</strong> <span class="small">${about}</span></li>`)}</ol>
      ${running && !complete ? triedAgain(running) : nothing}
      ${failed?.failure ? refusal(failed.failure) : nothing}
      ${failed && !mayWith(now, 'retryPhase') ? cannot(now, 'retryPhase') : nothing}
      ${!failed && waitsForContact(running) ? awaited(now, act.busy, simple) : nothing}
      <div class="buttons">
        ${failed && mayWith(now, 'retryPhase') ? button('Retry', () => simple(RETRY, 'The phase is tried again.'), { busy: act.busy }) : nothing}
        ${failed && mayWith(now, 'startOver') ? html`<a class="button secondary" href="/connections/${id}/wizard">Start over or cancel</a>` : nothing}
        ${complete ? button('Close', () => navigate(`/connections/${id}`)) : nothing}
      </div>
      ${complete ? html`<p class="small">Then return to the <a href="/setup/consumer">guided set-up</a>: mark the activity complete, and verify the connection.</p>` : nothing}`);
  }

  function view() {
    return all.view((data) => {
      const now = data.connection;
      if (!now || now.role === 'PROVIDER') return html`${head('No such provider connection')}${notice('warn', 'There is no provider connection under this address, or it is not yours to see.', html`<p><a href="/connections">See your connections</a></p>`)}`;
      const may = (name) => mayWith(now, name);
      const editable = may(GET_STARTED);
      const next = { PENDING: GET_STARTED, VALIDATION_FAILED: GET_STARTED, VALIDATED: 'startOnboarding' }[now.state];
      return html`
        ${head('Provider connection', { crumbs: [['Connections', '/connections']], status: now.state === 'ONBOARDING' && failedPhase(now.onboarding) ? badge('FAILED', 'Stopped') : connectionBadge(now), lead: html`With ${now.peer.name ?? host(now.peer.origin)}.` })}
        ${now.banner ? notice('bad', 'Validation failed.', html`<p>${now.banner.text} <a href=${local(now.banner.healthUrl)}>Open the health dashboard</a></p>`, true) : nothing}
        ${outcome(act)}
        <form class="panel" novalidate @submit=${(event) => save(event, now)}>
          <div class="fields">
            <div class="stack ${data.companies.edges.length ? '' : 'wide'}">${editable ? choice.view(now, data.companies.edges.length > 0, 'Company') : readonly('Company', now.company?.name ?? '–')}</div>
            ${readonly('State', now.state === 'ONBOARDING' && failedPhase(now.onboarding) ? `${now.stateLabel}: stopped` : now.stateLabel)}
            ${readonly('URL', address(now.peer.origin))}
            ${readonly('Outbound status', now.outbound.status ? directionBadge(now.outbound) : html`<span class="unseen">Blank: nothing begun</span>`)}
            ${readonly('Inbound status', now.inbound.status ? directionBadge(now.inbound) : html`<span class="unseen">Blank: nothing begun</span>`)}
          </div>
          ${now.state === 'AWAITING_VALIDATION' && now.latestScan ? progress(now.latestScan) : nothing}
          ${editable || now.state === 'VALIDATED' ? html`<div class="buttons">
            ${editable ? submit('Save', { busy: act.busy, kind: now.state === 'VALIDATED' ? 'secondary' : '' }) : nothing}
            ${now.state === 'VALIDATED' && may('startOnboarding') ? button('Connect to provider', connect, { busy: act.busy }) : nothing}
          </div>` : nothing}
          ${next && !may(next) ? cannot(now, next) : now.state === 'PENDING' ? html`<p class="small">Save to run the checks; when they pass, <em>Connect to provider</em> appears.</p>` : nothing}
        </form>
        ${messages(now)}
        ${now.issues.length ? section('issues', 'What has to be mended', issues(now.issues)) : nothing}
        ${ENDED.has(now.state) ? html`<p class="small"><a href="/connections/${id}">See the connection</a></p>` : html`<p class="small">Prefer one step after the other? <a href="/connections/${id}/wizard">Use the wizard</a></p>`}`;
    });
  }

  return {
    title: () => 'Provider connection',
    view,
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CONNECTION', 'ONBOARDING', 'SCAN', 'ISSUE', 'COMPANY'],
    changed: (event) => (ofAnother(event, id) ? null : all.refresh()),
  };
}
