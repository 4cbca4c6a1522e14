// One registration: its state, what stands in the way, its link, and what can be done with it.
import { may } from '../lib/actions.js';
import { gql, mutate } from '../lib/api.js';
import { checklist, issueList, progress, questions, warningList, warnings } from '../lib/checks.js';
import { ERRORS_OF, errorList } from '../lib/errors.js';
import { ISSUE, REFUSAL, SCAN } from '../lib/fragments.js';
import { contactChooser, person, switchedOff } from '../lib/chooser.js';
import { edit, meanwhile, saved } from '../lib/editing.js';
import { command, resource } from '../lib/resource.js';
import { announce, ask, copy, toast } from '../lib/say.js';
import { address, badge, button, directionBadge, facts, head, input, notice, on, outcome, section, submit, when } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { local } from '../lib/words.js';

const REGISTRATION = gql`query Registration($id: ID!) {
  registration(id: $id) {
    id number state stateLabel url environmentLabel createdAt updatedAt revision
    company { id name }
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

export default function registration({ params, update, viewer }) {
  const { id } = params;
  const all = resource(REGISTRATION, { id }, changed);
  const act = command(update);
  const change = command(update);
  const log = resource(ERRORS_OF, { id }, update);
  const issues = issueList(update, () => all.refresh(), viewer);
  let link = null;
  let draft = null;
  let problem = null;
  let contacts = null;
  /** The people who are, were, or may become its contact, by id. */
  const names = new Map();
  let said = null;

  function changed() {
    const now = all.data?.registration;
    if (now) {
      if (now.contact) names.set(now.contact.id, now.contact);
      if (said !== null && said !== now.stateLabel) announce(now.stateLabel);
      said = now.stateLabel;
      if (now.state !== 'OPEN') link = null;
    }
    update();
  }

  async function simple(operation, words) {
    if (await act.run(() => mutate(operation, { registrationId: id }))) toast(`${all.data.registration.number}: ${words}`);
    await all.refresh();
  }

  async function reissue(now) {
    const sure = await ask({
      title: 'Make a new link?',
      body: now.state === 'EXPIRED'
        ? html`<p>The checks run again. When they pass, a new link is made.</p>`
        : html`<p>The link before stops working${now.link?.delivery === 'SENT_TO_CONTACT' ? ', the one in the contact’s letter too; a new letter goes out' : ''}. Making one is recorded.</p>`,
      confirm: 'Make a new link',
    });
    if (!sure) return;
    const payload = await act.run(() => mutate(REISSUE, { registrationId: id }));
    if (payload) {
      link = payload.link;
      if (link) announce('A new link was made. It is shown once.');
      else toast(`${now.number}: the checks run; the link is made when they pass.`);
    }
    await all.refresh();
    if (payload) requestAnimationFrame(() => document.getElementById('link')?.focus());
  }

  async function cancel(now) {
    const sure = await ask({
      title: `Cancel ${now.number}?`,
      body: html`<p>The link stops working, and an onboarding under way is undone on both sides. This is final; you can register the consumer anew.</p>`,
      confirm: 'Cancel the registration',
      danger: true,
    });
    if (sure) await simple(CANCEL, 'cancelled.');
  }

  async function store(event, now) {
    event.preventDefault();
    const missing = !draft.values(now).contactId;
    if (missing) problem = 'Choose the person who will connect their instance.';
    update();
    if (missing) {
      document.getElementById('contactId').focus();
      return;
    }
    draft.set(now, 'url', draft.values(now).url.trim());
    const payload = await change.run(() => mutate(UPDATE, { registrationId: id, expectedRevision: draft.expected(now), ...draft.changes(now) }));
    if (payload) {
      draft = null;
      toast(`${now.number}: saved.`);
    } else if (change.refusal?.field) requestAnimationFrame(() => document.getElementById(change.refusal.field)?.focus());
    await all.refresh();
  }

  function begin(now) {
    draft = edit(now, fields);
    contacts = contactChooser(now.company.id, { id: 'contactId', update, change: (contactId, chosen) => {
      if (chosen) names.set(contactId, chosen);
      draft.set(all.data.registration, 'contactId', contactId);
      problem = switchedOff(chosen);
      update();
    } });
    update();
    requestAnimationFrame(() => document.getElementById('contactId')?.focus());
  }

  const told = (name, value) => (name === 'contactId' ? names.get(value)?.name ?? 'nobody' : value);

  const editor = (now) => section('edit', 'Change contact or URL', html`<form class="form" novalidate @submit=${(event) => store(event, now)}>
    ${meanwhile(draft, now, { label: (name) => FIELDS[name], words: told, done: () => { change.clear(); update(); } })}
    ${contacts.view({ label: 'Contact', value: draft.values(now).contactId, name: names.has(draft.values(now).contactId) ? person(names.get(draft.values(now).contactId)) : null, help: 'A new contact gets a new link; the one before is void.', error: problem ?? (change.refusal?.field === 'contactId' ? change.refusal.message : null) })}
    ${input({ id: 'url', label: 'URL of the consumer’s instance', type: 'url', value: draft.values(now).url, help: 'A new URL is checked again.', error: change.refusal?.field === 'url' ? change.refusal.message : null, change: (value) => { draft.set(now, 'url', value); } })}
    ${change.refusal?.field ? nothing : saved(draft, now, change)}
    <div class="buttons">${submit('Save', { busy: change.busy })}${button('Do not save', () => { draft = null; change.clear(); update(); }, { kind: 'secondary' })}</div></form>`);

  function invitation(now) {
    if (!now.link) return nothing;
    const sent = now.link.delivery === 'SENT_TO_CONTACT';
    const confirmation = sent
      ? notice('good', 'The link was sent to the contact.', html`<p>A letter with instructions went to ${now.contact.name}, ${address(now.contact.email)}, ${when(now.link.issuedAt)}. Now it is their turn.</p>`)
      : now.link.delivery === 'FAILED' ? notice('bad', 'The letter did not go out.', html`<p>The error log says why. It is tried again for a while. To go on without it, make a link and give it to ${now.contact.name} over a channel you trust.</p>`)
      : notice('calm', 'Share the link yourself.', html`<p>Letters are off here. ${link ? 'Give the link' : 'Make a link, and give it'} to ${now.contact.name} over a channel you trust: whoever holds it can begin, but only ${now.contact.name} can approve.</p>`);
    return section('link', 'Registration link', html`
      ${now.link.contestedAt ? notice('bad', 'Two instances proved the same link.', html`<p>Nobody goes on with it since ${on(now.link.contestedAt)}. Find out from ${now.contact.name} who else holds it, then make a new one.</p>`) : confirmation}
      ${link ? html`<div class="stack"><p><strong>Shown once.</strong> Copy it now; to see a link again, make a new one.</p><code class="secret">${link}</code>
        <div class="buttons">${button('Copy the link', () => copy(link, 'Link'))}${button('I have it', () => { link = null; update(); }, { kind: 'secondary' })}</div></div>` : nothing}
      ${now.link.contestedAt ? nothing : html`<p class="small">Good until ${on(now.link.expiresAt)}. Opening it uses nothing up.</p>`}
      ${may(now, 'reissueRegistrationLink') ? html`<div class="buttons">${button(sent || link ? 'Make a new link' : 'Make a link to share', () => reissue(now), { kind: (sent || link) && !now.link.contestedAt ? 'secondary' : '', busy: act.busy })}</div>` : nothing}`);
  }

  /** Why it does not go on. That a letter did not go out is said with the link. */
  function banner(now) {
    if (!now.banner || now.state === 'OPEN') return nothing;
    const failed = now.state === 'VALIDATION_FAILED';
    return notice('bad', failed ? 'Validation failed.' : `${now.stateLabel}.`, html`<p>${now.banner.text}${failed ? html` <a href=${local(now.banner.healthUrl)}>Open the health dashboard</a>` : nothing}</p>`, true);
  }

  function checks(now, suites) {
    const scan = now.latestScan;
    if (!scan) return nothing;
    if (scan.only) return section('checks', 'Checks', html`<p class="small">Last looked at, ${when(scan.finishedAt ?? scan.requestedAt)}: <a href="/scans/${scan.id}">${questions(scan, suites).find((check) => check.code === scan.only)?.label ?? 'one check'}</a></p>`, { aside: badge(scan.state, `That check: ${scan.stateLabel}`) });
    const worth = now.issues.length ? [] : warnings(scan);
    const running = now.state === 'AWAITING_VALIDATION';
    return section('checks', running ? 'Checks are running' : 'Checks', html`
      ${running ? html`<p>They run by themselves; you can leave. When all pass, the registration opens${now.contact ? html` and ${now.contact.name} is invited` : nothing}.</p>${progress(scan)}` : nothing}
      ${worth.length ? warningList(worth) : nothing}
      ${running ? checklist(scan, suites) : html`<details class="more"><summary>What was checked, ${when(scan.finishedAt)}</summary>${checklist(scan, suites)}</details>`}`, { aside: badge(scan.state, scan.stateLabel) });
  }

  const stopped = (now) => now.state === 'VALIDATION_FAILED' && now.issues.some((issue) => issue.blocking);
  /** Whether what blocks keeps an expired one from a new link. */
  const held = (now) => now.state === 'EXPIRED' && now.issues.some((issue) => issue.blocking && !issue.waiver);
  const actions = (now) => html`
    ${may(now, 'retryRegistration') ? button('Try again', () => simple(RETRY, 'the checks run again.'), { busy: act.busy }) : nothing}
    ${now.state === 'EXPIRED' && may(now, 'reissueRegistrationLink') ? button('Make a new link', () => reissue(now), { busy: act.busy }) : nothing}
    ${may(now, 'revalidateRegistration') ? button('Run the checks again', () => simple(REVALIDATE, 'the checks run.'), { kind: 'secondary', busy: act.busy }) : nothing}
    ${may(now, 'updateRegistration') && !draft ? button('Change contact or URL', () => begin(now), { kind: 'secondary' }) : nothing}
    ${may(now, 'cancelRegistration') ? button('Cancel the registration', () => cancel(now), { kind: 'secondary', busy: act.busy }) : nothing}`;

  /** Other registrations and connections are no matter here; other things do not say which one they are of. */
  function concerns({ subject, subjectId }) {
    const connection = all.data?.registration?.connection;
    if (subject === 'REGISTRATION') return subjectId === id;
    return subject !== 'CONNECTION' || !connection || subjectId === connection.id;
  }

  function view() {
    return all.view((data) => {
      const now = data.registration;
      if (!now) return html`${head('No such registration')}${notice('warn', 'There is no registration under this address, or it is not yours to see.', html`<p><a href="/provider">Go to the provider centre</a></p>`)}`;
      return html`
        ${banner(now)}
        ${head(html`${now.number}`, { crumbs: [['Provider centre', '/provider']], status: badge(now.state, now.stateLabel), lead: html`${now.company?.name} · ${address(now.url)}`, actions: actions(now) })}
        ${outcome(act)}
        ${draft ? editor(now) : nothing}
        <div class="columns"><div class="column-main">
          ${now.issues.length ? section('issues', stopped(now) ? 'What has to be mended' : 'Worth knowing', html`<p>${stopped(now) ? html`When the last blocking issue is resolved or waived, the registration becomes <em>Open</em> by itself.` : held(now) ? 'A new link is made when the checks pass: mend these first, or waive them.' : 'Nothing is stopped by it.'}</p>${issues(now.issues)}`) : nothing}
          ${invitation(now)}
          ${now.connection ? section('connection', 'Connection', html`${facts([['State', badge(now.connection.state, now.connection.stateLabel)], ['Outbound status', directionBadge(now.connection.outbound)], ['Inbound status', directionBadge(now.connection.inbound)]])}<p><a href="/connections/${now.connection.id}">See the connection</a></p>`) : nothing}
          ${checks(now, data.suites)}
          ${log.part('What failed', (data) => (data.errorLog.edges.length ? section('errors', 'What failed', errorList(data, id)) : nothing))}
        </div><div class="column-side">${section('facts', 'Registration', facts([
          ['Company', now.company ? html`<a href="/companies/${now.company.id}">${now.company.name}</a>` : '–'],
          ['Contact', now.contact ? html`${now.contact.name}<br><span class="quiet">${address(now.contact.email)}</span>` : '–'],
          ['URL', address(now.url)],
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
    changed: (event) => (concerns(event) ? Promise.all([all.refresh(), log.refresh()]) : null),
  };
}
