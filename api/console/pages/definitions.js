// What this instance publishes to all its consumers: forms to send records with, and kinds of tasks.
import { gql, mutate, request } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { paging } from '../lib/list.js';
import { command, resource } from '../lib/resource.js';
import { ask, toast } from '../lib/say.js';
import { button, empty, field, input, outcome, refusal, section, select, submit } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';

const DEFINITIONS = gql`query Definitions($first: Int, $after: String, $last: Int, $before: String) {
  definitions(first: $first, after: $after, last: $last, before: $before) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { id kind kindLabel name description fieldSchema version revision } } }
}`;

const PREVIEW = gql`query DefinitionPreview($input: SaveDefinitionInput!) {
  definitionPreview(input: $input) { differences { field before after } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const SAVE = gql`mutation SaveDefinition($input: SaveDefinitionInput!) {
  saveDefinition(input: $input) { definition { id name version } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const WITHDRAW = gql`mutation WithdrawDefinition($input: WithdrawDefinitionInput!) {
  withdrawDefinition(input: $input) { definition { id name } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const SIZE = 50;
const KINDS = [['RECORD_PRODUCER', 'Record producer'], ['TASK_DEFINITION', 'Task definition']];
const EMPTY_SCHEMA = JSON.stringify({ type: 'object', properties: { title: { type: 'string' } }, required: ['title'] }, null, 2);

export function definitions(update, viewer) {
  const place = paging(SIZE, { refresh: () => all.refresh(), heading: 'definitions', label: 'Pages of the definitions' });
  const all = resource(DEFINITIONS, place.window, update);
  const save = command(update);
  let draft = null;
  let differences = null;

  function edit(definition) {
    const { id = null, revision = null, kind = 'RECORD_PRODUCER', name = '', description = '', fieldSchema = EMPTY_SCHEMA } = definition ?? {};
    draft = { id, revision, kind, name, description, fieldSchema };
    differences = null;
    save.clear();
    update();
    requestAnimationFrame(() => document.getElementById('definition-name')?.focus());
  }

  const wanted = () => ({
    kind: draft.kind, name: draft.name.trim(), description: draft.description.trim(), fieldSchema: draft.fieldSchema,
    ...(draft.id ? { definitionId: draft.id, expectedRevision: draft.revision } : {}),
  });

  async function preview() {
    differences = null;
    const payload = await save.run(async () => {
      const { definitionPreview } = await request(PREVIEW, { input: wanted() });
      return definitionPreview;
    });
    if (payload) differences = payload.differences;
    update();
  }

  async function store(event) {
    event.preventDefault();
    const payload = await save.run(() => mutate(SAVE, wanted()));
    if (payload) {
      draft = null;
      toast(`${payload.definition.name} is published, version ${payload.definition.version}.`);
    }
    await all.refresh();
  }

  async function withdraw(definition) {
    const sure = await ask({
      title: `Withdraw ${definition.name}?`,
      body: html`<p>No consumer can use it any more, also where it is active. You can publish one of the same name again.</p>`,
      confirm: 'Withdraw',
      danger: true,
    });
    if (!sure) return;
    if (await save.run(() => mutate(WITHDRAW, { definitionId: definition.id, expectedRevision: definition.revision }))) toast(`${definition.name} was withdrawn.`);
    await all.refresh();
  }

  const set = (name, value) => {
    draft[name] = value;
    differences = null;
    if (save.refusal) {
      save.clear();
      update();
    }
  };
  const problem = (name) => (save.refusal?.field === name ? save.refusal.message : null);

  const form = () => html`<form class="inline-form" novalidate @submit=${store}>
    ${draft.id ? nothing : select({ id: 'definition-kind', label: 'Kind', value: draft.kind, choices: KINDS, error: problem('kind'), change: (value) => set('kind', value) })}
    ${input({ id: 'definition-name', label: 'Name of the definition', value: draft.name, maxlength: 100, required: true, error: problem('name'), change: (value) => set('name', value) })}
    ${input({ id: 'definition-description', label: 'What it is for', value: draft.description, maxlength: 500, error: problem('description'), change: (value) => set('description', value) })}
    ${field({ id: 'definition-schema', label: 'Fields', help: 'JSON Schema, such as { "type": "object", "properties": { "title": { "type": "string" } } }', error: problem('fieldSchema') }, ({ id, described, invalid }) => html`<textarea id=${id} class="code" rows="8" spellcheck="false" aria-describedby=${described} aria-invalid=${invalid} .value=${draft.fieldSchema} @input=${(event) => set('fieldSchema', event.target.value)}></textarea>`)}
    ${save.refusal && ['kind', 'name', 'description', 'fieldSchema'].includes(save.refusal.field) ? nothing : outcome(save)}
    ${differences ? html`<div class="stack"><h3>What will change</h3>${differences.length ? html`<ul class="steps">${differences.map((one) => html`<li>${one.field}: ${one.before ?? 'nothing'} → ${one.after ?? 'nothing'}</li>`)}</ul>` : html`<p>Nothing.</p>`}</div>` : nothing}
    <div class="buttons">${submit('Publish', { busy: save.busy })}${button('What will change?', preview, { kind: 'secondary', busy: save.busy })}${button('Do not save', () => { draft = null; update(); }, { kind: 'text' })}</div>
  </form>`;

  function view() {
    return all.view((data) => {
      const found = data.definitions.edges.map(({ node }) => node);
      return section('definitions', 'Definitions', html`
        <p class="small">What consumers can send records with, and what tasks can be exchanged. Each reaches every consumer, who decides what becomes active there.</p>
        ${found.length ? html`<ul class="log">${repeat(found, (one) => one.id, (one) => html`<li><strong>${one.name}</strong> <span class="small">${one.kindLabel}, version ${one.version}. ${one.description}</span>
          ${viewer.canOperate ? html`${button(html`Change<span class="unseen"> ${one.name}</span>`, () => edit(one), { kind: 'text' })} ${button(html`Withdraw<span class="unseen"> ${one.name}</span>`, () => withdraw(one), { kind: 'text' })}` : nothing}</li>`)}</ul>${place.view(data.definitions.pageInfo)}` : draft ? nothing : empty('Nothing is published yet.', 'Connections work without; publish what you want to exchange.')}
        ${draft ? form() : html`${save.refusal ? refusal(save.refusal) : nothing}${viewer.canOperate ? html`<div class="buttons">${button('Publish a definition', () => edit(null), { kind: 'secondary' })}</div>` : nothing}`}`);
    });
  }

  return { view, refresh: () => (viewer.company ? null : all.refresh()) };
}
