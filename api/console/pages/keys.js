// The key service: whether it can do its work, and part by part for those whose role it is.
import { gql } from '../lib/api.js';
import { keyTabs } from '../lib/key-tabs.js';
import { cell } from '../lib/list.js';
import { resource } from '../lib/resource.js';
import { badge, empty, facts, head, notice, on, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { inWords as words } from '../lib/words.js';

const KEY_HEALTH = gql`query KeyHealth {
  keyHealth {
    status statusLabel reason measuredAt
    components { code name status statusLabel message remedy critical module }
  }
}`;

const MODULES = gql`query KeyModules {
  keyModules {
    name purpose algorithm builtIn exportable state stateLabel rotationPeriod keyLifetime createdAt publishedAt
    versions { version state stateLabel createdAt activatedAt rotatedAt deactivatedAt destroyedAt expiresAt reason }
  }
}`;

/** The life of a key in order; what it leaves the path for is said beside it. */
const LIFE = [['PRE_ACTIVE', 'Pre-active', 'createdAt'], ['ACTIVE', 'Active', 'activatedAt'], ['DEACTIVATED', 'Deactivated', 'deactivatedAt'], ['DESTROYED', 'Destroyed', 'destroyedAt']];
const ASIDE = new Set(['SUSPENDED', 'REVOKED', 'COMPROMISED']);
const DAY_S = 86_400;

const ABOUT = {
  OPERATIONAL: 'Seals, opens, signs and verifies as it should.',
  DEGRADED: 'It works, but not as it should. Onboarding goes on.',
  MALFUNCTION: 'Onboarding is stopped until it works again.',
  DISABLED: 'It is not checked.',
};

export default function keys({ update }) {
  const all = resource(KEY_HEALTH, {}, update);
  const modules = resource(MODULES, {}, update);
  const refresh = () => Promise.all([all.refresh(), modules.refresh()]);
  const clock = setInterval(() => document.hidden || refresh(), 15_000);
  const days = (seconds, none) => (seconds === null ? none : `${Math.round(seconds / DAY_S)} days`);

  function life(key) {
    const reached = LIFE.map(([state, label, date]) => ({ state, label, at: key[date] }));
    const now = LIFE.findIndex(([state]) => state === key.state);
    return html`<li class="key-version"><div class="issue-head"><strong>Version ${key.version}</strong> ${badge(key.state, key.stateLabel)}${ASIDE.has(key.state) && key.reason ? html` <span class="small">${key.reason}</span>` : nothing}
        ${key.expiresAt ? html`<span class="small">expires ${when(key.expiresAt)}</span>` : nothing}</div>
      <ol class="life" aria-label="Life of version ${key.version}">${reached.map((step, at) => html`<li class=${step.at ? 'reached' : ''} aria-current=${at === now ? 'step' : nothing}><span>${step.label}</span><span class="small">${step.at ? on(step.at) : 'not yet'}</span></li>`)}</ol></li>`;
  }

  const module = (one) => html`<details class="more" ?open=${one.versions.some((key) => key.state !== 'ACTIVE')}><summary><strong>${one.name}</strong> · ${one.algorithm}${one.versions.length ? ` · version ${one.versions[0].version}, ${one.versions[0].stateLabel.toLowerCase()}` : ''}</summary>
    ${facts([['Purpose', words(one.purpose)], ['Rotated', one.rotationPeriod === null ? 'by people only' : `every ${days(one.rotationPeriod)}`], ['Keys expire', days(one.keyLifetime, 'never')], ['Exportable', one.exportable ? 'when a second person agrees' : 'never'], ['Origin', one.builtIn ? 'every instance has it' : 'made here']])}
    ${one.versions.length ? html`<ul class="stack key-versions">${one.versions.map(life)}</ul>` : html`<p class="small">Each connection has its own keys here.</p>`}</details>`;

  const moduleList = () => (modules.error?.kind === 'FORBIDDEN'
    ? notice('calm', 'Modules and versions are for key roles.', html`<p>${modules.error.message} A key administrator grants them; being administrator grants none.</p>`)
    : modules.view((data) => section('modules', 'Modules', html`<p class="small">A module is a purpose with one algorithm; its keys are versions, of which one at most is active.</p>
        ${data.keyModules.length ? data.keyModules.map(module) : empty('No module.', 'The first start makes those that every instance has.')}`)));

  return {
    title: () => 'Keys',
    ready: refresh(),
    refresh,
    subjects: [],
    leave: () => clearInterval(clock),
    view: () => html`${head('Keys', { lead: 'Keys never leave the key service. Here is whether it can do its work.' })}${keyTabs('/keys')}
      ${all.view(({ keyHealth }) => html`
        ${section('health', 'Health', html`<p>${ABOUT[keyHealth.status]}</p>
          ${keyHealth.reason ? notice(keyHealth.status === 'MALFUNCTION' ? 'bad' : 'warn', keyHealth.reason, html`<p>Ask a key manager, or this instance’s operator, to look at the component.</p>`) : nothing}
          <p class="small">Looked at ${when(keyHealth.measuredAt)}; again every 15 seconds while this page is open.</p>`, { aside: badge(keyHealth.status, keyHealth.statusLabel) })}
        ${keyHealth.components
          ? section('components', 'Components', html`<div class="table-wrap"><table class="rows"><caption class="unseen">Components of the key service</caption>
              <thead><tr><th scope="col">Component</th><th scope="col">Status</th><th scope="col">What was seen</th><th scope="col">What to do</th></tr></thead>
              <tbody>${keyHealth.components.map((one) => html`<tr><th scope="row">${words(one.name)}${one.module ? html` <code>${one.module}</code>` : nothing}${one.critical ? html` <span class="small">critical</span>` : nothing}</th>
                ${cell('Status', badge(one.status, one.statusLabel))}${cell('What was seen', one.message)}${cell('What to do', one.remedy ?? '–')}</tr>`)}</tbody></table></div>`)
          : notice('calm', 'The components are for key roles.', html`<p>Status and reason are for everybody here, so that nobody is blind to why a validation failed. To see each part, ask a key administrator for one of the key roles; being administrator grants none.</p>`)}
        ${moduleList()}`)}`,
  };
}
