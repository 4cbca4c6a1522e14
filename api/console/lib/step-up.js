// What matters most is done only by whoever proves once more, within minutes, that it is they who sit here.
import { gql, request } from './api.js';
import { announce, modal } from './say.js';
import { command } from './resource.js';
import { button, input, outcome, signInPath, submit } from './ui.js';
import { html } from './view.js';

const STEP_UP = gql`mutation StepUp($input: StepUpInput!) {
  stepUp(input: $input) { freshUntil refusal { ...StepUpRefusal } }
}
${gql`fragment StepUpRefusal on Refusal { code codeLabel message field reason docsUrl traceId remedy { text } }`}`;

let open = null;

/** Asks for the password in a dialog; answers whether it was right. What needs it waits meanwhile. */
export function confirmIdentity() {
  open ??= ask().finally(() => { open = null; });
  return open;
}

async function ask() {
  const confirmed = await modal(false, ({ dialog, end, redraw }) => {
    const act = command(redraw);
    let password = '';
    let problem = null;

    async function send(event) {
      event.preventDefault();
      problem = password ? null : 'Enter your password.';
      redraw();
      if (!problem && await act.run(async () => (await request(STEP_UP, { input: { password } })).stepUp)) end(true);
      else dialog.querySelector('#step-up-password').focus();
    }

    return () => html`<h2 id="ask-title">Is it you?</h2>
      <p id="step-up-why">What you are about to do matters much, so confirm that it is you who sits here. It holds for five minutes.</p>
      <form class="stack" novalidate @submit=${send}>
        ${input({ id: 'step-up-password', type: 'password', label: 'Your password', value: password, maxlength: 256, autocomplete: 'current-password', error: problem, change: (text) => { password = text; } })}
        ${outcome(act)}
        <div class="buttons">${submit('Confirm', { busy: act.busy })}${button('Do not do it', () => end(false), { kind: 'secondary' })}</div>
      </form>
      <p class="small">No password? <a href=${signInPath()}>Sign in again with a code by mail</a>, then repeat what you did within five minutes.</p>`;
  }, { describedby: 'step-up-why' });
  if (confirmed) announce('Confirmed.');
  return confirmed;
}
