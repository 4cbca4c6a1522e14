// Where to begin: what waits for somebody, how the connections are, and the first steps of a fresh instance.
import { gql } from '../lib/api.js';
import { resource } from '../lib/resource.js';
import { badge, connectionBadge, directionBadge, empty, head, notice, section, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { finding, host } from '../lib/words.js';
import { pathOf } from './connections.js';

const START = gql`query Start {
  providerRecord { name }
  connections(first: 8) { edges { node {
    id role roleLabel state stateLabel updatedAt company { name } peer { name origin }
    outbound { status statusLabel } inbound { status statusLabel }
  } } }
  registrations(first: 8) { edges { node { id number state stateLabel url updatedAt company { name } } } }
  issues(first: 8, filter: { state: OPEN }) { edges { node { id message severity severityLabel blocking subject {
    ... on Registration { id number } ... on ConnectionRecord { id peer { name origin } }
  } } } }
}`;

const nodes = (connection) => connection.edges.map(({ node }) => node);

export default function start({ update, viewer, instance }) {
  const all = resource(START, {}, update);

  const connections = (items) => section('connections', 'Connections', items.length
    ? html`<ul class="log">${items.map((one) => html`<li><a href=${pathOf(one)}>${one.peer.name ?? host(one.peer.origin)}</a> ${connectionBadge(one)}
        ${one.state === 'ONBOARDED' ? html`<span class="pair"><span class="small">Outbound</span> ${directionBadge(one.outbound)}</span> <span class="pair"><span class="small">Inbound</span> ${directionBadge(one.inbound)}</span>` : html`<span class="small">${when(one.updatedAt)}</span>`}</li>`)}</ul>
        <p><a href="/connections">All connections</a></p>`
    : empty('No connection yet.', viewer.canAdminister ? 'A provider invites you with a registration link; opening it uses nothing up.' : 'A provider invites with a registration link, which an administrator of this instance opens.', viewer.canAdminister ? html`<a class="button secondary" href="/connect">Open a registration link</a>` : nothing));

  const registrations = (items, record) => section('registrations', 'Registrations', items.length
    ? html`<ul class="log">${items.map((one) => html`<li><a href="/registrations/${one.id}">${one.number}</a> ${one.company?.name ?? ''} ${badge(one.state, one.stateLabel)} <span class="small">${when(one.updatedAt)}</span></li>`)}</ul><p><a href="/provider">Provider centre</a></p>`
    : empty(record ? 'Nobody is registered yet.' : 'This instance offers nothing yet.', record ? 'Register a consumer: a company, a person there, and the URL of their instance.' : 'To register consumers, first say what this instance offers: its provider record.', !viewer.canOperate ? nothing : html`<a class="button secondary" href=${record ? '/registrations/new' : '/provider'}>${record ? 'Register a consumer' : 'Set up the provider record'}</a>`));

  const fresh = (data) => !viewer.company && viewer.canOperate && !data.connections.edges.length && !data.registrations.edges.length;

  const issues = (items) => (items.length ? section('issues', 'What waits for somebody', html`<ul class="log">${items.map((one) => html`<li>${badge(one.severity, one.severityLabel, one.blocking ? 'bad' : 'warn')} <strong>${finding(one.message)[0]}</strong> <span>${finding(one.message)[1]}</span>
      ${one.subject?.number ? html`<a href="/registrations/${one.subject.id}">${one.subject.number}</a>` : one.subject?.id ? html`<a href="/connections/${one.subject.id}">${one.subject.peer.name ?? host(one.subject.peer.origin)}</a>` : nothing}</li>`)}</ul><p><a href="/health">Health</a></p>`) : nothing);

  return {
    title: () => 'Start',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CONNECTION', 'REGISTRATION', 'ISSUE', 'ONBOARDING', 'COMPANY', 'SETUP'],
    changed: all.refresh,
    view: () => html`${head(instance.name, { lead: html`Signed in as ${viewer.name}.` })}${all.view((data) => html`
      ${fresh(data) ? notice('calm', 'New here?', html`<p>The <a href="/setup">guided set-up</a> leads from one step to the next, as a provider or as a consumer.</p>`) : nothing}
      ${issues(nodes(data.issues))}
      <div class="cards wide-cards">${connections(nodes(data.connections))}${registrations(nodes(data.registrations), data.providerRecord)}</div>`)}`,
  };
}
