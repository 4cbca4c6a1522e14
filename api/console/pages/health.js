// The health dashboard: what is open, how severe it is, and what to do about each.
import { gql } from '../lib/api.js';
import { issueList } from '../lib/checks.js';
import { ISSUE } from '../lib/fragments.js';
import { resource } from '../lib/resource.js';
import { OVERVIEW, overview } from '../lib/score.js';
import { badge, button, directionBadge, empty, head, notice, optionsOf, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { count, host } from '../lib/words.js';
import { pathOf } from './connections.js';

const HEALTH = gql`query Health($filter: IssuesFilter) {
  issues(first: 15, filter: $filter, orderBy: SEVERITY) {
    pageInfo { hasNextPage }
    edges { node { ...IssueParts subject {
      ... on Registration { id number company { name } }
      ... on ConnectionRecord { id role state peer { name origin } }
    } } }
  }
}
${ISSUE}`;

const MAP = gql`query HealthMap {
  connections(first: 50, filter: { states: [ONBOARDED, SUSPENDED] }) {
    pageInfo { hasNextPage }
    edges { node { id role state stateLabel peer { name origin version } outbound { status statusLabel roundTripMs } inbound { status statusLabel } traffic { sentLastDay receivedLastDay lastReceivedAt } } }
  }
}`;

// A question of its own: contacts of other companies may not ask it, and see the rest all the same.
const KEY_HEALTH = gql`query KeyHealthSummary { keyHealth { status statusLabel reason measuredAt } }`;

const nodes = (connection) => connection.edges.map(({ node }) => node);

/** Which of the open issues are shown. */
const VIEWS = [['', 'All'], ['blocking', 'Those that stop something'], ['mine', 'Those that I look after'], ['followed', 'Those that I follow'], ['muted', 'Those that are muted']];

export default function health({ update, query, viewer }) {
  const subject = query.get('registration') ?? query.get('connection');
  let wanted = query.get('show') ?? '';
  const all = resource(HEALTH, () => ({ filter: { state: 'OPEN', ...(subject ? { subjectId: subject } : {}), ...narrowed() } }), update);

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

  function cards(data) {
    const issues = nodes(data.issues);
    const blocking = issues.filter((issue) => issue.blocking).length;
    const found = connections.data ? nodes(connections.data.connections) : [];
    const up = found.filter((one) => one.outbound.status === 'UP' && one.inbound.status === 'UP').length;
    const more = data.issues.pageInfo.hasNextPage ? '+' : '';
    return html`<div class="cards">
      ${card('Open issues', `${issues.length}${more}`, blocking ? `${blocking} ${blocking === 1 ? 'stops' : 'stop'} something` : issues.length ? 'nothing is stopped' : 'all clear', blocking ? 'bad' : issues.length ? 'warn' : 'good', '#issues')}
      ${connections.data ? card('Connections up both ways', `${up} of ${found.length}${connections.data?.connections.pageInfo.hasNextPage ? '+' : ''}`, found.length === 0 ? 'none yet' : up === found.length ? 'all up' : 'look below', found.length === 0 ? 'quiet' : up === found.length ? 'good' : 'bad', '#connections') : nothing}
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
      ${data.issues.pageInfo.hasNextPage ? notice('calm', 'There are more.', html`<p>The most severe are shown; the others follow as these are resolved.</p>`) : nothing}
      ${subject ? html`<p><a href="/health">All issues</a></p>` : nothing}`, { aside: viewer.company ? nothing : choice });
  }

  function map(data) {
    const found = nodes(data.connections);
    return section('connections', 'Connections', found.length
      ? html`<ul class="map">${found.map((one) => html`<li><a class="map-item" href="/connections/${one.id}"><span>${one.peer.name ?? host(one.peer.origin)}</span>
          <span class="ways"><span class="small">Out</span>${directionBadge(one.outbound)}<span class="small">In</span>${directionBadge(one.inbound)}</span>
          <span class="small">${one.outbound.roundTripMs === null ? 'No answer yet' : `${one.outbound.roundTripMs} ms`} · ${one.traffic.sentLastDay} sent, ${one.traffic.receivedLastDay} received in a day · heard ${when(one.traffic.lastReceivedAt, 'never')}</span></a></li>`)}</ul>`
      : empty('No connection is onboarded yet.', 'Both directions of each are watched from then on, for as long as it lives.'));
  }

  return {
    title: () => 'Health',
    ready: refresh(),
    refresh,
    subjects: ['ISSUE', 'SCAN', 'CONNECTION'],
    changed: refresh,
    view: () => html`${head('Health', { lead: 'What is wrong now, and what to do about it. It changes as you look.', actions: viewer.company ? nothing : html`<a class="button secondary" href="/errors">Error log</a><a class="button secondary" href="/checks">Checks and schedules</a>` })}
      ${all.view((data) => html`${cards(data)}${subject ? nothing : score.part('The score', overview)}${issues(data)}${subject ? nothing : connections.view(map)}`)}`,
  };
}
