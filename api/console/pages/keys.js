// The key service: whether it can do its work, and part by part for those whose role it is.
import { gql } from '../lib/api.js';
import { cell } from '../lib/list.js';
import { resource } from '../lib/resource.js';
import { badge, head, notice, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const KEY_HEALTH = gql`query KeyHealth {
  keyHealth {
    status statusLabel reason measuredAt
    components { code name status statusLabel message remedy critical module }
  }
}`;

const ABOUT = {
  OPERATIONAL: 'Seals, opens, signs and verifies as it should.',
  DEGRADED: 'It works, but not as it should. Onboarding goes on.',
  MALFUNCTION: 'Onboarding is stopped until it works again.',
  DISABLED: 'It is not checked.',
};

export default function keys({ update }) {
  const all = resource(KEY_HEALTH, {}, update);
  const clock = setInterval(all.refresh, 15_000);
  return {
    title: () => 'Keys',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: [],
    leave: () => clearInterval(clock),
    view: () => html`${head('Keys', { lead: 'Keys never leave the key service. Here is whether it can do its work.' })}
      ${all.view(({ keyHealth }) => html`
        ${section('health', 'Health', html`<p>${ABOUT[keyHealth.status]}</p>
          ${keyHealth.reason ? notice(keyHealth.status === 'MALFUNCTION' ? 'bad' : 'warn', keyHealth.reason, html`<p>Ask a key manager, or this instance’s operator, to look at the component.</p>`) : nothing}
          <p class="small">Looked at ${when(keyHealth.measuredAt)}; again every 15 seconds while this page is open.</p>`, { aside: badge(keyHealth.status, keyHealth.statusLabel) })}
        ${keyHealth.components
          ? section('components', 'Components', html`<div class="table-wrap"><table class="rows"><caption class="unseen">Components of the key service</caption>
              <thead><tr><th scope="col">Component</th><th scope="col">Status</th><th scope="col">What was seen</th><th scope="col">What to do</th></tr></thead>
              <tbody>${keyHealth.components.map((one) => html`<tr><th scope="row">${one.name}${one.critical ? html` <span class="small">critical</span>` : nothing}</th>
                ${cell('Status', badge(one.status, one.statusLabel))}${cell('What was seen', one.message)}${cell('What to do', one.remedy ?? '–')}</tr>`)}</tbody></table></div>`)
          : notice('calm', 'The components are for key roles.', html`<p>Status and reason are for everybody here, so that nobody is blind to why a validation failed. To see each part, ask a key admin for one of the key roles; being administrator grants none.</p>`)}`)}`,
  };
}
