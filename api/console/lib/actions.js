// What can be done with a thing now, by whoever looks.

/** Whether a control is shown: what waits for the password only is shown, and asks for it. */
export const offered = (action) => Boolean(action && (action.allowed || action.needsStepUp));

/** Whether the thing offers this action. */
export const may = (thing, name) => offered(thing.actions.find((action) => action.name === name));
