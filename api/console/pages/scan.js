// One scan: what it looks at, how far it is, and what each check answered.
import { may } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { checklist, progress, warningList } from '../lib/checks.js';
import { REFUSAL, SCAN } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
import { announce } from '../lib/say.js';
import { badge, button, facts, head, notice, on, outcome, section } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { count, duration, host } from '../lib/words.js';

const ONE = gql`query ScanPage($id: ID!) {
  scan(id: $id) {
    ...ScanParts
    startedAt requestedBy { name } actions { name allowed needsStepUp }
    subject { ... on Registration { id number } ... on ConnectionRecord { id peer { name origin } } ... on Instance { id name } }
  }
  suites { code label checks { code label asks } }
}
${SCAN}`;

const CANCEL = gql`mutation CancelScan($input: CancelScanInput!) {
  cancelScan(input: $input) { scan { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What a scan or an issue is about: its name, and where it is shown. */
export function about(subject) {
  if (subject?.number) return [subject.number, `/registrations/${subject.id}`];
  if (subject?.peer) return [subject.peer.name ?? host(subject.peer.origin), `/connections/${subject.id}`];
  return ['This instance', '/health'];
}

/** How long it took. */
const took = ({ startedAt, finishedAt }) => {
  const seconds = (new Date(finishedAt) - new Date(startedAt)) / 1000;
  return seconds < 1 ? 'less than a second' : duration(Math.round(seconds));
};

const SAYS = {
  PASSED: ['good', 'Every check passed.'],
  WARNED: ['good', 'No check failed; what was found stops nothing.'],
  FAILED: ['bad', 'Something has to be mended.'],
  CANCELLED: ['warn', 'It was called off before every check had answered.'],
};

export default function scan({ params, update }) {
  const { id } = params;
  const all = resource(ONE, { id }, changed);
  const act = command(update);
  let said = null;

  function changed() {
    const now = all.data?.scan;
    if (now) {
      if (said !== null && said !== now.stateLabel) announce(`Scan: ${now.stateLabel}`);
      said = now.stateLabel;
    }
    update();
  }

  async function callOff() {
    await act.run(() => mutate(CANCEL, { scanId: id }));
    await all.refresh();
  }

  function view() {
    return all.view((data) => {
      const now = data.scan;
      if (!now) return html`${head('No such scan')}${notice('warn', 'There is no scan under this address, or it is not yours to see.', html`<p>Scans are kept for a while only. <a href="/health">See what is open now</a>.</p>`)}`;
      const [name, path] = about(now.subject);
      const bad = now.results.filter((result) => result.answer === 'FINDING' || result.answer === 'ERROR');
      const [kind, words] = SAYS[now.state === 'PASSED' && bad.length ? 'WARNED' : now.state] ?? [];
      return html`
        ${head(html`Scan of ${name}`, { crumbs: [['Health dashboard', '/health'], [name, path]], status: badge(now.state, now.stateLabel), lead: now.suiteLabels.join(', '), actions: may(now, 'cancelScan') ? button('Call off', callOff, { kind: 'secondary', busy: act.busy }) : nothing })}
        ${outcome(act)}
        <div class="columns"><div class="column-main">
          ${bad.length ? section('found', 'What was found', html`${warningList(bad)}<p>Each is an open issue until it is resolved: <a href=${path === '/health' ? path : `${path}#issues`}>see the issues of ${name}</a>.</p>`) : nothing}
          ${section('checks', 'Checks', html`
            ${now.finishedAt ? nothing : html`<p>The checks answer one after the other. You can close this page; the scan goes on.</p>${progress(now)}`}
            ${words ? notice(kind, words) : nothing}
            ${checklist(now, data.suites)}`)}
        </div><div class="column-side">${section('facts', 'Scan', facts([
          ['About', html`<a href=${path}>${name}</a>`],
          ['Asked for', on(now.requestedAt)],
          ['By', now.requestedBy?.name ?? 'This instance'],
          ['Began', on(now.startedAt)],
          ['Took', now.startedAt && now.finishedAt ? took(now) : '–'],
          ['Answered', count(now.results.length, 'check')],
        ]))}</div></div>`;
    });
  }

  return {
    title: () => 'Scan',
    view,
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['SCAN', 'ISSUE'],
    changed: all.refresh,
  };
}
