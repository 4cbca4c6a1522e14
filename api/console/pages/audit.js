// The audit trail: who did what to what, when, in a chain that shows tampering.
import { gql } from '../lib/api.js';
import { COLUMNS, ENTRY, cells, followEntries } from '../lib/audit.js';
import { keyTabs } from '../lib/key-tabs.js';
import { list } from '../lib/list.js';
import { resource } from '../lib/resource.js';
import { badge, empty, head, notice, section } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const AUDIT = gql`query AuditLog($first: Int, $after: String, $last: Int, $before: String, $filter: AuditLogFilter) {
  auditLog(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { ...EntryParts } }
  }
}
${ENTRY}`;

const CHAIN = gql`query AuditChain { keyHealth { measuredAt components { name status statusLabel message remedy } } }`;

const KINDS = [['key.', 'Keys'], ['key_module.', 'Key modules'], ['audit.', 'The audit log itself'], ['session.', 'Signing in'], ['account.', 'Accounts'], ['user.', 'People'], ['registration.', 'Registrations'], ['connection.', 'Connections'], ['onboarding.', 'Onboarding'], ['scan.', 'Scans'], ['issue.', 'Issues'], ['settings.', 'Settings']];
const RESULTS = [['OK', 'Done'], ['POLICY_DENIED', 'Policy denied'], ['NOT_AN_ADMINISTRATOR', 'Not allowed'], ['CREDENTIALS_INVALID', 'Credentials not valid']];

/** What is searched for among one kind of operations: a search that names another kind finds nothing there. */
const within = (kind, searched) => (searched.startsWith(kind) ? searched : kind + searched);

export default function audit({ update, query, viewer }) {
  const module = query.get('module');
  const object = query.get('object');
  const chain = resource(CHAIN, {}, update);
  const rows = list({
    operation: AUDIT,
    of: (data) => data.auditLog,
    search: { label: 'Operation begins with', placeholder: 'registration.', put: (filter, text) => { filter.operation = text.toLowerCase().replace(/[^a-z0-9._-]/g, '').slice(0, 64); } },
    filters: [
      { name: 'kind', label: 'About', choices: KINDS, put: (filter, value) => { filter.operation = within(value, filter.operation ?? ''); } },
      ...(module ? [{ name: 'module', label: 'Key module', choices: [[module, module]], put: (filter, value) => { filter.module = value; } }] : []),
      ...(object ? [{ name: 'object', label: 'Object', choices: [[object, 'What you came from']], put: (filter, value) => { filter.objectId = value; } }] : []),
      { name: 'result', label: 'Result', choices: RESULTS, put: (filter, value) => { filter.result = value; } },
    ],
    caption: 'Entries, the newest first',
    columns: COLUMNS,
    none: empty('The audit log is empty for you.', 'What you do and what is done by itself is written here, as it happens.'),
    key: ({ number }) => number,
    row: cells,
    update,
  });

  function verified() {
    return section('chain', 'Whether it is whole', html`
      <p>Each entry is bound to all before it, and checkpoints are signed; the other instances keep the newest. So a change of what was written is found.</p>
      ${chain.part('What was verified', ({ keyHealth }) => (keyHealth.components ?? []).filter((one) => one.name === 'AUDIT_CHAIN').map((one) => html`<p>${badge(one.status, one.statusLabel)} ${one.message}</p>`))}
      <p class="small">Whoever may not trust this page verifies the log without this instance: on its host, <code>linkspan audit export</code> writes it to a file, and <code>linkspan audit verify</code> names the first entry that is not as it was.</p>`);
  }

  const view = () => (rows.error()?.kind === 'FORBIDDEN' && !rows.data()
    ? notice('calm', 'The audit log is for administrators and key auditors.', html`<p>${rows.error().message} Administrators read what concerns the application, key auditors what concerns keys.</p>`)
    : html`<div class="panel">${rows.view()}</div>${verified()}`);

  const stop = followEntries(viewer, rows.refresh);
  return {
    title: () => 'Audit log',
    ready: Promise.all([rows.refresh(), chain.refresh()]),
    refresh: rows.refresh,
    subjects: ['KEY_HEALTH'],
    changed: chain.refresh,
    leave() {
      stop();
      rows.leave();
    },
    view: () => html`${head('Audit log', { lead: 'Who did what to what, when, and how it went.' })}${keyTabs('/audit')}${view()}`,
  };
}
