// The key encryption key, under which every other key is stored, and how far its rotation is.
import { offered } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { command, resource } from './resource.js';
import { announce, ask, toast } from './say.js';
import { badge, button, notice, on, outcome, section } from './ui.js';
import { html, nothing } from './view.js';
import { count } from './words.js';

const KEY = gql`query KeyEncryptionKey {
  keyEncryptionKey {
    version actions { name label allowed needsStepUp reason }
    rotation { state stateLabel total done startedAt oldKeyUntil finishedAt error errorSince }
  }
}`;

const ROTATE = gql`mutation RotateKeyEncryptionKey($input: RotateKeyEncryptionKeyInput!) {
  rotateKeyEncryptionKey(input: $input) { keyEncryptionKey { version } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** The panel of the keys' page, for whoever may read of it. */
export function keyEncryption(update) {
  const key = resource(KEY, {}, changed);
  const act = command(update);
  let said = null;

  /** Says how a rotation goes while somebody looks. */
  function changed() {
    const state = key.data?.keyEncryptionKey.rotation?.stateLabel ?? null;
    if (said && state && state !== said) announce(`Rotation of the key encryption key: ${state}.`);
    said = state;
    update();
  }

  async function rotate() {
    const sure = await ask({ title: 'Rotate the key encryption key?', body: html`<p>Another one is in use at once, and every key is wrapped under it again, one after the other, while everything goes on. The old one is removed when nothing is left under it.</p>`, confirm: 'Rotate' });
    if (sure && await act.run(() => mutate(ROTATE, {}))) toast('The rotation has begun. It goes on by itself.');
    await key.refresh();
  }

  function rotation(now) {
    if (!now) return html`<p class="small">It was not rotated yet.</p>`;
    const under = `${now.done} of ${count(now.total, 'key')}`;
    return html`${now.finishedAt ? html`<p>Rotated ${on(now.finishedAt)}: ${under} wrapped again, and the old one is gone.</p>`
      : html`<div class="progress"><progress max=${now.total || 1} value=${now.total ? now.done : 1} aria-label="Keys wrapped again"></progress><span class="small">${now.done} of ${now.total}</span></div>
        <p class="small">${under} wrapped again, begun ${on(now.startedAt)}.${now.oldKeyUntil ? html` The old one is removed ${on(now.oldKeyUntil)}, if nothing is left under it.` : nothing}</p>`}
      ${now.error ? notice('bad', 'The rotation does not go on.', html`<p>${now.error}${now.errorSince ? html` Since ${on(now.errorSince)}.` : nothing} It is tried again every 30 seconds by itself; nothing is lost meanwhile. If it stays so, ask this instance’s operator.</p>`) : nothing}`;
  }

  function shown({ keyEncryptionKey: now }) {
    const verb = now.actions.find((action) => action.name === 'rotateKeyEncryptionKey');
    return section('key-encryption', 'Key encryption key', html`<p>Every key is stored wrapped under it. Version ${now.version} is in use.</p>
      ${rotation(now.rotation)}
      ${outcome(act)}
      <div class="buttons">${offered(verb) ? button(html`Rotate<span class="unseen"> the key encryption key</span>`, rotate, { kind: 'secondary', busy: act.busy }) : html`<p class="small">${verb?.reason}</p>`}</div>`,
    { aside: now.rotation && !now.rotation.finishedAt ? badge(now.rotation.error ? 'FAILED' : 'RUNNING', now.rotation.stateLabel) : nothing });
  }

  return { refresh: key.refresh, view: () => key.part('The key encryption key', shown) };
}
