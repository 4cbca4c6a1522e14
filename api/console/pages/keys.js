// The key service: whether it can do its work, and part by part for those whose role it is.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { keyEncryption } from '../lib/key-encryption.js';
import { keyBadge } from '../lib/key-life.js';
import { keyTabs } from '../lib/key-tabs.js';
import { termFields, termsOf } from '../lib/key-verbs.js';
import { cell } from '../lib/list.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { badge, button, head, input, notice, on, outcome, section, select, submit, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { every, inWords } from '../lib/words.js';

const KEY_HEALTH = gql`query KeyHealth {
  keyHealth {
    status statusLabel reason measuredAt
    components { code name status statusLabel message remedy critical module }
  }
}`;

const MODULES = gql`query KeyModules {
  keyModules(first: 250) { edges { node {
    name purpose algorithm builtIn state stateLabel rotationPeriod
    versions { version state stateLabel activatedAt reason }
  } } }
}`;

const CREATE = gql`mutation CreateKeyModule($input: CreateKeyModuleInput!) {
  createKeyModule(input: $input) { keyModule { name } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** Purposes of modules that people make, and what serves each. */
const PURPOSES = [['SIGNING', 'Signing'], ['SEALING', 'Sealing'], ['AUTHENTICATION', 'Authentication codes']];
const ALGORITHMS = { SIGNING: ['Ed25519', 'ECDSA-P256-SHA256'], SEALING: ['A256GCM'], AUTHENTICATION: ['HMAC-SHA256', 'HMAC-SHA384', 'HMAC-SHA512'] };
const NAME = /^[a-z][a-z0-9-]{0,63}$/;

const ABOUT = {
  OPERATIONAL: 'Seals, opens, signs and verifies as it should.',
  DEGRADED: 'It works, but not as it should. Onboarding goes on.',
  MALFUNCTION: 'Onboarding is stopped until it works again.',
  DISABLED: 'It is not checked.',
};

export default function keys({ update, viewer, navigate }) {
  const all = resource(KEY_HEALTH, {}, update);
  const modules = resource(MODULES, {}, update);
  const wrapping = keyEncryption(update);
  const add = command(update);
  const manages = viewer.roles.includes('KEY_MANAGER');
  const refresh = () => Promise.all([all.refresh(), modules.refresh(), wrapping.refresh()]);
  let draft = null;
  let problem = null;

  function begin() {
    draft = { name: '', purpose: 'SIGNING', algorithm: 'Ed25519', ...Object.fromEntries(termFields().map(({ name, value }) => [name, value])) };
    problem = null;
    add.clear();
    update();
    requestAnimationFrame(() => document.getElementById('module-name')?.focus());
  }

  async function create(event) {
    event.preventDefault();
    problem = NAME.test(draft.name) ? null : draft.name ? 'Small letters, digits and dashes, beginning with a letter.' : 'Give the module a name.';
    update();
    if (problem) {
      document.getElementById('module-name').focus();
      return;
    }
    const { name, purpose, algorithm } = draft;
    const payload = await add.run(() => mutate(CREATE, { name, purpose, algorithm, ...termsOf(draft) }));
    if (payload) {
      toast('A draft was made. Publish it when it is right.');
      navigate(`/keys/modules/${name}`);
    }
  }

  const form = () => html`<form class="inline-form" novalidate @submit=${create}>
    ${input({ id: 'module-name', label: 'Name of the module', value: draft.name, maxlength: 64, required: true, help: 'Small letters, digits and dashes. It stays for good.', error: problem ?? (add.refusal?.field === 'name' ? add.refusal.message : null), change: (text) => { draft.name = text.trim(); if (problem || add.refusal) { problem = null; add.clear(); update(); } } })}
    <div class="fields">${select({ id: 'module-purpose', label: 'Purpose', value: draft.purpose, choices: PURPOSES, change: (value) => { draft.purpose = value; [draft.algorithm] = ALGORITHMS[value]; update(); } })}
      ${select({ id: 'module-algorithm', label: 'Algorithm', value: draft.algorithm, choices: ALGORITHMS[draft.purpose].map((name) => [name, name]), change: (value) => { draft.algorithm = value; } })}</div>
    <div class="fields">${termFields().map((one) => select({ ...one, id: `module-${one.name}`, value: draft[one.name], change: (value) => { draft[one.name] = value; } }))}</div>
    ${add.refusal?.field === 'name' ? nothing : outcome(add)}
    <div class="buttons">${submit('Make a draft', { busy: add.busy })}${button('Do not save', () => { draft = null; add.clear(); update(); }, { kind: 'secondary' })}</div></form>`;

  /** The version that counts: the one in use, or the newest. */
  function current({ name, state, versions }) {
    const key = versions.find((one) => one.state === 'ACTIVE') ?? versions[0];
    if (!key) return html`<span class="small">${name === 'links' ? 'one for each connection' : state === 'DRAFT' ? 'none: a draft' : 'none yet'}</span>`;
    return html`Version ${key.version} ${keyBadge(key)}<br><span class="small">${key.state === 'ACTIVE' ? html`in use since ${on(key.activatedAt)}` : key.reason ?? 'not in use'}</span>`;
  }

  /** Which components ail, for those who see them; for the others, whom to ask. */
  function ailing(components) {
    const ill = components.filter((one) => ['MALFUNCTION', 'DEGRADED'].includes(one.status));
    const names = ill.map((one) => `${inWords(one.name)}${one.module ? ` ${one.module}` : ''}`).join(', ');
    return ill.length ? html`<p>See below: ${names}.</p>` : html`<p>Ask a key manager, or this instance’s operator, to look at the key service.</p>`;
  }

  const moduleList = () => (modules.error?.kind === 'FORBIDDEN'
    ? notice('calm', `${all.data?.keyHealth.components ? 'Modules' : 'Components, modules'} and versions are for key roles.`, html`<p>${modules.error.message}${all.data?.keyHealth.components ? nothing : ' The components are for key administrators, managers, operators and auditors.'} A key administrator grants them; being administrator grants none.</p>`)
    : modules.part('The list of modules', (data) => section('modules', 'Modules', html`<p class="small">A module is a purpose with one algorithm; its keys are versions, of which one at most is active.</p>
        <div class="table-wrap"><table class="rows"><caption class="unseen">Key modules</caption>
          <thead><tr><th scope="col">Module</th><th scope="col">Purpose</th><th scope="col">Key</th><th scope="col">Rotated</th></tr></thead>
          <tbody>${data.keyModules.edges.map(({ node: one }) => html`<tr><th scope="row"><a href="/keys/modules/${one.name}">${one.name}</a>${one.builtIn ? nothing : html` <span class="small">made here</span>`}</th>
            ${cell('Purpose', html`${inWords(one.purpose)}<br><span class="small">${one.algorithm}</span>`)}
            ${cell('Key', current(one))}
            ${cell('Rotated', one.rotationPeriod === null ? 'by people only' : every(one.rotationPeriod))}</tr>`)}</tbody></table></div>
        ${draft ? form() : manages ? html`<div class="buttons">${button('Create a module', begin, { kind: 'secondary' })}</div>` : html`<p class="small">Key managers create and change modules.</p>`}`)));

  return {
    title: () => 'Keys',
    ready: refresh(),
    refresh,
    subjects: ['KEY_HEALTH', 'KEYS'],
    changed: refresh,
    view: () => html`${head('Keys', { lead: 'Keys never leave the key service. Here is whether it can do its work.' })}${keyTabs('/keys')}
      ${all.view(({ keyHealth }) => html`
        ${section('health', 'Health', html`<p>${ABOUT[keyHealth.status]}</p>
          ${keyHealth.reason ? notice(keyHealth.status === 'MALFUNCTION' ? 'bad' : 'warn', keyHealth.reason, ailing(keyHealth.components ?? [])) : nothing}
          <p class="small">Looked at ${when(keyHealth.measuredAt)}, and again and again by itself; what changes shows here at once.</p>`, { aside: badge(keyHealth.status, keyHealth.statusLabel) })}
        ${keyHealth.components
          ? section('components', 'Components', html`<div class="table-wrap"><table class="rows"><caption class="unseen">Components of the key service</caption>
              <thead><tr><th scope="col">Component</th><th scope="col">Status</th><th scope="col">What was seen</th></tr></thead>
              <tbody>${keyHealth.components.map((one) => html`<tr><th scope="row">${inWords(one.name)}${one.module ? html` <a href="/keys/modules/${one.module}">${one.module}</a>` : nothing}${one.critical ? html` <span class="small">critical</span>` : nothing}</th>
                ${cell('Status', badge(one.status, one.statusLabel))}${cell('What was seen', html`${one.message}${one.remedy ? html`<br><strong>What to do:</strong> ${one.remedy}` : nothing}`)}</tr>`)}</tbody></table></div>
              ${manages ? html`<p class="small">The root key is rotated with a second person’s agreement: <a href="/keys/approvals?operation=ROTATE_ROOT">ask for it</a>.</p>` : nothing}`)
          : modules.error?.kind === 'FORBIDDEN' ? nothing : notice('calm', 'The components are for key administrators, managers, operators and auditors.', html`<p>A key administrator grants these roles; being administrator grants none.</p>`)}
        ${wrapping.view()}
        ${moduleList()}`)}`,
  };
}
