// What needs a second person: asking for it, and everything that was asked.
import { gql, mutate } from '../lib/api.js';
import { MODULE_NAMES, REFUSAL } from '../lib/fragments.js';
import { READERS, forKeyRoles, keyApprovals, noRequest } from '../lib/key-approvals.js';
import { keyTabs } from '../lib/key-tabs.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { button, empty, head, input, optionsOf, outcome, section, select, submit } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const ASK = gql`mutation RequestKeyApproval($input: RequestKeyApprovalInput!) {
  requestKeyApproval(input: $input) { keyApproval { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const OPERATIONS = [['DESTROY', 'Destroy a key'], ['EXPORT', 'Export a key'], ['IMPORT', 'Import a key'], ['OPEN_COMPROMISED', 'Open under a compromised key'], ['ROTATE_ROOT', 'Rotate the root key']];
const STATES = [['', 'All'], ['PENDING', 'Waiting for approval'], ['APPROVED', 'Approved'], ['REFUSED', 'Refused'], ['WITHDRAWN', 'Withdrawn'], ['EXPIRED', 'Expired'], ['USED', 'Used']];

/** What is asked for a key that is there. */
const OF_A_KEY = new Set(['DESTROY', 'EXPORT', 'OPEN_COMPROMISED']);

/** What these roles can ask for: what they may do, but not alone. */
const ASKS = { KEY_MANAGER: OPERATIONS.map(([name]) => name), KEY_INTEGRATOR: ['IMPORT'] };

export default function keyApprovalsPage({ update, query, viewer }) {
  let state = STATES.some(([known]) => known === query.get('state')) ? query.get('state') : '';
  const all = keyApprovals({
    narrowed: () => ({ states: state ? [state] : null }),
    none: () => (state ? empty('None of these.', 'Choose another state above.') : noRequest()),
    update,
  });
  const modules = resource(MODULE_NAMES, {}, update);
  const request = command(update);
  const reads = viewer.roles.some((role) => READERS.includes(role));
  const able = OPERATIONS.filter(([name]) => viewer.roles.some((role) => ASKS[role]?.includes(name)));
  const empties = { operation: able[0]?.[0], module: '', object: '', reason: '' };
  // Whoever comes for something has it filled in.
  const wished = able.some(([known]) => known === query.get('operation')) ? { operation: query.get('operation') } : {};
  let draft = { ...empties, ...wished };
  let problem = null;
  let asking = 'operation' in wished;

  async function store(event) {
    event.preventDefault();
    problem = draft.reason.trim() ? null : 'Say why, for whoever answers.';
    update();
    if (problem) {
      document.getElementById('reason').focus();
      return;
    }
    const { operation, module, object, reason } = draft;
    const given = { operation, reason: reason.trim(), ...(module.trim() && operation !== 'ROTATE_ROOT' ? { module: module.trim() } : {}), ...(OF_A_KEY.has(operation) && object.trim() ? { object: object.trim() } : {}) };
    if (await request.run(() => mutate(ASK, given))) {
      asking = false;
      draft = { ...empties };
      history.replaceState(null, '', location.pathname);
      toast('Asked. Another person answers.');
    }
    await all.refresh();
  }

  const form = () => html`<form class="inline-form" novalidate @submit=${store}>
    ${select({ id: 'operation', label: 'What is to be done', value: draft.operation, choices: able, change: (value) => { draft.operation = value; update(); } })}
    ${draft.operation === 'ROTATE_ROOT' ? nothing : html`<div class="fields">${select({ id: 'approval-module', label: 'Module', value: draft.module, empty: 'Choose a module', choices: modules.data?.keyModules.edges.map(({ node }) => [node.name, node.name]) ?? [], error: request.refusal?.field === 'module' ? request.refusal.message : null, change: (value) => { draft.module = value; } })}
      ${OF_A_KEY.has(draft.operation) ? input({ id: 'object', label: 'Key', value: draft.object, maxlength: 200, required: true, help: 'Its id, which the page of its module shows. To destroy or export a key, ask there: then it is filled in.', error: request.refusal?.field === 'object' ? request.refusal.message : null, change: (value) => { draft.object = value; } }) : nothing}</div>`}
    ${input({ id: 'reason', label: 'Why', value: draft.reason, maxlength: 500, required: true, error: problem, change: (value) => { draft.reason = value; if (problem) { problem = null; update(); } } })}
    ${['module', 'object'].includes(request.refusal?.field) ? nothing : outcome(request)}
    <div class="buttons">${submit('Ask', { busy: request.busy })}${button('Do not ask', () => { asking = false; request.clear(); update(); }, { kind: 'secondary' })}</div></form>`;

  const view = () => (!reads ? forKeyRoles() : section('approvals', 'Approvals', html`
    <p class="small">What cannot be taken back, or lets key material in or out, needs two people: one asks, another approves.</p>
    ${asking ? form() : !able.length ? html`<p class="small">Key managers ask, and key integrators where key material comes in.</p>` : html`<div class="buttons">${button('Ask for an approval', () => { asking = true; update(); requestAnimationFrame(() => document.getElementById('operation')?.focus()); }, { kind: 'secondary' })}</div>`}
    ${all.view()}`,
  { aside: html`<div class="field choice"><label for="approval-state">Show</label><select id="approval-state" @change=${(event) => { state = event.target.value; all.narrow(); }}>${optionsOf(STATES, state)}</select></div>` }));

  return {
    title: () => 'Approvals',
    ready: Promise.all([all.refresh(), reads ? modules.refresh() : null]),
    refresh: all.refresh,
    subjects: ['KEYS'],
    changed: all.refresh,
    view: () => html`${head('Keys', { lead: 'What needs a second person.' })}${keyTabs('/keys/approvals')}${view()}`,
  };
}
