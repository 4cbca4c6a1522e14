// The parts of the key pages, side by side.
import { html } from './view.js';

const TABS = [['Health and modules', '/keys'], ['Access', '/keys/access'], ['Approvals', '/keys/approvals'], ['Audit log', '/audit']];

export const keyTabs = (path) => html`<nav class="tabs" aria-label="Keys"><ul>${TABS.map(([label, href]) => html`<li><a href=${href} aria-current=${href === path ? 'page' : 'false'}>${label}</a></li>`)}</ul></nav>`;
