// One other organisation: its people, and what was registered for it.
import { accountControls } from '../lib/account-controls.js';
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { paging } from '../lib/list.js';
import { personForm } from '../lib/person-form.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { address, badge, button, empty, head, notice, outcome, section, when } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { host, role } from '../lib/words.js';

const COMPANY = gql`query Company($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  node(id: $id) { ... on Company {
    id name createdAt
    contacts(first: $first, after: $after, last: $last, before: $before) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { id name email active roles revision actions { name allowed needsStepUp } } } }
  } }
}`;

const REGISTRATIONS = gql`query RegistrationsOfCompany($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  registrations(first: $first, after: $after, last: $last, before: $before, filter: { companyId: $id }) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { id number state stateLabel url updatedAt } }
  }
}`;
const SIZE = 50;

const CREATE = gql`mutation CreateContact($input: CreateContactInput!) {
  createContact(input: $input) { contact { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const SWITCH = gql`mutation SwitchContact($input: UpdateContactInput!) {
  updateContact(input: $input) { contact { id active } refusal { ...RefusalParts } }
}
${REFUSAL}`;

export default function company({ params, update, viewer }) {
  const { id } = params;
  const people = paging(SIZE, { refresh: () => all.refresh(), heading: 'contacts', label: 'Pages of the contacts' });
  const all = resource(COMPANY, () => ({ id, ...people.window() }), update);
  const place = paging(SIZE, { refresh: () => registrations.refresh(), heading: 'registrations', label: 'Pages of the registrations' });
  const registrations = resource(REGISTRATIONS, () => ({ id, ...place.window() }), update);
  const refresh = () => Promise.all([all.refresh(), registrations.refresh()]);
  const act = command(update);
  const form = personForm({
    title: 'Add a contact',
    example: 'name@consumer.example',
    add: (person) => mutate(CREATE, { companyId: id, ...person }),
    async added({ contact }) {
      toast(`${contact.name} was added.`);
      await all.refresh();
    },
    update,
  });

  function view() {
    return all.view((data) => {
      const now = data.node;
      if (!now?.id) return html`${head('No such company')}${notice('warn', 'There is no company under this address, or it is not yours to see.', html`<p><a href="/companies">See the companies</a></p>`)}`;
      const contacts = now.contacts.edges.map(({ node }) => node);
      return html`
        ${head(now.name, { crumbs: [['Companies', '/companies']], actions: viewer.canOperate && contacts.length ? html`<a class="button" href="/registrations/new?company=${id}">Register a consumer</a>` : nothing })}
        ${outcome(act)}
        <div class="columns"><div class="column-main">
        ${section('contacts', 'Contacts', contacts.length ? html`<ul class="log">${repeat(contacts, (one) => one.id, (one) => html`<li>
            <strong>${one.name}</strong> <span>${address(one.email)}</span> ${one.active ? nothing : badge('SUSPENDED', 'Switched off')} <span class="small">${one.roles.map(role).join(', ') || 'no roles'}</span>
            ${accountControls(one, act, { SWITCH, ends: 'They cannot sign in here any more, and cannot approve.', refresh: all.refresh })}</li>`)}</ul>${people.view(now.contacts.pageInfo)}`
          : empty('Nobody is known at this company yet.', 'Add the person who will connect their instance: an administrator there. They sign in here once, to approve.'))}
        ${section('registrations', 'Registrations', registrations.part('What was registered', ({ registrations: { edges, pageInfo } }) => (edges.length ? html`<ul class="log">${edges.map(({ node: one }) => html`<li><a href="/registrations/${one.id}">${one.number}</a> ${host(one.url)} ${badge(one.state, one.stateLabel)} <span class="small">${when(one.updatedAt)}</span></li>`)}</ul>${place.view(pageInfo)}` : empty('No registration yet.', contacts.length ? 'Register a consumer: its state appears here.' : 'Add a contact first; then register a consumer.'))))}
        </div><div class="column-side">${viewer.canOperate ? form() : nothing}</div></div>`;
    });
  }

  return {
    title: () => all.data?.node?.name ?? 'Company',
    view,
    ready: refresh(),
    refresh,
    subjects: ['COMPANY', 'ACCOUNT', 'REGISTRATION'],
    changed: refresh,
  };
}
