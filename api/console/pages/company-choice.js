// Which company the provider is: one of those known here, or a new one; and why the list may lack it.
import { gql, mutate } from '../lib/api.js';
import { companySearch } from '../lib/company-search.js';
import { REFUSAL } from '../lib/fragments.js';
import { command } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { button, input, outcome, select } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';

const CREATE = gql`mutation CreateProviderCompany($input: CreateCompanyInput!) {
  createCompany(input: $input) { company { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;

export function companyChoice(update, refresh) {
  const add = command(update);
  const search = companySearch(update);
  let chosen = null;
  let name = null;
  let adding = false;
  let problem = null;

  const value = (connection) => chosen ?? connection.company?.id ?? '';

  /** The chosen company's id, after adding the company if a new one was entered; null when something is missing. */
  async function settle(connection, companies) {
    if (!adding && companies.length > 0) {
      if (value(connection)) return value(connection);
      return complain('Select the provider’s company first.', 'company');
    }
    const wanted = (name ?? connection.peer.name ?? '').trim();
    if (!wanted) return complain('Enter the name of the provider’s company.', 'company-name');
    const payload = await add.run(() => mutate(CREATE, { name: wanted }));
    if (!payload) return complain(null, 'company-name');
    chosen = payload.company.id;
    adding = false;
    problem = null;
    toast(`${payload.company.name} was added.`);
    await refresh();
    return chosen;
  }

  function complain(text, id) {
    problem = text;
    update();
    requestAnimationFrame(() => document.getElementById(id)?.focus());
    return null;
  }

  function view(connection, companies, label = 'Select Provider') {
    const show = adding || companies.length === 0;
    const picked = value(connection);
    return html`
      ${companies.length
        ? html`${search.view(companies)}${select({
          id: 'company', label, value: picked, empty: 'Choose a company', required: true, error: show ? null : problem,
          choices: search.choices(companies, picked),
          change: (id) => { chosen = id; problem = null; update(); },
        })}`
        : html`<p><strong>No company is known here yet.</strong> A company stands for an organisation that you connect with; this instance cannot know the provider’s until you add it.</p>`}
      ${show
        ? html`<div class="inline-form">
            ${input({ id: 'company-name', label: 'Name of the provider’s company', value: name ?? connection.peer.name ?? '', maxlength: 64, help: `It runs ${host(connection.peer.origin)}.`, error: add.refusal?.field === 'name' ? add.refusal.message : problem, change: (text) => { name = text; } })}
            ${companies.length ? html`<p class="small">It is added when you get started. ${button('Select a known company instead', () => { adding = false; problem = null; update(); }, { kind: 'text' })}</p>` : nothing}
            ${add.refusal?.field === 'name' ? nothing : outcome(add)}
          </div>`
        : html`<p class="small">Is the provider’s company missing${search.more(companies) ? ', and not found by its name' : ''}? Then nobody here has added it yet. ${button('Add it now', () => { adding = true; update(); }, { kind: 'text' })}</p>`}`;
  }

  return { view, value, settle };
}
