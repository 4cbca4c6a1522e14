// The provider centre: what this instance offers, and who was registered for it.
import { gql, mutate } from '../lib/api.js';
import { edit, meanwhile, saved } from '../lib/editing.js';
import { REFUSAL } from '../lib/fragments.js';
import { cell, list } from '../lib/list.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { address, badge, button, empty, facts, fingerprint, head, input, notice, outcome, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';
import { definitions } from './definitions.js';

const RECORD = gql`query ProviderRecord {
  providerRecord { name description revision updatedAt viewerCanEdit }
}`;

const SAVE = gql`mutation SaveProviderRecord($input: SaveProviderRecordInput!) {
  saveProviderRecord(input: $input) { providerRecord { name revision } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const REGISTRATIONS = gql`query Registrations($first: Int, $after: String, $last: Int, $before: String, $filter: RegistrationsFilter, $orderBy: RegistrationOrder) {
  registrations(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { id number state stateLabel url environmentLabel updatedAt company { id name } contact { name } } }
  }
}`;

export const STATES = [
  ['AWAITING_VALIDATION', 'Awaiting Validation'], ['VALIDATION_FAILED', 'Validation Failed'], ['OPEN', 'Open'],
  ['WORK_IN_PROGRESS', 'Work in Progress'], ['CLOSED_COMPLETE', 'Closed Complete'], ['CLOSED_INCOMPLETE', 'Closed Incomplete'],
  ['EXPIRED', 'Expired'], ['CANCELLED', 'Cancelled'],
];

/** What of the record is edited. */
const fields = ({ name = '', description = '' }) => ({ name, description });
const FIELDS = { name: 'Name', description: 'What it is' };

const NAME = /^[A-Za-z0-9-]+$/;

export default function provider({ update, viewer, instance }) {
  const record = resource(RECORD, {}, update);
  const save = command(update);
  const offered = definitions(update, viewer);
  let draft = null;
  let problem = null;

  const registrations = list({
    operation: REGISTRATIONS,
    of: (data) => data.registrations,
    search: { label: 'Search', placeholder: 'Number, URL or company' },
    filters: [{ name: 'state', label: 'State', choices: STATES, put: (filter, value) => { filter.states = [value]; } }],
    orders: [['NEWEST', 'Newest first'], ['LAST_CHANGED', 'Changed last first'], ['COMPANY', 'Company, A to Z']],
    caption: 'Registrations',
    columns: ['Number', 'Company', 'Instance', 'State', 'Changed'],
    none: empty('Nobody is registered yet.', 'You need a company, a person there who is an administrator of their instance, and its URL.', viewer.canOperate ? html`<a class="button secondary" href="/registrations/new">Register a consumer</a>` : nothing),
    row: (one) => html`
      <th scope="row"><a href="/registrations/${one.id}">${one.number}</a></th>
      ${cell('Company', html`${one.company?.name ?? '–'}<br><span class="small">${one.contact?.name ?? ''}</span>`)}
      ${cell('Instance', html`${address(host(one.url))}<br><span class="small">${one.environmentLabel}</span>`)}
      ${cell('State', badge(one.state, one.stateLabel))}
      ${cell('Changed', when(one.updatedAt))}`,
    update,
  });

  function begin(now) {
    draft = edit(now ?? {}, fields);
    problem = null;
    save.clear();
    update();
    requestAnimationFrame(() => document.getElementById('record-name')?.focus());
  }

  async function store(event, now) {
    event.preventDefault();
    const { name, description } = draft.values(now ?? {});
    if (!NAME.test(name)) {
      problem = name ? 'Letters, digits and dashes only.' : 'Give the service a name.';
      update();
      document.getElementById('record-name').focus();
      return;
    }
    const input = { name, description, ...(now ? { expectedRevision: draft.expected(now) } : {}) };
    const payload = await save.run(() => mutate(SAVE, input));
    if (payload) {
      draft = null;
      toast('The provider record was saved.');
    }
    await record.refresh();
  }

  const form = (now) => html`<form class="form" novalidate @submit=${(event) => store(event, now)}>
    ${now ? meanwhile(draft, now, { label: (name) => FIELDS[name], words: (_, value) => value || '–', done: () => { save.clear(); update(); } }) : nothing}
    ${input({ id: 'record-name', label: 'Name of the service', value: draft.values(now ?? {}).name, maxlength: 64, required: true, help: 'Letters, digits and dashes. Consumers see it when they are asked to connect.', error: problem ?? (save.refusal?.field === 'name' ? save.refusal.message : null), change: (name) => { draft.set(now ?? {}, 'name', name); if (problem) { problem = null; update(); } } })}
    ${input({ id: 'record-description', label: 'What it is', value: draft.values(now ?? {}).description, maxlength: 500, optional: true, change: (text) => { draft.set(now ?? {}, 'description', text); } })}
    ${save.refusal?.field === 'name' ? nothing : now ? saved(draft, now, save) : outcome(save)}
    <div class="buttons"><button type="submit" aria-disabled=${save.busy ? 'true' : nothing}>Save</button>${button('Do not save', () => { draft = null; update(); }, { kind: 'secondary' })}</div>
  </form>`;

  function shown(now) {
    if (draft) return form(now);
    if (!now) {
      return viewer.canOperate
        ? html`<p>Say what this instance offers. It is needed before anybody can be registered.</p><div class="buttons">${button('Set up the provider record', () => begin(null))}</div>`
        : html`<p>An operator or administrator of this instance has to set it up first.</p>`;
    }
    return html`${facts([['Name', now.name], ['What it is', now.description || '–'], ['Changed', when(now.updatedAt)]])}
      ${now.viewerCanEdit ? html`<div class="buttons">${button('Change', () => begin(now), { kind: 'secondary' })}</div>` : nothing}`;
  }

  const refresh = () => Promise.all([record.refresh(), registrations.refresh(), offered.refresh()]);
  const ready = refresh();
  return {
    title: () => 'Provider centre',
    ready,
    refresh,
    subjects: ['REGISTRATION', 'COMPANY', 'ACCOUNT', 'DEFINITION', 'SETUP'],
    changed: (event) => (event.subject === 'DEFINITION' ? offered : event.subject === 'SETUP' ? record : registrations).refresh(),
    leave: registrations.leave,
    view: () => html`
      ${head('Provider centre', { lead: 'What this instance offers, and who is invited to connect.', actions: viewer.canOperate && record.data?.providerRecord ? html`<a class="button" href="/registrations/new">Register a consumer</a>` : nothing })}
      ${record.view(({ providerRecord }) => html`<div class="columns"><div class="column-main">${section('record', 'Provider record', shown(providerRecord))}</div>
        <div class="column-side">${section('instance', 'This instance', html`${facts([['URL', address(instance.origin)], ['Environment', instance.environmentLabel], ['Letters', instance.mailOn ? 'Go out by themselves' : 'Off: links are shared by hand']])}
        <details class="more"><summary>Our fingerprint</summary>${fingerprint(instance.fingerprintText)}</details>`)}</div></div>
        ${providerRecord || registrations.data()?.registrations.edges.length ? section('registrations', 'Registrations', registrations.view()) : notice('calm', 'Registrations come after the provider record.')}
        ${viewer.company || !providerRecord ? nothing : offered.view()}`)}`,
  };
}
