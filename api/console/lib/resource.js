// What a page shows, loaded from the API and kept fresh.
import { request } from './api.js';
import { failed, loading } from './ui.js';

/**
 * Something to be loaded with an operation. Requests never overlap: a refresh during a load is done once after it,
 * so that a burst of changes costs two requests.
 */
export function resource(operation, variables, update) {
  const self = { data: null, error: null, refresh, view };
  let running = null;
  let wanted = false;

  function refresh() {
    wanted = true;
    running ??= run().finally(() => { running = null; });
    return running;
  }

  async function run() {
    while (wanted) {
      wanted = false;
      try {
        self.data = await request(operation, typeof variables === 'function' ? variables() : variables);
        self.error = null;
      } catch (error) {
        self.error = error;
      }
      update();
    }
  }

  /** Draws the data, or why there is none. What was loaded stays on the screen when a refresh fails. */
  function view(draw) {
    if (self.data) return draw(self.data);
    return self.error ? failed(self.error, refresh) : loading();
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
    Object.assign(self, { busy: true, refusal: null, error: null });
    update();
    try {
      const payload = await action();
      self.refusal = payload?.refusal ?? null;
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
  }

  return self;
}
