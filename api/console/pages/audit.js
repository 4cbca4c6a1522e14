// The audit trail: who did what to what, when, in a chain that shows tampering.
import { gql, mutate } from '../lib/api.js';
import { COLUMNS, ENTRY, OF_KEYS, cells, followEntries } from '../lib/audit.js';
import { REFUSAL } from '../lib/fragments.js';
import { keyTabs } from '../lib/key-tabs.js';
import { list } from '../lib/list.js';
import { command, poll, resource } from '../lib/resource.js';
import { announce, toast } from '../lib/say.js';
import { badge, button, empty, head, notice, outcome, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const AUDIT = gql`query AuditLog($first: Int, $after: String, $last: Int, $before: String, $filter: AuditLogFilter) {
  auditLog(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { ...EntryParts } }
  }
}
${ENTRY}`;

const CHAIN = gql`query AuditChain { keyHealth { status statusLabel reason components { name code status statusLabel message remedy measuredAt } } }`;
const VERIFY = gql`mutation VerifyTrail($input: RecheckKeyHealthInput!) {
  recheckKeyHealth(input: $input) { keyHealth { components { name code status statusLabel message } } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const KINDS = [['key.', 'Keys'], ['key_module.', 'Key modules'], ['audit.', 'The audit log itself'], ['session.', 'Signing in'], ['account.', 'Accounts'], ['user.', 'People'], ['registration.', 'Registrations'], ['connection.', 'Connections'], ['onboarding.', 'Onboarding'], ['scan.', 'Scans'], ['issue.', 'Issues'], ['settings.', 'Settings']];
const RESULTS = [['OK', 'Done'], ['POLICY_DENIED', 'Policy denied'], ['NOT_AN_ADMINISTRATOR', 'Not an administrator'], ['CREDENTIALS_INVALID', 'Credentials invalid']];

/** How often it is looked how far a long trail is verified, and how many times: each goes over 5,000 entries more. */
const LOOK_MS = 1_000;
const LOOKS = 1_000;

/** An address as a whole: the trail has it as a keyed hash, so a part of it finds nothing. */
const ADDRESS = /^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$/;

/** Puts in what is searched for: entries that keep an email address, or those of some operations. */
function searched(filter, text) {
  if (ADDRESS.test(text.trim())) filter.email = text.trim();
  else filter.operation = text.toLowerCase().replace(/[^a-z0-9._-]/g, '').slice(0, 64);
}

/** What is searched for among one kind of operations: a search that names another kind finds nothing there. */
const within = (kind, searched) => (searched.startsWith(kind) ? searched : kind + searched);

export default function audit({ update, query, viewer }) {
  const module = query.get('module');
  const object = query.get('object');
  const chain = resource(CHAIN, {}, update);
  const verify = command(update);
  const rows = list({
    operation: AUDIT,
    of: (data) => data.auditLog,
    search: { label: 'Operation begins with, or email address', placeholder: 'registration.', put: searched, isPrivate: (text) => text.includes('@') },
    filters: [
      { name: 'kind', label: 'About', choices: KINDS, put: (filter, value) => { filter.operation = within(value, filter.operation ?? ''); } },
      ...(module ? [{ name: 'module', label: 'Key module', choices: [[module, module]], put: (filter, value) => { filter.module = value; } }] : []),
      ...(object ? [{ name: 'object', label: 'Object', choices: [[object, 'What you came from']], put: (filter, value) => { filter.objectId = value; } }] : []),
      { name: 'result', label: 'Result', choices: [...RESULTS, ...Object.entries(OF_KEYS)], put: (filter, value) => { filter.result = value; } },
    ],
    caption: 'Entries, the newest first',
    columns: COLUMNS,
    none: empty('The audit log is empty for you.', 'What you do and what is done by itself is written here, as it happens.'),
    key: ({ number }) => number,
    row: cells,
    update,
  });

  const trailOf = ({ components }) => components?.find(({ name }) => name === 'AUDIT_CHAIN');

  const goesOn = (trail) => trail?.code === 'BEING_VERIFIED';
  /** Ends looking how far it is; none while nobody looks. */
  let looking = null;
  let left = false;

  async function verifyNow() {
    const payload = await verify.run(() => mutate(VERIFY, {}));
    await chain.refresh();
    const trail = payload && trailOf(payload.keyHealth);
    if (left) return;
    if (goesOn(trail)) lookOn();
    else if (trail) tell(trail);
  }

  const tell = (trail) => toast(`${trail.statusLabel}: ${trail.message}`, trail.status !== 'OPERATIONAL' ? 'bad' : goesOn(trail) ? 'warn' : 'good');

  /** Looks until a long trail is verified to its end or a fault shows, and says which. */
  function lookOn() {
    let looks = 0;
    announce('The log is long: what is found is said when it was gone over.');
    const end = poll(async () => {
      await chain.refresh();
      looks += 1;
      const trail = chain.data && trailOf(chain.data.keyHealth);
      if (looking !== end || (goesOn(trail) && looks < LOOKS)) return;
      rest();
      if (trail) tell(trail);
      update();
    }, LOOK_MS);
    looking = end;
    update();
  }

  /** Nobody looks any more. */
  function rest() {
    looking?.();
    looking = null;
  }

  /** What was found, for those who look after keys; for everybody else the whole, and whom to ask. */
  function result({ keyHealth }) {
    const trail = trailOf(keyHealth);
    if (!keyHealth.components) return html`<p>The result is for key administrators, managers, operators and auditors: ask one of them. The key service as a whole: ${badge(keyHealth.status, keyHealth.statusLabel)}</p>`;
    return html`${trail
      ? html`<p>${badge(trail.status, trail.statusLabel)} ${trail.message}</p>${trail.remedy ? html`<p><strong>What to do:</strong> ${trail.remedy}</p>` : nothing}<p class="small">Looked at ${when(trail.measuredAt)}; each hour from its beginning, by itself.</p>`
      : html`<p>It could not be verified: ${keyHealth.reason} <a href="/keys">Look at the key service</a></p>`}
      ${outcome(verify)}
      <div class="buttons">${button('Verify now', verifyNow, { kind: 'secondary', busy: verify.busy || looking !== null })}</div>`;
  }

  function verified() {
    return section('chain', 'Whether it is whole', html`
      <p>Each entry is bound to all before it, and checkpoints are signed; the other instances keep the newest. So a change of what was written is found.</p>
      ${chain.part('What was verified', result)}
      <p class="small">Whoever may not trust this page verifies the log without this instance: on its host, <code>linkspan audit export</code> writes it to a file, and <code>linkspan audit verify</code> names the first entry that is not as it was.</p>`);
  }

  const view = () => (rows.error()?.kind === 'FORBIDDEN' && !rows.data()
    ? notice('calm', 'The audit log is for administrators and key auditors.', html`<p>${rows.error().message} Administrators read what concerns the application, key auditors what concerns keys.</p>`)
    : html`<div class="panel">${rows.view()}</div>${verified()}`);

  const stop = followEntries(viewer, rows.refresh);
  return {
    title: () => 'Audit log',
    ready: Promise.all([rows.refresh(), chain.refresh()]),
    refresh: () => Promise.all([rows.refresh(), chain.refresh()]),
    subjects: ['KEY_HEALTH'],
    changed: chain.refresh,
    leave() {
      left = true;
      stop();
      rest();
      rows.leave();
    },
    view: () => html`${head('Audit log', { lead: 'Who did what to what, when, and how it went.' })}${keyTabs('/audit')}${view()}`,
  };
}
