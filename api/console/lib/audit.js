// An entry of the audit trail, wherever it is shown: who did what to what, when, and how it went.
import { follow, gql } from './api.js';
import { actorWords, operationWords } from './audit-words.js';
import { cell } from './list.js';
import { resource } from './resource.js';
import { badge, exactly } from './ui.js';
import { html, nothing, repeat } from './view.js';
import { inWords, role } from './words.js';

export const ENTRY = gql`fragment EntryParts on AuditEntry { number at actorKind actorName roles operation objectKind objectId result traceId details }`;

export const COLUMNS = ['Number', 'When', 'Who', 'What', 'Result'];

const PLACES = { REGISTRATION: '/registrations/', CONNECTION: '/connections/', SCAN: '/scans/', ISSUE: '/issues/', COMPANY: '/companies/', DECISION: '/keys/decisions/' };

/** What the key service says of a use that it did not allow or that did not go well, where that is no code of a refusal. */
export const OF_KEYS = { NO_ROLE: 'No role for it', TAMPERED: 'Tampered with' };

/** How it went, in words. */
const resultWords = (result) => (result === 'OK' ? 'Done' : OF_KEYS[result] ?? inWords(result));

/** What came to a good end. */
const WELL = new Set(['OK', 'PASSED', 'DONE', 'ALLOWED']);

/** The details as text, without an empty object. */
const details = (text) => (text && text !== '{}' && text !== 'null' ? html`<details class="more"><summary>Details</summary><pre class="answer" tabindex="0">${JSON.stringify(JSON.parse(text), null, 2)}</pre></details>` : nothing);

/** An entry's cells; `here` is the id of what the page is about, to which nothing needs to lead. */
export const cells = (one, here = null) => html`<th scope="row" class="narrow-cell">${one.number}</th>
  ${cell('When', exactly(one.at))}
  ${cell('Who', html`${actorWords(one)}${one.roles.length ? html`<br><span class="small">${one.roles.map((name) => role(name.toUpperCase())).join(', ')}</span>` : nothing}`)}
  ${cell('What', html`${operationWords(one)}<br><span class="small"><code class="operation">${one.operation}</code>${one.objectId === here ? nothing : html` · ${PLACES[one.objectKind] ? html`<a href="${PLACES[one.objectKind]}${one.objectId}">${inWords(one.objectKind)}</a>` : inWords(one.objectKind || 'nothing')}`}</span>${details(one.details)}`)}
  ${cell('Result', html`${badge('', resultWords(one.result), WELL.has(one.result) ? 'good' : 'bad')}<br><span class="small">Reference <code>${one.traceId ?? '–'}</code></span>`)}`;

const WRITTEN = gql`subscription AuditLogChanged($after: String) {
  auditLogChanged(after: $after) { cursor kind }
}`;

/** Who reads the audit log: administrators what concerns the application, key auditors what concerns keys. */
const READERS = ['ADMIN', 'KEY_AUDITOR'];
/** Entries that come together are loaded together. */
const TOGETHER_MS = 500;

/** Calls back when entries were written, until the answer is called; never for those who do not read them. */
export function followEntries(viewer, refresh) {
  if (!viewer.roles.some((name) => READERS.includes(name))) return () => {};
  const left = new AbortController();
  let soon = null;
  const written = () => {
    if (left.signal.aborted) return;
    soon ??= setTimeout(() => {
      soon = null;
      refresh();
    }, TOGETHER_MS);
  };
  follow({ operation: WRITTEN, onChange: written, onFresh: refresh, until: left.signal });
  return () => {
    clearTimeout(soon);
    left.abort();
  };
}

const LATEST = gql`query LatestEntries($filter: AuditLogFilter!) {
  auditLog(first: 10, filter: $filter) { edges { node { ...EntryParts } } }
}
${ENTRY}`;

/** The latest entries of `filter`; `what()` says what they are of, and `all` leads to every one. */
export function latestEntries({ filter, what, all, update }) {
  const log = resource(LATEST, { filter }, update);
  const table = ({ auditLog: { edges } }) => html`<div class="table-wrap"><table class="rows"><caption class="unseen">What was done to ${what()}, the newest first</caption>
      <thead><tr>${COLUMNS.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
      <tbody>${repeat(edges, ({ node }) => node.number, ({ node }) => html`<tr>${cells(node, filter.objectId)}</tr>`)}</tbody></table></div>
    <p><a href=${all}>Everything that was done to ${what()}</a></p>`;
  return { refresh: log.refresh, view: () => log.part('The log', (data) => (data.auditLog.edges.length ? table(data) : html`<p>Nothing yet.</p>`)) };
}
