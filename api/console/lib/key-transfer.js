// Keys that come from another system, and keys that leave for one: wrapped, and with a second person's agreement.
import { gql, mutate, request } from './api.js';
import { REFUSAL } from './fragments.js';
import { ask, askFor, copy } from './say.js';
import { button } from './ui.js';
import { html } from './view.js';

const ASK = gql`mutation RequestTransfer($input: RequestKeyApprovalInput!) {
  requestKeyApproval(input: $input) { keyApproval { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const OFFER = gql`mutation OfferKeyImport($input: OfferKeyImportInput!) {
  offerKeyImport(input: $input) { keyImportOffer { offerId algorithm publicKey associatedData } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const IMPORT = gql`mutation ImportKey($input: ImportKeyInput!) {
  importKey(input: $input) { key { version state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const EXPORT = gql`mutation ExportKey($input: ExportKeyInput!) {
  exportKey(input: $input) { keyPackage { package associatedData } refusal { ...RefusalParts } }
}
${REFUSAL}`;
const OBJECT = gql`query ExportObject($module: String!, $version: Int!, $publicKey: String!, $associatedData: String) {
  key(module: $module, version: $version) { exportObject(publicKey: $publicKey, associatedData: $associatedData) }
}`;

/** 32 bytes as base64url. */
const PUBLIC_KEY = /^[\w-]{43}$/;
const BASE64URL = /^[\w-]*$/;

/** Something to hand over, with a button that copies it. */
const handed = (label, text) => html`<span class="handed"><strong>${label}</strong><code class="secret">${text}</code>${button(`Copy the ${label.toLowerCase()}`, () => copy(text, label), { kind: 'small-button secondary' })}</span>`;

/** Asks a second person for their agreement. */
async function agreement(title, body, input, run) {
  const said = await askFor({ title, body, confirm: 'Ask', cancel: 'Not now', fields: [{ name: 'reason', label: 'Why', required: 'Say why, for whoever answers.', maxlength: 500 }] });
  if (said) await run(() => mutate(ASK, { ...input, reason: said.reason.trim() }), 'Asked. Another person answers.');
}

/** The request to import a key into this module, of those that are not at their end. */
export const importAsked = (module, approvals) => approvals.find((one) => one.operation === 'IMPORT' && one.module === module.name);

/** Asks whether a key may be taken in. */
export const askToImport = (module, run) => agreement(`Ask to import a key into ${module.name}?`, 'A second person has to agree. Then another system wraps its key for this instance, and it becomes the next version, not yet in use.', { operation: 'IMPORT', module: module.name }, run);

/** Takes a key in, as the second person agreed. */
export async function importKey(module, asked, run) {
  let offer = null;
  await run(async () => {
    const payload = await mutate(OFFER, { module: module.name });
    offer = payload.keyImportOffer;
    return payload;
  });
  if (!offer) return;
  const said = await askFor({
    title: `Import a key into ${module.name}`,
    body: html`Give these to the other system: it wraps a key of ${offer.algorithm} with them. The associated data is bound into the package. They are good for ten minutes and one package. ${handed('Public key', offer.publicKey)}${handed('Associated data', offer.associatedData)}`,
    confirm: 'Import',
    cancel: 'Not now',
    fields: [{ name: 'package', label: 'The package that came back', required: 'Enter the package.', maxlength: 700, check: (text) => (BASE64URL.test(text.trim()) ? null : 'A package is base64url: letters, digits, - and _.') }],
  });
  if (said) await run(() => mutate(IMPORT, { module: module.name, offerId: offer.offerId, package: said.package.trim(), approvalId: asked.id }), 'Imported: a new version, not yet in use.');
}

/** Wraps a key for another system, or asks whether one may. */
export async function exportKey(key, { approvals, run }) {
  const receiver = await askFor({
    title: `Export version ${key.version} of ${key.module}`,
    body: 'For whom is it wrapped? Only who holds the private half of this key can open the package.',
    confirm: 'Go on',
    cancel: 'Not now',
    fields: [
      { name: 'publicKey', label: 'Public key of the receiver', required: 'Enter the receiver’s public key.', help: 'X25519, base64url, 43 characters. Another instance’s offer says it.', maxlength: 64, check: (text) => (PUBLIC_KEY.test(text.trim()) ? null : 'It has 43 characters: letters, digits, - and _.') },
      { name: 'associatedData', label: 'Associated data', optional: true, help: 'Another instance’s offer says it, too.', maxlength: 700, check: (text) => (BASE64URL.test(text.trim()) ? null : 'It is base64url: letters, digits, - and _.') },
    ],
  });
  if (!receiver) return;
  const associatedData = receiver.associatedData.trim();
  const to = { publicKey: receiver.publicKey.trim(), ...(associatedData ? { associatedData } : {}) };
  let object = null;
  await run(async () => {
    const found = await request(OBJECT, { module: key.module, version: key.version, ...to });
    object = found.key?.exportObject ?? null;
    return {};
  });
  if (!object) return;
  const asked = approvals().find((one) => one.operation === 'EXPORT' && one.object === object);
  if (!asked) await agreement('Ask to let this key leave?', 'A second person has to agree, to exactly this key and this receiver. Then export it once more, for the same receiver.', { operation: 'EXPORT', module: key.module, object }, run);
  else if (!asked.viewerCanUse) await ask({ title: 'Not yet', body: html`<p>${asked.state === 'PENDING' ? 'It waits for a second person to agree.' : 'Somebody else asked for it: they can do it.'}</p>`, confirm: 'Understood', cancel: null });
  else await wrap(key, to, asked, run);
}

async function wrap(key, to, asked, run) {
  let made = null;
  await run(async () => {
    const payload = await mutate(EXPORT, { module: key.module, version: key.version, ...to, approvalId: asked.id });
    made = payload.keyPackage;
    return payload;
  });
  if (made) await ask({ title: 'The key is wrapped', body: html`<p>Hand the package over, and the associated data with it: it opens only with both. Nobody but the receiver can open it.</p><p>${handed('Package', made.package)}</p><p>${handed('Associated data', made.associatedData)}</p>`, confirm: 'I have it', cancel: null });
}
