// States in which two sound instances are seldom seen, each with what is said about it. Those that a host can bring about
// are real; the others are what the instance answers with this one thing changed.
import { CONSUMER, PROVIDER, Person, host, run, until } from './person.mjs';

let ada, grace, auditor, connection, registration;

/** Looks at a page with an answer changed so; `ready` is what it says then. */
async function altered(person, path, operation, change, ready, name) {
  const end = await person.alters(operation, change);
  await person.goto(path);
  await person.sees(ready);
  await person.look(name);
  await person.tabs(name);
  await end();
}

/** What a browser says of an instance that is not there. */
const STOPPED = /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|Failed to load resource|Failed to fetch/;

const remedy = { kind: 'HUMAN', text: 'Ask the other side’s operator to look at what the reason names.', setting: null, value: null, mutation: null, variables: [] };
const refusal = { code: 'PEER_UNAVAILABLE', codeLabel: 'Peer unavailable', message: 'The other side cannot answer now.', field: null, reason: 'KEY_SERVICE_UNHEALTHY', docsUrl: '/docs/refusals/peer-unavailable', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', remedy };
const minutesAgo = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();

await run({
  async 'two sides that do not agree are told with what each sees, and so is one that is slow'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    connection = await grace.first('connections');
    await altered(grace, `/connections/${connection}`, 'query Connection(', ({ connection: { outbound, inbound } }) => {
      const cause = { code: 'PEER_UNREACHABLE', codeLabel: 'Peer unreachable', reason: 'TCP', message: 'Nothing answers at our address, as they see it.', remedy };
      Object.assign(outbound, { status: 'DISPUTED', statusLabel: 'Disputed', ourViewLabel: 'Up', peerView: 'DOWN', peerViewLabel: 'Down', peerCause: cause });
      Object.assign(inbound, { status: 'SLOW', statusLabel: 'Slow', roundTripMs: 4_200 });
    }, 'The two sides do not agree.', 'connection-disputed');
  },

  async 'whoever may be a copy is told on every page, and confirms on that of the connection which one goes on'() {
    await altered(grace, '/', 'query Me', ({ instance }) => { instance.copied = true; }, 'This instance may be a copy.', 'copied');
    const end = await grace.alters('query Connection(', ({ connection: now }) => {
      now.suspension = { byPeer: true, since: minutesAgo(5), reason: 'Two instances answered with your key.' };
      for (const way of [now.outbound, now.inbound]) Object.assign(way, { status: 'SUSPENDED', statusLabel: 'Suspended', cause: { code: 'WRONG_STATE', codeLabel: 'Wrong state', reason: 'CLONE_SUSPECTED', remedy } });
      Object.assign(now.actions.find(({ name }) => name === 'confirmSurvivor'), { allowed: true });
    });
    await grace.goto(`/connections/${connection}`);
    await grace.sees(/Stop every other copy of this instance/);
    await grace.look('connection-copied');
    await grace.press('This one goes on');
    await grace.page.getByRole('dialog', { name: 'Is this the instance that goes on?' }).waitFor();
    await grace.look('connection-survivor');
    await grace.page.keyboard.press('Escape');
    await end();
  },

  async 'a scan that runs shows what has answered and what has not, and is called off'() {
    await host('@hang SETTINGS_AGREE');
    await grace.goto(`/connections/${connection}`);
    await grace.press('Run a scan');
    await grace.heading('Scan of provider');
    await grace.page.locator('.checks li.good').first().waitFor();
    await grace.page.locator('.checks li.waiting', { hasText: 'Settings agree' }).waitFor();
    await grace.press('Call off');
    await grace.page.locator('.page-head .badge', { hasText: 'Cancelled' }).waitFor();
    await grace.sees('It was called off before every check had answered.');
    await grace.look('scan-cancelled');
    const { pathname } = new URL(grace.page.url());
    await altered(grace, pathname, 'query ScanPage', ({ scan: now }) => Object.assign(now, { state: 'RUNNING', stateLabel: 'Running', finishedAt: null }), 'The checks answer one after the other.', 'scan-running');
  },

  async 'a check that breaks is no answer, and the scan says what has to be mended'() {
    await host('@mend');
    await host('@throw SETTINGS_AGREE');
    await grace.goto(`/connections/${connection}`);
    await grace.press('Run a scan');
    await grace.heading('Scan of provider');
    await grace.page.locator('.page-head .badge', { hasText: 'Failed' }).waitFor({ timeout: 30_000 });
    await grace.sees(/^The check “.+” could not be carried out$/);
    await grace.look('scan-failed');
    await grace.tabs('scan-failed');
    await host('@mend');
  },

  async 'looking again at what cannot be looked at now ends with the reason, and so does a scan that is called off'() {
    ada.expects(STOPPED);
    await host('@stop provider');
    await grace.goto('/health');
    const issue = grace.page.locator('.issue', { hasText: 'Settings agree' });
    const validate = issue.getByRole('button', { name: 'Validate and resolve' });
    await validate.click();
    await grace.hears(/^Not looked at: .+ comes first\.$/);
    await issue.getByText(/^Not looked at: .+ comes first\.$/).waitFor();
    await validate.waitFor();
    const { issues } = await grace.graphql('{ issues(first: 50, filter: { state: OPEN }) { edges { node { id check } } } }');
    await grace.goto(`/issues/${issues.edges.find(({ node }) => node.check === 'SETTINGS_AGREE').node.id}`);
    await validate.click();
    await grace.sees(/^Not looked at: .+ comes first\.$/);
    await host('@start provider');
    await host('@hang SETTINGS_AGREE');
    await validate.click();
    await grace.hears('Looking again: Settings agree.');
    await issue.getByRole('button', { name: 'Looking again' }).waitFor();
    const { connection: { latestScan } } = await grace.graphql('query($id: ID!) { connection(id: $id) { latestScan { id } } }', { id: connection });
    await grace.mutate('cancelScan', { scanId: latestScan.id }, 'scan { id }');
    await grace.sees('Not looked at: the scan was called off.');
    await host('@mend');
    await until('it is resolved', async () => {
      if (await validate.count()) await validate.click();
      return grace.page.getByText('It is resolved.').waitFor({ timeout: 3_000 }).then(() => true, () => false);
    }, 60_000);
  },

  async 'settings that the other side does not take are told with its reason'() {
    await altered(grace, `/connections/${connection}/settings`, 'query Settings(', ({ connection: { settings } }) => Object.assign(settings, { agreed: false, syncFailure: refusal }), 'The other side cannot answer now.', 'settings-refused');
  },

  async 'an issue is waived with a reason and an end, which lets go on what waited; and the waiver is withdrawn'() {
    const { company } = await ada.mutate('createCompany', { name: 'Second Consumer' }, 'company { id }');
    const { contact } = await ada.mutate('createContact', { companyId: company.id, name: 'Second Person', email: 'second@consumer.example.com' }, 'contact { id }');
    await ada.mutate('updateContact', { userId: contact.id, active: false }, 'contact { id }');
    const made = await ada.mutate('createRegistration', { companyId: company.id, contactId: contact.id, url: 'https://second.example.com', environment: 'NON_PRODUCTION' }, 'registration { id }');
    registration = `/registrations/${made.registration.id}`;
    await ada.goto(registration);
    await ada.page.locator('.page-head .badge', { hasText: 'Validation Failed' }).waitFor({ timeout: 30_000 });
    const waive = ada.page.getByRole('button', { name: 'Waive', exact: true });
    for (let left = await waive.count(); left > 0; left -= 1) {
      await waive.first().click();
      const dialog = ada.page.getByRole('dialog', { name: 'Go on in spite of this issue?' });
      await dialog.getByLabel('Why').fill('They switch it on tonight.');
      if (left === 1) await ada.look('issue-waive');
      await dialog.getByRole('button', { name: 'Waive' }).click();
      await until('one is waived', async () => (await waive.count()) < left);
    }
    await ada.page.locator('.page-head .badge', { hasText: 'Open' }).waitFor({ timeout: 30_000 });
    await ada.goto(`/health?registration=${registration.split('/').pop()}`);
    await ada.sees(/They switch it on tonight/);
    await ada.look('issue-waived');
    await ada.page.getByRole('button', { name: 'Withdraw the waiver' }).first().click();
    await ada.sees(/: no longer waived: it counts when the checks next run\.$/);
  },

  async 'a registration is told in each state: while it is checked, contested, without its letter, at an end'() {
    const states = {
      awaiting: ['They run by themselves; you can leave.', (now) => {
        Object.assign(now, { state: 'AWAITING_VALIDATION', stateLabel: 'Awaiting Validation', issues: [], link: null });
        const { results, progress } = now.latestScan;
        Object.assign(now.latestScan, { only: null, state: 'RUNNING', stateLabel: 'Running', finishedAt: null, results: results.slice(0, 3), progress: { ...progress, done: 3 } });
      }],
      contested: ['Two instances proved the same link.', (now) => { now.link.contestedAt = minutesAgo(3); }],
      unsent: ['The letter did not go out.', (now) => Object.assign(now.link, { delivery: 'FAILED', deliveryLabel: 'Failed' })],
      incomplete: ['Closed Incomplete', (now) => Object.assign(now, { state: 'CLOSED_INCOMPLETE', stateLabel: 'Closed Incomplete', issues: [], link: null, actions: [] })],
    };
    for (const [name, [ready, change]] of Object.entries(states)) {
      await altered(ada, registration, 'query Registration(', (data) => change(data.registration), ready, `registration-${name}`);
    }
  },

  async 'a key service that does not work is told to everybody, part by part to key roles, and so is that it works again'() {
    auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.signIn('auditor@consumer.example.com');
    await auditor.goto('/keys');
    await auditor.heading('Keys');
    await host('@break CLOCK');
    await host('@later 30');
    const badge = (person, text) => person.page.locator('.panel-head .badge', { hasText: text }).first().waitFor({ timeout: 30_000 });
    await badge(auditor, 'Malfunction');
    await auditor.sees('Onboarding is stopped until it works again.');
    await auditor.look('keys-malfunction');
    await auditor.tabs('keys-malfunction');
    await grace.goto('/keys');
    await badge(grace, 'Malfunction');
    await grace.look('keys-malfunction-admin');
    await grace.goto('/health');
    await grace.page.locator('a.card-link', { hasText: 'Malfunction' }).waitFor();
    await grace.look('health-malfunction');
    await host('@mend');
    await host('@later 30');
    await badge(auditor, 'Operational');
    await altered(auditor, '/keys', 'query KeyHealth', ({ keyHealth }) => {
      Object.assign(keyHealth, { status: 'DEGRADED', statusLabel: 'Degraded', reason: 'Keys are soon too old.' });
      Object.assign(keyHealth.components.find(({ critical }) => !critical), { status: 'DEGRADED', statusLabel: 'Degraded', message: 'The key of parcels ends in 3 days.', remedy: 'Rotate it.' });
    }, 'What to do:', 'keys-degraded');
    await altered(auditor, '/keys', 'query KeyEncryptionKey', ({ keyEncryptionKey }) => {
      keyEncryptionKey.rotation = { state: 'WRAPPING', stateLabel: 'Wrapping', total: 5, done: 2, startedAt: minutesAgo(4), oldKeyUntil: null, finishedAt: null, error: 'A key cannot be opened with the old one.', errorSince: minutesAgo(2) };
    }, 'The rotation does not go on.', 'key-encryption-failed');
  },

  async 'a registration whose link nobody used has expired, and a new link is offered'() {
    await host(`@later ${8 * 24 * 3_600}`);
    for (const person of [ada, grace, auditor]) person.expects(/401/);
    await Promise.all([grace.close(), auditor.close()]);
    await ada.context.clearCookies();
    await ada.signIn('admin@provider.example.com');
    await ada.goto(registration);
    await ada.page.locator('.page-head .badge', { hasText: 'Expired' }).waitFor({ timeout: 30_000 });
    await ada.page.getByRole('button', { name: 'Make a new link' }).first().waitFor();
    await ada.look('registration-expired');
    await ada.tabs('registration-expired');
  },
});
