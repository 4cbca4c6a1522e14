// Those who look after keys: what each of them sees, a policy that denies and how that is explained, the
// audit log, and what needs a second person.
import assert from 'node:assert/strict';
import { CONSUMER, Person, run, until } from './person.mjs';

let auditor, grace, manager, second, connection;
const panel = (person, title) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: title, exact: true }) });

await run({
  async 'a key auditor sees components, modules and the life of each version'() {
    auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.goto('/keys');
    await auditor.signIn('auditor@consumer.example.com');
    await auditor.heading('Keys');
    await auditor.sees('Identity signing key');
    await auditor.page.getByText(/^identity · Ed25519/).click();
    await auditor.page.getByRole('list', { name: 'Life of version 1' }).first().waitFor();
    await auditor.look('keys-auditor');
  },

  async 'an administrator without a key role is told whose these pages are'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    const { connections } = await grace.graphql('{ connections { edges { node { id } } } }');
    connection = connections.edges[0].node.id;
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
    await auditor.look('keys-access-auditor');
  },

  async 'a key manager denies a part of the program the use of a key'() {
    manager = await Person.at(CONSUMER, 'manager');
    await manager.goto('/keys/access?module=links');
    await manager.signIn('manager@consumer.example.com');
    await manager.press('Add a policy');
    await manager.press('Save');
    await manager.sees('Choose at least one operation.');
    await manager.look('keys-policy-problem');
    await manager.page.getByLabel('What follows').selectOption('STRICT_REJECT');
    await manager.page.getByLabel('For whom').selectOption('SERVICE');
    await manager.page.getByLabel('Which part').selectOption('PEER');
    await manager.page.getByRole('checkbox', { name: 'Seal', exact: true }).check();
    await manager.page.getByLabel('Why it exists').fill('Nothing leaves until it is clear who has the key.');
    await manager.press('Save');
    await panel(manager, 'Access policies').getByText('Nothing leaves until it is clear').waitFor();
    await manager.look('keys-access-manager');
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
  },

  async 'the policy is deleted after a question, and the connection is verified again'() {
    await panel(manager, 'Access policies').getByRole('listitem').filter({ hasText: 'Nothing leaves' }).getByRole('button', { name: /^Delete/ }).click();
    await manager.look('keys-policy-delete');
    await manager.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await manager.sees('Deleted.');
    await until('verified again', async () => {
      await grace.press('Verify the connection');
      await panel(grace, 'Verification').locator('.panel-head .badge', { hasText: /Passed|Failed/ }).waitFor({ timeout: 30_000 });
      return await panel(grace, 'Verification').locator('.panel-head .badge', { hasText: 'Passed' }).count() === 1;
    }, 60_000);
  },

  async 'the audit log shows who did what, to each what is theirs to see'() {
    await auditor.goto('/audit');
    await auditor.heading('Audit log');
    await auditor.page.locator('table.rows tbody tr').first().waitFor();
    await auditor.look('audit-auditor');
    await grace.goto('/audit');
    await grace.page.locator('table.rows tbody tr').nth(3).waitFor();
    await grace.page.getByLabel('Operation begins with').fill('session.');
    await grace.page.waitForFunction(() => [...document.querySelectorAll('table.rows tbody code:first-of-type')].length > 0);
    await grace.look('audit-admin');
  },

  async 'what cannot be taken back is asked for by one person and approved by another'() {
    await manager.follow('Approvals');
    await manager.press('Ask for an approval');
    await manager.page.getByLabel('What is to be done').selectOption('ROTATE_ROOT');
    await manager.press('Ask');
    await manager.sees('Say why, for whoever answers.');
    await manager.page.getByLabel('Why', { exact: true }).fill('It is a year old.');
    await manager.press('Ask');
    await manager.page.locator('.badge', { hasText: 'Waiting for approval' }).waitFor();
    assert.equal(await manager.page.getByRole('button', { name: 'Approve' }).count(), 0, 'nobody approves their own');
    await manager.look('keys-approval-asked');
    second = await Person.at(CONSUMER, 'second-manager');
    await second.goto('/keys/approvals');
    await second.signIn('second-manager@consumer.example.com');
    await second.press('Approve');
    await second.look('keys-approve');
    await second.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await second.page.locator('.badge', { hasText: 'Approved' }).waitFor();
    await second.look('keys-approved');
  },
});
