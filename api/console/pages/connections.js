// All connections: who is at the other end, how it stands, and whether both directions are up.
import { gql } from '../lib/api.js';
import { cell, list } from '../lib/list.js';
import { address, connectionBadge, directionBadge, empty, head, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { host } from '../lib/words.js';

const CONNECTIONS = gql`query Connections($first: Int, $after: String, $last: Int, $before: String, $filter: ConnectionsFilter, $orderBy: ConnectionOrder) {
  connections(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { node {
      id role roleLabel state stateLabel updatedAt onboardedAt
      company { id name } peer { name origin }
      outbound { status statusLabel } inbound { status statusLabel }
    } }
  }
}`;

export const STATES = [
  ['PENDING', 'Pending'], ['AWAITING_VALIDATION', 'Awaiting validation'], ['VALIDATED', 'Validated'],
  ['VALIDATION_FAILED', 'Validation failed'], ['ONBOARDING', 'Onboarding'], ['ONBOARDED', 'Onboarded'],
  ['SUSPENDED', 'Suspended'], ['OFFBOARDING', 'Off-boarding'], ['OFFBOARDED', 'Off-boarded'],
];

const UNFINISHED = new Set(['PENDING', 'AWAITING_VALIDATION', 'VALIDATED', 'VALIDATION_FAILED', 'ONBOARDING']);

/** Where a connection is best looked at: in the wizard while it is being made here. */
export const pathOf = (connection) => `/connections/${connection.id}${connection.role === 'CONSUMER' && UNFINISHED.has(connection.state) ? '/wizard' : ''}`;

export default function connections({ update, viewer }) {
  const rows = list({
    operation: CONNECTIONS,
    of: (data) => data.connections,
    search: { label: 'Search', placeholder: 'URL, name or company' },
    filters: [
      { name: 'state', label: 'State', choices: STATES, put: (filter, value) => { filter.states = [value]; } },
      { name: 'look', label: 'Health', choices: [['needed', 'Needs a look'], ['none', 'All the others']], put: (filter, value) => { filter.needsAttention = value === 'needed'; } },
      { name: 'role', label: 'We are the', choices: [['PROVIDER', 'Provider'], ['CONSUMER', 'Consumer']], put: (filter, value) => { filter.role = value; } },
    ],
    orders: [['NEWEST', 'Newest first'], ['LAST_CHANGED', 'Changed last first'], ['NAME', 'Name, A to Z']],
    caption: 'Connections',
    columns: ['Instance', 'Company', 'We are the', 'State', 'Outbound', 'Inbound', 'Changed'],
    none: empty('There is no connection yet.', 'As a consumer, open the registration link that your provider sent you. As a provider, register a consumer.', html`<div class="buttons">${viewer.canAdminister ? html`<a class="button" href="/connect">Open a registration link</a>` : nothing}${viewer.canOperate ? html`<a class="button secondary" href="/registrations/new">Register a consumer</a>` : nothing}</div>`),
    row: (connection) => html`
      <th scope="row"><a href=${pathOf(connection)}>${connection.peer.name ?? host(connection.peer.origin)}</a><br><span class="small">${address(host(connection.peer.origin))}</span></th>
      ${cell('Company', connection.company?.name ?? 'Not chosen')}
      ${cell('We are the', connection.roleLabel)}
      ${cell('State', connectionBadge(connection))}
      ${cell('Outbound', directionBadge(connection.outbound))}
      ${cell('Inbound', directionBadge(connection.inbound))}
      ${cell('Changed', when(connection.updatedAt))}`,
    update,
  });
  return {
    title: () => 'Connections',
    ready: rows.refresh(),
    refresh: rows.refresh,
    subjects: ['CONNECTION', 'ONBOARDING', 'COMPANY'],
    changed: rows.refresh,
    leave: rows.leave,
    view: () => html`${head('Connections', { lead: 'Each is a tie to one other instance, proven both ways.', actions: viewer.canAdminister ? html`<a class="button secondary" href="/connect">Open a registration link</a>` : nothing })}<div class="panel">${rows.view()}</div>`,
  };
}
