// The edit of something that others may edit too: what this person entered, and what somebody else changed meanwhile.
import { button, notice, outcome } from './ui.js';
import { html, nothing } from './view.js';

/**
 * Begins an edit of a thing with a revision. `read(thing)` gives its fields as a flat object. A field that was not touched
 * follows the thing. A revision tells of every change of it, so the latest is sent for as long as nobody else changed what was
 * touched; after that it stays the old one, and saving is refused until the person has chosen between theirs and their own.
 */
export function edit(thing, read) {
  let { revision } = thing;
  let before = {};
  let own = {};
  const self = { read, set, values, changes, theirs, expected, keep };

  /** Enters a value, over the thing as it is now. */
  function set(now, name, value) {
    if (!(name in own)) before[name] = read(now)[name];
    own[name] = value;
  }

  /** All fields, as they are in the form. */
  function values(now) {
    return { ...read(now), ...own };
  }

  /** What saving would change. */
  function changes(now) {
    const found = read(now);
    return Object.fromEntries(Object.entries(own).filter(([name, value]) => value !== found[name]));
  }

  /** The names of touched fields that somebody else changed since, to something else than this person did. */
  function theirs(now) {
    const found = read(now);
    return Object.keys(own).filter((name) => found[name] !== before[name] && found[name] !== own[name]);
  }

  /** The revision that saving is asked for on. */
  function expected(now) {
    return theirs(now).length ? revision : now.revision;
  }

  /** Goes on from the thing as it is now, with what this person entered, or without. */
  function keep(now, mine) {
    ({ revision } = now);
    if (!mine) own = {};
    before = read(now);
  }

  return self;
}

/** What saving came to; while there is a choice to make, above, that is what there is to do about a conflict. */
export const saved = (editing, now, command) => (command.refusal?.code === 'CONFLICT' && editing.theirs(now).length
  ? html`<p class="problem" role="alert">Nothing was saved: somebody changed the same. Choose above, then save again.</p>`
  : outcome(command));

/** Says what somebody else changed meanwhile, theirs beside one's own. `label(name)` and `words(name, value)` say a field and a value. */
export function meanwhile(editing, now, { label, words, done }) {
  const names = editing.theirs(now);
  if (!names.length) return nothing;
  const [found, own] = [editing.read(now), editing.values(now)];
  const choose = (mine) => {
    editing.keep(now, mine);
    done();
  };
  return notice('warn', 'Somebody changed this since you began.', html`
    <ul class="steps">${names.map((name) => html`<li>${label(name)}: now ${words(name, found[name])}; yours ${words(name, own[name])}</li>`)}</ul>
    <div class="buttons">${button('Keep mine', () => choose(true), { kind: 'secondary' })}${button('Take theirs', () => choose(false), { kind: 'secondary' })}</div>`, true);
}
