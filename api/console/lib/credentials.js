// What you are signed in with: browsers, access tokens of programs, and the password.
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { paging } from './list.js';
import { HELP, PASSWORD, passwordProblem } from './password.js';
import { command, resource } from './resource.js';
import { announce, ask, copy, toast } from './say.js';
import { badge, button, input, notice, on, outcome, section, select, submit, when } from './ui.js';
import { html, nothing, repeat } from './view.js';

const SESSIONS = gql`query Sessions($first: Int, $after: String, $last: Int, $before: String) {
  sessions(first: $first, after: $after, last: $last, before: $before) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { id createdAt seenAt expiresAt current } } }
}`;
const TOKENS = gql`query AccessTokens($first: Int, $after: String, $last: Int, $before: String) {
  accessTokens(first: $first, after: $after, last: $last, before: $before) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { id name createdAt expiresAt } } }
}`;
const SIZE = 50;

const TOKEN = gql`mutation CreateAccessToken($input: CreateAccessTokenInput!) {
  createAccessToken(input: $input) { accessToken { id name expiresAt } secret refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REVOKE_TOKEN = gql`mutation RevokeAccessToken($input: RevokeAccessTokenInput!) {
  revokeAccessToken(input: $input) { revokedId refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REVOKE_SESSION = gql`mutation RevokeSession($input: RevokeSessionInput!) {
  revokeSession(input: $input) { revokedId refusal { ...RefusalParts } }
}
${REFUSAL}`;

const DAYS = [['1', '1 day'], ['7', '7 days'], ['30', '30 days'], ['90', '90 days'], ['365', '365 days']];

export function credentials(update) {
  const placeOfSessions = paging(SIZE, { refresh: () => browsers.refresh(), heading: 'sessions', label: 'Pages of the browsers' });
  const browsers = resource(SESSIONS, placeOfSessions.window, update);
  const placeOfTokens = paging(SIZE, { refresh: () => programs.refresh(), heading: 'tokens', label: 'Pages of the tokens' });
  const programs = resource(TOKENS, placeOfTokens.window, update);
  const refresh = () => Promise.all([browsers.refresh(), programs.refresh()]);
  const token = command(update);
  const revoke = command(update);
  const password = command(update);
  const empties = { name: '', days: '30', password: '', again: '' };
  let draft = { ...empties };
  let problems = {};
  let secret = null;

  const set = (name, value) => {
    draft[name] = value;
    if (problems[name]) {
      delete problems[name];
      update();
    }
  };

  function complain(found, ids) {
    problems = found;
    update();
    const first = Object.keys(ids).find((name) => found[name]);
    if (first) document.getElementById(ids[first]).focus();
    return Boolean(first);
  }

  async function create(event) {
    event.preventDefault();
    if (complain({ name: draft.name.trim() ? null : 'Give it a name, so that you know it again.' }, { name: 'token-name' })) return;
    const payload = await token.run(() => mutate(TOKEN, { name: draft.name.trim(), days: Number(draft.days) }));
    if (payload) {
      secret = payload.secret;
      Object.assign(draft, { name: '', days: '30' });
      announce('The token was made. It is shown once.');
    }
    await refresh();
    if (payload) requestAnimationFrame(() => document.getElementById('token-secret')?.focus());
  }

  async function end(kind, one) {
    const sure = kind === 'token'
      ? await ask({ title: `End the token ${one.name}?`, body: html`<p>The program that holds it can do nothing here any more.</p>`, confirm: 'End it', danger: true })
      : await ask({ title: 'Sign that browser out?', body: html`<p>Whoever sits there has to sign in again. What has begun continues.</p>`, confirm: 'Sign it out' });
    if (!sure) return;
    if (await revoke.run(() => mutate(kind === 'token' ? REVOKE_TOKEN : REVOKE_SESSION, { id: one.id }))) toast(kind === 'token' ? 'The token works no more.' : 'Signed out there.');
    await refresh();
  }

  async function change(event) {
    event.preventDefault();
    const found = {
      password: passwordProblem(draft.password),
      again: draft.password === draft.again ? null : 'The two are not the same.',
    };
    if (complain(found, { password: 'new-password', again: 'new-password-again' })) return;
    const sure = await ask({ title: 'Change your password?', body: html`<p>All browsers in which you are signed in, this one too, and all access tokens end. You sign in again with the new password.</p>`, confirm: 'Change it' });
    if (!sure) return;
    if (await password.run(() => mutate(PASSWORD, { password: draft.password }))) location.assign(`/sign-in?return_to=${encodeURIComponent('/account')}`);
  }

  const sessions = (data) => section('sessions', 'Where you are signed in', html`
    <ul class="log">${repeat(data.sessions.edges, ({ node }) => node.id, ({ node: one }) => html`<li>${one.current ? badge('ACTIVE', 'This browser') : html`<strong>Another browser</strong>`}
      <span class="small">signed in ${on(one.createdAt)}, last used ${when(one.seenAt)}, ends ${on(one.expiresAt)}</span>
      ${one.current ? nothing : button(html`Sign it out<span class="unseen"> (signed in ${on(one.createdAt)})</span>`, () => end('session', one), { kind: 'text' })}</li>`)}</ul>${placeOfSessions.view(data.sessions.pageInfo)}
    ${outcome(revoke)}`);

  const tokens = (data) => section('tokens', 'Access tokens', html`
    <p>A program that holds an access token does what you may do, until the token ends. It is sent as <code>Authorization: Bearer …</code></p>
    ${secret ? html`<div class="stack"><p><strong>Shown once.</strong> Copy it now; nobody can show it again.</p><code class="secret" id="token-secret" tabindex="-1">${secret}</code>
      <div class="buttons">${button('Copy the token', () => copy(secret, 'Token'))}${button('I have it', () => { secret = null; update(); }, { kind: 'secondary' })}</div></div>` : nothing}
    ${data.accessTokens.edges.length ? html`<ul class="log">${repeat(data.accessTokens.edges, ({ node }) => node.id, ({ node: one }) => html`<li><strong>${one.name}</strong> <span class="small">made ${on(one.createdAt)}, ends ${on(one.expiresAt)}</span>
      ${button(html`End it<span class="unseen">: ${one.name}</span>`, () => end('token', one), { kind: 'text' })}</li>`)}</ul>` : nothing}${placeOfTokens.view(data.accessTokens.pageInfo)}
    <form novalidate @submit=${create}>
      <div class="fields">${input({ id: 'token-name', label: 'What it is for', value: draft.name, maxlength: 64, required: true, error: problems.name ?? (token.refusal?.field === 'name' ? token.refusal.message : null), change: (text) => set('name', text) })}
      ${select({ id: 'token-days', label: 'Good for', value: draft.days, choices: DAYS, change: (days) => { draft.days = days; } })}</div>
      ${token.refusal?.field === 'name' ? nothing : outcome(token)}
      <div class="buttons">${submit('Make a token', { busy: token.busy, kind: 'secondary' })}</div></form>`);

  const secretWord = () => section('password', 'Password', html`
    <form class="stack" novalidate @submit=${change}>
      ${notice('calm', 'A new password ends everything that was signed in with the old one.')}
      <div class="fields">${input({ id: 'new-password', type: 'password', label: 'New password', value: draft.password, maxlength: 256, autocomplete: 'new-password', help: HELP, error: problems.password ?? (password.refusal?.field === 'password' ? password.refusal.message : null), change: (text) => set('password', text) })}
      ${input({ id: 'new-password-again', type: 'password', label: 'The same again', value: draft.again, maxlength: 256, autocomplete: 'new-password', error: problems.again, change: (text) => set('again', text) })}</div>
      ${password.refusal?.field === 'password' ? nothing : outcome(password)}
      <div class="buttons">${submit('Change the password', { busy: password.busy, kind: 'secondary' })}</div></form>`);

  return { refresh, view: () => html`${browsers.part('Where you are signed in', sessions)}${programs.part('The list of access tokens', tokens)}${browsers.data ? secretWord() : nothing}` };
}
