// Those who look after keys: what each of them sees, a policy that denies and how that is explained, a key from when it
// is made until it is destroyed, the key of a connection, the audit log, and what needs a second person.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, host, run, until } from './person.mjs';

let auditor, ada, grace, manager, second, connection;
/** Pages that somebody left open, by path, and what each asked of the instance since it was loaded. */
const open = new Map();
const panel = (person, title) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: title, exact: true }) });

/** The step at which a version of a key is. */
const life = (person, version) => person.page.getByRole('list', { name: `Life of version ${version}` }).locator('[aria-current] span').first();

await run({
  async 'a key auditor sees components, modules and the life of each version'() {
    auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.goto('/keys');
    await auditor.signIn('auditor@consumer.example.com');
    await auditor.heading('Keys');
    await auditor.sees('Identity signing key');
    await auditor.look('keys-auditor');
    await auditor.follow('identity');
    await auditor.heading('identity');
    await auditor.page.getByRole('list', { name: 'Life of version 1' }).waitFor();
    await auditor.page.getByRole('table', { name: /^What was done to identity/ }).waitFor();
    assert.equal(await auditor.page.getByRole('button', { name: /^(Rotate|Suspend|Revoke)/ }).count(), 0, 'an auditor changes nothing');
    await auditor.follow('Keys');
  },

  async 'the pages about keys, the audit log and the checks do not ask by themselves'() {
    const storageState = await auditor.context.storageState();
    await Promise.all(['/keys', '/keys/modules/links', '/keys/access?module=links', '/keys/approvals', '/audit', '/checks'].map(async (path) => {
      const person = await Person.at(CONSUMER, `at ${path}`, { storageState });
      await person.page.clock.install();
      const here = { person, asked: 0 };
      person.page.on('request', (request) => {
        if (request.method() === 'POST' && request.headers().accept?.includes('application/json')) here.asked += 1;
      });
      const streams = /^.(audit|keys.modules)/.test(path) ? 2 : 1;
      let live = 0;
      person.page.on('response', (response) => { if (response.headers()['content-type']?.startsWith('text/event-stream')) live += 1; });
      await person.goto(path);
      await until(`${path} is live`, () => live >= streams);
      open.set(path, here);
    }));
    const asked = () => [...open.values()].map((here) => here.asked);
    let before;
    do {
      before = asked();
      await auditor.page.waitForTimeout(1_000);
    } while (asked().some((count, at) => count !== before[at]));
    // Longer than any page waits before it asks again, and not so long that a stream is taken for dead.
    for (const { person } of open.values()) await person.page.clock.fastForward(30_000);
    await auditor.page.waitForTimeout(500);
    assert.deepEqual(Object.fromEntries([...open].map(([path, here], at) => [path, here.asked - before[at]])), Object.fromEntries([...open].map(([path]) => [path, 0])));
  },

  async 'an administrator without a key role is told whose these pages are'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    connection = await grace.first('connections');
    await grace.goto('/keys/access');
    await grace.sees('Access policies are for key roles.');
    await grace.look('keys-access-admin');
    await grace.goto('/keys/approvals');
    await grace.sees('Approvals are for key roles.');
  },

  async 'who may do what with a module is listed, and an auditor changes nothing'() {
    await auditor.follow('Access');
    await auditor.page.getByRole('combobox', { name: 'Module', exact: true }).selectOption('links');
    await panel(auditor, 'Who may do what').getByText('Messages to peers').first().waitFor();
    assert.equal(await auditor.page.getByRole('button', { name: 'Add a policy' }).count(), 0);
  },

  async 'a key manager denies a part of the program the use of a key'() {
    manager = await Person.at(CONSUMER, 'manager');
    await manager.goto('/keys/access?module=links');
    await manager.signIn('manager@consumer.example.com');
    await manager.press('Add a policy');
    await manager.press('Save');
    await manager.sees('Choose at least one operation.');
    await manager.look('keys-policy-problem');
    await manager.page.getByRole('checkbox', { name: 'Seal', exact: true }).check();
    await manager.page.getByLabel('Has this value').fill('one');
    await manager.press('Save');
    await manager.sees('Say the name of the data that has this value');
    await manager.finds('id', 'data-name');
    await manager.look('keys-policy-half-condition');
    await manager.page.getByLabel('Only where this data').fill('link_id');
    assert.equal(await manager.page.locator('.problem').count(), 0, 'the problem is over once somebody mends it');
    await manager.page.getByLabel('Has this value').fill('');
    await manager.press('Save');
    await manager.finds('id', 'data-value');
    await manager.page.getByLabel('Only where this data').fill('');
    await manager.page.getByLabel('What follows').selectOption('STRICT_REJECT');
    await manager.page.getByLabel('For whom').selectOption('SERVICE');
    await manager.page.getByLabel('Which part').selectOption('PEER');
    await manager.page.getByRole('checkbox', { name: 'Seal', exact: true }).check();
    await manager.page.getByLabel('Why it exists').fill('Nothing leaves until it is clear who has the key.');
    await manager.press('Save');
    await panel(manager, 'Access policies').getByText('Nothing leaves until it is clear').waitFor();
    await open.get('/keys/access?module=links').person.sees('Nothing leaves until it is clear');
    await open.get('/keys/modules/links').person.sees('Nothing leaves until it is clear');
    await open.get('/audit').person.page.locator('code', { hasText: 'key.policy' }).first().waitFor();
    await manager.look('keys-access-manager');
    await manager.tabs('access');
  },

  async 'whoever it stops is told that a policy denied it, and those whose role it is see which'() {
    await grace.goto(`/connections/${connection}`);
    await grace.press('Verify the connection');
    await panel(grace, 'Verification').locator('.panel-head .badge', { hasText: 'Failed' }).waitFor({ timeout: 30_000 });
    const link = grace.page.getByRole('link', { name: 'How it was decided' }).first();
    await grace.look('policy-denied');
    await auditor.goto(new URL(await link.getAttribute('href'), CONSUMER).pathname);
    await auditor.heading('How access was decided');
    await auditor.sees('Why it was denied');
    await auditor.sees('Nothing leaves until it is clear who has the key.');
    await auditor.look('keys-decision');
    await auditor.goto('/audit?result=POLICY_DENIED');
    await auditor.follow('Decision');
    await auditor.heading('How access was decided');
  },

  async 'people without a key role and a person whom a policy names are among those who may do something'() {
    const { viewer } = await auditor.graphql('{ viewer { id name } }');
    const terms = (principal) => ({ effect: 'TRACK', principal, operations: ['SEAL'] });
    for (const principal of [{ kind: 'PERSON', userId: viewer.id }, { kind: 'EVERY_PERSON' }]) await manager.mutate('createAccessPolicy', { module: 'data', terms: terms(principal) }, 'accessPolicy { id }');
    const unlike = { condition: { name: 'link_id', value: 'one' }, operations: ['OPEN'], principal: { kind: 'PERSON', userId: viewer.id } };
    for (const more of [{ ...unlike, effect: 'STRICT_REJECT' }, { ...unlike, effect: 'TRACK', condition: null }]) await manager.mutate('createAccessPolicy', { module: 'data', terms: more }, 'accessPolicy { id }');
    await manager.goto('/keys/access?module=data');
    await panel(manager, 'Who may do what').getByText('except where link_id is one, or where link_id is not said').waitFor();
    for (const name of [viewer.name, 'People without a key role']) await panel(manager, 'Who may do what').locator('tbody tr', { has: manager.page.getByText(name, { exact: true }) }).getByText('Seal', { exact: true }).waitFor();
    await panel(manager, 'Access policies').getByText(viewer.name, { exact: true }).first().waitFor();
    await manager.goto('/keys/access?module=links');
  },

  async 'the policy is deleted after a question, and the connection is verified again'() {
    await panel(manager, 'Access policies').getByRole('listitem').filter({ hasText: 'Nothing leaves' }).getByRole('button', { name: /^Delete/ }).click();
    await manager.look('keys-policy-delete');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await manager.sees(/^The policy for .* was deleted\.$/);
    await until('verified again', async () => {
      await grace.press('Verify the connection');
      await panel(grace, 'Verification').locator('.panel-head .badge', { hasText: /Passed|Failed/ }).waitFor({ timeout: 30_000 });
      return await panel(grace, 'Verification').locator('.panel-head .badge', { hasText: 'Passed' }).count() === 1;
    }, 60_000);
  },

  async 'the key of a connection is suspended with a reason, which both sides see, and resumed'() {
    await manager.goto(`/connections/${connection}`);
    await panel(manager, 'Keys').getByRole('heading', { name: /^Epoch \d+$/ }).waitFor();
    await manager.look('connection-keys');
    await manager.tabs('connection with keys');
    await manager.page.getByRole('button', { name: /^Suspend epoch/ }).click();
    await manager.press('Suspend');
    await manager.sees('Say why, for those who come after you.');
    await manager.page.getByRole('dialog').getByLabel('Why').fill('A backup was stolen.');
    await manager.look('connection-key-suspend');
    await manager.press('Suspend');
    await panel(manager, 'Keys').getByRole('button', { name: /^Resume epoch/ }).waitFor();
    await panel(manager, 'Outbound status').getByText(/A backup was stolen/).waitFor({ timeout: 40_000 });
    await manager.look('connection-key-suspended');
    ada = await Person.at(PROVIDER, 'provider');
    await ada.signIn('admin@provider.example.com');
    await ada.goto(`/connections/${await ada.first('connections')}`);
    await ada.page.getByText(/A backup was stolen/).first().waitFor({ timeout: 40_000 });
    await ada.look('connection-key-suspended-there');
    await manager.page.getByRole('button', { name: /^Resume epoch/ }).click();
    await panel(manager, 'Keys').getByRole('button', { name: /^Suspend epoch/ }).waitFor();
  },

  async 'a module is created, specified, published, and its key rotated'() {
    await manager.goto('/keys');
    await manager.press('Create a module');
    await manager.finds('id', 'module-name');
    await manager.press('Make a draft');
    await manager.sees('Give the module a name.');
    await manager.look('keys-create');
    await manager.page.getByLabel('Name of the module').fill('receipts');
    await manager.press('Make a draft');
    await manager.heading('receipts');
    await manager.sees('A draft has no keys.');
    await open.get('/keys').person.page.getByRole('link', { name: 'receipts', exact: true }).waitFor();
    await manager.press('Change specification');
    await manager.page.getByRole('dialog').getByLabel('Keys expire').selectOption({ label: 'after 1 year' });
    await manager.look('key-module-specify');
    await manager.press('Save');
    await manager.sees('after 1 year');
    await manager.look('key-module-draft');
    await manager.press('Publish');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Publish' }).click();
    await manager.press('Make the first key');
    await manager.press('Make it');
    await panel(manager, 'Versions').getByRole('heading', { name: 'Version 1' }).waitFor();
    await manager.press('Rotate');
    await manager.look('key-rotate');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click();
    await manager.sees('Rotated: a new version is in use.');
    assert.equal(await life(manager, 2).innerText(), 'Active');
    assert.equal(await life(manager, 1).innerText(), 'Deactivated');
    await manager.press('Schedule rotation');
    await manager.page.getByLabel('Rotated').selectOption({ label: 'every 90 days' });
    await manager.press('Save');
    await manager.sees('every 90 days');
    await manager.look('key-module-rotated');
  },

  async 'a version is suspended, resumed, renewed, and at last revoked, each with what is asked first'() {
    const takes = async (verb, version, current) => {
      await manager.press(`${verb} version ${version} of receipts`);
      await manager.page.getByRole('dialog').getByLabel('Why').fill('A laptop was lost.');
      await manager.page.getByRole('dialog').getByRole('button', { name: verb }).click();
      await until(current, async () => await life(manager, version).innerText() === current);
    };
    await takes('Suspend', 2, 'Suspended');
    await manager.look('key-suspended');
    await manager.press('Resume version 2 of receipts');
    await until('active again', async () => await life(manager, 2).innerText() === 'Active');
    await manager.press('Renew version 2 of receipts');
    await manager.look('key-renew');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Renew' }).click();
    await manager.sees('Version 2 of receipts: renewed.');
    await takes('Revoke', 2, 'Revoked');
    await takes('Mark as compromised', 1, 'Compromised');
    await manager.look('key-withdrawn');
    await manager.tabs('key module');
  },

  async 'the audit log shows who did what, to each what is theirs to see'() {
    await auditor.goto('/audit');
    await auditor.heading('Audit log');
    await auditor.page.locator('table.rows tbody tr').first().waitFor();
    const whole = panel(auditor, 'Whether it is whole');
    await whole.getByRole('button', { name: 'Verify now' }).click();
    await auditor.page.locator('.toast', { hasText: 'Operational' }).waitFor({ timeout: 30_000 });
    await whole.locator('.badge', { hasText: 'Operational' }).waitFor();
    // A long log is gone over in turns: said is how it ended.
    let turns = 2;
    const begun = ({ components }) => Object.assign(components.find(({ name }) => name === 'AUDIT_CHAIN'), { code: 'BEING_VERIFIED', message: 'Whole up to entry 5000 of 9000: the rest is being verified.' });
    const ends = [
      await auditor.alters('mutation VerifyTrail', ({ recheckKeyHealth }) => begun(recheckKeyHealth.keyHealth)),
      await auditor.alters('query AuditChain', ({ keyHealth }) => { if (turns > 0) begun(keyHealth); turns -= 1; }),
    ];
    await whole.getByRole('button', { name: 'Verify now' }).click();
    await whole.getByText('Whole up to entry 5000 of 9000').waitFor();
    assert.equal(await auditor.page.locator('.toast').count(), 0, 'nothing is said before the end');
    await auditor.page.locator('.toast', { hasText: 'The audit trail is whole, and signed.' }).waitFor();
    await whole.getByText('The audit trail is whole, and signed.').waitFor();
    for (const end of ends) await end();
    await auditor.look('audit-auditor');
    const { checkSchedules } = await grace.graphql('{ checkSchedules { suite revision } }');
    const { revision: expectedRevision } = checkSchedules.find(({ suite }) => suite === 'CONNECTION_HEALTH');
    await grace.mutate('updateCheckSchedule', { suite: 'CONNECTION_HEALTH', intervalSeconds: 5_400, enabled: true, expectedRevision }, 'checkSchedule { revision }');
    await open.get('/checks').person.sees('Runs every 1 hour 30 minutes');
    await grace.goto('/audit');
    await grace.page.locator('table.rows tbody tr').nth(3).waitFor();
    await panel(grace, 'Whether it is whole').getByText('ask one of them').waitFor();
    await grace.page.getByLabel('Operation begins with').fill('session.');
    await grace.page.waitForFunction(() => [...document.querySelectorAll('table.rows tbody code:first-of-type')].length > 0);
  },

  async 'what cannot be taken back is asked for by one person and approved by another'() {
    await auditor.goto('/keys/approvals');
    await auditor.sees('Key managers ask');
    assert.equal(await auditor.page.getByRole('button', { name: 'Ask for an approval' }).count(), 0, 'who may ask for nothing is offered nothing');
    await manager.follow('Keys');
    await manager.follow('Approvals');
    await manager.press('Ask for an approval');
    await manager.page.getByLabel('What is to be done').selectOption('ROTATE_ROOT');
    await manager.press('Ask');
    await manager.sees('Say why, for whoever answers.');
    await manager.page.getByLabel('Why', { exact: true }).fill('It is a year old.');
    await manager.press('Ask');
    await manager.page.locator('.badge', { hasText: 'Waiting for approval' }).waitFor();
    assert.equal(await manager.page.getByRole('button', { name: 'Approve' }).count(), 0, 'nobody approves their own');
    await open.get('/keys/approvals').person.page.locator('.badge', { hasText: 'Waiting for approval' }).waitFor();
    await manager.look('keys-approval-asked');
    await manager.tabs('approvals');
    second = await Person.at(CONSUMER, 'second-manager');
    await second.goto('/keys/approvals');
    await second.signIn('second-manager@consumer.example.com');
    await second.press('Approve');
    await second.look('keys-approve');
    await second.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await second.page.locator('.badge', { hasText: 'Approved' }).waitFor();
    await second.look('keys-approved');
    assert.equal(await second.page.getByRole('button', { name: 'Rotate the root key' }).count(), 0, 'whoever asked does it');
  },

  async 'whoever asked sees that it was approved, without asking again, and rotates the root key, once'() {
    await manager.hears(/^Rotate the root key: Approved\.$/i);
    await manager.press('Rotate the root key');
    await manager.look('root-rotate');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Rotate the root key' }).click();
    await manager.page.locator('.badge', { hasText: 'Used' }).waitFor();
    await manager.look('root-rotated');
    await manager.follow('Health and modules');
    await manager.page.locator('.panel-head .badge', { hasText: 'Operational' }).waitFor();
  },

  async 'a key is destroyed seven days after a second person was asked'() {
    await manager.goto('/keys/modules/receipts');
    await manager.press('Ask to destroy version 1 of receipts');
    await manager.page.getByRole('dialog').getByLabel('Why').fill('Nobody needs it.');
    await manager.press('Ask');
    await manager.sees('waits for a second person');
    await second.goto('/keys/approvals');
    const asked = second.page.getByRole('listitem').filter({ hasText: 'Nobody needs it.' });
    await asked.getByText('Version 1 of receipts, compromised').click();
    await second.heading('receipts');
    await second.press('Approve');
    await second.page.getByRole('dialog').getByText('version 1 of receipts, compromised').waitFor();
    await second.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await second.sees(/approved, possible from/);
    await second.look('key-destroy-approved');
    await host(`@later ${7 * 24 * 3_600 + 60}`);
    await manager.context.clearCookies();
    await manager.goto('/keys/modules/receipts');
    await manager.signIn('manager@consumer.example.com');
    await manager.press('Destroy version 1 of receipts');
    const dialog = manager.page.getByRole('dialog');
    assert.equal(await dialog.getByRole('button', { name: 'Destroy' }).getAttribute('aria-disabled'), 'true');
    await dialog.getByLabel(/^Type/).fill('destroy');
    await manager.look('key-destroy');
    await dialog.getByRole('button', { name: 'Destroy' }).click();
    await until('destroyed', async () => await life(manager, 1).innerText() === 'Destroyed');
    await manager.look('key-destroyed');
  },

  async 'whoever is to agree sees of which connection a key is, and where it is used that was agreed to'() {
    const keysOf = async (module) => (await manager.graphql('query($module: String!) { keys(module: $module) { edges { node { keyId } } } }', { module })).keys.edges.map(({ node }) => node.keyId);
    const { connection: { keyModule } } = await manager.graphql('query($id: ID!) { connection(id: $id) { keyModule } }', { id: connection });
    const [ofLink] = await keysOf(keyModule);
    const wish = async (operation, module, object) => (await manager.mutate('requestKeyApproval', { operation, module, object, reason: `To ${operation.toLowerCase()}.` }, 'keyApproval { id }')).keyApproval.id;
    const destroy = await wish('DESTROY', 'links', ofLink);
    const opened = await wish('OPEN_COMPROMISED', 'receipts', (await keysOf('receipts'))[0]);
    await second.context.clearCookies();
    await second.goto('/keys/approvals');
    await second.signIn('second-manager@consumer.example.com');
    await second.mutate('giveKeyApproval', { approvalId: opened }, 'keyApproval { id }');
    const row = (person, why) => person.page.getByRole('listitem').filter({ hasText: why });
    await row(second, 'To destroy.').getByRole('link', { name: /^The key of the connection with / }).waitFor();
    await row(second, 'To destroy.').getByRole('button', { name: 'Approve' }).click();
    await second.page.getByRole('dialog').getByText(/the key of the connection with /).waitFor();
    await second.look('keys-approve-of-connection');
    await second.press('Not now');
    await manager.goto('/keys/approvals');
    await row(manager, 'To open_compromised.').getByText('openData').waitFor();
    await manager.look('keys-approved-elsewhere');
    await row(manager, 'To destroy.').getByRole('link', { name: /^The key of the connection with / }).click();
    await panel(manager, 'Keys').getByText('waits for a second person').waitFor();
    for (const approvalId of [destroy, opened]) await manager.mutate('withdrawKeyApproval', { approvalId }, 'keyApproval { id }');
  },

  async 'the key encryption key is rotated while everything goes on, and the old one goes'() {
    await manager.goto('/keys');
    await manager.sees('Version 1 is in use.');
    await manager.press('Rotate the key encryption key');
    await manager.look('key-encryption-ask');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Rotate' }).click();
    await manager.sees('The rotation has begun.');
    await manager.sees('Version 2 is in use.', 60_000);
    await manager.look('key-encryption-rotating');
    await host('@later 180');
    await manager.sees(/wrapped again, and the old one is gone/, 60_000);
    await manager.look('key-encryption-rotated');
  },
});
