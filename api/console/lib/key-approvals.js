// Requests for a second person's approval, and the answers to them. Nobody answers their own.
import { may as mayWith } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { paging } from './list.js';
import { command, resource } from './resource.js';
import { announce, ask, askFor, toast } from './say.js';
import { badge, button, empty, notice, on, outcome, when } from './ui.js';
import { html, nothing, repeat } from './view.js';
import { dateTime, host } from './words.js';

const APPROVALS = gql`query KeyApprovals($states: [KeyApprovalState!], $module: String, $first: Int, $after: String, $last: Int, $before: String) {
  keyApprovals(first: $first, after: $after, last: $last, before: $before, states: $states, module: $module) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node {
    id operation operationLabel module object reason state stateLabel askedAt answeredAt answer usableFrom expiresAt endedAt viewerCanUse
    key { module version stateLabel createdAt connection { id peer { name origin } } }
    askedBy { id name } answeredBy { name } actions { name allowed needsStepUp reason }
  } } }
}`;

/** What the controls of keys go by: whatever waits or is agreed to, however much was asked for since. */
const OPEN = gql`query OpenKeyApprovals($module: String!) {
  keyApprovals(first: 250, states: [PENDING, APPROVED], module: $module) { edges { node {
    id operation module object state usableFrom viewerCanUse askedBy { name }
  } } }
}`;

const GIVE = gql`mutation GiveKeyApproval($input: GiveKeyApprovalInput!) {
  giveKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REFUSE = gql`mutation RefuseKeyApproval($input: RefuseKeyApprovalInput!) {
  refuseKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const WITHDRAW = gql`mutation WithdrawKeyApproval($input: WithdrawKeyApprovalInput!) {
  withdrawKeyApproval(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const SIZE = 50;

const TONES = { PENDING: 'calm', APPROVED: 'good', REFUSED: 'bad', EXPIRED: 'warn' };

/** What is done on the page of its module, or of the connection whose key it is. */
const DONE_THERE = { DESTROY: 'Go to the key to destroy it', EXPORT: 'Go to the key to export it', IMPORT: 'Go to the module to import it' };

const ROTATE_ROOT = gql`mutation RotateRootKey($input: RotateRootKeyInput!) {
  rotateRootKey(input: $input) { keyApproval { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** Who sees requests. To others there are none, so the page says why. */
export const READERS = ['KEY_MANAGER', 'KEY_OPERATOR', 'KEY_AUDITOR', 'KEY_INTEGRATOR'];

/** The requests of a module that are not at their end. */
export function openApprovals({ module, update }) {
  const all = resource(OPEN, { module }, update);
  return { refresh: all.refresh, items: () => all.data?.keyApprovals.edges.map(({ node }) => node) ?? [] };
}

/** The page of what it is about: of the connection whose key it is, as far as whoever looks sees it, or of the module. */
const pageOf = (one) => (one.key?.connection ? `/connections/${one.key.connection.id}` : `/keys/modules/${one.module}`);

/** Whether it is the key of a connection that whoever looks does not see. */
const isHidden = ({ key }) => Boolean(key?.module.startsWith('links/') && !key.connection);

/** A connection by the name of the other side. */
const peerOf = ({ peer }) => peer.name ?? host(peer.origin);

/** The key that it is about, as the page shows it on which it is. */
function keyWords({ key }) {
  if (!key.module.startsWith('links/')) return `version ${key.version} of ${key.module}, ${key.stateLabel.toLowerCase()}`;
  return `the key of ${key.connection ? `the connection with ${peerOf(key.connection)}` : 'a connection'}, made ${dateTime(key.createdAt)}, ${key.stateLabel.toLowerCase()}`;
}

/** What somebody asks for, in words. */
const about = (one) => `${one.operationLabel}: ${one.key ? keyWords(one) : [one.module && `module ${one.module}`, one.object].filter(Boolean).join(', ') || 'the key service as a whole'}`;

/** The requests of `narrowed()`, which are states, a module, or both; `answered` is called when one was answered. */
export function keyApprovals({ narrowed, none, update, answered = () => {} }) {
  const place = paging(SIZE, { refresh: () => all.refresh(), heading: 'approvals', label: 'Pages of the approvals' });
  const asked = () => ({ ...place.window(), ...narrowed() });
  const all = resource(APPROVALS, asked, changed);
  /** The state of each request as it was seen last, and what was asked for then. */
  let seen = { question: null, states: new Map() };
  const act = command(update);

  /** Says what others asked for and answered while somebody looks. */
  function changed() {
    const question = JSON.stringify(asked());
    if (all.data) {
      const other = items().filter((one) => seen.question === question && seen.states.get(one.id) !== one.state);
      for (const one of other) announce(`${one.operationLabel}: ${one.stateLabel}.`);
      seen = { question, states: new Map(items().map((one) => [one.id, one.state])) };
    }
    update();
  }

  async function answer(operation, input, words) {
    if (await act.run(() => mutate(operation, input))) toast(words);
    await Promise.all([all.refresh(), answered()]);
  }

  async function give(one) {
    const sure = await ask({ title: 'Approve this?', body: html`<p><strong>${about(one)}.</strong></p><p>Why: ${one.reason}</p><p>${one.askedBy.name ?? 'Somebody'} asks. Once approved, they can do it from ${on(one.usableFrom)} on.</p>`, confirm: 'Approve', cancel: 'Not now' });
    if (sure) await answer(GIVE, { approvalId: one.id }, `${one.operationLabel}: approved.`);
  }

  async function refuse(one) {
    const said = await askFor({ title: 'Refuse this?', body: `${about(one)}. Why: ${one.reason}`, confirm: 'Refuse', cancel: 'Not now', fields: [{ name: 'reason', label: 'Why', required: 'Say why, for whoever asked.', maxlength: 500 }] });
    if (said) await answer(REFUSE, { approvalId: one.id, reason: said.reason.trim() }, `${one.operationLabel}: refused.`);
  }

  async function rotateRoot(one) {
    const sure = await ask({ title: 'Rotate the root key?', body: html`<p>Another root key takes the place of the one in use, while everything goes on. Copies of the old one open older backups only: copy the new one to where you keep such things.</p>`, confirm: 'Rotate the root key' });
    if (sure) await answer(ROTATE_ROOT, { approvalId: one.id }, 'The root key was rotated.');
  }

  /** What was approved is done where it is: the root key here, a key with the others of its module or connection. */
  function use(one) {
    if (!one.viewerCanUse) return nothing;
    if (one.operation === 'ROTATE_ROOT') return button('Rotate the root key', () => rotateRoot(one), { busy: act.busy });
    return DONE_THERE[one.operation] && !isHidden(one) && pageOf(one) !== location.pathname ? html`<a class="button" href=${pageOf(one)}>${DONE_THERE[one.operation]}</a>` : nothing;
  }

  /** Where whoever asked does it, for what no page does. */
  function elsewhere(one) {
    if (one.state !== 'APPROVED') return nothing;
    if (one.operation === 'OPEN_COMPROMISED') return html`<p>Whoever asked opens what was sealed with the mutation <code>openData</code>, or on the host with <code>linkspan key open ${one.module} --reason … --approval ${one.id}</code>.</p>`;
    return one.operation === 'DESTROY' && isHidden(one) ? html`<p>Whoever asked destroys it on the page of its connection, or on the host with <code>linkspan key destroy ${one.key.module} ${one.key.version} --approval ${one.id}</code>.</p>` : nothing;
  }

  /** What it is about, and as it was asked for. */
  function object(one) {
    if (!one.object) return nothing;
    const known = one.key ? keyWords(one) : '';
    const words = known.slice(0, 1).toUpperCase() + known.slice(1);
    return html`${words ? html`<p>${pageOf(one) === location.pathname ? words : html`<a href=${pageOf(one)}>${words}</a>`}</p>` : nothing}<details class="more"><summary>Key or object</summary><code>${one.object}</code></details>`;
  }

  function row(one) {
    const may = (name) => mayWith(one, name);
    return html`<li class="issue calm"><div class="issue-head"><h3>${one.operationLabel}</h3>${badge(one.state, one.stateLabel, TONES[one.state] ?? 'quiet')}${one.module ? html`<span class="small">module <a href="/keys/modules/${one.module}">${one.module}</a></span>` : nothing}</div>
      ${object(one)}
      <p>${one.reason}</p>
      ${elsewhere(one)}
      ${one.operation === 'ROTATE_ROOT' && one.state === 'USED' ? html`<p><strong>Keep a copy of the new root key</strong> apart from the backups: those made from now on do not open without it.</p>` : nothing}
      <p class="small">Asked by ${one.askedBy.name ?? 'somebody who is gone'}, ${when(one.askedAt)}. ${one.answeredBy ? html`Answered by ${one.answeredBy.name ?? 'somebody who is gone'}, ${when(one.answeredAt)}.` : nothing} ${one.answer ? html`Because: ${one.answer}` : nothing}
        ${one.endedAt ? nothing : html`Can be done from ${on(one.usableFrom)}; expires ${on(one.expiresAt)}.`}</p>
      <div class="buttons">${use(one)}${may('giveKeyApproval') ? button('Approve', () => give(one), { busy: act.busy }) : nothing}
        ${may('refuseKeyApproval') ? button('Refuse', () => refuse(one), { kind: 'secondary', busy: act.busy }) : nothing}
        ${may('withdrawKeyApproval') ? button('Withdraw', () => answer(WITHDRAW, { approvalId: one.id }, `${one.operationLabel}: withdrawn.`), { kind: 'secondary', busy: act.busy }) : nothing}</div></li>`;
  }

  const list = (data) => (data.keyApprovals.edges.length
    ? html`<ul class="issues">${repeat(data.keyApprovals.edges, ({ node }) => node.id, ({ node }) => row(node))}</ul>${place.view(data.keyApprovals.pageInfo)}`
    : none());

  /** What was loaded, the newest first. */
  const items = () => all.data?.keyApprovals.edges.map(({ node }) => node) ?? [];

  return {
    refresh: all.refresh,
    /** Loads from the start what is narrowed down otherwise now. */
    narrow() {
      place.start();
      return all.refresh();
    },
    view: () => html`${outcome(act)}${all.view(list)}`,
  };
}

/** Said to those who see no requests. */
export const forKeyRoles = () => notice('calm', 'Approvals are for key roles.', html`<p>This needs the role key manager, key operator, key auditor or key integrator. A key administrator grants them; being administrator grants none.</p>`);

/** Said where nothing is narrowed down and nobody asked. */
export const noRequest = () => empty('Nobody asked for an approval yet.', 'Requests appear here, for a second person to answer.');
