// Checks and issues, wherever they are shown: what was asked, what came out, what to do.
import { may } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { exceptions } from './exceptions.js';
import { remedy, remedyPlace, remedyWords } from './remedies.js';
import { announce } from './say.js';
import { badge, button, mark, outcome, spinner, when } from './ui.js';
import { command, resource } from './resource.js';
import { html, nothing, repeat } from './view.js';
import { count, finding, severityTone, tone } from './words.js';

const VALIDATE = gql`mutation ValidateIssue($input: ValidateIssueInput!) {
  validateIssue(input: $input) { scan { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const ASKED = gql`query AskedScan($id: ID!) {
  scan(id: $id) { finishedAt results { check answer message } }
}`;

/** How a check's answer is coloured: a finding that does not block is a warning. */
const answerTone = (result) => (result.answer === 'FINDING' ? (result.blocking ? 'bad' : 'warn') : tone(result.answer));

/** The questions of all suites of a scan, each once. */
export function questions(scan, suites) {
  const found = suites.filter((suite) => scan?.suites.includes(suite.code)).flatMap((suite) => suite.checks);
  return [...new Map(found.map((check) => [check.code, check])).values()];
}

/** Every check that a scan asks, in order, answered or not yet. */
export function checklist(scan, suites) {
  const known = questions(scan, suites);
  const answers = new Map(scan.results.map((result) => [result.check, result]));
  const listed = new Set(known.map((check) => check.code));
  // A scan of an older version may have answered what is no longer asked.
  const others = scan.results.filter((result) => !listed.has(result.check)).map((result) => ({ code: result.check, label: result.checkLabel, asks: '' }));
  const checks = scan.only ? [...known, ...others].filter((check) => check.code === scan.only) : [...known, ...others];
  const running = scan.state === 'RUNNING' || scan.state === 'QUEUED';
  const next = checks.find((check) => !answers.has(check.code))?.code;
  return html`<ol class="checks">${checks.map((check) => {
    const result = answers.get(check.code);
    const state = result ? answerTone(result) : 'quiet';
    return html`<li class=${result ? state : 'waiting'}>
      ${!result && running && check.code === next ? spinner() : mark(state)}
      <span class="check-name">${check.label}</span>
      <span class="check-answer">${result ? result.answerLabel : running ? 'Not yet' : 'Not asked'}</span>
      <span class="check-asks small">${result && result.answer !== 'PASS' && result.message ? result.message : check.asks}</span>
    </li>`;
  })}</ol>`;
}

/** How far a scan is, for eyes and ears. */
export const progress = (scan) => html`<div class="progress"><progress max=${scan.progress.total} value=${scan.progress.done} aria-label="Checks that answered"></progress>
  <span class="small">${scan.progress.done} of ${count(scan.progress.total, 'check')}</span></div>`;

/** Findings and broken checks of a scan that raised no issue: warnings, errors. */
export const warnings = (scan) => scan.results.filter((result) => (result.answer === 'FINDING' && !result.blocking) || result.answer === 'ERROR');

/** Open issues with what is wrong, what to do, and *Validate and resolve*. */
export function issueList(update, refresh, viewer = null) {
  const commands = new Map();
  const commandOf = (id) => {
    if (!commands.has(id)) commands.set(id, { validate: command(update), remedy: command(update), people: command(update), asked: null, said: null });
    return commands.get(id);
  };

  async function validate(issue) {
    const own = commandOf(issue.id);
    const payload = await own.validate.run(() => mutate(VALIDATE, { issueId: issue.id }));
    if (payload) await look(issue, payload.scan);
  }

  /** A scan looks at the issue again. */
  async function look(issue, { id }) {
    const own = commandOf(issue.id);
    const asked = { issue, scan: resource(ASKED, { id }, () => ended(own, asked)) };
    Object.assign(own, { asked, said: null });
    announce(`Looking again: ${issue.checkLabel}.`);
    await refresh();
  }

  /** Says what came of it once the scan is over. That a check passed shows: the issue is gone. */
  function ended(own, asked) {
    const scan = asked.scan.data?.scan;
    if (own.asked !== asked || !scan?.finishedAt) return;
    own.asked = null;
    const result = scan.results.find(({ check }) => check === asked.issue.check);
    if (!result || result.answer === 'SKIPPED') {
      own.said = `Not looked at: ${(result?.message ?? 'the scan was called off').replace(/\.$/, '')}.`;
      announce(own.said);
    } else if (result.answer !== 'PASS') {
      own.said = 'Looked again: still so.';
      announce(`Still so: ${asked.issue.message}`);
    }
    update();
  }

  return function view(issues, { titled = false } = {}) {
    for (const issue of issues) {
      const { asked } = commandOf(issue.id);
      // It was loaded anew: whatever changed may be the end of the scan.
      if (asked && asked.issue !== issue) {
        asked.issue = issue;
        asked.scan.refresh();
      }
    }
    const all = issues.filter((issue) => may(issue, 'validateIssue')).length > 1
      ? html`<p>${button('Validate all', () => issues.forEach(validate), { kind: 'secondary small-button', busy: issues.some((issue) => commandOf(issue.id).asked) })}</p>`
      : nothing;
    return html`${all}<ul class="issues">${repeat(issues, (issue) => issue.id, (issue) => {
      const own = commandOf(issue.id);
      const looking = own.validate.busy || own.asked !== null;
      return html`<li class="issue ${severityTone(issue)}">
        <div class="issue-head">
          ${titled ? nothing : html`<h3>${finding(issue.message)[0]}</h3>`}
          ${badge(issue.severity, issue.severityLabel, severityTone(issue))}
          ${issue.blocking ? nothing : html`<span class="small">does not block</span>`}
        </div>
        ${finding(issue.message)[1] ? html`<p>${finding(issue.message)[1]}</p>` : nothing}
        ${issue.evidence ? html`<p class="small">Seen: ${issue.evidence.includes(' ') ? issue.evidence : html`<code>${issue.evidence}</code>`}</p>` : nothing}
        <div class="remedy">${titled ? html`<h3>What to do</h3>` : html`<h4>What to do</h4>`}${remedy(issue, own.remedy, (scan) => look(issue, scan))}${outcome(own.remedy)}</div>
        ${outcome(own.validate)}
        ${exceptions(issue, { command: own.people, refresh, viewer })}${outcome(own.people)}
        <div class="issue-foot">
          ${may(issue, 'validateIssue') ? button(looking ? 'Looking again' : 'Validate and resolve', () => validate(issue), { busy: looking, kind: 'secondary' }) : nothing}
          <p class="small">${own.said && !looking ? html`<strong>${own.said}</strong> ` : nothing}Seen ${issue.count === 1 ? 'once' : `${issue.count} times`}, last ${when(issue.lastSeenAt)} · Check: <a href=${issue.docsUrl}>${issue.checkLabel}</a></p>
        </div>
      </li>`;
    })}</ul>`;
  };
}

/** What a result says in one sentence, and the rest; of a check that broke, that it did, and why. */
const headed = ({ answer, checkLabel, message }) => (answer === 'ERROR' ? [`The check “${checkLabel}” could not be carried out`, message] : finding(message));

/** Warnings of a scan: worth reading, nothing stops. */
export const warningList = (results) => html`<ul class="issues">${results.map((result) => html`<li class="issue ${result.blocking ? 'bad' : 'warn'}">
  <div class="issue-head"><h3>${headed(result)[0]}</h3>${badge(result.answer, result.answer === 'ERROR' ? result.answerLabel : result.blocking ? result.severityLabel : 'Warning', result.blocking ? 'bad' : 'warn')}</div>
  ${headed(result)[1] ? html`<p>${headed(result)[1]}</p>` : nothing}${result.remedy ? html`<p class="small">${remedyWords(result.remedy)} ${remedyPlace(result.remedy)}</p>` : result.answer === 'ERROR' ? html`<p class="small">Run the checks again. If it stays so, this instance’s operator looks at its log.</p>` : nothing}
  <p class="small">Check: <a href=${result.docsUrl}>${result.checkLabel}</a></p></li>`)}</ul>`;
