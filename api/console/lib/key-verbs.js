// What can be done with key modules and with versions of keys, by whoever holds the role for it.
import { offered, withheld } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { askToImport, exportKey, importAsked, importKey } from './key-transfer.js';
import { ask, askFor } from './say.js';
import { button, on } from './ui.js';
import { html, nothing } from './view.js';

const MODULE_VERBS = {
  specifyKeyModule: gql`mutation SpecifyKeyModule($input: SpecifyKeyModuleInput!) {
    specifyKeyModule(input: $input) { keyModule { name } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  publishKeyModule: gql`mutation PublishKeyModule($input: PublishKeyModuleInput!) {
    publishKeyModule(input: $input) { keyModule { name } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  rotateKeyModule: gql`mutation RotateKeyModule($input: RotateKeyModuleInput!) {
    rotateKeyModule(input: $input) { keyModule { name } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  generateKey: gql`mutation GenerateKey($input: GenerateKeyInput!) {
    generateKey(input: $input) { keyModule { name } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  scheduleKeyModule: gql`mutation ScheduleKeyModule($input: ScheduleKeyModuleInput!) {
    scheduleKeyModule(input: $input) { keyModule { name } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
};

const KEY_VERBS = {
  activateKey: gql`mutation ActivateKey($input: ActivateKeyInput!) {
    activateKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  suspendKey: gql`mutation SuspendKey($input: SuspendKeyInput!) {
    suspendKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  resumeKey: gql`mutation ResumeKey($input: ResumeKeyInput!) {
    resumeKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  renewKey: gql`mutation RenewKey($input: RenewKeyInput!) {
    renewKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  deactivateKey: gql`mutation DeactivateKey($input: DeactivateKeyInput!) {
    deactivateKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  revokeKey: gql`mutation RevokeKey($input: RevokeKeyInput!) {
    revokeKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  markKeyCompromised: gql`mutation MarkKeyCompromised($input: MarkKeyCompromisedInput!) {
    markKeyCompromised(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  destroyKey: gql`mutation DestroyKey($input: DestroyKeyInput!) {
    destroyKey(input: $input) { key { version state } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
};

const ASK_TO_DESTROY = gql`mutation RequestDestruction($input: RequestKeyApprovalInput!) {
  requestKeyApproval(input: $input) { keyApproval { id } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const DAY_S = 86_400;
const WHY = { name: 'reason', label: 'Why', required: 'Say why, for those who come after you.', maxlength: 500 };

/** What is asked before a key is taken out of use, and said after it. */
const TAKEN = {
  suspendKey: ['Suspend this key?', 'It neither makes nor reads anything until it is resumed.', 'Suspend', 'suspended.'],
  revokeKey: ['Revoke this key?', 'It makes nothing any more, and nobody brings it back. What it made can still be read.', 'Revoke', 'revoked.'],
  markKeyCompromised: ['Mark this key as compromised?', 'Others are believed to know it: what it made is read only for a stated reason and with a second person’s agreement.', 'Mark as compromised', 'marked as compromised.'],
};
/** Said besides where the key is that of a connection. */
const PEER_HEARS = ' Messages of the connection stop on both sides, and the other side hears the reason.';

const EXPIRIES = [['30', 'in 30 days'], ['90', 'in 90 days'], ['365', 'in 1 year'], ['730', 'in 2 years'], ['', 'never']];
const PERIODS = [['', 'by people only'], ['2592000', 'every 30 days'], ['7776000', 'every 90 days'], ['31536000', 'every year']];
const LIFETIMES = [['', 'never'], ['7776000', 'after 90 days'], ['31536000', 'after 1 year'], ['63072000', 'after 2 years']];
const EXPORTS = [['', 'never'], ['yes', 'when a second person agrees']];

const LEADS_ON = new Set(['publishKeyModule', 'rotateKeyModule']);

/** When a key may expire at the latest, by its module's lifetime in seconds; null for never. */
const expiries = (lifetime) => {
  if (lifetime === null) return EXPIRIES;
  const within = EXPIRIES.filter(([days]) => days && Number(days) * DAY_S <= lifetime);
  return within.length ? within : [[String(lifetime / DAY_S), 'as late as its module allows']];
};

/** A span of the choices, or the one that holds, in days. */
const among = (choices, seconds) => (seconds === null || choices.some(([value]) => value === String(seconds)) ? choices : [...choices, [String(seconds), `${Math.round(seconds / DAY_S)} days, as now`]]);

/** The fields that say what holds for the keys of a module, with what holds now. */
export const termFields = (module = {}) => [
  { name: 'rotationPeriod', label: 'Rotated', choices: among(PERIODS, module.rotationPeriod ?? null), value: String(module.rotationPeriod ?? '') },
  { name: 'keyLifetime', label: 'Keys expire', choices: among(LIFETIMES, module.keyLifetime ?? null), value: String(module.keyLifetime ?? '') },
  { name: 'exportable', label: 'Keys may leave, wrapped', choices: EXPORTS, value: module.exportable ? 'yes' : '' },
];

/** What these fields say, as the API takes it. */
export const termsOf = ({ rotationPeriod, keyLifetime, exportable }) => ({
  exportable: exportable === 'yes',
  ...(rotationPeriod ? { rotationPeriod: Number(rotationPeriod) } : {}),
  ...(keyLifetime ? { keyLifetime: Number(keyLifetime) } : {}),
});

/**
 * The controls of a module. `run(action, words)` carries one out and says the words, if any; `approvals()` are the
 * requests that concern the module and are not at their end.
 */
export function moduleVerbs(module, { approvals, run }) {
  const send = (name, input, words) => run(() => mutate(MODULE_VERBS[name], { module: module.name, ...input }), words);
  /** As the person read it: what somebody else changed meanwhile is not overwritten. */
  const edit = (name, input, words) => send(name, { ...input, expectedRevision: module.revision }, words);
  const asked = importAsked(module, approvals());
  const press = {
    importKey: () => (asked ? importKey(module, asked, run) : askToImport(module, run)),
    async generateKey() {
      const sure = await ask({ title: `Make a key of ${module.name} for later?`, body: html`<p>It is not in use until somebody puts it into use.</p>`, confirm: 'Make it', cancel: 'Not now' });
      if (sure) await send('generateKey', {}, 'Made: a new version, not yet in use.');
    },
    async specifyKeyModule() {
      const wish = await askFor({ title: `What holds for the keys of ${module.name}?`, body: 'Fixed once the module is published; only when its keys rotate by themselves can be changed then.', confirm: 'Save', fields: termFields(module) });
      if (wish) await edit('specifyKeyModule', termsOf(wish), 'The draft was changed.');
    },
    async publishKeyModule() {
      const sure = await ask({ title: `Publish ${module.name}?`, body: html`<p>Its keys can be made and used from then on. Purpose, algorithm, expiry and export are fixed for good.</p>`, confirm: 'Publish', cancel: 'Not now' });
      if (sure) await edit('publishKeyModule', {}, 'Published: its first key can be made.');
    },
    async rotateKeyModule() {
      const first = !module.versions.length;
      const sure = await ask(first
        ? { title: `Make the first key of ${module.name}?`, body: html`<p>It is in use at once.</p>`, confirm: 'Make it', cancel: 'Not now' }
        : { title: `Rotate the key of ${module.name}?`, body: html`<p>A new version is in use at once. The one before makes nothing more, but still opens and verifies what it made.</p>`, confirm: 'Rotate' });
      if (sure) await send('rotateKeyModule', {}, first ? 'The first key is in use.' : 'Rotated: a new version is in use.');
    },
    async scheduleKeyModule() {
      const [period] = termFields(module);
      const wish = await askFor({ title: `When do the keys of ${module.name} rotate by themselves?`, body: 'A rotation is due so long after the key was put into use.', confirm: 'Save', fields: [period] });
      if (wish) await edit('scheduleKeyModule', wish.rotationPeriod ? { rotationPeriod: Number(wish.rotationPeriod) } : {}, 'The schedule was saved.');
    },
  };
  const label = ({ name, label: known }) => {
    if (name === 'rotateKeyModule' && !module.versions.length) return 'Make the first key';
    return name === 'importKey' ? (asked ? 'Import a key' : 'Ask to import a key') : known;
  };
  // What leads on comes first; an import that was asked for waits until it is agreed to.
  return module.actions.filter((action) => offered(action) && press[action.name] && !(action.name === 'importKey' && asked && !asked.viewerCanUse))
    .sort((one, other) => LEADS_ON.has(other.name) - LEADS_ON.has(one.name))
    .map((action, at) => button(label(action), press[action.name], { kind: at ? 'secondary' : '' }));
}

/**
 * The controls of a version, and why the others are not there. `approvals()` are the requests that concern its module
 * and are not at their end, and `lifetime` is how long a key of the module lives at most, in seconds; null for ever.
 */
export function keyVerbs(key, { approvals, run, lifetime = null, number = key.version }) {
  const link = key.module.startsWith('links/');
  const named = link ? `epoch ${number} of this connection` : `version ${key.version} of ${key.module}`;
  const send = (name, input, words) => run(() => mutate(KEY_VERBS[name], { module: key.module, version: key.version, ...input }), `${named[0].toUpperCase()}${named.slice(1)}: ${words}`);
  const asked = approvals().find((one) => one.operation === 'DESTROY' && one.object === key.keyId);
  const usable = asked?.viewerCanUse;

  async function press(name) {
    if (TAKEN[name]) {
      const [title, body, confirm, done] = TAKEN[name];
      const said = await askFor({ title, body: body + (link ? PEER_HEARS : ''), confirm, fields: [WHY] });
      if (said) await send(name, { reason: said.reason.trim() }, done);
    } else if (name === 'resumeKey') await send(name, {}, 'resumed.');
    else if (name === 'exportKey') await exportKey(key, { approvals, run });
    else if (name === 'activateKey') {
      const sure = await ask({ title: `Put ${named} into use?`, body: html`<p>Whichever is in use now makes nothing more, but still opens and verifies what it made.</p>`, confirm: 'Put it into use', cancel: 'Not now' });
      if (sure) await send(name, {}, 'in use.');
    }
    else if (name === 'deactivateKey') {
      const sure = await ask({ title: `Deactivate ${named}?`, body: html`<p>It makes nothing more, and nothing takes its place. It still opens and verifies what it made.</p>`, confirm: 'Deactivate', danger: true });
      if (sure) await send(name, {}, 'deactivated.');
    }
    else if (name === 'renewKey') {
      const choices = expiries(lifetime);
      const wish = await askFor({ title: 'When does this key expire?', body: 'Counted from now. After that it no longer seals or signs; it still opens and verifies.', confirm: 'Renew', fields: [{ name: 'days', label: 'Expires', choices, value: choices.some(([days]) => days === '365') ? '365' : choices.at(-1)[0] }] });
      if (wish) await send(name, wish.days ? { expiresAt: new Date(Date.now() + Number(wish.days) * DAY_S * 1000).toISOString() } : {}, 'renewed.');
    } else if (usable) {
      const sure = await ask({ title: `Destroy ${named}?`, body: html`<p>Its material is erased for good. Whatever can only be opened or verified with it is lost.</p>`, confirm: 'Destroy', danger: true, typed: 'destroy' });
      if (sure) await send(name, { approvalId: asked.id }, 'destroyed.');
    } else {
      const said = await askFor({ title: `Ask to destroy ${named}?`, body: 'A second person has to agree, and it can be done seven days from now at the earliest. Then its material is erased for good.', confirm: 'Ask', fields: [WHY] });
      if (said) await run(() => mutate(ASK_TO_DESTROY, { operation: 'DESTROY', module: key.module.split('/')[0], object: key.keyId, reason: said.reason.trim() }), 'Asked. Another person answers.');
    }
  }

  const waits = asked && !usable;
  const shown = key.actions.filter((action) => offered(action) && (KEY_VERBS[action.name] || action.name === 'exportKey') && !(waits && action.name === 'destroyKey'));
  const label = (action) => (action.name === 'destroyKey' && !usable ? 'Ask to destroy' : action.label);
  return html`${shown.length ? html`<div class="buttons">${shown.map((action) => button(html`${label(action)}<span class="unseen"> ${named}</span>`, () => press(action.name), { kind: 'small-button secondary' }))}</div>` : nothing}
    ${waits ? html`<p class="small">${asked.askedBy.name ?? 'Somebody'} asked to destroy it: ${asked.state === 'PENDING' ? html`<a href="/keys/approvals?state=PENDING">waits for a second person</a>` : html`approved, possible from ${on(asked.usableFrom)} by whoever asked`}.</p>` : nothing}
    ${withheld(key.actions, html`Not possible now<span class="unseen"> with ${named}</span>`)}`;
}
