// A key from when it was made to when it is gone: what is known of it, in words and as a picture.
import { gql } from './api.js';
import { badge, facts, on, when } from './ui.js';
import { html, nothing, svg } from './view.js';
import { tone } from './words.js';

export const KEY = gql`fragment KeyParts on KeyVersion {
  keyId module version state stateLabel reason publicKey
  createdAt activatedAt rotatedAt deactivatedAt destroyedAt expiresAt
  actions { name label allowed needsStepUp reason }
}`;

/** A key that was replaced did its work: nothing is wrong with it. */
export const keyBadge = (key) => badge(key.state, key.stateLabel, key.state === 'DEACTIVATED' ? 'quiet' : tone(key.state));

/** What leads out of use for a while, or for good before its time. */
const ASIDE = new Set(['SUSPENDED', 'REVOKED', 'COMPROMISED']);

const LEGEND = [['calm', 'Pre-active'], ['good', 'Active'], ['quiet', 'Deactivated: opens and verifies only, until it is destroyed'], ['warn', 'Suspended now'], ['bad', 'Revoked or compromised']];
const WIDTH = 600;
const HEIGHT = 14;
const LEAST = 6;

/** From when the first of these keys was made until now. */
const span = (keys) => [Math.min(...keys.map((key) => Date.parse(key.createdAt))), Date.now()];

/** The parts of a key's life: from when, until when, and how it is coloured. */
function parts(key, until) {
  const ends = key.destroyedAt ?? until;
  const left = key.deactivatedAt ?? ends;
  const gone = ['REVOKED', 'COMPROMISED'].includes(key.state);
  const list = [
    [key.createdAt, key.activatedAt ?? left, 'calm'],
    [key.activatedAt, left, 'good'],
    [key.deactivatedAt, ends, gone && !key.rotatedAt ? 'bad' : 'quiet'],
    // Since when is not kept, so only its end is of this colour.
    [key.state === 'SUSPENDED' ? until : null, until, 'warn'],
    [gone && key.rotatedAt ? until : null, until, 'bad'],
  ];
  return list.filter(([from]) => from).map(([from, to, kind]) => [new Date(from), new Date(to), kind]);
}

/** A bar on the scale of all versions: made, in use, still reading, gone. */
function bar(key, [from, to], named) {
  const at = (moment) => ((moment - from) / Math.max(to - from, 1)) * WIDTH;
  const drawn = parts(key, to).map(([start, end, kind]) => svg`<rect class="bar-${kind}" x=${Math.min(at(start), WIDTH - LEAST)} y="0" width=${Math.max(at(end) - at(start), LEAST)} height=${HEIGHT}></rect>`);
  const said = `${named}: ${key.stateLabel.toLowerCase()}`;
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${said} preserveAspectRatio="none" class="bars life-bar">${drawn}</svg>`;
}

/** The states on a key's way, with when it reached them. */
function steps(key) {
  const ended = { state: 'DEACTIVATED', label: 'Deactivated', at: key.deactivatedAt };
  const aside = { state: key.state, label: key.stateLabel, at: key.state === 'SUSPENDED' || key.rotatedAt ? null : key.deactivatedAt, kind: tone(key.state) };
  const withdrawn = key.rotatedAt ? [ended, aside] : [aside];
  return [
    { state: 'PRE_ACTIVE', label: 'Pre-active', at: key.createdAt },
    { state: 'ACTIVE', label: 'Active', at: key.activatedAt },
    ...(!ASIDE.has(key.state) ? [ended] : key.state === 'SUSPENDED' ? [aside, ended] : withdrawn),
    { state: 'DESTROYED', label: 'Destroyed', at: key.destroyedAt },
  ];
}

/** One version: its state, its life, and what can be done with it. */
const keyLife = (key, scale, controls, word, number) => html`<li class="key-version" id="version-${key.version}">
  <div class="issue-head"><h3>${word} ${number}</h3> ${keyBadge(key)}${(ASIDE.has(key.state) || key.state === 'DESTROYED') && key.reason ? html` <span>${key.reason}</span>` : nothing}</div>
  ${bar(key, scale, `${word} ${number}`)}
  <ol class="life" aria-label="Life of ${word.toLowerCase()} ${number}">${steps(key).map((step) => html`<li class="${step.at || step.kind ? 'reached' : ''} ${step.kind ?? ''}" aria-current=${step.state === key.state ? 'step' : nothing}><span>${step.label}</span><span class="small">${step.at ? on(step.at) : step.kind ? 'see the audit log' : 'not yet'}</span></li>`)}</ol>
  ${controls}
  <details class="more"><summary>More about ${word.toLowerCase()} ${number}</summary>${facts([
    ['Replaced', when(key.rotatedAt, 'not yet')],
    ['Expires', on(key.expiresAt, 'never')],
    number !== key.version && ['Number in the API', html`<code>${key.version}</code>`],
    ['Id', html`<code>${key.keyId}</code>`],
    key.publicKey && ['Public key', html`<code>${key.publicKey}</code>`],
  ])}</details></li>`;

/**
 * Versions, the newest first, on one scale. `controls(key)` draws what can be done with each; `word` and `number(key)` are
 * what one is called.
 */
export function keyLives(keys, controls, word = 'Version', number = (key) => key.version) {
  const scale = span(keys);
  return html`<ul class="stack key-versions">${keys.map((key) => keyLife(key, scale, controls(key), word, number(key)))}</ul>
    <p class="small">The bars go from ${on(new Date(scale[0]).toISOString())} until now.</p>
    <ul class="legend small">${LEGEND.map(([kind, words]) => html`<li><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><rect class="bar-${kind}" width="12" height="12"></rect></svg> ${words}</li>`)}</ul>`;
}
