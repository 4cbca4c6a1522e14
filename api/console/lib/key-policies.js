// Who may do what with the keys of a module: its access policies, and what they come to.
import { may } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { cell } from './list.js';
import { command, resource } from './resource.js';
import { ask, toast } from './say.js';
import { badge, button, empty, input, mark, notice, outcome, section, select, submit } from './ui.js';
import { html, nothing, repeat } from './view.js';
import { inWords, role } from './words.js';

const ACCESS = gql`query KeyAccess($module: String!) {
  keyModule(name: $module) { actions { name allowed needsStepUp } }
  accessPolicies(module: $module, first: 200) { edges { node {
    id effect effectLabel operations note revision condition { name value }
    principal { kind service role label user { id name } }
    actions { name allowed needsStepUp }
  } } }
  effectiveRights(module: $module) { operation verdict principal { label user { id } } data { name value } unless { name value } }
}`;

const CREATE = gql`mutation CreateAccessPolicy($input: CreateAccessPolicyInput!) {
  createAccessPolicy(input: $input) { accessPolicy { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const UPDATE = gql`mutation UpdateAccessPolicy($input: UpdateAccessPolicyInput!) {
  updateAccessPolicy(input: $input) { accessPolicy { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const DELETE = gql`mutation DeleteAccessPolicy($input: DeleteAccessPolicyInput!) {
  deleteAccessPolicy(input: $input) { deletedId refusal { ...RefusalParts } }
}
${REFUSAL}`;

const EFFECTS = [['STRICT_REJECT', 'Strict reject'], ['TRACK', 'Track (allows)'], ['REJECT', 'Reject']];
const TONES = { STRICT_REJECT: 'bad', TRACK: 'good', REJECT: 'warn' };
const KINDS = [['ANYONE', 'Everybody and everything'], ['EVERY_SERVICE', 'Every part of this program'], ['SERVICE', 'One part of this program'], ['EVERY_PERSON', 'Every person'], ['ROLE', 'Whoever holds a key role']];
const SERVICES = [['ONBOARDING', 'Onboarding'], ['PEER', 'Messages to peers'], ['LETTERS', 'Letters'], ['SIGN_IN', 'Sign-in'], ['AUTHORIZATION', 'Authorization'], ['SETTINGS', 'Settings'], ['AUDIT', 'Audit trail'], ['HEALTH', 'Health']];
const ROLES = ['KEY_ADMIN', 'KEY_MANAGER', 'KEY_OPERATOR', 'KEY_AUDITOR', 'KEY_INTEGRATOR'].map((name) => [name, role(name)]);

const datum = ({ name, value }) => html`<code>${name}</code> is <code>${value}</code>`;

const either = (data) => data.map((one, at) => html`${at ? ' or ' : ''}${datum(one)}`);

/** A policy that denies for some data denies as well where whoever uses the key does not say that data. */
const orUnsaid = (data) => html`${either(data)}, or where ${[...new Set(data.map(({ name }) => name))].map((name, at) => html`${at ? ' or ' : ''}<code>${name}</code>`)} is not said`;

/** A person by their name, everybody else in words. */
const who = ({ label, user }) => (user ? user.name ?? 'Somebody who is gone' : label);

/** Said to those who may not see policies. */
export const forKeyRoles = (error) => notice('calm', 'Access policies are for key roles.', html`<p>${error.message} A key administrator grants them; being administrator grants none.</p>`);

/** The policies of one module: seen by key roles, changed by key managers. `module()` is its name. */
export function keyPolicies({ module, update }) {
  const access = resource(ACCESS, () => ({ module: module() }), update);
  const save = command(update);
  let draft = null;
  /** What is wrong with the draft, by field, in their order. */
  let problems = {};

  /** What was begun for another module is left. */
  function forget() {
    draft = null;
    save.clear();
    access.data = null;
  }

  function edit(policy) {
    draft = policy
      ? { id: policy.id, revision: policy.revision, effect: policy.effect, kind: policy.principal.kind, service: policy.principal.service ?? 'PEER', role: policy.principal.role ?? 'KEY_OPERATOR', userId: policy.principal.user?.id, operations: new Set(policy.operations), name: policy.condition?.name ?? '', value: policy.condition?.value ?? '', note: policy.note }
      : { id: null, effect: 'TRACK', kind: 'SERVICE', service: 'PEER', role: 'KEY_OPERATOR', operations: new Set(), name: '', value: '', note: '' };
    problems = {};
    save.clear();
    update();
    requestAnimationFrame(() => document.getElementById('effect')?.focus());
  }

  function terms() {
    const { effect, kind, operations, name, value, note } = draft;
    const principal = { kind, ...(kind === 'SERVICE' ? { service: draft.service } : {}), ...(kind === 'ROLE' ? { role: draft.role } : {}), ...(kind === 'PERSON' ? { userId: draft.userId } : {}) };
    return { effect, principal, operations: [...operations], note: note.trim(), ...(name.trim() ? { condition: { name: name.trim(), value } } : {}) };
  }

  /** A name and its value go together: half of a condition is none, and the policy would hold everywhere. */
  function wrong({ operations, name, value }) {
    return {
      ...(operations.size ? {} : { operations: 'Choose at least one operation.' }),
      ...(value && !name.trim() ? { 'data-name': 'Say the name of the data that has this value, or leave both empty: then it holds everywhere.' } : {}),
      ...(name.trim() && !value ? { 'data-value': 'Say the value, or leave the name empty: then it holds everywhere.' } : {}),
    };
  }

  /** The problem of a field is over once somebody changes it. */
  function mended(...fields) {
    if (!fields.some((field) => problems[field])) return;
    for (const field of fields) delete problems[field];
    update();
  }

  async function store(event) {
    event.preventDefault();
    problems = wrong(draft);
    update();
    const [first] = Object.keys(problems);
    if (first) {
      document.querySelector(first === 'operations' ? '#operations input' : `#${first}`)?.focus();
      return;
    }
    const payload = await save.run(() => (draft.id
      ? mutate(UPDATE, { accessPolicyId: draft.id, expectedRevision: draft.revision, terms: terms() })
      : mutate(CREATE, { module: module(), terms: terms() })));
    if (payload) {
      draft = null;
      toast('The policy counts from the next use of a key on.');
    }
    await access.refresh();
  }

  async function remove(policy) {
    const sure = await ask({ title: 'Delete this policy?', body: html`<p>${policy.effectLabel} for ${who(policy.principal)}. What it decided no longer holds from the next use of a key on; the audit log keeps what it said.</p>`, confirm: 'Delete', danger: true });
    if (!sure) return;
    if (await save.run(() => mutate(DELETE, { accessPolicyId: policy.id, expectedRevision: policy.revision }))) toast(`The policy for ${who(policy.principal)} was deleted.`);
    await access.refresh();
  }

  /** Each principal with what it may do; what is not listed is denied. The policies know the names of the people in them. */
  function rights({ effectiveRights, accessPolicies }) {
    const names = new Map(accessPolicies.edges.map(({ node: { principal } }) => [principal.user?.id, who(principal)]));
    const rows = new Map();
    for (const { principal, ...right } of effectiveRights) {
      const key = principal.user?.id ?? principal.label;
      if (!rows.has(key)) rows.set(key, { name: (principal.user && names.get(principal.user.id)) ?? principal.label, allowed: [] });
      if (right.verdict !== 'DENIED') rows.get(key).allowed.push(right);
    }
    const all = [...rows.values()];
    const idle = all.filter(({ allowed }) => !allowed.length).map(({ name }) => name);
    const said = (right) => html`<li>${inWords(right.operation)}${right.verdict === 'ALLOWED' ? nothing : html` <span class="small">${right.verdict === 'ONLY' ? html`only where ${either(right.data)}` : html`except where ${orUnsaid(right.data)}`}${right.unless.length ? html`, and never where ${orUnsaid(right.unless)}` : nothing}</span>`}</li>`;
    return html`<div class="table-wrap"><table class="rows"><caption class="unseen">Who may do what with the keys of ${module()}</caption>
      <thead><tr><th scope="col">Who</th><th scope="col">May</th></tr></thead>
      <tbody>${all.filter(({ allowed }) => allowed.length).map(({ name, allowed }) => html`<tr><th scope="row">${name}</th>${cell('May', html`<ul class="inline-list">${allowed.map(said)}</ul>`)}</tr>`)}</tbody></table></div>
      ${idle.length ? html`<p><strong>Nothing at all:</strong> ${idle.join(', ')}.</p>` : nothing}
      <p class="small">All policies taken together. Whatever is not listed is denied. A person whom no policy names may do what their key roles allow.</p>`;
  }

  const operations = (found) => [...new Set(found.map((right) => right.operation))];

  const form = (data) => html`<form class="inline-form" novalidate @submit=${store}>
    ${select({ id: 'effect', label: 'What follows', help: 'A strict reject denies, whatever else applies. Track allows, and each use is recorded. Reject denies unless a Track allows.', value: draft.effect, choices: EFFECTS, change: (value) => { draft.effect = value; } })}
    ${draft.kind === 'PERSON' ? html`<p class="small">It is about one person, and stays so.</p>` : select({ id: 'kind', label: 'For whom', value: draft.kind, choices: KINDS, change: (value) => { draft.kind = value; update(); } })}
    ${draft.kind === 'SERVICE' ? select({ id: 'service', label: 'Which part', value: draft.service, choices: SERVICES, change: (value) => { draft.service = value; } }) : nothing}
    ${draft.kind === 'ROLE' ? select({ id: 'role', label: 'Which role', value: draft.role, choices: ROLES, change: (value) => { draft.role = value; } }) : nothing}
    <fieldset id="operations" class="choices-list" aria-describedby=${problems.operations ? 'operations-problem' : nothing}><legend>For which operations</legend>
      ${problems.operations ? html`<p class="problem" id="operations-problem">${mark('bad')} ${problems.operations}</p>` : nothing}<div class="ticks">${operations(data.effectiveRights).map((name) => html`<label class="tick-label"><input type="checkbox" .checked=${draft.operations.has(name)} @change=${(event) => { draft.operations[event.target.checked ? 'add' : 'delete'](name); mended('operations'); }}> ${inWords(name)}</label>`)}</div></fieldset>
    <div class="fields">${input({ id: 'data-name', label: 'Only where this data', optional: true, value: draft.name, maxlength: 128, help: 'The name of what is bound into the data, such as link_id, which the connection’s page shows; empty: everywhere.', error: problems['data-name'], change: (value) => { draft.name = value; mended('data-name', 'data-value'); } })}
      ${input({ id: 'data-value', label: 'Has this value', optional: true, value: draft.value, maxlength: 128, error: problems['data-value'], change: (value) => { draft.value = value; mended('data-name', 'data-value'); } })}</div>
    ${input({ id: 'note', label: 'Why it exists', optional: true, value: draft.note, maxlength: 500, change: (value) => { draft.note = value; } })}
    ${outcome(save)}
    <div class="buttons">${submit('Save', { busy: save.busy })}${button('Do not save', () => { draft = null; save.clear(); update(); }, { kind: 'secondary' })}</div></form>`;

  /** What can be done with a policy by whoever looks. */
  function controls(policy) {
    const change = may(policy, 'updateAccessPolicy') ? button(html`Change<span class="unseen"> the policy for ${who(policy.principal)}</span>`, () => edit(policy), { kind: 'text' }) : nothing;
    const gone = may(policy, 'deleteAccessPolicy') ? button(html`Delete<span class="unseen"> the policy for ${who(policy.principal)}</span>`, () => remove(policy), { kind: 'text' }) : nothing;
    return change === nothing && gone === nothing ? nothing : html`<span class="pair">${change} ${gone}</span>`;
  }

  const line = (policy) => html`<li>${badge(policy.effect, policy.effectLabel, TONES[policy.effect])} <strong>${who(policy.principal)}</strong> <span>${policy.operations.map(inWords).join(', ')}</span>
    ${policy.condition ? html`<span class="small">where ${datum(policy.condition)}</span>` : nothing}
    ${controls(policy)}
    ${policy.note ? html`<span class="small wide">${policy.note}</span>` : nothing}</li>`;

  const shown = (data) => html`
    ${section('rights', 'Who may do what', rights(data))}
    ${section('policies', 'Access policies', html`
      <p class="small">In the order in which they decide: any <em>Strict reject</em> denies; else any <em>Track</em> allows; else any <em>Reject</em> denies; else it is denied.</p>
      ${data.accessPolicies.edges.length ? html`<ul class="log">${repeat(data.accessPolicies.edges, ({ node }) => node.id, ({ node }) => line(node))}</ul>` : empty('No policy.', 'Without one, nobody and nothing may use these keys.')}
      ${draft ? form(data) : html`${outcome(save)}${data.keyModule && may(data.keyModule, 'createAccessPolicy') ? html`<div class="buttons">${button('Add a policy', () => edit(null), { kind: 'secondary' })}</div>` : html`<p class="small">Key managers add, change and delete policies.</p>`}`}`)}`;

  return {
    refresh: access.refresh,
    forget,
    view: () => (access.error?.kind === 'FORBIDDEN' ? forKeyRoles(access.error) : access.view(shown)),
  };
}
