// What the console says out loud: messages, the live region, and questions before something that cannot be undone.
import { hold } from './focus.js';
import { html, nothing, render } from './view.js';
import { button, input, mark, select, submit } from './ui.js';

const STAYS_MS = 8_000;
/** How many messages there are at once; a narrow screen has room for the newest of them. */
const MOST = 4;
/** How long a sentence stays in the live region: long enough to be read out after those before it. */
const SAID_MS = 15_000;
let toasts = [];

/** Says a sentence to screen readers only, after those that were said before. */
export function announce(text) {
  const sentence = document.createElement('p');
  sentence.textContent = text;
  // Behind a modal dialog nothing is heard, so that each has a live region of its own.
  const region = [...document.querySelectorAll('dialog[open] .announcer')].at(-1) ?? document.getElementById('announcer');
  region.append(sentence);
  setTimeout(() => sentence.remove(), SAID_MS);
}

/** Shows a message and says it; a good one goes after a while, another stays until it is closed. */
export function toast(text, kind = 'good') {
  const item = { text, kind };
  // The newest first, and the same words once.
  toasts = [item, ...toasts.filter((other) => other.text !== text)].slice(0, MOST);
  draw();
  announce(text);
  if (kind === 'good') setTimeout(() => expire(item), STAYS_MS);
}

/** Another page was opened: of what was told on the one before, only the last stays for its time. */
export function turnPage() {
  toasts = toasts.filter((item, at) => at === 0 || item.kind !== 'good');
  for (const item of toasts) item.past = true;
  draw();
}

/** Somebody begins something on this page: what was told of the one before makes room. */
export function begun() {
  if (!toasts.some((item) => item.past && item.kind === 'good')) return;
  toasts = toasts.filter((item) => !item.past || item.kind !== 'good');
  draw();
}

/** The next thing is done: what was told of the one before makes room. */
export function nextThing() {
  toasts = toasts.filter((item) => item.kind !== 'good');
  draw();
}

/** What a dialog covers is not seen: it waits until the dialog is closed. */
function expire(item) {
  if (document.querySelector('dialog[open]')) setTimeout(() => expire(item), STAYS_MS);
  else close(item);
}

function close(item) {
  toasts = toasts.filter((other) => other !== item);
  const settle = hold();
  draw();
  settle();
}

function draw() {
  render(toasts.map((item) => html`<div class="toast ${item.kind}">${mark(item.kind)}<p>${item.text}</p>
    <button type="button" class="close" aria-label="Close this message" @click=${() => close(item)}>×</button></div>`), document.getElementById('toasts'));
  room();
}

/** Makes room for the messages at the end of the page, and keeps what has the focus from lying beneath them. */
function room() {
  const place = document.getElementById('toasts');
  document.documentElement.style.setProperty('--said', `${place.offsetHeight}px`);
  const held = document.activeElement;
  if (!held || held === document.body || place.contains(held)) return;
  const [mine, theirs] = [held, place].map((element) => element.getBoundingClientRect());
  if (theirs.height && mine.bottom > theirs.top && mine.right > theirs.left && mine.height < innerHeight / 2) held.scrollIntoView({ block: 'nearest' });
}

/**
 * Opens a modal dialog, and answers what it ended with. `draw({ dialog, end, redraw })` answers a function that draws
 * its content, with the title as `#ask-title`; whoever leaves it by Escape ends it with `left`.
 */
export function modal(left, draw, { describedby = null } = {}) {
  return new Promise((answer) => {
    const settle = hold();
    const dialog = document.createElement('dialog');
    dialog.setAttribute('aria-labelledby', 'ask-title');
    if (describedby) dialog.setAttribute('aria-describedby', describedby);
    document.body.append(dialog);
    const end = (result) => {
      dialog.close();
      dialog.remove();
      // Whoever opened it has the focus again, unless they are gone meanwhile.
      settle();
      answer(result);
    };
    const redraw = () => render(html`${view()}<div class="announcer unseen" role="status" aria-atomic="false"></div>`, dialog);
    const view = draw({ dialog, end, redraw });
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      end(left);
    });
    redraw();
    dialog.showModal();
  });
}

/**
 * Asks before something is done; answers whether it was confirmed. Without `cancel` there is only one way on.
 * `typed` is a word that has to be typed first, for what cannot be taken back.
 */
export function ask({ title, body, confirm, cancel = 'Keep it as it is', danger = false, typed = null }) {
  return modal(false, ({ end, redraw }) => {
    let written = '';
    return () => html`<h2 id="ask-title">${title}</h2>
      <div id="ask-body" class="stack">${body}</div>
      ${typed ? html`<div class="field"><label for="ask-typed">Type <strong>${typed}</strong> to go on</label>
        <input id="ask-typed" autocomplete="off" spellcheck="false" @input=${(event) => { written = event.target.value; redraw(); }}></div>` : nothing}
      <div class="buttons">
        ${button(confirm, () => end(true), { kind: danger ? 'danger' : '', disabled: typed !== null && written !== typed })}
        ${cancel ? button(cancel, () => end(false), { kind: 'secondary', first: danger && typed === null }) : nothing}
      </div>`;
  }, { describedby: 'ask-body' });
}

/**
 * As `ask`, with fields to fill in; answers their values, or null. A field's `required` is what is said when it is
 * empty, `check(value)` what is wrong with it otherwise.
 */
export function askFor({ title, body, confirm, cancel = 'Keep it as it is', danger = false, fields }) {
  return modal(null, ({ dialog, end, redraw }) => {
    const values = Object.fromEntries(fields.map(({ name, value = '' }) => [name, value]));
    const problems = {};
    const send = (event) => {
      event.preventDefault();
      for (const one of fields) problems[one.name] = (one.required && !values[one.name].trim() ? one.required : one.check?.(values[one.name])) ?? null;
      redraw();
      const first = fields.find((one) => problems[one.name]);
      if (first) dialog.querySelector(`#ask-${first.name}`).focus();
      else end(values);
    };
    return () => html`<h2 id="ask-title">${title}</h2><p>${body}</p><form novalidate @submit=${send}>
      ${fields.map((one) => (one.choices ? select : input)({ ...one, id: `ask-${one.name}`, value: values[one.name], error: problems[one.name], change: (value) => { values[one.name] = value; if (problems[one.name]) { problems[one.name] = null; redraw(); } } }))}
      <div class="buttons">${submit(confirm, { kind: danger ? 'danger' : '' })}${button(cancel, () => end(null), { kind: 'secondary' })}</div></form>`;
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
