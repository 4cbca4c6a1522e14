// The settings of a connection: what the provider offers, what the consumer takes; the difference before it is saved.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
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

export default function settings({ params, update, query, navigate, viewer }) {
  const { id } = params;
  const all = resource(SETTINGS, { id }, update);
  const save = command(update);
  const wizard = query.get('from') === 'wizard';
  // What was changed here and is not saved: by field, the whole value.
  let draft = {};

  const own = () => all.data.connection.settings;
  const value = (field) => draft[field] ?? own()[field];

  function set(field, now) {
    const before = own()[field];
    if (JSON.stringify(now) === JSON.stringify(before)) delete draft[field];
    else draft[field] = now;
    save.clear();
    update();
  }

  const toggle = (field, name, active) => set(field, value(field).map((item) => (item.name === name ? { ...item, active } : item)));

  function difference() {
    const lines = [];
    for (const kind of KINDS) {
      const before = new Map(own()[kind.field].map((item) => [item.name, item]));
      for (const item of draft[kind.field] ?? []) {
        if (before.get(item.name)?.active !== item.active) lines.push(`${item.name}: ${item.active ? 'becomes active' : 'becomes inactive'}`);
      }
      if (kind.auto in draft) lines.push(`Auto-activation of ${kind.one}s: ${draft[kind.auto] ? 'on' : 'off'}`);
    }
    return lines;
  }

  function wanted() {
    const wish = { connectionId: id, expectedRevision: own().revision };
    for (const kind of KINDS) {
      if (draft[kind.field]) {
        wish[kind.active] = draft[kind.field].filter((item) => item.active).map((item) => item.name);
      }
      if (kind.auto in draft) wish[kind.auto] = draft[kind.auto];
    }
    return wish;
  }

  async function done() {
    if (Object.keys(draft).length) {
      if (!await save.run(() => mutate(SAVE, wanted()))) {
        await all.refresh();
        return;
      }
      draft = {};
      toast('Settings saved. The other side hears of it now.');
    }
    navigate(`/connections/${id}${wizard ? '?from=settings' : ''}`);
  }

  function choices(connection, kind) {
    const items = value(kind.field);
    return section(kind.field, kind.title, html`
      <p class="small">${kind.about}</p>
      ${items.length
        ? html`<div class="stack">${repeat(items, (item) => item.name, (item) => tick({ id: `${kind.field}-${item.name}`, label: item.name, help: `${item.description} Version ${item.version}.`, checked: item.active, disabled: !viewer.canOperate, change: (active) => toggle(kind.field, item.name, active) }))}</div>`
        : empty('Nothing is offered yet.', `When ${connection.peer.name ?? 'the provider'} offers a ${kind.one}, it appears here.`)}
      ${tick({ id: kind.auto, label: `Activate new ${kind.one}s automatically`, help: 'Otherwise each waits here until you activate it.', checked: value(kind.auto), disabled: !viewer.canOperate, change: (on) => set(kind.auto, on) })}`);
  }

  const offers = (connection, kind) => section(kind.field, kind.title, html`
    ${value(kind.field).length
      ? html`<ul class="log">${value(kind.field).map((item) => html`<li><strong>${item.name}</strong> <span class="small">${item.description} Version ${item.version}.</span> ${item.active ? badge('ACTIVE', 'Active there') : badge('PENDING', 'Not active there')}</li>`)}</ul>`
      : empty('Nothing is offered yet.', `What you publish reaches every consumer, who decides what becomes active there.`)}
    <p><a href="/provider">Publish or change definitions in the provider centre</a></p>`);

  /** Whether both sides hold the same, and what to do when they do not. */
  function sync(connection) {
    const now = own();
    const press = viewer.canOperate ? html`<div class="buttons">${button('Sync now', syncNow, { kind: 'secondary', busy: save.busy })}</div>` : nothing;
    if (now.syncFailure) return html`${refusal(now.syncFailure)}${press}`;
    if (now.agreed || connection.state !== 'ONBOARDED') return nothing;
    return notice('calm', 'The two sides do not hold the same settings yet.', html`<p>They are synced by themselves, usually within moments.</p>${press}`);
  }

  async function syncNow() {
    if (await save.run(() => mutate(SYNC, { connectionId: id }))) toast('Syncing.');
    await all.refresh();
  }

  function view() {
    return all.view((data) => {
      const connection = data.connection;
      if (!connection) return html`${head('No such connection')}${notice('warn', 'There is no connection under this address, or it is not yours to see.', html`<p><a href="/connections">See your connections</a></p>`)}`;
      const name = connection.peer.name ?? host(connection.peer.origin);
      const changes = difference();
      return html`
        ${head('Settings', { crumbs: [['Connections', '/connections'], [name, `/connections/${id}`]], lead: connection.role === 'CONSUMER' ? `What you take of what ${name} offers.` : `What you offer to ${name}.` })}
        ${sync(connection)}
        ${KINDS.map((kind) => (connection.role === 'CONSUMER' ? choices(connection, kind) : offers(connection, kind)))}
        <div class="panel">
          ${changes.length ? html`<div class="stack"><h2>What will change</h2><ul class="steps">${changes.map((line) => html`<li>${line}</li>`)}</ul></div>` : nothing}
          ${outcome(save)}
          ${save.refusal?.code === 'CONFLICT' ? html`<p>Somebody changed the settings meanwhile. What you see now includes that; look again, and save.</p>` : nothing}
          <div class="buttons">${button('Done', done, { busy: save.busy })}
            ${changes.length ? button('Discard changes', () => { draft = {}; save.clear(); update(); }, { kind: 'secondary' }) : nothing}</div>
        </div>`;
    });
  }

  return {
    title: () => 'Settings',
    view,
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CONNECTION'],
    changed: all.refresh,
  };
}
