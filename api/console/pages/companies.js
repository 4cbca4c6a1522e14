// The other organisations, and adding one.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { cell, list } from '../lib/list.js';
import { command } from '../lib/resource.js';
import { empty, head, input, outcome, section, submit, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const COMPANIES = gql`query Companies($first: Int, $after: String, $last: Int, $before: String, $search: String) {
  companies(first: $first, after: $after, last: $last, before: $before, search: $search) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { id name createdAt contacts(first: 3) { edges { node { id name } } pageInfo { hasNextPage } } } }
  }
}`;

const CREATE = gql`mutation CreateCompany($input: CreateCompanyInput!) {
  createCompany(input: $input) { company { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;

export default function companies({ update, viewer, navigate }) {
  const add = command(update);
  let name = '';
  let problem = null;
  const rows = list({
    operation: COMPANIES,
    of: (data) => data.companies,
    search: { label: 'Search', placeholder: 'Name', argument: true },
    caption: 'Companies',
    columns: ['Company', 'Contacts', 'Added'],
    none: empty('No company yet.', 'A company stands for an organisation that you connect with.'),
    row: (one) => html`<th scope="row"><a href="/companies/${one.id}">${one.name}</a></th>
      ${cell('Contacts', one.contacts.edges.length ? html`${one.contacts.edges.map(({ node }) => node.name).join(', ')}${one.contacts.pageInfo.hasNextPage ? ' …' : ''}` : 'None')}
      ${cell('Added', when(one.createdAt))}`,
    update,
  });

  async function create(event) {
    event.preventDefault();
    problem = name.trim() ? null : 'Enter a name.';
    update();
    if (problem) {
      document.getElementById('name').focus();
      return;
    }
    const payload = await add.run(() => mutate(CREATE, { name: name.trim() }));
    if (payload) navigate(`/companies/${payload.company.id}`);
  }

  return {
    title: () => 'Companies',
    ready: rows.refresh(),
    refresh: rows.refresh,
    subjects: ['COMPANY', 'ACCOUNT'],
    changed: rows.refresh,
    leave: rows.leave,
    view: () => html`${head('Companies', { lead: 'The other organisations, and the people there who connect their instances.' })}
      <div class="columns"><div class="column-main"><div class="panel">${rows.view()}</div></div>
      <div class="column-side">${viewer.canOperate ? section('add', 'Add a company', html`<form novalidate @submit=${create}>
        ${input({ id: 'name', label: 'Name', value: name, maxlength: 64, required: true, error: problem ?? (add.refusal?.field === 'name' ? add.refusal.message : null), change: (text) => { name = text; if (problem || add.refusal) { problem = null; add.clear(); update(); } } })}
        ${add.refusal?.field === 'name' ? nothing : outcome(add)}
        <div class="buttons">${submit('Add', { busy: add.busy, kind: 'secondary' })}</div></form>`) : nothing}</div></div>`,
  };
}
