// Where the focus goes when what had it is gone: a person who works by keyboard or by ear must not have to begin anew.

/** What somebody pressed that then made room for a form. */
let opener = null;

/** Headings that take the focus, as `head` and `section` draw them. */
const HEADING = 'h1[tabindex], h2[tabindex]';

/**
 * Remembers what has the focus within `root`; call the answer after the screen was drawn. If it is gone by then and
 * nothing else took the focus, what is there now in its place gets it: out of a form that was closed it goes back to
 * the control that had opened it, else to the heading of the part that it was in.
 */
export function hold(root = document) {
  const held = document.activeElement;
  if (!held || held === document.body || !root.contains(held)) return () => {};
  const around = [];
  for (let element = held.parentElement; element && element !== document.body; element = element.parentElement) around.push(element);
  const label = held.textContent;
  const inForm = Boolean(held.closest('form'));
  return () => {
    if (held.isConnected) return;
    const back = inForm && again();
    if (!inForm) opener = { around, label };
    if (document.activeElement !== document.body) return;
    (back || around.filter((element) => element.isConnected).map((element) => element.querySelector(HEADING)).find(Boolean) || document.querySelector('#content h1'))?.focus();
  };
}

/** Takes whoever was refused something to the control beside which it stands; elsewhere a refusal speaks for itself. */
export function toRefused({ message }) {
  const says = ({ id }) => document.getElementById(`${id}-error`)?.textContent.includes(message);
  [...document.querySelectorAll('#content [aria-invalid="true"]')].find(says)?.focus();
}

/** The control that opened the form, drawn again where it was. */
function again() {
  const place = opener?.around.find((element) => element.isConnected);
  const found = [...place?.querySelectorAll('button') ?? []].find((button) => button.textContent === opener.label);
  opener = null;
  return found;
}
