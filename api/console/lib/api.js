// The public GraphQL API as this console uses it: operations, what goes wrong, and the stream of changes.

/**
 * An operation or a fragment. Fragments are put in with `${…}` and travel along, each once.
 * A test validates every one of them against the schema.
 */
export function gql(strings, ...fragments) {
  return { source: strings.join(''), fragments };
}

const texts = new WeakMap();

function text(operation) {
  let known = texts.get(operation);
  if (!known) {
    const parts = new Set();
    const collect = (part) => {
      if (!parts.has(part)) {
        parts.add(part);
        part.fragments.forEach(collect);
      }
    };
    collect(operation);
    known = [...parts].map((part) => part.source).join('\n');
    texts.set(operation, known);
  }
  return known;
}

/** What a request can fail of. `kind` is one of OFFLINE, UNAUTHENTICATED, FORBIDDEN, LIMIT_EXCEEDED, UNAVAILABLE, … */
export class ApiError extends Error {
  constructor(kind, message, traceId) {
    super(message);
    this.kind = kind;
    this.traceId = traceId;
  }
}

async function post(operation, variables, accept, signal) {
  try {
    return await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify({ query: text(operation), variables }),
      credentials: 'same-origin',
      signal,
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('OFFLINE', 'This instance cannot be reached.');
  }
}

function failure(errors) {
  const { message, extensions = {} } = errors[0];
  const error = new ApiError(extensions.code ?? 'INTERNAL', message, extensions.traceId);
  error.reason = extensions.reason;
  return error;
}

const signedOut = new EventTarget();
/** Whether the session is known to have ended; only a new stream of changes shows that there is another. */
let out = false;
/** Calls back when the session has ended. */
export const onSignedOut = (listener) => signedOut.addEventListener('out', listener);

function thrown(error) {
  if (error.kind === 'UNAUTHENTICATED') {
    out = true;
    signedOut.dispatchEvent(new Event('out'));
  }
  return error;
}

/** Carries out a query or mutation; answers its data. Throws ApiError. */
export async function request(operation, variables = {}, signal = undefined) {
  const response = await post(operation, variables, 'application/json', signal);
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new ApiError(response.status >= 500 ? 'UNAVAILABLE' : 'INTERNAL', `The answer (${response.status}) cannot be read.`);
  }
  if (answer.errors?.length) throw thrown(failure(answer.errors));
  return answer.data;
}

/**
 * Carries out a mutation with its one input; answers its payload, `{ <noun>, refusal }`.
 * The key makes it safe to repeat what may not have arrived: a second try with the same key is the same request.
 */
export async function mutate(operation, input, key = crypto.randomUUID()) {
  const send = async () => Object.values(await again(() => request(operation, { input: { ...input, idempotencyKey: key } })))[0];
  const payload = await send();
  // What matters most is done only after the person has proved once more who they are; then it is the same request.
  const proved = payload.refusal?.code === 'STEP_UP_REQUIRED' && await stepUp?.();
  return proved ? send() : payload;
}

let stepUp = null;
/** Sets how the person is asked to prove who they are; `ask` answers whether they did. */
export const onStepUp = (ask) => { stepUp = ask; };

/** Once more after a moment, for what may not have arrived. */
async function again(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (error.kind !== 'OFFLINE') throw error;
    await new Promise((done) => setTimeout(done, 700));
    return attempt();
  }
}

/** How long after the first paint the stream is opened. */
const START_MS = 800;
/** A stream that lasted so long was no failed try, even if it had nothing to tell. */
const LASTED_MS = 3_000;

const CHANGES = gql`subscription Changes($after: String) {
  changes(after: $after) { cursor kind subject subjectId state }
}`;

/**
 * A stream of what changes and what the viewer may see of it, as server-sent events: of everything, or that of another
 * subscription with a cursor. It resumes behind the last event after a break, and pauses while nobody looks at the page.
 *
 * `onChange(event)` gets each change; `onFresh()` is called when changes may have been missed, so that all is loaded
 * again; `onState('live' | 'waiting')` says how it goes. It ends with `until`, a signal.
 */
export function follow({ operation = CHANGES, onChange, onFresh, onState = () => {}, until }) {
  let cursor = null;
  let stop = null;
  let tries = 0;

  async function run(signal) {
    while (!signal.aborted) {
      let since = Infinity;
      try {
        // Somebody else may have signed in since: the present is asked for, and with it an answer.
        if (out) cursor = null;
        let proven = !out;
        const response = await post(operation, { after: cursor }, 'text/event-stream', signal);
        if (!response.ok) throw new ApiError('UNAVAILABLE', `The stream answers ${response.status}.`);
        if (proven) onState('live');
        since = Date.now();
        for await (const result of events(response.body)) {
          if (result.errors?.length) throw failure(result.errors);
          if (!proven) {
            proven = true;
            out = false;
            onState('live');
          }
          const [event] = Object.values(result.data);
          tries = 0;
          cursor = event.cursor;
          // The present is told when nothing was resumed: at the start, and after a gap.
          if (event.kind === 'PRESENT') onFresh();
          else onChange(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error.reason === 'CURSOR_EXPIRED') {
          cursor = null;
          continue;
        }
        if (error.kind === 'UNAUTHENTICATED') {
          // Nothing more comes until somebody signs in, here or in another tab.
          thrown(error);
          return;
        }
      }
      if (signal.aborted) return;
      if (Date.now() - since > LASTED_MS) tries = 0;
      tries += 1;
      if (tries > 1) onState('waiting');
      await pause(Math.min(15_000, 250 * 2 ** tries) * (0.75 + Math.random() / 2), signal);
    }
  }

  function start() {
    if (stop) return;
    stop = new AbortController();
    run(stop.signal);
  }

  function end() {
    stop?.abort();
    stop = null;
  }

  const on = (target, name, listener) => target.addEventListener(name, listener, { signal: until });
  on(document, 'visibilitychange', () => (document.hidden ? end() : start()));
  on(window, 'offline', () => {
    end();
    onState('waiting');
  });
  on(window, 'online', () => {
    end();
    if (!document.hidden) start();
  });
  on(window, 'pagehide', end);
  on(window, 'pageshow', () => document.hidden || start());
  // Not by `on`: what listens as long as a signal lasts does not hear its end.
  until?.addEventListener('abort', end, { once: true });
  // What is seen first comes first.
  setTimeout(() => document.hidden || until?.aborted || start(), START_MS);
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      done();
    }, { once: true });
  });
}

/** A stream that is silent for so long is dead: a living one sends a comment every few seconds. */
const SILENCE_MS = 40_000;

/** The results in a body of server-sent events (the distinct connections mode of graphql-sse). */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  try {
    for (;;) {
      const silence = setTimeout(() => reader.cancel().catch(() => {}), SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(silence);
      if (done) return;
      buffer += value;
      const blocks = buffer.split('\n\n');
      buffer = blocks.pop();
      for (const block of blocks) {
        const lines = block.split('\n');
        if (lines.includes('event: complete')) return;
        const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
        if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
