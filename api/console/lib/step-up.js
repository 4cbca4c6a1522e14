// What matters most is done only by whoever proves once more, within minutes, that it is they who sit here.
import { gql, mutate, request } from './api.js';
import { REFUSAL } from './fragments.js';
import { command } from './resource.js';
import { announce, modal } from './say.js';
import { button, input, outcome, submit } from './ui.js';
import { html, nothing } from './view.js';

const STEP_UP = gql`mutation StepUp($input: StepUpInput!) {
  stepUp(input: $input) { freshUntil refusal { ...StepUpRefusal } }
}
${gql`fragment StepUpRefusal on Refusal { code codeLabel message field reason docsUrl traceId remedy { text } }`}`;
const SEND = gql`mutation RequestStepUpCode($input: RequestStepUpCodeInput!) {
  requestStepUpCode(input: $input) { done refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** What shows it: how it is asked for, and what is wrong with nothing. */
const MEANS = {
  password: { label: 'Your password', type: 'password', maxlength: 256, autocomplete: 'current-password', none: 'Enter your password.' },
  code: { label: 'Code from the email', maxlength: 20, autocomplete: 'one-time-code', none: 'Enter the code from the email.' },
};

let open = null;

/** Asks for the password, or a code by mail, in a dialog; answers whether it was right. What needs it waits meanwhile. */
export function confirmIdentity(instance) {
  open ??= ask(instance).finally(() => { open = null; });
  return open;
}

async function ask({ mailOn }) {
  const confirmed = await modal(false, ({ dialog, end, redraw }) => {
    const act = command(redraw);
    const letter = command(redraw);
    let means = 'password';
    let value = '';
    let problem = null;
    /** That it was not the right one is a matter of the field. */
    const wrong = () => (act.refusal?.code === 'CREDENTIALS_INVALID' ? act.refusal.message : null);
    const focus = () => requestAnimationFrame(() => dialog.querySelector('input').focus());

    async function send(event) {
      event.preventDefault();
      problem = value.trim() ? null : MEANS[means].none;
      redraw();
      if (!problem && await act.run(async () => (await request(STEP_UP, { input: { [means]: value } })).stepUp)) end(true);
      else focus();
    }

    function turn(to) {
      means = to;
      value = '';
      problem = null;
      act.clear();
      letter.clear();
      redraw();
      focus();
    }

    async function mail() {
      if (!await letter.run(() => mutate(SEND, {}))) return;
      turn('code');
      announce('An email with a code is on its way to you.');
    }

    const other = () => (means === 'code'
      ? html`<span class="buttons">${button('Send another email', mail, { kind: 'text', busy: letter.busy })}${button('Give the password instead', () => turn('password'), { kind: 'text' })}</span>`
      : mailOn ? html`No password? ${button('Email me a code instead', mail, { kind: 'text', busy: letter.busy })}` : 'No password? An administrator can set one for you: email is off here.');

    return () => html`<h2 id="ask-title">Is it you?</h2>
      <p id="step-up-why">This needs a fresh confirmation that it is you. It holds for five minutes.</p>
      ${means === 'code' ? html`<p>An email with a code is on its way to you. The code works once, within ten minutes, in this browser.</p>` : nothing}
      <form novalidate @submit=${send}>
        ${input({ ...MEANS[means], id: 'step-up', value, error: problem ?? wrong(), change: (text) => { value = text; } })}
        ${wrong() ? nothing : outcome(act)}${outcome(letter)}
        <div class="buttons">${submit('Confirm', { busy: act.busy })}${button('Not now', () => end(false), { kind: 'secondary' })}</div>
      </form>
      <p class="small">${other()}</p>`;
  }, { describedby: 'step-up-why' });
  if (confirmed) announce('Confirmed.');
  return confirmed;
}
