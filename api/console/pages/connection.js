// One connection: both directions with their evidence, how it came about, its settings, and what can be done with it.
import { may } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { latestEntries } from '../lib/audit.js';
import { checklist, issueList, progress } from '../lib/checks.js';
import { ERRORS_OF, errorList } from '../lib/errors.js';
import { EXPLAIN, explanation } from '../lib/explain.js';
import { connectionKeys } from '../lib/connection-keys.js';
import { DIRECTION, ISSUE, ONBOARDING, REFUSAL, SCAN } from '../lib/fragments.js';
import { HISTORY, ninetyDays, picture, transitions } from '../lib/history.js';
import { phaseList } from '../lib/phases.js';
import { remedyWords } from '../lib/remedies.js';
import { command, ofAnother, poll, resource } from '../lib/resource.js';
import { announce, ask, askFor, toast } from '../lib/say.js';
import { address, badge, button, codes, connectionBadge, decided, directionBadge, facts, fingerprint, head, notice, on, outcome, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { VERIFICATION, verification } from '../lib/verification.js';
import { count, failureWords, host } from '../lib/words.js';
import { takeSettled } from './settings.js';

const CONNECTION = gql`query Connection($id: ID!) {
  connection(id: $id) {
    id role roleLabel state stateLabel createdAt updatedAt onboardedAt keyModule linkId
    suspension { byPeer since reason }
    offboarding { byPeer since reason onboardedAt endedAt peerTold }
    company { id name }
    registration { id number }
    peer { name origin fingerprintText version }
    actions { name label allowed needsStepUp reason }
    latestScan { ...ScanParts }
    issues { ...IssueParts }
    onboarding { ...OnboardingParts }
    outbound { ...DirectionParts }
    inbound { ...DirectionParts }
    verification { ...VerificationParts }
    scans(first: 5) { id state stateLabel suiteLabels requestedAt }
    settings { revision syncedAt autoActivateRecordProducers autoActivateTaskDefinitions
      recordProducers { name active } taskDefinitions { name active } }
  }
  suites { code label checks { code label asks } }
}
${SCAN} ${ISSUE} ${ONBOARDING} ${DIRECTION} ${VERIFICATION}`;

const SUSPEND = gql`mutation Suspend($input: SuspendConnectionInput!) {
  suspendConnection(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const RESUME = gql`mutation Resume($input: ResumeConnectionInput!) {
  resumeConnection(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const OFFBOARD = gql`mutation Offboard($input: OffboardConnectionInput!) {
  offboardConnection(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const RE_REGISTER = gql`mutation ReRegister($input: ReRegisterInput!) {
  reRegister(input: $input) { registration { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const CONFIRM = gql`mutation ConfirmSurvivor($input: ConfirmSurvivorInput!) {
  confirmSurvivor(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const SCAN_IT = gql`mutation RunScan($input: RunScanInput!) {
  runScan(input: $input) { scan { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const UNFINISHED = new Set(['PENDING', 'AWAITING_VALIDATION', 'VALIDATED', 'VALIDATION_FAILED', 'ONBOARDING']);
const WAYS = { OUTBOUND: ['Outbound', 'From us to them'], INBOUND: ['Inbound', 'From them to us'] };

export default function connection({ params, update, viewer, navigate }) {
  const { id } = params;
  const all = resource(CONNECTION, { id }, changed);
  const act = command(update);
  const verify = command(update);
  const bundle = command(update);
  const why = resource(EXPLAIN, { id }, update);
  const log = resource(ERRORS_OF, { id }, update);
  const done = latestEntries({ filter: { objectId: id }, what: () => 'this connection', all: `/audit?object=${id}`, update });
  const scanning = command(update);
  const keys = connectionKeys({ module: () => all.data?.connection?.keyModule, run: useKey, update, viewer });
  let said = null;
  const issues = issueList(update, () => all.refresh(), viewer);
  const histories = { OUTBOUND: resource(HISTORY.OUTBOUND, { id }, update), INBOUND: resource(HISTORY.INBOUND, { id }, update) };
  const remember = () => Promise.all(Object.values(histories).map((one) => one.refresh()));
  const settled = takeSettled(id);

  /** Says what changed while somebody looks. */
  function changed() {
    const now = all.data?.connection;
    if (now) {
      const words = [`${now.stateLabel}.`, ...[now.outbound, now.inbound].filter((way) => way.status).map((way) => `${WAYS[way.way][0]} ${way.statusLabel}.`), now.verification ? `Verification ${now.verification.stateLabel}.` : ''].join(' ');
      if (said !== null && said !== words) announce(words);
      said = words;
    }
    update();
  }

  async function useKey(action, words) {
    if (await act.run(action)) toast(words);
    await Promise.all([all.refresh(), keys.refresh()]);
  }

  /** Asks the checks of these suites, and goes where their answers appear. */
  async function scan(suites) {
    const payload = await scanning.run(() => mutate(SCAN_IT, { subjectId: id, ...(suites ? { suites } : {}) }));
    if (payload) navigate(`/scans/${payload.scan.id}`);
  }

  async function run(operation, input, words) {
    if (await act.run(() => mutate(operation, input))) toast(words);
    await all.refresh();
  }

  async function suspend(now) {
    act.clear();
    const answer = await askFor({
      title: `Suspend the connection with ${now.peer.name ?? host(now.peer.origin)}?`,
      body: 'Messages stop in both directions. Keys and settings stay; you can resume at any time. The other side is told, with your reason.',
      confirm: 'Suspend',
      fields: [{ name: 'reason', label: 'Reason', optional: true, maxlength: 500, help: 'The other side’s people read it, too.' }],
    });
    if (!answer) return;
    const reason = answer.reason.trim();
    await run(SUSPEND, { connectionId: id, ...(reason ? { reason } : {}) }, `The connection with ${now.peer.name ?? host(now.peer.origin)} is suspended.`);
  }

  async function offboard(now) {
    act.clear();
    const names = [now.peer.name, now.peer.origin].filter(Boolean);
    const answer = await askFor({
      title: `Off-board ${names[0]}?`,
      body: 'This cannot be undone. Nothing is exchanged any more, the keys of the connection are destroyed and its settings forgotten. The other side is told, with your reason, and follows. To connect again, the provider registers the consumer again.',
      confirm: 'Off-board',
      danger: true,
      fields: [
        { name: 'confirmation', label: `Enter “${names[0]}”`, required: 'Enter the name of the other instance.', check: (value) => (names.includes(value.trim()) ? null : `Enter ${names[0]}, exactly as it is written here.`) },
        { name: 'reason', label: 'Reason', optional: true, maxlength: 500, help: 'The other side’s people read it, too.' },
      ],
    });
    if (!answer) return;
    const reason = answer.reason.trim();
    await run(OFFBOARD, { connectionId: id, confirmation: answer.confirmation.trim(), ...(reason ? { reason } : {}) }, `The connection with ${names[0]} is off-boarded.`);
  }

  async function registerAgain() {
    const payload = await act.run(() => mutate(RE_REGISTER, { connectionId: id }));
    if (payload) navigate(`/registrations/${payload.registration.id}`);
  }

  /** Who took it down, when and why, and how to connect again. */
  function ended(now) {
    if (!now.offboarding) return nothing;
    const { byPeer, since, reason, endedAt, peerTold } = now.offboarding;
    const them = now.peer.name ?? host(now.peer.origin);
    return notice('calm', byPeer ? `Off-boarded by ${them}.` : 'Off-boarded by us.', html`
      <p>Nothing is exchanged since ${on(since)}, and the keys are destroyed. ${reason ? html`Reason: ${reason}` : 'No reason was given.'}</p>
      <p>${endedAt ? (peerTold ? 'Both sides know.' : `${them} did not answer; it is told when it next speaks to us.`) : `${them} is being told. If it does not answer for about twenty minutes, this side ends alone.`}
        ${now.role === 'PROVIDER' ? 'To connect again, register the consumer again.' : `To connect again, ask ${them} to register you again: you get a new link.`}</p>`);
  }

  async function confirm() {
    const sure = await ask({
      title: 'Is this the instance that goes on?',
      body: 'The other side saw two copies of this instance, or an older backup of it. Stop every other copy first. All other sides are told that this one goes on; then their operators can resume their connections.',
      confirm: 'This one goes on',
    });
    if (sure) await run(CONFIRM, { connectionId: id }, 'Confirmed. The other side is told within seconds.');
  }

  /** Who paused it, since when and why, and who can end that. */
  function paused(now) {
    if (!now.suspension) return nothing;
    const { byPeer, since, reason } = now.suspension;
    const them = now.peer.name ?? host(now.peer.origin);
    return notice('warn', byPeer ? `Suspended by ${them}.` : 'Suspended by us.', html`
      <p>Nothing is exchanged${since ? html` since ${on(since)}` : nothing}. ${reason ? html`Reason: ${reason}` : 'No reason was given.'}</p>
      <p>${byPeer ? (may(now, 'confirmSurvivor') ? `Stop every other copy of this instance, then confirm that this one goes on. Then ${them} can resume it.` : now.outbound.cause?.reason === 'CLONE_SUSPECTED' ? 'First an administrator of this instance confirms which copy goes on.' : `Only ${them} can resume it: ask its operators.`) : may(now, 'resumeConnection') ? 'Resume it to go on.' : viewer.canOperate ? now.actions.find((action) => action.name === 'resumeConnection')?.reason : 'An operator or administrator of this instance can resume it.'}</p>`);
  }

  function direction(now) {
    const [name, words] = WAYS[now.way];
    const past = histories[now.way];
    return section(name.toLowerCase(), `${name} status`, html`
      <p class="small">${words}. Computed from signed answers over the real path${now.statusSince ? html`; since ${on(now.statusSince)}` : nothing}.</p>
      ${now.status === 'DISPUTED' ? notice('warn', 'The two sides do not agree.', html`<p>We see ${now.ourViewLabel}, they see ${now.peerViewLabel}. It settles with the next probes, or one side cannot hear the other.</p>`) : nothing}
      ${now.cause && !all.data.connection.suspension ? notice(works(now) || now.status === 'SUSPENDED' ? 'warn' : 'bad', works(now) ? 'What did not get through last' : 'Why it is not up', html`<p>${failureWords(now.cause)} It is tried again by itself.</p><p>If it stays so: ${remedyWords(now.cause.remedy)}</p>
        <p class="fine">${codes(now.cause)}${now.cause.traceId ? html` · Reference <code>${now.cause.traceId}</code>` : nothing}${now.cause.peerTraceId && now.cause.peerTraceId !== now.cause.traceId ? html` · Theirs <code>${now.cause.peerTraceId}</code>` : nothing}</p>`) : nothing}
      ${now.peerCause && !all.data.connection.suspension ? notice('warn', 'Why it does not work for them', html`<p>${now.peerCause.message} ${remedyWords(now.peerCause.remedy)}</p>
        <p class="fine">${codes(now.peerCause)} ${decided(now.peerCause)}</p>`) : nothing}
      ${past.part('The history', ({ connection: known }) => (known ? html`${picture(known.way.day.buckets, 'The last day', { hours: true })}${ninetyDays(known.way.ninety.buckets)}` : nothing))}
      ${facts([
        ['Last proof', when(now.lastProofAt, 'None yet')],
        ['Round trip', now.roundTripMs === null ? '–' : `${now.roundTripMs} ms`],
        ['Missed in a row', String(now.misses)],
        ['They see', now.peerViewLabel ? html`${now.peerViewLabel}${now.peerViewAt ? html` <span class="quiet">${when(now.peerViewAt)}</span>` : nothing}` : '–'],
        ['Activated', on(now.activatedAt)],
      ])}
      ${past.data?.connection?.way.recent.transitions.length ? html`<details class="more"><summary>What changed in the last week</summary>${transitions(past.data.connection.way.recent.transitions)}</details>` : nothing}`, { aside: directionBadge(now) });
  }

  /** One message that did not get through is no reason to say that nothing does. */
  const works = (now) => now.status === 'UP' || now.status === 'SLOW';

  const definitions = (label, items) => [label, items.length ? html`${count(items.filter((item) => item.active).length, 'active', 'active')} of ${items.length}` : 'None offered'];

  function settings(now) {
    const own = now.settings;
    return section('settings', 'Settings', html`
      ${facts([
        definitions('Remote record producers', own.recordProducers),
        definitions('Remote task definitions', own.taskDefinitions),
        ['Auto-activation', [own.autoActivateRecordProducers && 'Record producers', own.autoActivateTaskDefinitions && 'Task definitions'].filter(Boolean).join(', ') || 'Off'],
        ['Last synced', when(own.syncedAt, 'Never')],
      ])}
      <div class="buttons"><a class="button secondary" href="/connections/${id}/settings">Configure settings</a></div>`);
  }

  function checks(now, suites) {
    const latest = now.latestScan;
    return section('scan', 'Latest scan', html`${latest ? html`
      <p class="small">${latest.suiteLabels.join(', ')}, ${when(latest.finishedAt ?? latest.requestedAt)}</p>
      ${latest.finishedAt ? nothing : progress(latest)}
      <details class="more" ?open=${!latest.finishedAt}><summary>${count(latest.results.length, 'check')} answered</summary>${checklist(latest, suites)}</details>
      ${now.scans.length > 1 ? html`<details class="more"><summary>Earlier scans</summary><ul class="log">${now.scans.slice(1).map((one) => html`<li><a href="/scans/${one.id}">${one.suiteLabels.join(', ')}</a> ${badge(one.state, one.stateLabel)} <span class="small">${when(one.requestedAt)}</span></li>`)}</ul></details>` : nothing}`
      : html`<p>No scan has run here yet. Checks ask what the connection needs, and say how to mend what they find.</p>`}
      ${outcome(scanning)}
      ${viewer.canOperate ? html`<div class="buttons">${button('Run a scan', () => scan(null), { kind: 'secondary', busy: scanning.busy })}${latest ? html`<a href="/scans/${latest.id}">See the latest scan</a>` : nothing}</div>` : nothing}`, { aside: latest ? badge(latest.state, latest.stateLabel) : nothing });
  }

  const explained = (name) => explanation(why.data.explain, { id, name, paused: Boolean(all.data.connection.suspension), command: bundle });

  function unfinished(now) {
    if (!UNFINISHED.has(now.state)) return nothing;
    return now.role === 'CONSUMER'
      ? notice('calm', 'This connection is not made yet.', html`<p>Everything so far is kept. <a href="/connections/${id}/wizard">Go on creating it</a></p>`)
      : notice('calm', 'The consumer is connecting.', html`<p>It goes on by itself as the consumer’s administrator and the named contact do their part.${now.registration ? html` <a href="/registrations/${now.registration.id}">Registration ${now.registration.number}</a>` : nothing}</p>`);
  }

  function actions(now) {
    const allowed = (name) => may(now, name);
    return html`
      ${allowed('reRegister') ? button('Register again', registerAgain, { busy: act.busy }) : nothing}
      ${allowed('confirmSurvivor') ? button('This one goes on', confirm, { busy: act.busy }) : nothing}
      ${allowed('resumeConnection') ? button('Resume', () => run(RESUME, { connectionId: id }, `The connection with ${now.peer.name ?? host(now.peer.origin)} is resumed.`), { busy: act.busy }) : nothing}
      ${allowed('suspendConnection') ? button('Suspend', () => suspend(now), { kind: 'secondary', busy: act.busy }) : nothing}
      ${allowed('offboardConnection') ? button('Off-board', () => offboard(now), { kind: 'secondary', busy: act.busy }) : nothing}`;
  }

  function view() {
    return all.view((data) => {
      const now = data.connection;
      if (!now) return html`${head('No such connection')}${notice('warn', 'There is no connection under this address, or it is not yours to see.', html`<p><a href="/connections">See your connections</a></p>`)}`;
      const name = now.peer.name ?? host(now.peer.origin);
      return html`
        ${head(name, { crumbs: [['Connections', '/connections']], status: connectionBadge(now), lead: html`${now.role === 'PROVIDER' ? 'We are the provider' : 'We are the consumer'}${now.company ? html` · ${now.company.name}` : nothing}`, actions: actions(now) })}
        ${outcome(act)}
        ${unfinished(now)}
        ${settled ? notice('good', 'Settings saved.', html`<p>What next? Run a scan suite, to see that everything holds on both sides.</p>
          ${viewer.canOperate ? html`<p>${button('Run a scan suite', () => scan(['POST_ONBOARDING']), { busy: scanning.busy })}</p>` : nothing}<p class="small">Then follow the <a href="/setup/consumer">guided set-up</a>: verify the connection.</p>`) : nothing}
        ${paused(now)}
        ${ended(now)}
        ${now.issues.length ? section('issues', 'Open issues', issues(now.issues)) : nothing}
        ${UNFINISHED.has(now.state) || now.offboarding ? nothing : why.part('The explanation', ({ explain }) => (explain && !explain.healthy ? explained(name) : nothing))}
        ${now.offboarding ? nothing : html`<div class="cards">${direction(now.outbound)}${direction(now.inbound)}</div>`}
        <div class="columns"><div class="column-main">
          ${now.offboarding ? nothing : settings(now)}
          ${now.offboarding ? nothing : verification(now, verify, () => all.refresh())}
          ${why.data?.explain?.healthy && !UNFINISHED.has(now.state) ? explained(name) : nothing}
          ${log.part('What failed', (data) => (data.errorLog.edges.length ? section('errors', 'What failed', errorList(data, id)) : nothing))}
          ${now.onboarding ? html`<details class="panel more"><summary>How it was onboarded</summary><p class="small">Attempt ${now.onboarding.number}, ${now.onboarding.stateLabel.toLowerCase()}, begun ${on(now.onboarding.startedAt)}</p>${phaseList(now.onboarding)}</details>` : nothing}
        </div><div class="column-side">
          ${section('peer', 'Their instance', html`${facts([
            ['Name', now.peer.name ?? '–'],
            ['URL', address(now.peer.origin)],
            ['Version', now.peer.version ?? '–'],
            ['Connection established', on(now.onboardedAt ?? now.offboarding?.onboardedAt)],
            now.registration && ['Registration', html`<a href="/registrations/${now.registration.id}">${now.registration.number}</a>`],
            now.linkId && ['link_id in policies', html`<code>${now.linkId}</code>`],
          ])}<details class="more"><summary>Fingerprint</summary>${fingerprint(now.peer.fingerprintText)}</details>`)}
          ${now.offboarding ? nothing : checks(now, data.suites)}
          ${keys.view({ ended: Boolean(now.offboarding) })}
        </div></div>
        ${viewer.canAdminister ? section('log', 'What was done, by whom', done.view()) : nothing}`;
    });
  }

  // Only once the connection is known does its key module have a name.
  const load = () => Promise.all([all.refresh().then(keys.refresh), remember(), why.refresh(), log.refresh(), viewer.canAdminister ? done.refresh() : null]);
  // Evidence is renewed by every probe, and only a change of status is told: so ask again while somebody looks.
  const stop = poll(() => (all.data?.connection?.offboarding ? null : Promise.all([all.refresh(), why.refresh(), keys.refresh()])));
  return {
    title: () => all.data?.connection?.peer.name ?? 'Connection',
    view,
    ready: load(),
    refresh: load,
    subjects: ['CONNECTION', 'ONBOARDING', 'SCAN', 'ISSUE', 'COMPANY'],
    changed: (event) => {
      if (ofAnother(event, id)) return null;
      return event.subject === 'CONNECTION' ? load() : all.refresh();
    },
    leave: stop,
  };
}
