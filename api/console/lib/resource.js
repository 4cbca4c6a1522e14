// What a page shows, loaded from the API and kept fresh.
import { request } from './api.js';
import { toRefused } from './focus.js';
import { failed, loading, missing, on, stale } from './ui.js';
import { html, nothing } from './view.js';
import { nextThing } from './say.js';

/**
 * Something to be loaded with an operation. Requests never overlap: a refresh during a load is done once after it,
 * so that a burst of changes costs two requests.
 */
export function resource(operation, variables, update) {
  const self = { data: null, error: null, refresh, view, part };
  let running = null;
  let wanted = false;
  /** The variables that the data answer. */
  let answered = null;
  /** When they were loaded. */
  let at = null;

  function refresh() {
    wanted = true;
    running ??= run().finally(() => { running = null; });
    return running;
  }

  async function run() {
    while (wanted) {
      wanted = false;
      const asked = typeof variables === 'function' ? variables() : variables;
      const question = JSON.stringify(asked);
      try {
        self.data = await request(operation, asked);
        self.error = null;
        answered = question;
        at = new Date().toISOString();
      } catch (error) {
        self.error = error;
        // The answer to another question is none to this one, and what one may no longer see goes.
        if (question !== answered || error.kind === 'FORBIDDEN') self.data = null;
      }
      update();
    }
  }

  /** Draws the data, or why there is none. What was loaded stays when a refresh fails, and is said to be old. */
  function view(draw) {
    if (self.data) return self.error ? html`${stale(self.error, refresh)}${draw(self.data)}` : draw(self.data);
    return self.error ? failed(self.error, refresh) : loading();
  }

  /**
   * As `view`, for what a page can be read without: nothing while it loads, and nothing to whom it is not for.
   * `what` names it, should it not be there. That somebody is signed out, or without a network, the page says once.
   */
  function part(what, draw) {
    const error = self.error?.kind === 'UNAUTHENTICATED' ? null : self.error;
    if (self.data && error?.kind === 'OFFLINE') return html`<p class="small">${what}: as of ${on(at)}.</p>${draw(self.data)}`;
    if (self.data) return error ? html`${stale(error, refresh, what)}${draw(self.data)}` : draw(self.data);
    return !error || error.kind === 'FORBIDDEN' ? nothing : missing(error, refresh, what);
  }

  return self;
}

/**
 * A mutation behind a button: remembers that it runs, what was refused and what failed.
 * `run(action)` answers the payload, or null when it did not succeed.
 */
export function command(update) {
  const self = { busy: false, refusal: null, error: null, run, clear };

  async function run(action) {
    if (self.busy) return null;
    nextThing();
    Object.assign(self, { busy: true, refusal: null, error: null });
    update();
    try {
      const payload = await action();
      self.refusal = payload?.refusal ?? null;
      // Once it is drawn.
      if (self.refusal?.field) requestAnimationFrame(() => self.refusal && toRefused(self.refusal));
      return self.refusal ? null : payload;
    } catch (error) {
      self.error = error;
      return null;
    } finally {
      self.busy = false;
      update();
    }
  }

  function clear() {
    Object.assign(self, { refusal: null, error: null });
    update();
  }

  return self;
}

const POLL_MS = 5_000;

/** Loads again and again what the stream of changes does not tell of, while somebody looks; the answer ends it. */
export function poll(refresh, ms = POLL_MS) {
  const clock = setInterval(() => document.hidden || refresh(), ms);
  return () => clearInterval(clock);
}

/** Whether a change is of another connection than this: with many there is always one that changes. */
export const ofAnother = ({ subject, subjectId }, id) => (subject === 'CONNECTION' || subject === 'ONBOARDING') && subjectId !== id;
