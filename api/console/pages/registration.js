// One registration: its state, what stands in the way, its link, and what can be done with it.
import { may } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { checklist, issueList, progress, warningList, warnings } from '../lib/checks.js';
import { ERRORS_OF, errorList } from '../lib/errors.js';
import { ISSUE, REFUSAL, SCAN } from '../lib/fragments.js';
import { edit, meanwhile } from '../lib/editing.js';
import { command, resource } from '../lib/resource.js';
import { announce, ask, copy, toast } from '../lib/say.js';
import { badge, button, directionBadge, facts, head, input, notice, on, outcome, section, select, submit, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { local } from '../lib/words.js';

const REGISTRATION = gql`query Registration($id: ID!) {
  registration(id: $id) {
    id number state stateLabel url environmentLabel createdAt updatedAt revision
    company { id name contacts(first: 250) { edges { node { id name email active } } } }
    contact { id name email active }
    banner { text healthUrl }
    link { delivery deliveryLabel issuedAt expiresAt contestedAt }
    actions { name label allowed needsStepUp reason }
    latestScan { ...ScanParts }
    issues { ...IssueParts }
    connection { id state stateLabel outbound { status statusLabel } inbound { status statusLabel } }
  }
  suites { code label checks { code label asks } }
}
${SCAN} ${ISSUE}`;

const REVALIDATE = gql`mutation Revalidate($input: RevalidateRegistrationInput!) {
  revalidateRegistration(input: $input) { registration { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const REISSUE = gql`mutation Reissue($input: ReissueRegistrationLinkInput!) {
  reissueRegistrationLink(input: $input) { link registration { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const RETRY = gql`mutation RetryRegistration($input: RetryRegistrationInput!) {
  retryRegistration(input: $input) { registration { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const CANCEL = gql`mutation CancelRegistration($input: CancelRegistrationInput!) {
  cancelRegistration(input: $input) { registration { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const UPDATE = gql`mutation UpdateRegistration($input: UpdateRegistrationInput!) {
  updateRegistration(input: $input) { registration { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What of a registration is edited. */
const fields = (now) => ({ contactId: now.contact?.id, url: now.url });
const FIELDS = { contactId: 'Contact', url: 'URL' };
const told = (now, name, value) => (name === 'contactId' ? now.company.contacts.edges.find(({ node }) => node.id === value)?.node.name ?? 'somebody else' : value);

export default function registration({ params, update, viewer }) {
  const { id } = params;
  const all = resource(REGISTRATION, { id }, changed);
  const act = command(update);
  const change = command(update);
  const log = resource(ERRORS_OF, { id }, update);
  const issues = issueList(update, () => all.refresh(), viewer);
  let link = null;
  let draft = null;
  let said = null;

  function changed() {
    const now = all.data?.registration;
    if (now) {
      if (said !== null && said !== now.stateLabel) announce(now.stateLabel);
      said = now.stateLabel;
      if (now.state !== 'OPEN') link = null;
    }
    update();
  }

  async function simple(operation, words) {
    if (await act.run(() => mutate(operation, { registrationId: id }))) toast(words);
    await all.refresh();
  }

  async function reissue(now) {
    const sure = await ask({
      title: 'Make a new link?',
      body: html`<p>The link before stops working${now.link?.delivery === 'SENT_TO_CONTACT' ? ', the one in the contact’s letter too; a new letter goes out' : ''}. Making one is recorded.</p>`,
      confirm: 'Make a new link',
    });
    if (!sure) return;
    const payload = await act.run(() => mutate(REISSUE, { registrationId: id }));
    if (payload) {
      link = payload.link;
      announce('A new link was made. It is shown once.');
    }
    await all.refresh();
    if (payload) requestAnimationFrame(() => document.getElementById('link')?.focus());
  }

  async function cancel(now) {
    const sure = await ask({
      title: `Cancel ${now.number}?`,
      body: html`<p>The link stops working, and an onboarding under way is undone on both sides. This is final; you can register the consumer anew.</p>`,
      confirm: 'Cancel the registration',
      cancel: 'Keep it',
      danger: true,
    });
    if (sure) await simple(CANCEL, 'Cancelled.');
  }

  async function store(event, now) {
    event.preventDefault();
    draft.set(now, 'url', draft.values(now).url.trim());
    const payload = await change.run(() => mutate(UPDATE, { registrationId: id, expectedRevision: draft.expected(now), ...draft.changes(now) }));
    if (payload) {
      draft = null;
      toast('Saved.');
    }
    await all.refresh();
  }

  const editor = (now) => section('edit', 'Change contact or URL', html`<form class="form" novalidate @submit=${(event) => store(event, now)}>
    ${meanwhile(draft, now, { label: (name) => FIELDS[name], words: (name, value) => told(now, name, value), done: () => { change.clear(); update(); } })}
    ${select({ id: 'contactId', label: 'Contact', value: draft.values(now).contactId, choices: now.company.contacts.edges.map(({ node }) => [node.id, `${node.name} <${node.email}>${node.active ? '' : ' (switched off)'}`]), help: 'A new contact gets a new link; the one before is void.', error: change.refusal?.field === 'contactId' ? change.refusal.message : null, change: (value) => { draft.set(now, 'contactId', value); } })}
    ${input({ id: 'url', label: 'URL of the consumer’s instance', type: 'url', value: draft.values(now).url, help: 'A new URL is checked again.', error: change.refusal?.field === 'url' ? change.refusal.message : null, change: (value) => { draft.set(now, 'url', value); } })}
    ${change.refusal?.field ? nothing : outcome(change)}
    <div class="buttons">${submit('Save', { busy: change.busy })}${button('Do not change', () => { draft = null; change.clear(); update(); }, { kind: 'secondary' })}</div></form>`);

  function invitation(now) {
    if (!now.link) return nothing;
    const sent = now.link.delivery === 'SENT_TO_CONTACT';
    const confirmation = sent
      ? notice('good', 'The link was sent to the contact.', html`<p>A letter with instructions went to ${now.contact.name} &lt;${now.contact.email}&gt;, ${when(now.link.issuedAt)}. Now it is their turn.</p>`)
      : now.link.delivery === 'FAILED' ? notice('bad', 'The letter did not go out.', html`<p>The error log says why. It is tried again for a while. To go on without it, make a link and give it to ${now.contact.name} over a channel you trust.</p>`)
      : notice('calm', 'Share the link yourself.', html`<p>Letters are off here. Make a link, and give it to ${now.contact.name} over a channel you trust: whoever holds it can begin, but only ${now.contact.name} can approve.</p>`);
    return section('link', 'Registration link', html`
      ${now.link.contestedAt ? notice('bad', 'Two instances proved the same link.', html`<p>Nobody goes on with it since ${on(now.link.contestedAt)}. Find out from ${now.contact.name} who else holds it, then make a new one.</p>`) : confirmation}
      ${link ? html`<div class="stack"><p><strong>Shown once.</strong> Copy it now; to see a link again, make a new one.</p><code class="secret">${link}</code>
        <div class="buttons">${button('Copy the link', () => copy(link, 'Link'))}${button('I have it', () => { link = null; update(); }, { kind: 'secondary' })}</div></div>` : nothing}
      <p class="small">Good until ${on(now.link.expiresAt)}. Opening it uses nothing up.</p>
      ${may(now, 'reissueRegistrationLink') ? html`<div class="buttons">${button(sent || link ? 'Make a new link' : 'Make a link to share', () => reissue(now), { kind: sent || link ? 'secondary' : '', busy: act.busy })}</div>` : nothing}`);
  }

  function checks(now, suites) {
    const scan = now.latestScan;
    if (!scan || scan.only) return nothing;
    const worth = now.issues.length ? [] : warnings(scan);
    const running = now.state === 'AWAITING_VALIDATION';
    return section('checks', running ? 'Checks are running' : 'Checks', html`
      ${running ? html`<p>They run by themselves; you can leave. When all pass, the registration opens${now.contact ? html` and ${now.contact.name} is invited` : nothing}.</p>${progress(scan)}` : nothing}
      ${worth.length ? warningList(worth) : nothing}
      ${running ? checklist(scan, suites) : html`<details class="more"><summary>What was checked, ${when(scan.finishedAt)}</summary>${checklist(scan, suites)}</details>`}`, { aside: badge(scan.state, scan.stateLabel) });
  }

  const stopped = (now) => now.issues.some((issue) => issue.blocking);
  const actions = (now) => html`
    ${may(now, 'retryRegistration') ? button('Try again', () => simple(RETRY, 'The checks run again.'), { busy: act.busy }) : nothing}
    ${now.state === 'EXPIRED' && may(now, 'reissueRegistrationLink') ? button('Make a new link', () => reissue(now), { busy: act.busy }) : nothing}
    ${may(now, 'revalidateRegistration') ? button('Run the checks again', () => simple(REVALIDATE, 'The checks run.'), { kind: 'secondary', busy: act.busy }) : nothing}
    ${may(now, 'updateRegistration') && !draft ? button('Change contact or URL', () => { draft = edit(now, fields); update(); requestAnimationFrame(() => document.getElementById('contactId')?.focus()); }, { kind: 'secondary' }) : nothing}
    ${may(now, 'cancelRegistration') ? button('Cancel', () => cancel(now), { kind: 'secondary', busy: act.busy }) : nothing}`;

  function view() {
    return all.view((data) => {
      const now = data.registration;
      if (!now) return html`${head('No such registration')}${notice('warn', 'There is no registration under this address, or it is not yours to see.', html`<p><a href="/provider">Go to the provider centre</a></p>`)}`;
      return html`
        ${now.banner ? notice('bad', 'Validation failed.', html`<p>${now.banner.text} <a href=${local(now.banner.healthUrl)}>Open the health dashboard</a></p>`, true) : nothing}
        ${head(html`${now.number}`, { crumbs: [['Provider centre', '/provider']], status: badge(now.state, now.stateLabel), lead: html`${now.company?.name} · ${now.url}`, actions: actions(now) })}
        ${outcome(act)}
        ${draft ? editor(now) : nothing}
        <div class="columns"><div class="column-main">
          ${now.issues.length ? section('issues', stopped(now) ? 'What has to be mended' : 'Worth knowing', html`<p>${stopped(now) ? html`When the last blocking issue is resolved, the registration becomes <em>Open</em> by itself.` : 'Nothing is stopped by it.'}</p>${issues(now.issues, { latest: now.latestScan })}`) : nothing}
          ${invitation(now)}
          ${now.connection ? section('connection', 'Connection', html`${facts([['State', badge(now.connection.state, now.connection.stateLabel)], ['Outbound status', directionBadge(now.connection.outbound)], ['Inbound status', directionBadge(now.connection.inbound)]])}<p><a href="/connections/${now.connection.id}">See the connection</a></p>`) : nothing}
          ${checks(now, data.suites)}
          ${log.part('What failed', (data) => (data.errorLog.edges.length ? section('errors', 'What failed', errorList(data, id)) : nothing))}
        </div><div class="column-side">${section('facts', 'Registration', facts([
          ['Company', now.company ? html`<a href="/companies/${now.company.id}">${now.company.name}</a>` : '–'],
          ['Contact', now.contact ? html`${now.contact.name}<br><span class="quiet">${now.contact.email}</span>` : '–'],
          ['URL', now.url],
          ['Environment', now.environmentLabel],
          ['Created', on(now.createdAt)],
          ['Changed', when(now.updatedAt)],
        ]))}</div></div>`;
    });
  }

  return {
    title: () => all.data?.registration?.number ?? 'Registration',
    view,
    ready: Promise.all([all.refresh(), log.refresh()]),
    refresh: () => Promise.all([all.refresh(), log.refresh()]),
    subjects: ['REGISTRATION', 'SCAN', 'ISSUE', 'CONNECTION', 'ACCOUNT'],
    // A change of another registration is no matter here; other things do not say which one they are of.
    changed: (event) => (event.subject === 'REGISTRATION' && event.subjectId !== id ? null : Promise.all([all.refresh(), log.refresh()])),
  };
}
