// What needs a second person: requests, and the answers to them. Nobody answers their own.
import { may as mayWith } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { keyTabs } from '../lib/key-tabs.js';
import { command, resource } from '../lib/resource.js';
import { ask, askFor, toast } from '../lib/say.js';
import { badge, button, empty, head, input, notice, on, outcome, section, select, submit, when } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';

const APPROVALS = gql`query KeyApprovals($state: KeyApprovalState) {
  keyApprovals(first: 50, state: $state) { pageInfo { hasNextPage } edges { node {
    id operation operationLabel module object reason state stateLabel askedAt answeredAt answer usableFrom expiresAt endedAt
    askedBy { id name } answeredBy { name } actions { name allowed needsStepUp reason }
  } } }
}`;

const ASK = gql`mutation RequestKeyApproval($input: RequestKeyApprovalInput!) {
  requestKeyApproval(input: $input) { keyApproval { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const GIVE = gql`mutation GiveKeyApproval($input: GiveKeyApprovalInput!) {
  giveKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REFUSE = gql`mutation RefuseKeyApproval($input: RefuseKeyApprovalInput!) {
  refuseKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const WITHDRAW = gql`mutation WithdrawKeyApproval($input: WithdrawKeyApprovalInput!) {
  withdrawKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const OPERATIONS = [['DESTROY', 'Destroy a key'], ['EXPORT', 'Export a key'], ['IMPORT', 'Import a key'], ['OPEN_COMPROMISED', 'Open under a compromised key'], ['ROTATE_ROOT', 'Rotate the root key']];
const STATES = [['', 'All'], ['PENDING', 'Waiting for approval'], ['APPROVED', 'Approved'], ['REFUSED', 'Refused'], ['WITHDRAWN', 'Withdrawn'], ['EXPIRED', 'Expired'], ['USED', 'Used']];
const TONES = { PENDING: 'calm', APPROVED: 'good', REFUSED: 'bad', EXPIRED: 'warn' };

/** Who sees requests. To others there are none, so the page says why. */
const READERS = ['KEY_MANAGER', 'KEY_OPERATOR', 'KEY_AUDITOR', 'KEY_INTEGRATOR'];

export default function keyApprovals({ update, viewer }) {
  let state = '';
  const all = resource(APPROVALS, () => ({ state: state || null }), update);
  const act = command(update);
  const request = command(update);
  const empties = { operation: 'DESTROY', module: '', object: '', reason: '' };
  let draft = { ...empties };
  let problem = null;
  let asking = false;

  async function answer(operation, input, words) {
    if (await act.run(() => mutate(operation, input))) toast(words);
    await all.refresh();
  }

  const about = (one) => `${one.operationLabel}${one.module ? `, module ${one.module}` : ''}${one.object ? `, ${one.object}` : ''}`;

  async function give(one) {
    const sure = await ask({ title: 'Approve this?', body: html`<p>${about(one)}: ${one.reason}</p><p>${one.askedBy.name ?? 'Somebody'} asks. Once approved, they can do it from ${on(one.usableFrom)} on.</p>`, confirm: 'Approve', cancel: 'Not now' });
    if (sure) await answer(GIVE, { approvalId: one.id }, 'Approved.');
  }

  async function refuse(one) {
    const said = await askFor({ title: 'Refuse this?', body: `${about(one)}: ${one.reason}`, confirm: 'Refuse', cancel: 'Not now', fields: [{ name: 'reason', label: 'Why', required: 'Say why, for whoever asked.', maxlength: 500 }] });
    if (said) await answer(REFUSE, { approvalId: one.id, reason: said.reason.trim() }, 'Refused.');
  }

  async function store(event) {
    event.preventDefault();
    problem = draft.reason.trim() ? null : 'Say why, for whoever answers.';
    update();
    if (problem) {
      document.getElementById('reason').focus();
      return;
    }
    const { operation, module, object, reason } = draft;
    const given = { operation, reason: reason.trim(), ...(module.trim() && operation !== 'ROTATE_ROOT' ? { module: module.trim() } : {}), ...(object.trim() ? { object: object.trim() } : {}) };
    if (await request.run(() => mutate(ASK, given))) {
      asking = false;
      draft = { ...empties };
      toast('Asked. Another person answers.');
    }
    await all.refresh();
  }

  const form = () => html`<form class="inline-form" novalidate @submit=${store}>
    ${select({ id: 'operation', label: 'What is to be done', value: draft.operation, choices: OPERATIONS, change: (value) => { draft.operation = value; update(); } })}
    ${draft.operation === 'ROTATE_ROOT' ? nothing : html`<div class="fields">${input({ id: 'approval-module', label: 'Module', value: draft.module, maxlength: 100, error: request.refusal?.field === 'module' ? request.refusal.message : null, change: (value) => { draft.module = value; } })}
      ${input({ id: 'object', label: 'Key or object', optional: true, value: draft.object, maxlength: 200, error: request.refusal?.field === 'object' ? request.refusal.message : null, change: (value) => { draft.object = value; } })}</div>`}
    ${input({ id: 'reason', label: 'Why', value: draft.reason, maxlength: 500, required: true, error: problem, change: (value) => { draft.reason = value; if (problem) { problem = null; update(); } } })}
    ${['module', 'object'].includes(request.refusal?.field) ? nothing : outcome(request)}
    <div class="buttons">${submit('Ask', { busy: request.busy })}${button('Do not ask', () => { asking = false; request.clear(); update(); }, { kind: 'secondary' })}</div></form>`;

  function row(one) {
    const may = (name) => mayWith(one, name);
    return html`<li class="issue calm"><div class="issue-head"><h3>${one.operationLabel}</h3>${badge(one.state, one.stateLabel, TONES[one.state] ?? 'quiet')}${one.module ? html`<span class="small">module <code>${one.module}</code></span>` : nothing}</div>
      ${one.object ? html`<p class="small">Key or object: <code>${one.object}</code></p>` : nothing}
      <p>${one.reason}</p>
      <p class="small">Asked by ${one.askedBy.name ?? 'somebody who is gone'}, ${when(one.askedAt)}. ${one.answeredBy ? html`Answered by ${one.answeredBy.name ?? 'somebody who is gone'}, ${when(one.answeredAt)}.` : nothing} ${one.answer ? html`Because: ${one.answer}` : nothing}
        ${one.endedAt ? nothing : html`Can be done from ${on(one.usableFrom)}; expires ${on(one.expiresAt)}.`}</p>
      <div class="buttons">${may('giveKeyApproval') ? button('Approve', () => give(one), { busy: act.busy }) : nothing}
        ${may('refuseKeyApproval') ? button('Refuse', () => refuse(one), { kind: 'secondary', busy: act.busy }) : nothing}
        ${may('withdrawKeyApproval') ? button('Withdraw', () => answer(WITHDRAW, { approvalId: one.id }, 'Withdrawn.'), { kind: 'secondary', busy: act.busy }) : nothing}</div></li>`;
  }

  const view = () => (!viewer.roles.some((role) => READERS.includes(role))
    ? notice('calm', 'Approvals are for key roles.', html`<p>This needs the role key manager, key operator, key auditor or key integrator. A key administrator grants them; being administrator grants none.</p>`)
    : section('approvals', 'Approvals', html`
      <p class="small">What cannot be taken back, or lets key material in or out, needs two people: one asks, another approves.</p>
      ${asking ? form() : html`<div class="buttons">${button('Ask for an approval', () => { asking = true; update(); requestAnimationFrame(() => document.getElementById('operation')?.focus()); }, { kind: 'secondary' })}</div>`}
      ${outcome(act)}
      ${all.view((data) => (data.keyApprovals.edges.length
        ? html`<ul class="issues">${repeat(data.keyApprovals.edges, ({ node }) => node.id, ({ node }) => row(node))}</ul>${data.keyApprovals.pageInfo.hasNextPage ? html`<p class="small">The latest 50 are shown.</p>` : nothing}`
        : empty(state ? 'None of these.' : 'Nobody asked for an approval yet.', state ? 'Choose another state above.' : 'Requests appear here, for a second person to answer.')))}`,
    { aside: html`<div class="field choice"><label for="approval-state">Show</label><select id="approval-state" @change=${(event) => { state = event.target.value; all.refresh(); }}>${STATES.map(([value, label]) => html`<option value=${value}>${label}</option>`)}</select></div>` }));

  return {
    title: () => 'Approvals',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: [],
    view: () => html`${head('Keys', { lead: 'What needs a second person.' })}${keyTabs('/keys/approvals')}${view()}`,
  };
}
