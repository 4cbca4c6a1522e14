// The people of this organisation: who has an account here, and what each may do.
import { accountControls } from '../lib/account-controls.js';
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { cell, list } from '../lib/list.js';
import { personForm } from '../lib/person-form.js';
import { command } from '../lib/resource.js';
import { ask, toast } from '../lib/say.js';
import { address, badge, button, empty, head, notice, outcome, section, select, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { role } from '../lib/words.js';

const PEOPLE = gql`query People($first: Int, $after: String, $last: Int, $before: String) {
  users(first: $first, after: $after, last: $last, before: $before) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { id name email active roles createdAt revision actions { name allowed needsStepUp } } }
  }
}`;

const CREATE = gql`mutation CreateUser($input: CreateUserInput!) {
  createUser(input: $input) { user { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const SWITCH = gql`mutation SwitchUser($input: UpdateUserInput!) {
  updateUser(input: $input) { user { id active } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const GRANT = gql`mutation GrantRole($input: GrantRoleInput!) {
  grantRole(input: $input) { user { id roles } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REVOKE = gql`mutation RevokeRole($input: RevokeRoleInput!) {
  revokeRole(input: $input) { user { id roles } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What each role is for. Key roles are granted by key administrators alone. */
export const ROLES = [
  ['ADMIN', 'Everything in the application; none of the key roles.'],
  ['OPERATOR', 'Registers, onboards and resolves; no people, no roles.'],
  ['VIEWER', 'Sees everything, changes nothing.'],
];
const KEY_ROLES = [
  ['KEY_ADMIN', 'Grants the other key roles, and uses none of them unless somebody else grants it. It is granted on the host’s command line alone, with linkspan role grant.'],
  ['KEY_MANAGER', 'Modules and policies; generates, rotates, suspends, resumes and revokes keys.'],
  ['KEY_OPERATOR', 'Rotates, renews and revokes keys.'],
  ['KEY_AUDITOR', 'Reads what is known about keys, policies and decisions; never a key.'],
  ['KEY_INTEGRATOR', 'Connects key stores outside.'],
];

/** What nobody grants from here: it can be taken back. */
const ON_THE_HOST = new Set(['KEY_ADMIN']);

export default function people({ update, viewer, instance }) {
  const act = command(update);
  let given = 'VIEWER';
  const grantable = [...(viewer.canAdminister ? ROLES : []), ...(viewer.roles.includes('KEY_ADMIN') ? KEY_ROLES : [])];

  const rows = list({
    operation: PEOPLE,
    of: (data) => data.users,
    caption: 'People',
    columns: ['Person', 'Roles', 'Since', ...(grantable.length ? ['Change'] : [])],
    none: empty('Nobody is here yet.', 'The first administrator is made on the host.'),
    row: (one) => html`<th scope="row">${one.name}${one.id === viewer.id ? html` <span class="small">(you)</span>` : nothing}<br><span class="small">${address(one.email)}</span></th>
      ${cell('Roles', html`${one.roles.map(role).join(', ') || 'None'} ${one.active ? nothing : badge('SUSPENDED', 'Switched off')}`)}
      ${cell('Since', when(one.createdAt))}
      ${grantable.length ? cell('Change', one.id === viewer.id ? html`<span class="small">Somebody else has to change yours.</span>` : controls(one)) : nothing}`,
    update,
  });

  async function change(one, name, has) {
    const sure = await ask(has
      ? { title: `Remove the role ${role(name)} from ${one.name}?`, body: html`<p>It ends at once, also where they are signed in.</p>`, confirm: 'Remove it', danger: true }
      : { title: `Grant ${one.name} the role ${role(name)}?`, body: html`<p>${[...ROLES, ...KEY_ROLES].find(([known]) => known === name)[1]} It works at once.</p>`, confirm: 'Grant it' });
    if (!sure) return;
    if (await act.run(() => mutate(has ? REVOKE : GRANT, { userId: one.id, role: name }))) toast(has ? `${one.name} is no longer ${role(name)}.` : `${one.name} is ${role(name)} now.`);
    await rows.refresh();
  }

  const controls = (one) => html`<div class="role-controls">${accountControls(one, act, { SWITCH, ends: 'They cannot sign in here any more, and their access tokens work no more.', refresh: rows.refresh })}${grantable.map(([name]) => {
    const has = one.roles.includes(name);
    return !has && ON_THE_HOST.has(name) ? nothing : button(html`${has ? 'Remove' : 'Grant'} ${role(name)}<span class="unseen"> ${has ? 'from' : 'to'} ${one.name}</span>`, () => change(one, name, has), { kind: 'text' });
  })}</div>`;

  const form = personForm({
    title: 'Add a person',
    example: 'name@provider.example',
    add: (person) => mutate(CREATE, { ...person, roles: [given] }),
    async added({ user }) {
      toast(instance.mailOn ? `${user.name} can sign in with a code by email.` : `${user.name} was added. Letters are off here: set a password, so that they can sign in.`);
      given = 'VIEWER';
      await rows.refresh();
    },
    more: () => select({ id: 'role', label: 'Role', value: given, choices: ROLES.map(([name]) => [name, role(name)]), help: ROLES.find(([name]) => name === given)[1], change: (name) => { given = name; update(); } }),
    update,
  });

  const about = (title, id, roles) => section(id, title, html`<dl class="facts words">${roles.map(([name, words]) => html`<div><dt>${role(name)}</dt><dd>${words}</dd></div>`)}</dl>`);

  return {
    title: () => 'People',
    ready: rows.refresh(),
    refresh: rows.refresh,
    subjects: ['ACCOUNT'],
    changed: rows.refresh,
    leave: rows.leave,
    view: () => html`${head('People', { lead: 'Who has an account on this instance, and what each may do.' })}
      ${viewer.company ? notice('calm', 'This list is for the organisation’s own people.') : html`${outcome(act)}
      <div class="panel">${rows.view()}</div>
      <div class="columns"><div class="column-main">${about('What each role may do', 'roles', ROLES)}${about('Key roles', 'key-roles', KEY_ROLES)}</div>
      ${viewer.canAdminister ? html`<div class="column-side">${form()}</div>` : nothing}</div>`}`,
  };
}
