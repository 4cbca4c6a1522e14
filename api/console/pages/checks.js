// When checks run by themselves, and what each of them asks.
import { may, withheld } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { edit, meanwhile, saved } from '../lib/editing.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { badge, button, head, input, outcome, section, select, submit, tick, when } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { count, duration, every } from '../lib/words.js';

const CHECKS = gql`query Checks {
  checkSchedules { suite suiteLabel enabled intervalSeconds shortestSeconds longestSeconds revision updatedAt actions { name label allowed needsStepUp reason } }
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
const FIELDS = { seconds: 'Runs every', enabled: 'Runs by itself' };
const said = (name, value) => (name === 'enabled' ? (value ? 'yes' : 'no') : duration(Number(value)));

const UNITS = [['86400', 'days'], ['3600', 'hours'], ['60', 'minutes'], ['1', 'seconds']];
/** The greatest unit in which so many seconds are a whole number. */
const unitOf = (seconds) => UNITS.find(([size]) => seconds % size === 0)?.[0] ?? '1';

export default function checks({ update, viewer, navigate }) {
  const all = resource(CHECKS, {}, update);
  const save = command(update);
  const scan = command(update);
  let draft = null;
  /** Whose schedule is edited. */
  let suite = null;
  let problem = null;
  /** What is entered as its interval, and the seconds of its unit. */
  let entered = '';
  let unit = '1';
  /** Whether it was entered here; until then it is as the schedule is, whoever changes that. */
  let touched = false;

  function begin(one) {
    suite = one.suite;
    touched = false;
    draft = edit(one, fields);
    problem = null;
    save.clear();
    update();
    requestAnimationFrame(() => document.getElementById('interval')?.focus());
  }

  /** Takes the interval of the schedule, in its unit. */
  function taken(one) {
    unit = unitOf(one.intervalSeconds);
    entered = String(one.intervalSeconds / unit);
    return one;
  }

  function enter(one, text, size) {
    [entered, unit, touched] = [text, size, true];
    draft.set(one, 'seconds', String(text.trim() === '' ? NaN : Number(text) * size));
    problem = null;
    update();
  }

  async function store(event, one) {
    event.preventDefault();
    const seconds = Number(draft.values(one).seconds);
    problem = Number.isInteger(seconds) && seconds >= one.shortestSeconds && seconds <= one.longestSeconds
      ? null
      : `Enter a time from ${duration(one.shortestSeconds)} to ${duration(one.longestSeconds)}.`;
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
    ${meanwhile(draft, one, { label: (name) => FIELDS[name], words: said, done: () => { save.clear(); touched = 'seconds' in draft.changes(one); update(); } })}
    ${tick({ id: 'enabled', label: 'Runs by itself', checked: draft.values(one).enabled, change: (enabled) => { draft.set(one, 'enabled', enabled); update(); } })}
    <div class="fields">${input({ id: 'interval', label: 'Runs every', value: entered, error: problem ?? (save.refusal?.field === 'intervalSeconds' ? save.refusal.message : null), help: `From ${duration(one.shortestSeconds)} to ${duration(one.longestSeconds)}.`, change: (text) => enter(one, text, unit) })}
      ${select({ id: 'interval-unit', label: 'Unit', value: unit, choices: UNITS, change: (size) => enter(one, entered, size) })}</div>
    ${save.refusal?.field === 'intervalSeconds' ? nothing : saved(draft, one, save)}
    <div class="buttons">${submit('Save', { busy: save.busy })}${button('Do not save', () => { draft = null; update(); }, { kind: 'secondary' })}</div></form>`;

  const schedule = (one) => html`<li class="schedule"><div class="issue-head"><h3>${one.suiteLabel}</h3>${one.enabled ? badge('ACTIVE', `Runs ${every(one.intervalSeconds)}`) : badge('SUSPENDED', 'Switched off')}
      ${one.updatedAt ? html`<span class="small">changed ${when(one.updatedAt)}</span>` : nothing}
      ${may(one, 'updateCheckSchedule') && !(draft && suite === one.suite) ? button(html`Change<span class="unseen"> ${one.suiteLabel}</span>`, () => begin(one), { kind: 'text' }) : nothing}</div>
    ${viewer.canAdminister ? withheld(one.actions) : nothing}
    ${draft && suite === one.suite ? form(touched ? one : taken(one)) : nothing}</li>`;

  const shown = (one) => html`<details class="more"><summary><strong>${one.label}</strong> · ${count(one.checks.length, 'check')}</summary>
    <ul class="log checks-list">${one.checks.map((check) => html`<li><a href=${check.docsUrl}>${check.label}</a> <span class="small">${check.severityLabel}, ${check.blocking ? 'stops what comes next' : 'warns only'}, at most ${duration(check.timeLimitSeconds)}</span><span class="small wide">${check.asks}</span></li>`)}</ul></details>`;

  return {
    title: () => 'Checks',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CHECK_SCHEDULE'],
    changed: all.refresh,
    view: () => html`${head('Checks', { crumbs: [['Health dashboard', '/health']], lead: 'What is asked, and when it is asked without anybody asking for it.' })}
      ${all.view((data) => html`
        ${section('schedules', 'Schedules', html`<p class="small">What a scheduled run finds becomes an issue; what it no longer finds is resolved.</p>
          <ul class="stack plain">${repeat(data.checkSchedules, (one) => one.suite, schedule)}</ul>${outcome(scan)}
          ${viewer.canOperate ? html`<div class="buttons">${button('Check the key service now', run, { kind: 'secondary', busy: scan.busy })}</div>` : nothing}`)}
        ${section('suites', 'Suites', html`<p class="small">A suite is a named set of checks; a scan asks all of them.</p>${data.suites.map(shown)}`)}`)}`,
  };
}
