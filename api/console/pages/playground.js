// The API playground: the schema's own documentation, and an editor to try operations in, with your own rights.
import { ApiError, events, gql } from '../lib/api.js';
import { resource } from '../lib/resource.js';
import { announce } from '../lib/say.js';
import { button, failed, head, notice, section } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';

const SCHEMA = gql`query Schema {
  __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types {
      kind name description
      fields(includeDeprecated: true) { name description isDeprecated deprecationReason args { name description defaultValue type { ...TypeName } } type { ...TypeName } }
      inputFields { name description defaultValue type { ...TypeName } }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      interfaces { kind name }
      possibleTypes { kind name }
    }
  }
}
${gql`fragment TypeName on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`}`;

const EXAMPLES = {
  'Who am I?': gql`{
  viewer { name email roles }
  instance { name origin version fingerprintText }
}`,
  'Connections': gql`{
  connections(first: 10) {
    edges {
      node {
        id
        stateLabel
        peer { name origin }
        outbound { statusLabel roundTripMs }
        inbound { statusLabel }
      }
    }
  }
}`,
  'Registrations': gql`{
  registrations(first: 10) {
    edges { node { number stateLabel url company { name } } }
  }
}`,
  'Changes, live': gql`subscription {
  changes { cursor kind subject subjectId state at }
}`,
};

const LINES = 50;

const text = (type) => (type.kind === 'NON_NULL' ? `${text(type.ofType)}!` : type.kind === 'LIST' ? `[${text(type.ofType)}]` : type.name);
const base = (type) => (type.ofType ? base(type.ofType) : type.name);

export default function playground({ update, query }) {
  const schema = resource(SCHEMA, {}, update);
  let operation = EXAMPLES['Who am I?'].source;
  let variables = '';
  let answer = null;
  let running = null;
  let problem = null;
  let shown = query.get('type') ?? 'Query';
  let wanted = '';

  async function run() {
    stop();
    problem = null;
    let given = {};
    try {
      given = variables.trim() ? JSON.parse(variables) : {};
    } catch (error) {
      problem = `The variables are no JSON: ${error.message}`;
      update();
      return;
    }
    const mine = new AbortController();
    running = mine;
    answer = '';
    update();
    try {
      if (/^\s*subscription\b/m.test(operation)) await stream(given, mine.signal);
      else answer = JSON.stringify(await raw(given, mine.signal), null, 2);
      announce('The answer is there.');
    } catch (error) {
      if (error.name !== 'AbortError') problem = error instanceof ApiError ? error.message : 'This instance cannot be reached. Try again.';
    } finally {
      if (running === mine) running = null;
      update();
    }
  }

  const send = (given, accept, signal) => fetch('/graphql', { method: 'POST', headers: { 'content-type': 'application/json', accept }, body: JSON.stringify({ query: operation, variables: given }), signal });

  async function raw(given, signal) {
    const response = await send(given, 'application/json', signal);
    const body = await response.text();
    try {
      return JSON.parse(body);
    } catch {
      throw new ApiError('INTERNAL', `The answer (status ${response.status}) is no JSON: ${body.slice(0, 200)}`);
    }
  }

  /** Each event on a line of its own, the newest first. */
  async function stream(given, signal) {
    const response = await send(given, 'text/event-stream', signal);
    if (!response.ok) throw new ApiError('INTERNAL', `The stream was not begun (status ${response.status}).`);
    for await (const event of events(response.body)) {
      answer = [JSON.stringify(event), ...answer.split('\n')].slice(0, LINES).join('\n');
      update();
    }
  }

  function stop() {
    running?.abort();
    running = null;
    update();
  }

  function keys(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  }

  /** A description, with what it quotes as code. */
  const prose = (description) => (description ?? '').split('`').map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

  const typeLink = (type) => html`<button type="button" class="text code" @click=${() => { shown = base(type); wanted = ''; update(); }}>${text(type)}</button>`;

  const fields = (items) => html`<ul class="api-fields">${items.map((item) => html`<li><p><code>${item.name}</code>${item.args?.length ? html`<span class="small">(${item.args.map((arg, at) => html`${at ? ' ' : ''}${arg.name}: <span class="joined">${typeLink(arg.type)}${at < item.args.length - 1 ? ',' : item.type ? '):' : ')'}</span>`)}</span>` : item.type ? ':' : nothing}${item.type ? html` ${typeLink(item.type)}` : nothing}</p>
    <p class="small">${prose(item.description)}${item.defaultValue ? html` Default: <code>${item.defaultValue}</code>.` : nothing}${item.isDeprecated ? html` <strong>Deprecated:</strong> ${prose(item.deprecationReason)}` : nothing}</p>
    ${item.args?.length ? html`<ul class="api-args small">${item.args.map((arg) => html`<li><code>${arg.name}</code>: ${prose(arg.description)}${arg.defaultValue ? html` Default: <code>${arg.defaultValue}</code>.` : nothing}</li>`)}</ul>` : nothing}</li>`)}</ul>`;

  function docs(data) {
    const types = data.__schema.types.filter((type) => !type.name.startsWith('__'));
    const found = wanted.trim().toLowerCase();
    const hits = found ? types.flatMap((type) => [
      ...(type.name.toLowerCase().includes(found) ? [[type.name, type.name]] : []),
      ...[...(type.fields ?? []), ...(type.inputFields ?? [])].filter((field) => field.name.toLowerCase().includes(found)).map((field) => [type.name, `${type.name}.${field.name}`]),
    ]).slice(0, 40) : [];
    const type = types.find((one) => one.name === shown) ?? types[0];
    return section('docs', 'Schema', html`
      <div class="field"><label for="find">Find a type or field</label><input id="find" type="search" autocomplete="off" spellcheck="false" .value=${wanted} @input=${(event) => { wanted = event.target.value; update(); }}></div>
      <p class="buttons">${['Query', 'Mutation', 'Subscription'].map((root) => button(root, () => { shown = root; wanted = ''; update(); }, { kind: shown === root && !found ? 'small-button' : 'small-button secondary' }))}</p>
      ${found
        ? html`<ul class="log">${repeat(hits, ([, label]) => label, ([name, label]) => html`<li><button type="button" class="text code" @click=${() => { shown = name; wanted = ''; update(); }}>${label}</button></li>`)}</ul>${hits.length ? nothing : html`<p>Nothing is called so.</p>`}`
        : html`<div class="stack"><h3><code>${type.name}</code> <span class="small">${type.kind.toLowerCase().replace('_', ' ')}</span></h3><p>${prose(type.description)}</p>
            ${type.interfaces?.length ? html`<p class="small">Implements ${type.interfaces.map((one, at) => html`${at ? ', ' : ''}${typeLink(one)}`)}.</p>` : nothing}
            ${fields(type.fields ?? type.inputFields ?? type.enumValues ?? [])}
            ${type.possibleTypes?.length && !type.fields ? html`<p>One of ${type.possibleTypes.map((one, at) => html`${at ? ', ' : ''}${typeLink(one)}`)}</p>` : nothing}</div>`}`);
  }

  const editor = () => section('try', 'Try it', html`
    <p class="buttons">${Object.entries(EXAMPLES).map(([name, example]) => button(name, () => { operation = example.source; variables = ''; update(); }, { kind: 'small-button secondary' }))}</p>
    <div class="field"><label for="operation">Operation</label><textarea id="operation" class="code" rows="14" spellcheck="false" autocomplete="off" aria-describedby="operation-help" .value=${operation} @input=${(event) => { operation = event.target.value; }} @keydown=${keys}></textarea><p class="small" id="operation-help">It runs with your own rights: a mutation really does what it says. Ctrl+Enter runs it.</p></div>
    <div class="field"><label for="variables">Variables <span class="small">(optional, JSON)</span></label><textarea id="variables" class="code" rows="3" spellcheck="false" autocomplete="off" .value=${variables} @input=${(event) => { variables = event.target.value; }} @keydown=${keys}></textarea></div>
    <div class="buttons">${button('Run', run)}${running ? button('Stop', stop, { kind: 'secondary' }) : nothing}</div>
    ${problem ? notice('bad', problem, nothing, true) : nothing}
    ${answer === null ? nothing : html`<div class="stack"><h3 id="answer">Answer</h3><pre class="answer" tabindex="0" role="region" aria-labelledby="answer">${answer || '…'}</pre></div>`}`);

  /** Without introspection there is no documentation here; operations run all the same. */
  const missing = (error) => (error.kind === 'FORBIDDEN'
    ? section('docs', 'Schema', notice('calm', 'The schema is not shown here.', html`<p>Introspection is switched off, or not for your account (<code>graphql.introspection</code>, which an operator of this instance sets). Operations run all the same; the schema is in the file <code>schema.graphql</code> of every release.</p>`))
    : failed(error, schema.refresh));

  return {
    title: () => 'API playground',
    ready: schema.refresh(),
    subjects: [],
    leave: stop,
    view: () => html`${head('API playground', { lead: html`The public GraphQL API of this instance, at <code>/graphql</code>. Everything in this console goes through it.` })}
      <div class="columns even"><div class="column-main">${editor()}</div><div class="column-main">${schema.data ? docs(schema.data) : schema.error ? missing(schema.error) : nothing}</div></div>`,
  };
}
