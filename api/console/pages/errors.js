// Everything that failed between this instance and others, the newest kind of failure first.
import { gql } from '../lib/api.js';
import { ERROR, entry } from '../lib/errors.js';
import { cell, list } from '../lib/list.js';
import { empty, head } from '../lib/ui.js';
import { html } from '../lib/view.js';

const ERRORS = gql`query ErrorLog($first: Int, $after: String, $last: Int, $before: String) {
  errorLog(first: $first, after: $after, last: $last, before: $before) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { ...ErrorParts } }
  }
}
${ERROR}`;

// What an entry is about has no name of its own here: its page does.
const path = (id) => (atob(id.replaceAll('-', '+').replaceAll('_', '/')).startsWith('Registration') ? `/registrations/${id}` : `/connections/${id}`);

export default function errors({ update }) {
  const rows = list({
    operation: ERRORS,
    of: (data) => data.errorLog,
    caption: 'Errors',
    columns: ['What failed', 'About'],
    none: empty('Nothing has failed.', 'What fails between this instance and another is kept here for 90 days, with what to do about it.'),
    key: (one) => `${one.subjectId} ${one.operation} ${one.code} ${one.reason}`,
    row: (one) => html`<td class="entries">${entry(one)}</td>${cell('About', one.subjectId ? html`<a href=${path(one.subjectId)}>See it</a>` : html`<span class="small">this instance</span>`)}`,
    update,
  });
  return {
    title: () => 'Error log',
    ready: rows.refresh(),
    refresh: rows.refresh,
    subjects: ['CONNECTION', 'REGISTRATION', 'ONBOARDING', 'SCAN'],
    changed: rows.refresh,
    leave: rows.leave,
    view: () => html`${head('Error log', { crumbs: [['Health', '/health']], lead: 'What failed between this instance and others, and the references that lead to the logs of both sides.' })}<div class="panel">${rows.view()}</div>`,
  };
}
