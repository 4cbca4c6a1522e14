// When checks run by themselves, and what each of them asks.
import { gql, mutate } from '../lib/api.js';
import { edit, meanwhile } from '../lib/editing.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, poll, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { badge, button, head, input, outcome, section, submit, tick, when } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { count, duration, every } from '../lib/words.js';

const CHECKS = gql`query Checks {
  checkSchedules { suite suiteLabel enabled intervalSeconds shortestSeconds longestSeconds revision updatedAt }
  suites { code label checks { code label asks blocking severity severityLabel docsUrl timeLimitSeconds } }
}`;

const SAVE = gql`mutation UpdateCheckSchedule($input: UpdateCheckScheduleInput!) {
  updateCheckSchedule(input: $input) { checkSchedule { suite revision } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const SCAN = gql`mutation ScanThisInstance($input: RunScanInput!) {
  runScan(input: $input) { scan { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What of a schedule is edited. */
const fields = (one) => ({ seconds: String(one.intervalSeconds), enabled: one.enabled });
const FIELDS = { seconds: 'Seconds between two runs', enabled: 'Runs by itself' };
const said = (name, value) => (name === 'enabled' ? (value ? 'yes' : 'no') : value);

export default function checks({ update, viewer, navigate }) {
  const all = resource(CHECKS, {}, update);
  const save = command(update);
  const scan = command(update);
  let draft = null;
  /** Whose schedule is edited. */
  let suite = null;
  let problem = null;

  function begin(one) {
    suite = one.suite;
    draft = edit(one, fields);
    problem = null;
    save.clear();
    update();
    requestAnimationFrame(() => document.getElementById('interval')?.focus());
  }

  async function store(event, one) {
    event.preventDefault();
    const seconds = Number(draft.values(one).seconds);
    problem = Number.isInteger(seconds) && seconds >= one.shortestSeconds && seconds <= one.longestSeconds
      ? null
      : `Enter whole seconds from ${one.shortestSeconds} to ${one.longestSeconds}.`;
    update();
    if (problem) {
      document.getElementById('interval').focus();
      return;
    }
    const payload = await save.run(() => mutate(SAVE, { suite: one.suite, intervalSeconds: seconds, enabled: draft.values(one).enabled, expectedRevision: draft.expected(one) }));
    if (payload) {
      draft = null;
      toast('The schedule was saved.');
    }
    await all.refresh();
  }

  async function run() {
    const payload = await scan.run(() => mutate(SCAN, { suites: ['KEY_SERVICE'] }));
    if (payload) navigate(`/scans/${payload.scan.id}`);
  }

  const form = (one) => html`<form class="inline-form" novalidate @submit=${(event) => store(event, one)}>
    ${meanwhile(draft, one, { label: (name) => FIELDS[name], words: said, done: () => { save.clear(); update(); } })}
    ${tick({ id: 'enabled', label: 'Runs by itself', checked: draft.values(one).enabled, change: (enabled) => { draft.set(one, 'enabled', enabled); update(); } })}
    ${input({ id: 'interval', label: 'Seconds between two runs', value: draft.values(one).seconds, error: problem ?? (save.refusal?.field === 'intervalSeconds' ? save.refusal.message : null), help: `From ${duration(one.shortestSeconds)} to ${duration(one.longestSeconds)}.`, change: (text) => { draft.set(one, 'seconds', text); if (problem) { problem = null; update(); } } })}
    ${save.refusal?.field === 'intervalSeconds' ? nothing : outcome(save)}
    <div class="buttons">${submit('Save', { busy: save.busy })}${button('Do not save', () => { draft = null; update(); }, { kind: 'secondary' })}</div></form>`;

  const schedule = (one) => html`<li class="schedule"><div class="issue-head"><h3>${one.suiteLabel}</h3>${one.enabled ? badge('ACTIVE', `Runs ${every(one.intervalSeconds)}`) : badge('SUSPENDED', 'Switched off')}
      ${one.updatedAt ? html`<span class="small">changed ${when(one.updatedAt)}</span>` : nothing}
      ${viewer.canAdminister && !(draft && suite === one.suite) ? button(html`Change<span class="unseen"> ${one.suiteLabel}</span>`, () => begin(one), { kind: 'text' }) : nothing}</div>
    ${draft && suite === one.suite ? form(one) : nothing}</li>`;

  const shown = (one) => html`<details class="more"><summary><strong>${one.label}</strong> · ${count(one.checks.length, 'check')}</summary>
    <ul class="log checks-list">${one.checks.map((check) => html`<li><a href=${check.docsUrl}>${check.label}</a> <span class="small">${check.severityLabel}, ${check.blocking ? 'stops what comes next' : 'warns only'}, at most ${duration(check.timeLimitSeconds)}</span><span class="small wide">${check.asks}</span></li>`)}</ul></details>`;

  return {
    title: () => 'Checks',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: [],
    leave: poll(all.refresh),
    view: () => html`${head('Checks', { crumbs: [['Health dashboard', '/health']], lead: 'What is asked, and when it is asked without anybody asking for it.' })}
      ${all.view((data) => html`
        ${section('schedules', 'Schedules', html`<p class="small">What a scheduled run finds becomes an issue; what it no longer finds is resolved.</p>
          <ul class="stack plain">${repeat(data.checkSchedules, (one) => one.suite, schedule)}</ul>${outcome(scan)}
          ${viewer.canOperate ? html`<div class="buttons">${button('Check the key service now', run, { kind: 'secondary', busy: scan.busy })}</div>` : nothing}`)}
        ${section('suites', 'Suites', html`<p class="small">A suite is a named set of checks; a scan asks all of them.</p>${data.suites.map(shown)}`)}`)}`,
  };
}
