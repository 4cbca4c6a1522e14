// What the console says out loud: messages, the live region, and questions before something that cannot be undone.
import { html, nothing, render } from './view.js';
import { button, input, mark, select, submit } from './ui.js';

const STAYS_MS = 8_000;
let toasts = [];

/** Says a sentence to screen readers only. */
export function announce(text) {
  const region = document.getElementById('announcer');
  region.textContent = '';
  // Emptied first: the same sentence twice is two messages.
  requestAnimationFrame(() => { region.textContent = text; });
}

/** Shows a message for a while and says it; a bad one stays until it is closed. */
export function toast(text, kind = 'good') {
  const item = { text, kind };
  toasts = [...toasts, item].slice(-4);
  draw();
  announce(text);
  if (kind !== 'bad') setTimeout(() => close(item), STAYS_MS);
}

function close(item) {
  toasts = toasts.filter((other) => other !== item);
  draw();
}

function draw() {
  render(toasts.map((item) => html`<div class="toast ${item.kind}">${mark(item.kind)}<p>${item.text}</p>
    <button type="button" class="close" aria-label="Close this message" @click=${() => close(item)}>×</button></div>`), document.getElementById('toasts'));
}

/**
 * Asks before something is done; answers whether it was confirmed.
 * `typed` is a word that has to be typed first, for what cannot be taken back.
 */
export function ask({ title, body, confirm, cancel = 'Keep it as it is', danger = false, typed = null }) {
  return new Promise((answer) => {
    const dialog = document.createElement('dialog');
    dialog.setAttribute('aria-labelledby', 'ask-title');
    dialog.setAttribute('aria-describedby', 'ask-body');
    document.body.append(dialog);
    let written = '';
    const end = (sure) => {
      dialog.close();
      dialog.remove();
      answer(sure);
    };
    const redraw = () => render(html`<h2 id="ask-title">${title}</h2>
      <div id="ask-body" class="stack">${body}</div>
      ${typed ? html`<div class="field"><label for="ask-typed">Type <strong>${typed}</strong> to go on</label>
        <input id="ask-typed" autocomplete="off" spellcheck="false" @input=${(event) => { written = event.target.value; redraw(); }}></div>` : nothing}
      <div class="buttons">
        ${button(confirm, () => end(true), { kind: danger ? 'danger' : '', disabled: typed !== null && written !== typed })}
        ${button(cancel, () => end(false), { kind: 'secondary' })}
      </div>`, dialog);
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(false);
    });
    redraw();
    dialog.showModal();
  });
}

/**
 * As `ask`, with fields to fill in; answers their values, or null. A field's `required` is what is said when it is
 * empty, `check(value)` what is wrong with it otherwise.
 */
export function askFor({ title, body, confirm, cancel = 'Keep it as it is', fields }) {
  return new Promise((answer) => {
    const dialog = document.createElement('dialog');
    dialog.setAttribute('aria-labelledby', 'ask-title');
    document.body.append(dialog);
    const values = Object.fromEntries(fields.map(({ name, value = '' }) => [name, value]));
    const problems = {};
    const end = (result) => {
      dialog.close();
      dialog.remove();
      answer(result);
    };
    const send = (event) => {
      event.preventDefault();
      for (const one of fields) problems[one.name] = (one.required && !values[one.name].trim() ? one.required : one.check?.(values[one.name])) ?? null;
      redraw();
      const first = fields.find((one) => problems[one.name]);
      if (first) dialog.querySelector(`#ask-${first.name}`).focus();
      else end(values);
    };
    const redraw = () => render(html`<h2 id="ask-title">${title}</h2><p>${body}</p><form novalidate @submit=${send}>
      ${fields.map((one) => (one.choices ? select : input)({ ...one, id: `ask-${one.name}`, value: values[one.name], error: problems[one.name], change: (value) => { values[one.name] = value; if (problems[one.name]) { problems[one.name] = null; redraw(); } } }))}
      <div class="buttons">${submit(confirm)}${button(cancel, () => end(null), { kind: 'secondary' })}</div></form>`, dialog);
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(null);
    });
    redraw();
    dialog.showModal();
  });
}

/** Copies a text and says so; where the browser does not allow it, says how to do it by hand. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied.`);
  } catch {
    toast(`Your browser does not allow copying here: select the ${what.toLowerCase()} and copy it.`, 'warn');
  }
}
