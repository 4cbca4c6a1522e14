// Keys that are made before they are needed, that come from another system, and that leave for one: with two people.
import assert from 'node:assert/strict';
import { CONSUMER, Person, run, until } from './person.mjs';

let manager, second;
const panel = (person, title) => person.page.locator('.panel', { has: person.page.getByRole('heading', { name: title, exact: true }) });
/** The step at which a version of a key is. */
const life = (person, version) => person.page.getByRole('list', { name: `Life of version ${version}` }).locator('[aria-current] span').first();

/** Has the key of the module *parcels* wrapped in another window for whoever holds this, with the agreement of both; the package. */
async function wrapped(publicKey, associatedData) {
  const other = await Person.at(CONSUMER, 'exporter', { storageState: await manager.context.storageState() });
  await other.goto('/keys/modules/parcels');
  const receive = async () => {
    await other.press('Export version 2 of parcels');
    await other.press('Go on');
    await other.sees('Enter the receiver’s public key.');
    await other.page.getByLabel('Public key of the receiver').fill(publicKey);
    await other.page.getByLabel('Associated data').fill(associatedData);
    await other.press('Go on');
  };
  await receive();
  await other.page.getByRole('dialog', { name: 'Ask to let this key leave?' }).getByLabel('Why').fill('It moves there.');
  await other.press('Ask');
  await panel(other, 'Approvals').getByText('It moves there.').waitFor();
  await receive();
  await other.sees('It waits for a second person to agree.');
  await other.press('Understood');
  await second.goto('/keys/approvals');
  await second.press('Approve');
  await second.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
  await panel(other, 'Approvals').locator('.badge', { hasText: 'Approved' }).waitFor();
  await receive();
  await other.page.getByRole('dialog', { name: 'The key is wrapped' }).waitFor();
  await other.look('key-exported');
  const [made] = await other.page.locator('.secret').allInnerTexts();
  await other.press('I have it');
  await other.close();
  return made;
}

await run({
  async 'a key is made for later, and put into use when it is time'() {
    manager = await Person.at(CONSUMER, 'manager');
    await manager.signIn('manager@consumer.example.com');
    second = await Person.at(CONSUMER, 'second-manager');
    await second.signIn('second-manager@consumer.example.com');
    await manager.mutate('createKeyModule', { name: 'parcels', purpose: 'AUTHENTICATION', algorithm: 'HMAC-SHA256', exportable: true }, 'keyModule { name }');
    for (const verb of ['publishKeyModule', 'rotateKeyModule']) await manager.mutate(verb, { module: 'parcels' }, 'keyModule { name }');
    await manager.goto('/keys/modules/parcels');
    await manager.press('Make a key for later');
    await manager.press('Make it');
    await manager.sees('Made: a new version, not yet in use.');
    assert.equal(await life(manager, 2).innerText(), 'Pre-active');
    await manager.press('Put into use version 2 of parcels');
    await manager.press('Put it into use');
    await until('in use', async () => await life(manager, 2).innerText() === 'Active');
  },

  async 'what was asked for is refused with a reason, which whoever asked reads; or they take it back'() {
    await manager.goto('/keys/approvals');
    const wants = async (why) => {
      await manager.press('Ask for an approval');
      await manager.page.getByLabel('What is to be done').selectOption('ROTATE_ROOT');
      await manager.page.getByLabel('Why', { exact: true }).fill(why);
      await manager.press('Ask');
      await manager.page.locator('.badge', { hasText: 'Waiting for approval' }).waitFor();
    };
    await wants('It is a year old.');
    await second.goto('/keys/approvals');
    await second.press('Refuse');
    const dialog = second.page.getByRole('dialog', { name: 'Refuse this?' });
    await dialog.getByRole('button', { name: 'Refuse' }).click();
    await second.sees('Say why, for whoever asked.');
    await dialog.getByLabel('Why').fill('Not before the holidays.');
    await second.look('keys-refuse');
    await dialog.getByRole('button', { name: 'Refuse' }).click();
    await manager.page.locator('.badge', { hasText: 'Refused' }).waitFor();
    await manager.sees('Because: Not before the holidays.');
    await wants('It is still a year old.');
    await manager.press('Withdraw');
    await manager.page.locator('.badge', { hasText: 'Withdrawn' }).waitFor();
    await manager.look('keys-refused-and-withdrawn');
  },

  async 'a key comes in from another system, wrapped, when a second person has agreed'() {
    await manager.mutate('createKeyModule', { name: 'post', purpose: 'AUTHENTICATION', algorithm: 'HMAC-SHA256' }, 'keyModule { name }');
    await manager.mutate('publishKeyModule', { module: 'post' }, 'keyModule { name }');
    await manager.goto('/keys/modules/post');
    await manager.press('Ask to import a key');
    await manager.page.getByRole('dialog').getByLabel('Why').fill('It moves here.');
    await manager.press('Ask');
    await panel(manager, 'Approvals').getByText('It moves here.').waitFor();
    assert.equal(await manager.page.getByRole('button', { name: 'Import a key' }).count(), 0, 'not before a second person agreed');
    await second.goto('/keys/modules/post');
    await second.press('Approve');
    await second.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await manager.press('Import a key');
    const dialog = manager.page.getByRole('dialog', { name: 'Import a key into post' });
    await manager.look('key-import');
    await manager.tabs('key-import');
    const [publicKey, associatedData] = await dialog.locator('.secret').allInnerTexts();
    await dialog.getByLabel('The package that came back').fill('no package!');
    await dialog.getByRole('button', { name: 'Import' }).click();
    await manager.sees('A package is base64url');
    await dialog.getByLabel('The package that came back').fill(await wrapped(publicKey, associatedData));
    await dialog.getByRole('button', { name: 'Import' }).click();
    await manager.sees('Imported: a new version, not yet in use.');
    assert.equal(await life(manager, 1).innerText(), 'Pre-active');
  },
});
