// Why a connection is as it is: the chain of what its status depends on, the first link that fails, and what to do.
import { gql, request } from './api.js';
import { remedyWords } from './remedies.js';
import { toast } from './say.js';
import { badge, button, codes, mark, notice, on, outcome, section, soon } from './ui.js';
import { html, nothing } from './view.js';
import { count, inWords } from './words.js';

export const EXPLAIN = gql`query Explain($id: ID!) {
  explain(connectionId: $id) {
    summary healthy
    fault { dependency label code reason evidence since remedy { kind text setting value mutation } }
    chain { dependency label holds }
    changedBefore { at kind subject state }
    nextAction { what at }
  }
}`;

const BUNDLE = gql`query SupportBundle($id: ID!) { connection(id: $id) { supportBundle } }`;

/** How the whole is said: what holds, what somebody suspended on purpose, and what fails. */
const SAID = {
  healthy: { kind: 'good', title: 'Why it works', badge: 'All holds', link: 'holds' },
  paused: { kind: 'warn', title: 'Why nothing is exchanged', badge: 'Suspended', link: 'is suspended' },
  broken: { kind: 'bad', title: 'Why it does not work', badge: 'Something fails', link: 'fails' },
};

/** Each link up to the first that does not hold; what comes behind it is not looked at. */
function links(chain, said) {
  const known = chain.filter((one) => one.holds !== null);
  const behind = chain.length - known.length;
  const link = (one) => {
    const { kind, link: words } = one.holds ? SAID.healthy : said;
    return html`<li class=${kind}>${mark(kind)}<span class="check-name">${one.label}</span><span class="check-answer">${words}</span></li>`;
  };
  return html`<ol class="checks chain">${known.map(link)}</ol>${behind ? html`<p class="small">${count(behind, 'more was', 'more were')} not looked at because of it.</p>` : nothing}`;
}

/** Saves the bundle as a file, for whoever helps. */
async function saveBundle(id, name) {
  const { connection } = await request(BUNDLE, { id });
  const file = URL.createObjectURL(new Blob([connection.supportBundle], { type: 'application/json' }));
  const anchor = document.createElement('a');
  Object.assign(anchor, { href: file, download: `linkspan-support-${name.replace(/[^\w.-]+/g, '-')}.json` });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(file), 10_000);
  toast('The support bundle was saved. It holds no secrets and no people.');
  return {};
}

/** The panel of a connection's page; `paused`: one of the two sides suspended it. */
export function explanation(found, { id, name, paused, command }) {
  if (!found) return nothing;
  const { fault, nextAction: next } = found;
  const said = SAID[found.healthy ? 'healthy' : paused ? 'paused' : 'broken'];
  return section('why', said.title, html`
    ${found.healthy ? html`<p>${found.summary}</p>` : paused ? nothing : notice(said.kind, found.summary, html`
      ${fault.since ? html`<p>Since ${on(fault.since)}.</p>` : nothing}
      <p><strong>What to do:</strong> ${remedyWords(fault.remedy) || 'Wait for what happens next by itself.'}</p>
      ${fault.code ? html`<p class="fine">${codes(fault)}</p>` : nothing}`)}
    ${next ? html`<p>Next: ${next.what[0].toLowerCase()}${next.what.slice(1).replace(/\.+$/, '')}${next.at ? html`, ${soon(next.at)}` : nothing}.</p>` : nothing}
    <details class="more" ?open=${!found.healthy}><summary>What it depends on, one after the other</summary>${links(found.chain, said)}</details>
    ${found.changedBefore.length ? html`<details class="more"><summary>What changed ${found.healthy ? 'lately' : 'just before'}</summary><ul class="log">${found.changedBefore.map((one) => html`<li>${inWords(one.subject ?? 'something')} ${one.kind === 'CREATED' ? 'was created' : one.kind === 'DELETED' ? 'was deleted' : 'changed'}${one.state ? html` ${badge(one.state, inWords(one.state))}` : nothing} <span class="small">${on(one.at)}</span></li>`)}</ul></details>` : nothing}
    ${outcome(command)}
    <div class="buttons">${button('Save a support bundle', () => command.run(() => saveBundle(id, name)), { kind: 'secondary', busy: command.busy })}<span class="small">For the people who mend it, on both sides: no secrets, no people, nothing of other connections.</span></div>`,
  { aside: badge('', said.badge, said.kind) });
}
