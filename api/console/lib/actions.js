// What can be done with a thing now, by whoever looks.
import { html, nothing } from './view.js';

/** Whether a control is shown: what waits for the password only is shown, and asks for it. */
export const offered = (action) => Boolean(action && (action.allowed || action.needsStepUp));

/** Whether the thing offers this action. */
export const may = (thing, name) => offered(thing.actions.find((action) => action.name === name));

/** What cannot be done now, and why, each reason once; nothing when everything can. */
export function withheld(actions, title = 'Not possible now') {
  const reasons = new Map();
  for (const action of actions) {
    if (!offered(action) && action.reason) reasons.set(action.reason, [...(reasons.get(action.reason) ?? []), action.label]);
  }
  return reasons.size ? html`<details class="more"><summary>${title}</summary><ul class="log">${[...reasons].map(([reason, labels]) => html`<li><strong>${labels.join(', ')}</strong> <span>${reason}</span></li>`)}</ul></details>` : nothing;
}
