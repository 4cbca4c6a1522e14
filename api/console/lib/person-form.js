// The form with which a person is added: of another company, or of this organisation.
import { command } from './resource.js';
import { input, outcome, section, submit } from './ui.js';
import { html, nothing } from './view.js';

const EMPTY = { name: '', email: '' };

/**
 * `add(person)` is the mutation, `added(payload)` is called when it succeeded; `example` is an email address that shows
 * what one looks like; `more()` draws what else is asked.
 */
export function personForm({ title, example, add, added, more = () => nothing, update }) {
  const adding = command(update);
  let draft = { ...EMPTY };
  let problems = {};

  async function create(event) {
    event.preventDefault();
    const person = { name: draft.name.trim(), email: draft.email.trim() };
    problems = { name: person.name ? null : 'Enter the person’s name.', email: /.@.+\../.test(person.email) ? null : `Enter an email address, such as ${example}.` };
    update();
    const first = Object.keys(EMPTY).find((name) => problems[name]);
    if (first) {
      document.getElementById(first).focus();
      return;
    }
    const payload = await adding.run(() => add(person));
    if (!payload) {
      document.getElementById(adding.refusal?.field)?.focus();
      return;
    }
    draft = { ...EMPTY };
    await added(payload);
  }

  const set = (name, value) => {
    draft[name] = value;
    if (problems[name] || adding.refusal) {
      problems[name] = null;
      adding.clear();
      update();
    }
  };
  const problem = (name) => problems[name] ?? (adding.refusal?.field === name ? adding.refusal.message : null);

  return () => section('add', title, html`<form novalidate @submit=${create}>
    ${input({ id: 'name', label: 'Name', value: draft.name, maxlength: 64, required: true, error: problem('name'), change: (text) => set('name', text) })}
    ${input({ id: 'email', label: 'Email address', type: 'email', value: draft.email, maxlength: 254, required: true, error: problem('email'), change: (text) => set('email', text) })}
    ${more()}
    ${adding.refusal?.field in EMPTY ? nothing : outcome(adding)}
    <div class="buttons">${submit('Add', { busy: adding.busy, kind: 'secondary' })}</div></form>`);
}
