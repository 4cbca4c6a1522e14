// A choice among any number of companies: the newest at once, every other by a part of its name.
import { gql } from './api.js';
import { resource } from './resource.js';
import { announce } from './say.js';
import { input } from './ui.js';
import { html, nothing } from './view.js';
import { count } from './words.js';

const FIND = gql`query FindCompanies($search: String) {
  companies(first: 50, search: $search) { edges { node { id name } } }
}`;

/** How many are listed without a search; pages ask for as many. */
export const NEWEST = 50;
const TYPING_MS = 200;

export function companySearch(update) {
  const names = new Map();
  let text = '';
  let timer = null;
  const found = resource(FIND, () => ({ search: text.trim() }), () => {
    if (text.trim() && found.data) announce(`${count(found.data.companies.edges.length, 'company', 'companies')} found.`);
    update();
  });

  function change(typed) {
    text = typed;
    clearTimeout(timer);
    timer = setTimeout(() => (text.trim() ? found.refresh() : update()), TYPING_MS);
  }

  /**
   * What there is to choose from, as pairs of id and name: what was searched for, else the newest; and
   * what is chosen, such as the company that was `asked` for from the start.
   */
  function choices(newest, picked, asked = null) {
    const listed = text.trim() && found.data ? found.data.companies.edges.map(({ node }) => node) : newest;
    for (const one of [asked, ...newest, ...listed]) if (one) names.set(one.id, one.name);
    const pairs = listed.map(({ id, name }) => [id, name]);
    return picked && names.has(picked) && !pairs.some(([id]) => id === picked) ? [[picked, names.get(picked)], ...pairs] : pairs;
  }

  /** Whether there may be more than are listed. */
  const more = (newest) => newest.length >= NEWEST;

  /** The field to search with, where there are more than are listed. */
  const view = (newest) => (more(newest) ? html`${input({ id: 'company-search', label: 'Find a company', type: 'search', optional: true, value: text, help: `The newest ${NEWEST} are listed below. For any other, enter a part of its name.`, change })}` : nothing);

  return { choices, more, view };
}
