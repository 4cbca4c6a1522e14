// Your own account: who you are here, which letters you get, what you follow, and what you are signed in with.
import { gql, mutate } from '../lib/api.js';
import { credentials } from '../lib/credentials.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
import { toast } from '../lib/say.js';
import { badge, button, empty, facts, head, outcome, section, select } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { finding, role, severityTone } from '../lib/words.js';
import { about } from './scan.js';

const ACCOUNT = gql`query Account {
  viewer { id name email roles issueMail company { id name } }
}`;

const MINE = gql`query MyIssues($followed: IssuesFilter, $mine: IssuesFilter) {
  followed: issues(first: 25, filter: $followed, orderBy: SEVERITY) { edges { node { ...MyIssue } } }
  mine: issues(first: 25, filter: $mine, orderBy: SEVERITY) { edges { node { ...MyIssue } } }
}
${gql`fragment MyIssue on Issue {
  id message severity severityLabel blocking
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

const MODES = [
  ['IMMEDIATE', 'At once', 'A letter as soon as something stops work, or is high or critical.'],
  ['DIGEST', 'Once a day', 'One letter a day, about everything that is open.'],
  ['NONE', 'Never', 'No letters. What is open is still under Health.'],
];

export default function account({ update, viewer, instance }) {
  const me = resource(ACCOUNT, {}, update);
  const issues = resource(MINE, { followed: { state: 'OPEN', followed: true }, mine: { state: 'OPEN', assigneeId: viewer.id } }, update);
  const mail = command(update);
  const follow = command(update);
  const signedIn = credentials(update);
  const refresh = () => Promise.all([me.refresh(), issues.refresh(), signedIn.refresh()]);

  async function choose(mode) {
    if (await mail.run(() => mutate(MAIL, { mode }))) toast('Your choice was saved.');
    await me.refresh();
  }

  async function stop(issue) {
    if (await follow.run(() => mutate(UNFOLLOW, { issueId: issue.id }))) toast('You no longer follow it.');
    await issues.refresh();
  }

  const letters = (now) => section('letters', 'Letters about issues', html`
    ${select({ id: 'mail', label: `When letters reach ${now.email}`, value: now.issueMail, choices: MODES.map(([mode, label]) => [mode, label]), help: MODES.find(([mode]) => mode === now.issueMail)[2], change: choose })}
    ${instance.mailOn ? nothing : html`<p class="small">Letters are off on this instance. Your choice holds as soon as its operator switches them on.</p>`}
    ${outcome(mail)}`);

  const line = (one, controls) => {
    const [name, path] = about(one.subject);
    return html`<li>${badge(one.severity, one.severityLabel, severityTone(one))} <a href="/issues/${one.id}">${finding(one.message)[0]}</a> <span>${finding(one.message)[1]}</span> <a class="small" href=${path}>${name}</a> ${controls}</li>`;
  };
  const nodes = (list) => list.edges.map(({ node }) => node);

  const followed = (data) => section('followed', 'What you follow', html`
    ${nodes(data.followed).length
      ? html`<ul class="log">${repeat(nodes(data.followed), (one) => one.id, (one) => line(one, button(html`Stop following<span class="unseen"> ${finding(one.message)[0]}</span>`, () => stop(one), { kind: 'text' })))}</ul>`
      : empty('You follow no open issue.', html`Choose <em>Follow</em> beside an issue under <a href="/health">Health</a>: then you hear what becomes of it.`)}
    ${outcome(follow)}
    ${nodes(data.mine).length ? html`<h3>You look after</h3><ul class="log">${repeat(nodes(data.mine), (one) => one.id, (one) => line(one, nothing))}</ul>` : nothing}`);

  return {
    title: () => 'Your account',
    ready: refresh(),
    refresh,
    subjects: ['ACCOUNT', 'ISSUE'],
    changed: refresh,
    view: () => html`${head('Your account', { lead: html`On ${instance.name}.` })}
      ${me.view(({ viewer: now }) => html`<div class="columns"><div class="column-main">
        ${now.issueMail ? letters(now) : nothing}
        ${issues.part('What you follow', followed)}
        ${signedIn.view()}
      </div><div class="column-side">${section('me', 'You', facts([
        ['Name', now.name], ['Email address', now.email], now.company && ['Company', now.company.name], ['Roles', now.roles.map(role).join(', ') || 'None'],
      ]))}</div></div>`)}`,
  };
}
