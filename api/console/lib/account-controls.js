// What is done to somebody's account, beside their name: switched off or on, and given a password.
import { mutate } from './api.js';
import { may } from './actions.js';
import { setPasswordFor } from './password.js';
import { ask, toast } from './say.js';
import { button } from './ui.js';
import { html, nothing } from './view.js';

/**
 * The controls for `one`, each only where it is offered. `act` carries them out, `SWITCH` is the mutation that switches the
 * account, `ends` says what ends then.
 */
export function accountControls(one, act, { SWITCH, ends, refresh }) {
  async function toggle() {
    const { id, name, active, revision } = one;
    const sure = !active || await ask({
      title: `Switch ${name} off?`,
      body: html`<p>${ends} Nothing else changes; you can switch them on again.</p>`,
      confirm: 'Switch off',
    });
    if (!sure) return;
    if (await act.run(() => mutate(SWITCH, { userId: id, active: !active, expectedRevision: revision }))) toast(`The account of ${name} is switched ${active ? 'off' : 'on'}.`);
    await refresh();
  }

  return html`${may(one, 'updateContact') || may(one, 'updateUser') ? button(html`${one.active ? 'Switch off' : 'Switch on'}<span class="unseen"> ${one.name}</span>`, toggle, { kind: 'text' }) : nothing}${may(one, 'setPassword') ? setPasswordFor(one, act) : nothing}`;
}
