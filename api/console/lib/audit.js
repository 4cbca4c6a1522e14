// An entry of the audit trail, wherever it is shown: who did what to what, when, and how it went.
import { gql } from './api.js';
import { cell } from './list.js';
import { badge, on } from './ui.js';
import { html, nothing } from './view.js';
import { inWords, role } from './words.js';

export const ENTRY = gql`fragment EntryParts on AuditEntry { number at actorKind actorName roles operation objectKind objectId result traceId details }`;

export const COLUMNS = ['Number', 'When', 'Who', 'What', 'Result'];

const PLACES = { REGISTRATION: '/registrations/', CONNECTION: '/connections/', SCAN: '/scans/', ISSUE: '/issues/', COMPANY: '/companies/' };
const ACTORS = { SYSTEM: 'This instance', ANONYMOUS: 'Nobody known', PERSON: 'Somebody' };

/** The details as text, without an empty object. */
const details = (text) => (text && text !== '{}' && text !== 'null' ? html`<details class="more"><summary>Details</summary><pre class="answer" tabindex="0">${JSON.stringify(JSON.parse(text), null, 2)}</pre></details>` : nothing);

/** An entry's cells. */
export const cells = (one) => html`<th scope="row" class="narrow-cell">${one.number}</th>
  ${cell('When', on(one.at))}
  ${cell('Who', html`${one.actorName ?? ACTORS[one.actorKind]}${one.roles.length ? html`<br><span class="small">${one.roles.map((name) => role(name.toUpperCase())).join(', ')}</span>` : nothing}`)}
  ${cell('What', html`<code class="operation">${one.operation}</code><br><span class="small">${PLACES[one.objectKind] ? html`<a href="${PLACES[one.objectKind]}${one.objectId}">${inWords(one.objectKind)}</a>` : inWords(one.objectKind || 'nothing')}</span>${details(one.details)}`)}
  ${cell('Result', html`${badge('', one.result === 'OK' ? 'Done' : inWords(one.result), one.result === 'OK' ? 'good' : 'bad')}<br><span class="small">Reference <code>${one.traceId ?? '–'}</code></span>`)}`;
