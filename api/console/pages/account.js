// Your own account: who you are here, which letters you get, what you follow, and what programs sign in with.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
import { announce, copy, toast } from '../lib/say.js';
import { badge, button, empty, facts, head, input, outcome, section, select, submit } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { role } from '../lib/words.js';
import { about } from './scan.js';

const ACCOUNT = gql`query Account {
  viewer { id name email roles issueMail company { id name } }
}`;

const MINE = gql`query MyIssues($followed: IssuesFilter, $mine: IssuesFilter) {
  followed: issues(first: 25, filter: $followed, orderBy: SEVERITY) { edges { node { ...MyIssue } } }
  mine: issues(first: 25, filter: $mine, orderBy: SEVERITY) { edges { node { ...MyIssue } } }
}
${gql`fragment MyIssue on Issue {
  id checkLabel message severity severityLabel blocking
  subject { ... on Registration { id number } ... on ConnectionRecord { id peer { name origin } } ... on Instance { id name } }
}`}`;

const MAIL = gql`mutation SetIssueMail($input: SetIssueMailInput!) {
  setIssueMail(input: $input) { issueMail refusal { ...RefusalParts } }
}
${REFUSAL}`;
const UNFOLLOW = gql`mutation StopFollowing($input: UnfollowIssueInput!) {
  unfollowIssue(input: $input) { issue { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const TOKEN = gql`mutation CreateAccessToken($input: CreateAccessTokenInput!) {
  createAccessToken(input: $input) { accessToken { id name expiresAt } secret refusal { ...RefusalParts } }
}
${REFUSAL}`;

const MODES = [
  ['IMMEDIATE', 'At once', 'A letter as soon as something stops work, or is high or critical.'],
  ['DIGEST', 'Once a day', 'One letter a day, about everything that is open.'],
  ['NONE', 'Never', 'No letters. What is open is still under Health.'],
];
const DAYS = [['1', '1 day'], ['7', '7 days'], ['30', '30 days'], ['90', '90 days'], ['365', '365 days']];

export default function account({ update, viewer, instance }) {
  const me = resource(ACCOUNT, {}, update);
  const issues = resource(MINE, { followed: { state: 'OPEN', followed: true }, mine: { state: 'OPEN', assigneeId: viewer.id } }, update);
  const mail = command(update);
  const follow = command(update);
  const token = command(update);
  let draft = { name: '', days: '30' };
  let problem = null;
  let secret = null;
  const refresh = () => Promise.all([me.refresh(), issues.refresh()]);

  async function choose(mode) {
    if (await mail.run(() => mutate(MAIL, { mode }))) toast('Your choice was saved.');
    await me.refresh();
  }

  async function stop(issue) {
    if (await follow.run(() => mutate(UNFOLLOW, { issueId: issue.id }))) toast('You no longer follow it.');
    await issues.refresh();
  }

  async function create(event) {
    event.preventDefault();
    problem = draft.name.trim() ? null : 'Give it a name, so that you know it again.';
    update();
    if (problem) {
      document.getElementById('token-name').focus();
      return;
    }
    const payload = await token.run(() => mutate(TOKEN, { name: draft.name.trim(), days: Number(draft.days) }));
    if (!payload) return;
    secret = payload.secret;
    draft = { name: '', days: '30' };
    announce('The token was made. It is shown once.');
    update();
    requestAnimationFrame(() => document.getElementById('token-secret')?.focus());
  }

  const letters = (now) => section('letters', 'Letters about issues', html`
    <fieldset class="choices-list"><legend>When letters about issues reach ${now.email}</legend>
      ${MODES.map(([mode, label, words]) => html`<div class="tick"><input type="radio" name="mail" id="mail-${mode}" .checked=${now.issueMail === mode} ?disabled=${mail.busy} aria-describedby="mail-${mode}-help" @change=${() => choose(mode)}>
        <div><label for="mail-${mode}">${label}</label><p class="small" id="mail-${mode}-help">${words}</p></div></div>`)}</fieldset>
    ${instance.mailOn ? nothing : html`<p class="small">Letters are off on this instance. Your choice holds as soon as its operator switches them on.</p>`}
    ${outcome(mail)}`);

  const line = (one, controls) => {
    const [name, path] = about(one.subject);
    return html`<li>${badge(one.severity, one.severityLabel, one.blocking ? 'bad' : 'warn')} <a href="/issues/${one.id}">${one.checkLabel}</a> <span>${one.message}</span> <a class="small" href=${path}>${name}</a> ${controls}</li>`;
  };
  const nodes = (list) => list.edges.map(({ node }) => node);

  const followed = (data) => section('followed', 'What you follow', html`
    ${nodes(data.followed).length
      ? html`<ul class="log">${repeat(nodes(data.followed), (one) => one.id, (one) => line(one, button(html`Stop following<span class="unseen"> ${one.checkLabel}</span>`, () => stop(one), { kind: 'text' })))}</ul>`
      : empty('You follow no open issue.', html`Choose <em>Follow</em> beside an issue under <a href="/health">Health</a>: then you hear what becomes of it.`)}
    ${outcome(follow)}
    ${nodes(data.mine).length ? html`<h3>You look after</h3><ul class="log">${repeat(nodes(data.mine), (one) => one.id, (one) => line(one, nothing))}</ul>` : nothing}`);

  const tokens = () => section('tokens', 'Access tokens', html`
    <p>A program that holds an access token does what you may do, until the token ends. Send it as <code>Authorization: Bearer …</code>.</p>
    ${secret ? html`<div class="stack"><p><strong>Shown once.</strong> Copy it now; nobody can show it again.</p><code class="secret" id="token-secret" tabindex="-1">${secret}</code>
      <div class="buttons">${button('Copy the token', () => copy(secret, 'Token'))}${button('I have it', () => { secret = null; update(); }, { kind: 'secondary' })}</div></div>` : nothing}
    <form novalidate @submit=${create}>
      <div class="fields">${input({ id: 'token-name', label: 'What it is for', value: draft.name, maxlength: 64, required: true, error: problem ?? (token.refusal?.field === 'name' ? token.refusal.message : null), change: (text) => { draft.name = text; if (problem) { problem = null; update(); } } })}
      ${select({ id: 'token-days', label: 'Good for', value: draft.days, choices: DAYS, change: (days) => { draft.days = days; } })}</div>
      ${token.refusal?.field === 'name' ? nothing : outcome(token)}
      <div class="buttons">${submit('Make a token', { busy: token.busy, kind: 'secondary' })}</div></form>`);

  return {
    title: () => 'Your account',
    ready: refresh(),
    refresh,
    subjects: ['ACCOUNT', 'ISSUE'],
    changed: refresh,
    view: () => html`${head('Your account', { lead: html`On ${instance.name}.` })}
      ${me.view(({ viewer: now }) => html`<div class="columns"><div class="column-main">
        ${now.issueMail ? letters(now) : nothing}
        ${issues.view(followed)}
        ${tokens()}
      </div><div class="column-side">${section('me', 'You', facts([
        ['Name', now.name], ['Mail address', now.email], now.company && ['Company', now.company.name], ['Roles', now.roles.map(role).join(', ') || 'none'],
      ]))}</div></div>`)}`,
  };
}
