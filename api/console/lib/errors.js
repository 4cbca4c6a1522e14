// The error log: what failed between two instances, what to do, and where to look on both sides.
import { gql } from './api.js';
import { remedyWords } from './remedies.js';
import { codes, exactly } from './ui.js';
import { html, nothing } from './view.js';
import { count } from './words.js';

export const ERROR = gql`fragment ErrorParts on ErrorLogEntry {
  operation operationLabel code codeLabel reason message docsUrl count firstAt lastAt traceId peerTraceId subjectId
  remedy { kind text setting value mutation }
}`;

export const ERRORS_OF = gql`query ErrorsOf($id: ID!) {
  errorLog(subjectId: $id, first: 10) { pageInfo { hasNextPage } edges { node { ...ErrorParts } } }
}
${ERROR}`;

/** What failed, in words; traces last, for whoever reads logs. */
export const entry = (one) => html`<strong>${one.operationLabel}: ${one.codeLabel}</strong>
  <p>${one.message}</p>${remedyWords(one.remedy) ? html`<p class="small">${remedyWords(one.remedy)}</p>` : nothing}
  <p class="fine">${one.count === 1 ? 'Once,' : `${count(one.count, 'time')}, last`} ${exactly(one.lastAt)} · <a href=${one.docsUrl}>What this means</a> · ${codes(one)} · Reference <code>${one.traceId}</code>${one.peerTraceId && one.peerTraceId !== one.traceId ? html` · Theirs <code>${one.peerTraceId}</code>` : nothing}</p>`;

/** The log of one registration or connection. */
export const errorList = (data, id) => (data.errorLog.edges.length
  ? html`<ul class="log entries">${data.errorLog.edges.map(({ node }) => html`<li>${entry(node)}</li>`)}</ul>${data.errorLog.pageInfo.hasNextPage ? html`<p><a href="/errors?subject=${id}">All that failed here</a></p>` : nothing}`
  : html`<p>Nothing has failed.</p>`);
