// A choice among any number of things by a part of their name: an editable combobox with a list, as the ARIA authoring
// practices have it. The arrows go through the list, Enter takes, Escape closes it, and once more clears the field.
import { gql } from './api.js';
import { resource } from './resource.js';
import { announce } from './say.js';
import { field } from './ui.js';
import { html, live, nothing, repeat } from './view.js';
import { count } from './words.js';

const TYPING_MS = 200;

/**
 * `operation` takes `search` and these `variables`; `of(data)` finds the Relay connection in its answer, `label(node)` says
 * what one is called. `change(id, node)` is told what was chosen: nobody, with an empty id, from when something else is
 * typed until it is taken from the list or is the whole name of one of those that fit.
 */
export function chooser({ id, operation, variables = {}, of, label, words, update, change }) {
  const found = resource(operation, () => ({ ...variables, search: asked() }), listed);
  /** What was chosen here at some time, by id: its name is known even where the list no longer has it. */
  const names = new Map();
  /** What is typed and not taken yet; null while the field shows what is chosen. */
  let typed = null;
  let open = false;
  /** The option that the keyboard is at. */
  let at = -1;
  let timer = null;

  const asked = () => typed?.trim() || null;
  /** What fits: what is named exactly as typed first, then what begins so. */
  function options() {
    const text = (asked() ?? '').toLowerCase();
    const distance = (one) => (label(one).toLowerCase() === text ? 0 : label(one).toLowerCase().startsWith(text) ? 1 : 2);
    const nodes = found.data ? of(found.data).edges.map(({ node }) => node) : [];
    return text ? nodes.sort((one, other) => distance(one) - distance(other)) : nodes;
  }

  const input = () => document.getElementById(id);

  function listed() {
    at = Math.min(at, options().length - 1);
    if (open && found.data && asked()) announce(`${count(options().length, ...words)} found.`);
    if (!open) settle();
    update();
  }

  function show() {
    if (open) return;
    open = true;
    at = -1;
    found.refresh();
    update();
  }

  function close() {
    open = false;
    at = -1;
    update();
  }

  function type(text) {
    if (typed === null) change('', null);
    typed = text;
    open = true;
    at = -1;
    clearTimeout(timer);
    timer = setTimeout(found.refresh, TYPING_MS);
    update();
  }

  function take(one) {
    clearTimeout(timer);
    names.set(one.id, label(one));
    typed = null;
    change(one.id, one);
    close();
  }

  /** Whoever typed the whole name of one has chosen it. */
  function settle() {
    const whole = asked()?.toLowerCase();
    const [one, ...others] = options().filter((option) => label(option).toLowerCase() === whole);
    if (whole && one && !others.length) take(one);
  }

  function leave() {
    close();
    settle();
  }

  /** Goes through the options, round and round. */
  function move(by) {
    const { length } = options();
    if (length) at = (at === -1 && by < 0 ? length : at) + by;
    at = length ? (at + length) % length : -1;
    update();
    requestAnimationFrame(() => document.getElementById(`${id}-option-${at}`)?.scrollIntoView({ block: 'nearest' }));
  }

  function press(event) {
    const keys = {
      ArrowDown: () => (open ? move(1) : show()),
      ArrowUp: () => (open ? move(-1) : show()),
      Enter: open && at >= 0 && (() => take(options()[at])),
      Escape: open ? close : input().value && (() => type('')),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  /** What the list has, or why it has nothing. */
  function body() {
    if (found.error) return html`<p class="none small">The list could not be loaded. Type again to try once more.</p>`;
    if (!found.data) return html`<p class="none small">Looking …</p>`;
    if (!options().length) return html`<p class="none small">Nothing fits “${typed ?? ''}”.</p>`;
    return of(found.data).pageInfo.hasNextPage ? html`<p class="none small">There are more: type a part of the name.</p>` : nothing;
  }

  /** The field. `value` is the id of what is chosen, `name` what it is called. */
  function view({ label: title, value, name, help, error }) {
    const shown = open && !found.error && options().length > 0;
    const active = shown && at >= 0 ? `${id}-option-${at}` : nothing;
    return field({ id, label: title, help, error }, ({ described, invalid }) => html`<div class="combobox">
      <input id=${id} type="text" role="combobox" autocomplete="off" spellcheck="false" placeholder="Type a part of the name" required
        aria-autocomplete="list" aria-expanded=${shown ? 'true' : 'false'} aria-controls="${id}-list" aria-activedescendant=${active} aria-describedby=${described} aria-invalid=${invalid}
        .value=${live(typed ?? names.get(value) ?? name ?? '')} @input=${(event) => type(event.target.value)} @click=${show} @keydown=${press} @blur=${leave}>
      <div class="options" ?hidden=${!open} @pointerdown=${(event) => event.preventDefault()}>
        <ul id="${id}-list" role="listbox" aria-label="${title}: what fits" ?hidden=${!shown}>${repeat(options(), (one) => one.id, (one, index) => html`<li id="${id}-option-${index}" role="option"
          aria-selected=${index === at ? 'true' : 'false'} class=${one.id === value ? 'chosen' : ''} @click=${() => take(one)}>${label(one)}</li>`)}</ul>
        ${body()}
      </div></div>`);
  }

  return { view };
}

const COMPANIES = gql`query FindCompanies($search: String) {
  companies(first: 50, search: $search) { pageInfo { hasNextPage } edges { node { id name } } }
}`;

/** A choice among the companies known here. */
export const companyChooser = (options) => chooser({ operation: COMPANIES, of: (data) => data.companies, label: ({ name }) => name, words: ['company', 'companies'], ...options });

const CONTACTS = gql`query FindContacts($companyId: ID!, $search: String) {
  contacts(first: 50, companyId: $companyId, search: $search) { pageInfo { hasNextPage } edges { node { id name email active } } }
}`;

/** A person with what tells them from others of the same name; what matters most first, for where there is little room. */
export const person = ({ name, email, active }) => `${active ? '' : 'Switched off: '}${name} <${email}>`;

/** What is wrong with choosing somebody, if anything. */
export const switchedOff = (one) => (one && !one.active ? 'This account is switched off: switch it on under the company first.' : null);

/** A choice among the people of a company. */
export const contactChooser = (companyId, options) => chooser({ operation: CONTACTS, variables: { companyId }, of: (data) => data.contacts, label: person, words: ['person', 'people'], ...options });
