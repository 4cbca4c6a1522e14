// The settings of a connection: what the provider offers, what the consumer takes; the difference before it is saved.
import { gql, mutate } from '../lib/api.js';
import { edit, meanwhile, saved } from '../lib/editing.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, ofAnother, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { badge, button, empty, head, notice, outcome, refusal, section, tick } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { host } from '../lib/words.js';

const SETTINGS = gql`query Settings($id: ID!) {
  connection(id: $id) {
    id role state stateLabel
    peer { name origin }
    settings {
      revision syncedAt agreed syncFailure { ...RefusalParts } autoActivateRecordProducers autoActivateTaskDefinitions
      recordProducers { name description version active }
      taskDefinitions { name description version active }
    }
  }
}
${REFUSAL}`;

const SAVE = gql`mutation UpdateSettings($input: UpdateSettingsInput!) {
  updateSettings(input: $input) { settings { revision } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const SYNC = gql`mutation SyncSettings($input: SyncConnectionSettingsInput!) {
  syncConnectionSettings(input: $input) { settings { revision } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const KINDS = [
  { field: 'recordProducers', active: 'activeRecordProducers', auto: 'autoActivateRecordProducers', title: 'Remote record producers', one: 'record producer', about: 'Forms of the provider that people here can fill in.' },
  { field: 'taskDefinitions', active: 'activeTaskDefinitions', auto: 'autoActivateTaskDefinitions', title: 'Remote task definitions', one: 'task definition', about: 'Kinds of tasks that are passed on to the provider.' },
];

/** Every choice under a name of its own: each definition, and auto-activation of each kind. */
const choice = (own) => Object.fromEntries(KINDS.flatMap((kind) => [[kind.auto, own[kind.auto]], ...own[kind.field].map((item) => [`${kind.field}/${item.name}`, item.active])]));

/** The kind of a choice, and the definition's name if it is about one. */
function parts(name) {
  const [field, ...item] = name.split('/');
  return [KINDS.find((kind) => kind.field === field || kind.auto === field), item.length ? item.join('/') : null];
}

/** What a choice is about, in words. */
function label(name) {
  const [kind, item] = parts(name);
  return item ?? `Auto-activation of ${kind.one}s`;
}

/** A choice in words. */
const words = (name, value) => (parts(name)[1] ? (value ? 'active' : 'inactive') : value ? 'on' : 'off');

/** The connection whose settings were saved on the way through the wizard, until its page has asked what comes next. */
let settled = null;

/** Whether that is this one; it is told once. */
export function takeSettled(id) {
  const mine = settled === id;
  if (mine) settled = null;
  return mine;
}

export default function settings({ params, update, query, navigate, viewer }) {
  const { id } = params;
  const all = resource(SETTINGS, { id }, update);
  const save = command(update);
  const wizard = query.get('from') === 'wizard';
  // The edit that was begun here and is not saved.
  let draft = null;

  const own = () => all.data.connection.settings;
  const chosen = () => draft?.values(own()) ?? choice(own());
  const changed = () => draft?.changes(own()) ?? {};

  function set(name, value) {
    draft ??= edit(own(), choice);
    draft.set(own(), name, value);
    if (!Object.keys(changed()).length) draft = null;
    save.clear();
    update();
  }

  const difference = () => Object.entries(changed()).map(([name, value]) => `${label(name)}: ${parts(name)[1] ? 'becomes ' : ''}${words(name, value)}`);

  function wanted() {
    const wish = { connectionId: id, expectedRevision: draft?.expected(own()) ?? own().revision };
    for (const name of Object.keys(changed())) {
      const [kind, item] = parts(name);
      if (item) wish[kind.active] = own()[kind.field].filter((one) => chosen()[`${kind.field}/${one.name}`]).map((one) => one.name);
      else wish[kind.auto] = chosen()[name];
    }
    return wish;
  }

  /** Saves what was chosen, even if nothing changed: that somebody looked and left it as it is counts, too. */
  async function done() {
    const changes = Object.keys(changed()).length > 0;
    if (!await save.run(() => mutate(SAVE, wanted()))) {
      await all.refresh();
      return;
    }
    draft = null;
    toast(changes ? 'Settings saved. The other side hears of it now.' : 'Settings saved as they are.');
    if (wizard) settled = id;
    navigate(`/connections/${id}`);
  }

  function choices(connection, kind) {
    const items = own()[kind.field];
    return section(kind.field, kind.title, html`
      <p class="small">${kind.about}</p>
      ${items.length
        ? html`<div class="stack">${repeat(items, (item) => item.name, (item) => tick({ id: `${kind.field}-${item.name}`, label: item.name, help: `${item.description} Version ${item.version}.`, checked: chosen()[`${kind.field}/${item.name}`], disabled: !viewer.canOperate, change: (active) => set(`${kind.field}/${item.name}`, active) }))}</div>`
        : empty('Nothing is offered yet.', `When ${connection.peer.name ?? 'the provider'} offers a ${kind.one}, it appears here.`)}
      ${tick({ id: kind.auto, label: `Activate new ${kind.one}s automatically`, help: 'Otherwise each waits here until you activate it.', checked: chosen()[kind.auto], disabled: !viewer.canOperate, change: (on) => set(kind.auto, on) })}`);
  }

  const offers = (connection, kind) => section(kind.field, kind.title, html`
    ${own()[kind.field].length
      ? html`<ul class="log offers">${own()[kind.field].map((item) => html`<li><strong>${item.name}</strong> <span class="small">${item.description} Version ${item.version}.</span> ${item.active ? badge('ACTIVE', 'Active there') : badge('PENDING', 'Not active there')}</li>`)}</ul>`
      : empty('Nothing is offered yet.', `What you publish reaches every consumer, who decides what becomes active there.`)}`);

  /** Whether both sides hold the same, and what to do when they do not. */
  function sync(connection) {
    const now = own();
    const press = viewer.canOperate ? html`<div class="buttons">${button('Sync now', syncNow, { kind: 'secondary', busy: save.busy })}</div>` : nothing;
    if (now.syncFailure) return html`${refusal(now.syncFailure)}${press}`;
    if (now.agreed || connection.state !== 'ONBOARDED') return nothing;
    return notice('calm', 'The two sides do not hold the same settings yet.', html`<p>They are synced by themselves, usually within moments.</p>${press}`);
  }

  async function syncNow() {
    if (await save.run(() => mutate(SYNC, { connectionId: id }))) toast('Both sides sync their settings.');
    await all.refresh();
  }

  const back = () => html`<a class="button secondary" href="/connections/${id}">Back to the connection</a>`;

  function view() {
    return all.view((data) => {
      const connection = data.connection;
      if (!connection) return html`${head('No such connection')}${notice('warn', 'There is no connection under this address, or it is not yours to see.', html`<p><a href="/connections">See your connections</a></p>`)}`;
      const name = connection.peer.name ?? host(connection.peer.origin);
      if (connection.state.startsWith('OFFBOARD')) return html`${head('Settings', { crumbs: [['Connections', '/connections'], [name, `/connections/${id}`]] })}${notice('warn', 'The connection was taken down, and its settings with it.', html`<p><a href="/connections/${id}">See what became of it</a></p>`)}`;
      const changes = difference();
      return html`
        ${head('Settings', { crumbs: [['Connections', '/connections'], [name, `/connections/${id}`]], lead: connection.role === 'CONSUMER' ? `What you take of what ${name} offers.` : `What you offer to ${name}.` })}
        ${sync(connection)}
        ${KINDS.map((kind) => (connection.role === 'CONSUMER' ? choices(connection, kind) : offers(connection, kind)))}
        ${connection.role === 'PROVIDER' ? html`${outcome(save)}
          <p><a href="/provider">Publish or change definitions in the provider centre</a></p>
          <div class="buttons">${back()}</div>` : html`<div class=${changes.length || draft ? 'panel' : 'stack'}>
          ${changes.length ? html`<div class="stack"><h2>What will change</h2><ul class="steps">${changes.map((line) => html`<li>${line}</li>`)}</ul></div>` : nothing}
          ${draft ? meanwhile(draft, own(), { label, words, done: () => { save.clear(); update(); } }) : nothing}
          ${draft ? saved(draft, own(), save) : outcome(save)}
          <div class="buttons">${viewer.canOperate ? button('Done', done, { busy: save.busy }) : back()}
            ${changes.length ? button('Discard changes', () => { draft = null; save.clear(); update(); }, { kind: 'secondary' }) : nothing}</div>
        </div>`}`;
    });
  }

  return {
    title: () => 'Settings',
    view,
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CONNECTION'],
    changed: (event) => (ofAnother(event, id) ? null : all.refresh()),
  };
}
