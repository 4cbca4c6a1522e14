// The health dashboard: what is open, how severe it is, and what to do about each.
import { gql } from '../lib/api.js';
import { issueList } from '../lib/checks.js';
import { ISSUE } from '../lib/fragments.js';
import { paging } from '../lib/list.js';
import { resource } from '../lib/resource.js';
import { OVERVIEW, overview } from '../lib/score.js';
import { badge, button, directionBadge, empty, head, optionsOf, section, when } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { count, figure, host } from '../lib/words.js';
import { pathOf } from './connections.js';

const ISSUES = 15;

const HEALTH = gql`query Health($filter: IssuesFilter, $first: Int, $after: String, $last: Int, $before: String) {
  issues(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: SEVERITY) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node { ...IssueParts subject {
      ... on Registration { id number company { name } }
      ... on ConnectionRecord { id role state peer { name origin } }
    } } }
  }
}
${ISSUE}`;

const TILE = gql`fragment TileParts on ConnectionRecord {
  id role state stateLabel peer { name origin } outbound { status statusLabel roundTripMs } inbound { status statusLabel } traffic { sentLastDay receivedLastDay lastReceivedAt }
}`;

/** What needs a look comes first, however long ago it was made. */
const MAP = gql`query HealthMap {
  healthOverview { attention(first: 24) { ...TileParts } }
  connections(first: 50, filter: { states: [ONBOARDED], needsAttention: false }) {
    pageInfo { hasNextPage }
    edges { node { ...TileParts } }
  }
}
${TILE}`;
const TROUBLED = 24;

// A question of its own: contacts of other companies may not ask it, and see the rest all the same.
const KEY_HEALTH = gql`query KeyHealthSummary { keyHealth { status statusLabel reason measuredAt } }`;

const nodes = (connection) => connection.edges.map(({ node }) => node);

const SEVERE = new Set(['CRITICAL', 'HIGH']);
const STANDING = new Set(['ONBOARDED', 'SUSPENDED']);

/** Which of the open issues are shown. */
const VIEWS = [['', 'All'], ['blocking', 'Those that stop something'], ['mine', 'Those that I look after'], ['followed', 'Those that I follow'], ['muted', 'Those that are muted']];

export default function health({ update, query, viewer }) {
  const subject = query.get('registration') ?? query.get('connection');
  let wanted = query.get('show') ?? '';
  const place = paging(ISSUES, { refresh: () => all.refresh(), heading: 'issues', label: 'Pages of the issues' });
  const all = resource(HEALTH, () => ({ ...place.window(), filter: { state: 'OPEN', ...(subject ? { subjectId: subject } : {}), ...narrowed() } }), update);

  function narrowed() {
    switch (wanted) {
      case 'blocking': return { blocking: true };
      case 'mine': return { assigneeId: viewer.id };
      case 'followed': return { followed: true };
      case 'muted': return { muted: true };
      default: return {};
    }
  }

  function show(which) {
    wanted = which;
    place.start();
    const next = new URLSearchParams(location.search);
    next.delete('show');
    if (which) next.set('show', which);
    history.replaceState(null, '', next.size ? `?${next}` : location.pathname);
    return all.refresh();
  }

  const keys = resource(KEY_HEALTH, {}, update);
  const connections = resource(MAP, {}, update);
  const score = resource(OVERVIEW, {}, update);
  const refresh = () => Promise.all([all.refresh(), connections.refresh(), score.refresh(), viewer.company ? null : keys.refresh()]);
  const lists = new Map();
  const listOf = (key) => {
    if (!lists.has(key)) lists.set(key, issueList(update, () => all.refresh(), viewer));
    return lists.get(key);
  };

  function groups(issues) {
    const found = new Map();
    for (const issue of issues) {
      const key = issue.subject?.id ?? '';
      if (!found.has(key)) found.set(key, { subject: issue.subject, issues: [] });
      found.get(key).issues.push(issue);
    }
    return [...found.values()];
  }

  const name = (one) => (one?.number ? `${one.number}${one.company ? `, ${one.company.name}` : ''}` : one?.peer ? one.peer.name ?? host(one.peer.origin) : 'This instance');
  const path = (one) => (one?.number ? `/registrations/${one.id}` : one?.id ? pathOf(one) : '/keys');

  const card = (title, number, words, kind, href) => html`<a class="card-link" href=${href}><span class="small">${title}</span><span class="figure-number">${number}</span><span>${badge('', words, kind)}</span></a>`;

  function keyService() {
    return keys.part('The state of the key service', ({ keyHealth: found }) => card('Key service', found.statusLabel, found.reason ?? 'does its work', { OPERATIONAL: 'good', DEGRADED: 'warn', MALFUNCTION: 'bad' }[found.status] ?? 'quiet', '/keys'));
  }

  function cards({ healthOverview: now }) {
    const sum = (list) => list.reduce((total, one) => total + one.count, 0);
    const open = sum(now.issues);
    const severe = sum(now.issues.filter((one) => SEVERE.has(one.severity)));
    const standing = sum(now.states.filter((one) => STANDING.has(one.state)));
    const up = now.upBothWays;
    return html`<div class="cards">
      ${card('Open issues', figure(open), severe ? `${figure(severe)} critical or high` : open ? 'none critical or high' : 'none open', severe ? 'bad' : open ? 'warn' : 'good', '#issues')}
      ${card('Connections up both ways', `${figure(up)} of ${figure(standing)}`, standing === 0 ? 'none yet' : up === standing ? 'all up' : 'look below', standing === 0 ? 'quiet' : up === standing ? 'good' : 'bad', '#connections')}
      ${keyService()}
    </div>`;
  }

  function issues(data) {
    const found = nodes(data.issues);
    const choice = html`<div class="field choice"><label for="show">Show</label><select id="show" @change=${(event) => show(event.target.value)}>${optionsOf(VIEWS, wanted)}</select></div>`;
    return section('issues', 'Open issues', html`
      ${found.length
        ? groups(found).map((group) => html`<div class="stack"><h3><a href=${path(group.subject)}>${name(group.subject)}</a> <span class="small">${count(group.issues.length, 'issue')}</span></h3>${listOf(group.subject?.id ?? '')(group.issues)}</div>`)
        : wanted ? empty('None of these.', 'Nothing that is open fits what you chose to see.', button('Show all', () => show(''), { kind: 'secondary' })) : empty('No open issue.', subject ? 'Nothing stands in the way here.' : 'Whatever a check finds appears here, with what to do about it.')}
      ${place.view(data.issues.pageInfo)}
      ${subject ? html`<p><a href="/health">All issues</a></p>` : nothing}`, { aside: viewer.company ? nothing : choice });
  }

  const tile = (one) => html`<li><a class="map-item" href=${pathOf(one)}><span>${one.peer.name ?? host(one.peer.origin)}</span>
    <span class="ways">${one.outbound.status || one.inbound.status ? html`<span class="pair"><span class="small">Outbound</span>${directionBadge(one.outbound)}</span><span class="pair"><span class="small">Inbound</span>${directionBadge(one.inbound)}</span>` : badge(one.state, one.stateLabel)}</span>
    <span class="small">${one.outbound.roundTripMs === null ? 'No answer yet' : `${one.outbound.roundTripMs} ms`} · ${one.traffic.sentLastDay} sent, ${one.traffic.receivedLastDay} received in a day · heard ${when(one.traffic.lastReceivedAt, 'never')}</span></a></li>`;

  function map({ healthOverview: { attention }, connections: { edges, pageInfo } }) {
    const sound = edges.map(({ node }) => node);
    if (!attention.length && !sound.length) return section('connections', 'Connections', empty('No connection is onboarded yet.', 'Both directions of each are watched from then on, for as long as it lives.'));
    return section('connections', 'Connections', html`
      ${attention.length ? html`<div class="stack"><h3 id="attention">Need a look</h3><ul class="map" aria-labelledby="attention">${repeat(attention, ({ id }) => id, tile)}</ul>
        ${attention.length === TROUBLED ? html`<p>These changed last. <a href="/connections?look=needed">All that need a look</a></p>` : nothing}</div>` : nothing}
      ${sound.length ? html`<div class="stack"><h3 id="sound">${attention.length ? 'The others' : 'None needs a look'}</h3><ul class="map" aria-labelledby="sound">${repeat(sound, ({ id }) => id, tile)}</ul>
        ${pageInfo.hasNextPage ? html`<p>These are the newest. <a href="/connections?look=none">All the others</a></p>` : nothing}</div>` : nothing}`);
  }

  return {
    title: () => 'Health dashboard',
    ready: refresh(),
    refresh,
    subjects: ['ISSUE', 'SCAN', 'CONNECTION', 'KEY_HEALTH'],
    changed: refresh,
    view: () => html`${head('Health dashboard', { lead: 'What is wrong now, and what to do about it. It changes as you look.', actions: viewer.company ? nothing : html`<a class="button secondary" href="/errors">Error log</a><a class="button secondary" href="/checks">Checks and schedules</a>` })}
      ${subject ? nothing : score.part('The score', (data) => html`${cards(data)}${overview(data)}`)}
      ${all.view(issues)}${subject ? nothing : connections.view(map)}`,
  };
}
