// The keys of one connection: each epoch with its state and life, and what can be done with it.
import { gql } from './api.js';
import { READERS, openApprovals } from './key-approvals.js';
import { KEY, keyBadge, keyLives } from './key-life.js';
import { keyVerbs } from './key-verbs.js';
import { resource } from './resource.js';
import { facts, on, section } from './ui.js';
import { html, nothing } from './view.js';

const KEYS = gql`query ConnectionKeys($module: String!) { keys(module: $module, first: 250) { edges { node { ...KeyParts } } } }
${KEY}`;

/** The panel of a connection's page. `module()` names its keys in the key service, `run` carries a verb out. */
export function connectionKeys({ module, run, update, viewer }) {
  const reads = viewer.roles.some((role) => READERS.includes(role));
  const keys = resource(KEYS, () => ({ module: module() }), update);
  const approvals = openApprovals({ module: 'links', update });

  /** What becomes of a key. */
  function next({ state, expiresAt }) {
    if (state === 'SUSPENDED') return 'stays out of use until it is resumed';
    if (state === 'DESTROYED') return 'nothing: it is gone for good';
    if (state !== 'ACTIVE' && state !== 'PRE_ACTIVE') return 'does not come back: off-board the connection, and register again';
    return expiresAt ? html`expires ${on(expiresAt)}` : 'stays until somebody takes it out of use';
  }

  function lives(list) {
    const [newest] = list;
    if (!newest) return html`<p>Its keys are gone: a new exchange makes others.</p>`;
    // The API numbers them by attempt; people count.
    const number = (key) => list.length - list.indexOf(key);
    return html`${facts([
      ['Epoch', html`${number(newest)} ${keyBadge(newest)}`],
      newest.state === 'ACTIVE' || newest.state === 'PRE_ACTIVE' ? ['In use since', on(newest.activatedAt, 'not yet')] : [newest.stateLabel, newest.reason ?? 'without a reason'],
      ['Next', next(newest)],
    ])}${keyLives(list, (key) => keyVerbs(key, { approvals: approvals.items, run, number: number(key) }), 'Epoch', number)}
    ${newest.state === 'DESTROYED' ? nothing : html`<p class="small">Both instances hold the same key. Whoever takes it out of use stops the messages on both sides, and the other side hears why. <a href="/keys/access?module=links">Who may do what with it</a></p>`}`;
  }

  return {
    refresh: () => (reads && module() ? Promise.all([keys.refresh(), approvals.refresh()]) : null),
    // Of a connection that ended there is nothing for those to do who see no keys.
    view: ({ ended }) => (!module() || (ended && !reads) ? nothing : section('keys', 'Keys', reads
      ? keys.part('The list of keys', (data) => lives(data.keys.edges.map(({ node }) => node)))
      : html`<p>Both sides compare their keys when the connection is verified. To see them, and to take them out of use, one of the key roles is needed: a key administrator grants them.</p>`)),
  };
}
