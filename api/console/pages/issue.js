// One issue: what is wrong, what to do, who looks after it, and who hears of it.
import { gql } from '../lib/api.js';
import { issueList } from '../lib/checks.js';
import { ISSUE } from '../lib/fragments.js';
import { resource } from '../lib/resource.js';
import { badge, facts, head, notice, on, section, when } from '../lib/ui.js';
import { html } from '../lib/view.js';
import { finding } from '../lib/words.js';
import { about } from './scan.js';

const ONE = gql`query IssuePage($id: ID!) {
  issue(id: $id) {
    ...IssueParts
    scan { id requestedAt }
    followers { id name }
    subject { ... on Registration { id number } ... on ConnectionRecord { id peer { name origin } } ... on Instance { id name } }
  }
}
${ISSUE}`;

export default function issue({ params, update, viewer }) {
  const all = resource(ONE, { id: params.id }, update);
  const shown = issueList(update, () => all.refresh(), viewer);

  function view() {
    return all.view((data) => {
      const now = data.issue;
      if (!now) return html`${head('No such issue')}${notice('warn', 'There is no issue under this address, or it is not yours to see.', html`<p><a href="/health">See what is open now</a></p>`)}`;
      const [name, path] = about(now.subject);
      return html`
        ${head(finding(now.message)[0], { crumbs: [['Health dashboard', '/health'], [name, path]], status: badge(now.state, now.stateLabel) })}
        <div class="columns"><div class="column-main">
          ${now.state === 'RESOLVED'
            ? notice('good', 'It is resolved.', html`<p>Since ${on(now.resolvedAt)}. ${finding(now.message)[1]}</p><p><a href=${path}>See ${name}</a> · <a href="/health">All open issues</a></p>`)
            : section('issue', 'What is wrong', shown([now], { titled: true }))}
        </div><div class="column-side">${section('facts', 'Issue', facts([
          ['About', html`<a href=${path}>${name}</a>`],
          ['Seen first', on(now.firstSeenAt)],
          ['Seen last', when(now.lastSeenAt)],
          ['Looked after by', now.assignee?.name ?? 'nobody yet'],
          ['Followed by', now.followers.map((one) => one.name).join(', ') || 'nobody'],
          now.scan && ['Latest scan', html`<a href="/scans/${now.scan.id}">${when(now.scan.requestedAt)}</a>`],
        ]))}</div></div>`;
    });
  }

  return {
    title: () => (all.data?.issue ? finding(all.data.issue.message)[0] : 'Issue'),
    view,
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['ISSUE', 'SCAN'],
    changed: all.refresh,
  };
}
