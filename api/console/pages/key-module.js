// One key module: its versions and their life, who may do what with them, what needs a second person, and what was done.
import { withheld } from '../lib/actions.js';
import { gql } from '../lib/api.js';
import { followEntries, latestEntries } from '../lib/audit.js';
import { READERS, keyApprovals, openApprovals } from '../lib/key-approvals.js';
import { KEY, keyLives } from '../lib/key-life.js';
import { keyPolicies } from '../lib/key-policies.js';
import { keyVerbs, moduleVerbs } from '../lib/key-verbs.js';
import { command, resource } from '../lib/resource.js';
import { announce, toast } from '../lib/say.js';
import { badge, facts, head, notice, on, outcome, section } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { duration, every, inWords } from '../lib/words.js';

const MODULE = gql`query KeyModule($name: String!) {
  keyModule(name: $name) {
    name purpose algorithm builtIn exportable state stateLabel rotationPeriod keyLifetime createdAt publishedAt revision
    actions { name label allowed needsStepUp reason }
    versions { ...KeyParts }
  }
}
${KEY}`;

export default function keyModule({ params, update, viewer }) {
  const { name } = params;
  const all = resource(MODULE, { name }, changed);
  const log = latestEntries({ filter: { module: name }, what: () => name, all: `/audit?module=${name}`, update });
  const act = command(update);
  const policies = keyPolicies({ module: () => name, update });
  const open = openApprovals({ module: name, update });
  const approvals = keyApprovals({ narrowed: () => ({ module: name }), none: () => html`<p>Nobody asked for anything about this module.</p>`, update, answered: open.refresh });
  const reads = viewer.roles.some((role) => READERS.includes(role));
  const audits = viewer.roles.includes('KEY_AUDITOR');
  const refresh = () => Promise.all([all.refresh(), ...(reads ? [policies.refresh(), approvals.refresh(), open.refresh()] : []), ...(audits ? [log.refresh()] : [])]);
  const stop = audits ? followEntries(viewer, log.refresh) : () => {};
  let said = null;

  /** Says what became of the keys while somebody looks. */
  function changed() {
    const words = all.data?.keyModule?.versions.map((key) => `Version ${key.version} ${key.stateLabel}.`).join(' ') ?? null;
    if (said !== null && words !== said) announce(words);
    said = words;
    update();
  }

  async function run(action, words = null) {
    if (await act.run(action) && words) toast(words);
    await refresh();
  }

  const versions = (now) => section('versions', 'Versions', now.versions.length
    ? keyLives(now.versions, (key) => keyVerbs(key, { approvals: open.items, run, lifetime: now.keyLifetime }))
    : now.name === 'links'
      ? html`<p>Each connection has its own key here, made by the exchange of its two instances. <a href="/connections">Choose a connection</a> to see its keys.</p>`
      : html`<p>${now.state === 'DRAFT' ? 'A draft has no keys. Publish it, then make the first one.' : 'No key was made yet.'}</p>`);

  const audit = () => section('audit', 'Audit log', audits
    ? log.view()
    : html`<p>What was done to these keys is for key auditors to read.</p>`);

  function shown({ keyModule: now }) {
    if (!now) return html`${head('No such key module', { crumbs: [['Keys', '/keys']] })}${notice('warn', 'There is no key module with this name.', html`<p>Modules are never deleted, so it may have been mistyped. <a href="/keys">See the modules</a>.</p>`)}`;
    const verbs = moduleVerbs(now, { approvals: open.items, run });
    return html`${head(now.name, { crumbs: [['Keys', '/keys']], status: badge(now.state === 'DRAFT' ? 'PENDING' : 'ACTIVE', now.stateLabel), lead: `${inWords(now.purpose)} with ${now.algorithm}.`, actions: verbs.length ? verbs : nothing })}
      ${outcome(act)}
      <div class="columns"><div class="column-main">${versions(now)}</div>
      <div class="column-side">${section('about', 'Module', html`${facts([
        ['Purpose', inWords(now.purpose)], ['Algorithm', now.algorithm],
        ['Rotated', now.rotationPeriod === null ? 'by people only' : every(now.rotationPeriod)],
        ['Keys expire', now.keyLifetime === null ? 'never' : `after ${duration(now.keyLifetime)}`],
        ['Exportable', now.exportable ? 'when a second person agrees' : 'never'],
        ['Origin', now.builtIn ? 'every instance has it' : 'made here'],
        ['Made', on(now.createdAt)], ['Published', on(now.publishedAt, 'not yet')],
      ])}${withheld(now.actions)}`)}</div></div>
      ${policies.view()}
      ${section('approvals', 'Approvals', approvals.view())}
      ${audit()}`;
  }

  return {
    title: () => name,
    ready: refresh(),
    refresh,
    subjects: ['KEYS'],
    changed: refresh,
    leave: stop,
    view: () => (all.error?.kind === 'FORBIDDEN'
      ? html`${head(name, { crumbs: [['Keys', '/keys']] })}${notice('calm', 'Modules and versions are for key roles.', html`<p>${all.error.message} A key administrator grants them; being administrator grants none.</p>`)}`
      : all.view(shown)),
  };
}
