// Which company the provider is: one of those known here, or a new one; and why it may be missing.
import { gql, mutate } from '../lib/api.js';
import { companyChooser } from '../lib/chooser.js';
import { REFUSAL } from '../lib/fragments.js';
import { command } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { button, input, outcome } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';

const CREATE = gql`mutation CreateProviderCompany($input: CreateCompanyInput!) {
  createCompany(input: $input) { company { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** `refresh` loads again whether any company is known. */
export function companyChoice(update, refresh) {
  const add = command(update);
  const companies = companyChooser({ id: 'company', update, change: (id) => { chosen = { id }; problem = null; update(); } });
  /** What was chosen here; null while it is what the connection says. */
  let chosen = null;
  let name = null;
  let adding = false;
  let problem = null;

  const current = (connection) => chosen ?? connection.company ?? { id: '' };

  /** The chosen company's id, after adding the company if a new one was entered; null when something is missing. */
  async function settle(connection, known) {
    if (!adding && known) {
      return current(connection).id || complain('Choose the provider’s company first, or add it.', 'company');
    }
    const wanted = (name ?? connection.peer.name ?? '').trim();
    if (!wanted) return complain('Enter the name of the provider’s company.', 'company-name');
    const payload = await add.run(() => mutate(CREATE, { name: wanted }));
    if (!payload) return complain(null, 'company-name');
    chosen = payload.company;
    adding = false;
    problem = null;
    toast(`${payload.company.name} was added.`);
    await refresh();
    return chosen.id;
  }

  function complain(text, id) {
    problem = text;
    update();
    requestAnimationFrame(() => document.getElementById(id)?.focus());
    return null;
  }

  /** Adds a company, or selects one of those that are known. */
  function choose(another) {
    adding = another;
    complain(null, another ? 'company-name' : 'company');
  }

  function view(connection, known, label = 'Select Provider') {
    const show = adding || !known;
    const picked = current(connection);
    return html`
      ${known
        ? companies.view({ label, value: picked.id, name: picked.name, error: show ? null : problem })
        : html`<p><strong>No company is known here yet.</strong> A company stands for an organisation that you connect with; this instance cannot know the provider’s until you add it.</p>`}
      ${show
        ? html`<div class="inline-form">
            ${input({ id: 'company-name', label: 'Name of the provider’s company', value: name ?? connection.peer.name ?? '', maxlength: 64, help: `It runs ${host(connection.peer.origin)}.`, error: add.refusal?.field === 'name' ? add.refusal.message : problem, change: (text) => { name = text; } })}
            ${known ? html`<p class="small">It is added when you get started. ${button('Select a known company instead', () => choose(false), { kind: 'text' })}</p>` : nothing}
            ${add.refusal?.field === 'name' ? nothing : outcome(add)}
          </div>`
        : html`<p class="small">Is the provider’s company missing, and not found by its name? Then nobody here has added it yet. ${button('Add it now', () => choose(true), { kind: 'text' })}</p>`}`;
  }

  return { view, settle };
}
