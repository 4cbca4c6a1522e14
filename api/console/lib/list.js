// A list of any length: searched and filtered by the instance, a page at a time, its place kept in the address.
import { resource } from './resource.js';
import { button, optionsOf } from './ui.js';
import { html, nothing, repeat } from './view.js';

const SIZE = 50;
const TYPING_MS = 200;
/** Where the filters would fill the screen: there they are behind one disclosure, open when one is set. */
const NARROW = matchMedia('(max-width: 40rem)');

/**
 * `operation` takes `first, after, last, before, filter` (and `search` where it is an argument of its own);
 * `of(data)` finds the Relay connection in its answer; `filters` are `{ name, label, choices, put(filter, value) }`;
 * `orders` are values of the argument `orderBy` with their labels, the default first; of `search`, what `isPrivate(text)`
 * holds for stays out of the page's address, which is kept in the history and in logs.
 */
export function list({ operation, of, filters = [], orders = [], search, row, columns, caption, none, update, key = ({ id }) => id, fixed = {} }) {
  const query = new URLSearchParams(location.search);
  const place = { after: query.get('after'), before: query.get('before') };
  const values = Object.fromEntries([...filters.map(({ name }) => name), 'search', 'order'].map((name) => [name, query.get(name) ?? '']));
  const items = resource(operation, variables, update);
  let timer = null;

  /** What is searched and chosen, as the operation takes it. */
  function filtered(asked) {
    const filter = {};
    if (asked && search) (search.put ?? ((into, text) => { into.search = text; }))(filter, asked);
    for (const one of filters) if (values[one.name]) one.put(filter, values[one.name]);
    return filter;
  }

  function variables() {
    const page = place.before ? { last: SIZE, before: place.before } : { first: SIZE, after: place.after };
    const asked = values.search.trim() || null;
    const order = orders.length ? { orderBy: values.order || orders[0][0] } : {};
    return { ...fixed, ...page, ...order, ...(search?.argument ? { search: asked } : { filter: { ...fixed.filter, ...filtered(asked) } }) };
  }

  function go(to) {
    Object.assign(place, { after: null, before: null }, to);
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries({ ...values, ...place })) {
      if (value && !(name === 'search' && search?.isPrivate?.(value))) next.set(name, value);
      else next.delete(name);
    }
    history.replaceState(null, '', next.size ? `?${next}` : location.pathname);
    return items.refresh();
  }

  function change(name, value, pause = 0) {
    values[name] = value;
    clearTimeout(timer);
    timer = setTimeout(() => go({}), pause);
    update();
  }

  /** Whether more than a search is asked for: then it is seen on a narrow screen, too, until somebody folds it away. */
  const choosy = () => [...filters.map(({ name }) => name), 'order'].some((name) => values[name]);
  let unfolded = false;
  const narrowed = () => Object.entries(values).some(([name, value]) => value && name !== 'order');

  const bar = () => (!search && !filters.length && !orders.length ? nothing : html`<form class="filters" role="search" @submit=${(event) => { event.preventDefault(); change('search', values.search); }}>
    ${search ? html`<div class="field"><label for="list-search">${search.label}</label><input id="list-search" type="search" autocomplete="off" spellcheck="false" .value=${values.search} placeholder=${search.placeholder ?? ''} @input=${(event) => change('search', event.target.value, TYPING_MS)}></div>` : nothing}
    ${NARROW.matches && (filters.length || orders.length) ? html`<details class="more filters-fold" ?open=${unfolded || choosy()} @toggle=${(event) => { unfolded = event.target.open; }}><summary>${orders.length ? 'Filter and order' : 'Filter'}</summary><div class="filters">${choices()}</div></details>` : choices()}
  </form>`);

  const choices = () => html`${filters.map((one) => html`<div class="field"><label for="filter-${one.name}">${one.label}</label><select id="filter-${one.name}" @change=${(event) => change(one.name, event.target.value)}>
      ${optionsOf([['', 'All'], ...one.choices], values[one.name])}</select></div>`)}
    ${orders.length ? html`<div class="field"><label for="list-order">Order</label><select id="list-order" @change=${(event) => change('order', event.target.value)}>
      ${optionsOf(orders, values.order || orders[0][0])}</select></div>` : nothing}`;

  NARROW.addEventListener('change', update);
  function leave() {
    clearTimeout(timer);
    NARROW.removeEventListener('change', update);
  }

  function view() {
    if (items.data && !items.error && !of(items.data).edges.length && !narrowed() && !place.after && !place.before) return none;
    return html`${bar()}${items.view(found)}`;
  }

  function found(data) {
    const { edges, pageInfo } = of(data);
    const rows = edges.map(({ node }) => node);
    return html`${rows.length
        ? html`<div class="table-wrap"><table class="rows"><caption class="unseen">${caption}</caption><thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
          <tbody>${repeat(rows, key, (item) => html`<tr>${row(item)}</tr>`)}</tbody></table></div>${pages(pageInfo, place, go)}`
        : html`<div class="empty"><p><strong>Nothing fits.</strong></p><p>Nothing in this list has what you search for.</p>${button('Show all', () => { for (const name of Object.keys(values)) values[name] = ''; go({}); }, { kind: 'secondary' })}</div>`}
      <p class="unseen" role="status">${narrowed() ? `${rows.length}${pageInfo.hasNextPage ? ' or more' : ''} found` : ''}</p>`;
  }

  return { view, refresh: items.refresh, data: () => items.data, error: () => items.error, leave };
}

/** Leads through the pages of a list: `go` is given the place to go to, `{ after }`, `{ before }` or none for the start. */
export function pages(info, place, go, label = 'Pages of the list') {
  if (!info.hasNextPage && !info.hasPreviousPage && !place.after && !place.before) return nothing;
  return html`<nav class="buttons" aria-label=${label}>
    ${button('Previous', () => go({ before: info.startCursor }), { kind: 'secondary', disabled: !info.hasPreviousPage })}
    ${button('Next', () => go({ after: info.endCursor }), { kind: 'secondary', disabled: !info.hasNextPage })}
    ${info.hasPreviousPage && (place.after || place.before) ? button('To the start', () => go({}), { kind: 'text' }) : nothing}
  </nav>`;
}

/**
 * The place in a list of `size` at a time that is not in the address. Who turns a page begins at its heading, by id.
 */
export function paging(size, { refresh, heading, label }) {
  const place = { after: null, before: null };
  const start = () => Object.assign(place, { after: null, before: null });

  async function turn(to) {
    Object.assign(start(), to);
    await refresh();
    requestAnimationFrame(() => document.getElementById(heading)?.focus());
  }

  return {
    start,
    /** What to ask for. */
    window: () => (place.before ? { last: size, before: place.before } : { first: size, after: place.after }),
    view: (info) => pages(info, place, turn, label),
  };
}

/** A cell; its label is shown where a table becomes cards. */
export const cell = (label, content) => html`<td data-label=${label}>${content}</td>`;
