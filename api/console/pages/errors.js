// Everything that failed between this instance and others, the newest kind of failure first.
import { gql } from '../lib/api.js';
import { ERROR, entry } from '../lib/errors.js';
import { cell, list } from '../lib/list.js';
import { empty, head } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';
import { pathOf } from './connections.js';

const ERRORS = gql`query ErrorLog($subjectId: ID, $first: Int, $after: String, $last: Int, $before: String) {
  errorLog(subjectId: $subjectId, first: $first, after: $after, last: $last, before: $before) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { id ...ErrorParts subject {
      ... on Registration { id number }
      ... on ConnectionRecord { id role state peer { name origin } }
    } } }
  }
}
${ERROR}`;

const path = (about) => (about.number ? `/registrations/${about.id}` : pathOf(about));
const name = (about) => about.number ?? about.peer.name ?? host(about.peer.origin);

export default function errors({ update, query }) {
  const subject = query.get('subject');
  const rows = list({
    operation: ERRORS,
    fixed: subject ? { subjectId: subject } : {},
    of: (data) => data.errorLog,
    caption: 'Errors',
    columns: ['What failed', 'About'],
    none: empty(subject ? 'Nothing has failed here.' : 'Nothing has failed.', 'What fails between this instance and another is kept here for 90 days, with what to do about it.'),
    row: (one) => html`<td class="entries">${entry(one)}</td>${cell('About', one.subject?.id ? html`<a href=${path(one.subject)}>${name(one.subject)}</a>` : html`<span class="small">${one.subjectId ? 'it is gone' : 'this instance'}</span>`)}`,
    update,
  });

  /** Of one thing, its name and the way back to it and to all. */
  function whole() {
    const about = subject && rows.data()?.errorLog.edges[0]?.node.subject;
    return subject ? html`<p>Only what concerns ${about?.id ? html`<a href=${path(about)}>${name(about)}</a>` : 'one registration or connection'}. <a href="/errors">The whole error log</a></p>` : nothing;
  }

  return {
    title: () => 'Error log',
    ready: rows.refresh(),
    refresh: rows.refresh,
    subjects: ['CONNECTION', 'REGISTRATION', 'ONBOARDING', 'SCAN'],
    changed: rows.refresh,
    leave: rows.leave,
    view: () => html`${head('Error log', { crumbs: [['Health dashboard', '/health']], lead: 'What failed between this instance and others, and the references that lead to the logs of both sides.' })}${whole()}<div class="panel">${rows.view()}</div>`,
  };
}
