// Who may do what with keys, module by module.
import { MODULE_NAMES } from '../lib/fragments.js';
import { forKeyRoles, keyPolicies } from '../lib/key-policies.js';
import { keyTabs } from '../lib/key-tabs.js';
import { resource } from '../lib/resource.js';
import { head, select } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

export default function keyAccess({ update, query }) {
  let chosen = query.get('module') ?? '';
  const modules = resource(MODULE_NAMES, {}, changed);
  const policies = keyPolicies({ module: () => chosen, update });

  function changed() {
    if (!chosen && modules.data?.keyModules.edges.length) {
      chosen = modules.data.keyModules.edges[0].node.name;
      policies.refresh();
    }
    update();
  }

  function choose(module) {
    chosen = module;
    history.replaceState(null, '', `?module=${encodeURIComponent(module)}`);
    policies.forget();
    return policies.refresh();
  }

  const refresh = () => Promise.all([modules.refresh(), chosen ? policies.refresh() : null]);
  const view = () => (modules.error?.kind === 'FORBIDDEN' ? forKeyRoles(modules.error) : modules.view((data) => html`
    <div class="panel">${select({ id: 'module', label: 'Module', value: chosen, choices: data.keyModules.edges.map(({ node }) => [node.name, `${node.name}, ${node.algorithm}`]), change: choose })}
      ${chosen ? html`<p class="small"><a href="/keys/modules/${chosen}">All about ${chosen}</a></p>` : nothing}</div>
    ${chosen ? policies.view() : nothing}`));

  return {
    title: () => 'Access to keys',
    ready: refresh(),
    refresh,
    subjects: ['KEYS'],
    changed: refresh,
    view: () => html`${head('Keys', { lead: 'Who may do what with which keys, and by which policy.' })}${keyTabs('/keys/access')}${view()}`,
  };
}
