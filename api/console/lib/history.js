// A picture of how a direction was: the last day by the hour, the last 90 days by the day.
import { gql } from './api.js';
import { html, nothing, svg } from './view.js';
import { badge, codes, on } from './ui.js';
import { date, dateTime, duration, failureWords } from './words.js';

const BAR = gql`fragment BarParts on UptimeBucket { from upMs slowMs downMs disputedMs suspendedMs unknownMs }`;
const CHANGE = gql`fragment ChangeParts on StatusTransition { at status statusLabel code codeLabel reason }`;

/** The history of each direction: a query each, because ninety days are what one query may ask for. */
export const HISTORY = {
  OUTBOUND: gql`query OutboundHistory($id: ID!) {
    connection(id: $id) { way: outbound {
      day: history(days: 1, bucket: HOUR) { buckets { ...BarParts } }
      ninety: history(days: 90, bucket: DAY) { buckets { ...BarParts } }
      recent: history(days: 7) { transitions { ...ChangeParts } }
    } }
  }
  ${BAR} ${CHANGE}`,
  INBOUND: gql`query InboundHistory($id: ID!) {
    connection(id: $id) { way: inbound {
      day: history(days: 1, bucket: HOUR) { buckets { ...BarParts } }
      ninety: history(days: 90, bucket: DAY) { buckets { ...BarParts } }
      recent: history(days: 7) { transitions { ...ChangeParts } }
    } }
  }
  ${BAR} ${CHANGE}`,
};

const HEIGHT = 32;
const STEP = 6;
/** As much as the eye finds. */
const LEAST_SEEN = 2;
/** What a bar is made of, from the top: its colour, and its word. */
const PARTS = [['suspendedMs', 'calm', 'Suspended'], ['downMs', 'bad', 'Down'], ['disputedMs', 'warn', 'Disputed'], ['slowMs', 'slow', 'Slow'], ['upMs', 'good', 'Up']];
const UNKNOWN = ['unknownMs', 'quiet', 'Not watched'];
const SHOWN = 8;

const percent = (permille) => `${(permille / 10).toFixed(permille === 1000 ? 0 : 1)} %`;

/** The share of the watched time in which messages got through; null when it was not watched at all. */
function share(buckets) {
  const sum = (...names) => buckets.reduce((total, bucket) => total + names.reduce((ms, name) => ms + bucket[name], 0), 0);
  const through = sum('upMs', 'slowMs');
  const watched = through + sum('downMs', 'disputedMs');
  return watched ? Math.floor((1000 * through) / watched) : null;
}

/** For how long a part of the time was watched. */
const watchedMs = (bucket) => PARTS.reduce((ms, [name]) => ms + bucket[name], 0);

/**
 * What was watched fills the height by its shares, however short it was, but none is too small to be seen; what was not
 * watched is a line.
 */
function bar(bucket, at) {
  const watched = watchedMs(bucket);
  if (!watched) return [{ kind: 'quiet', x: at * STEP, y: HEIGHT - 3, height: 3 }];
  const heights = PARTS.map(([name]) => (bucket[name] ? Math.max((HEIGHT * bucket[name]) / watched, LEAST_SEEN) : 0));
  const scale = HEIGHT / heights.reduce((sum, height) => sum + height, 0);
  let top = 0;
  return PARTS.map(([, kind], part) => {
    const height = heights[part] * scale;
    top += height;
    return { kind, x: at * STEP, y: top - height, height };
  }).filter((part) => part.height > 0);
}

/** The colours that are there, with their words. */
const legend = (buckets) => html`<ul class="legend small">${[...PARTS, UNKNOWN].filter(([name]) => buckets.some((bucket) => bucket[name] > 0)).map(([, kind, word]) => html`<li>
  <svg class="legend-mark" viewBox="0 0 10 10" aria-hidden="true" focusable="false"><rect class="bar-${kind}" width="10" height="10"></rect></svg>${word}</li>`)}</ul>`;

/** How long it was what in a part of the time, but for up. */
const troubles = (bucket) => PARTS.slice(0, -1).filter(([name]) => bucket[name] >= 1_000).map(([name, , word]) => `${word.toLowerCase()} ${duration(Math.round(bucket[name] / 1_000))}`);

/** What the colours say, in words and with their times. */
function told(buckets, moment) {
  const found = [...buckets].reverse().filter((bucket) => troubles(bucket).length);
  return found.length
    ? html`<details class="more"><summary>What was not as it should be</summary><ul class="log">${found.map((bucket) => html`<li><time datetime=${bucket.from}>${moment(bucket.from)}</time> <span class="small">${troubles(bucket).join(', ')}</span></li>`)}</ul></details>`
    : nothing;
}

/** Bars, one for each part of the time, with what they say in words. `hours`: each is an hour, not a day. */
export function picture(buckets, words, { hours }) {
  const moment = hours ? dateTime : date;
  const permille = share(buckets);
  const said = permille === null ? 'not watched yet' : `messages got through in ${percent(permille)} of the watched time`;
  const rects = buckets.flatMap(bar);
  return html`<figure class="history"><figcaption class="small">${words}: ${said}</figcaption>
    <svg viewBox="0 0 ${buckets.length * STEP} ${HEIGHT}" role="img" aria-label="${words}: ${said}" preserveAspectRatio="none" class="bars">${rects.map(rect)}</svg>
    ${buckets.length ? html`<p class="axis small"><time datetime=${buckets[0].from}>${moment(buckets[0].from)}</time><span>now</span></p>` : nothing}
    ${legend(buckets)}${told(buckets, moment)}</figure>`;
}

/** The last 90 days; in words until there is more to see than on a picture of the last day. */
export function ninetyDays(days) {
  const watched = days.filter((bucket) => watchedMs(bucket) > 0);
  if (watched.length > 1) return picture(days, 'The last 90 days', { hours: false });
  return html`<p class="small">The last 90 days: ${watched.length ? html`watched since ${date(watched[0].from)}. A picture follows with the second day.` : 'not watched yet.'}</p>`;
}

const rect = ({ kind, x, y, height }) => svg`<rect class="bar-${kind}" x=${x} y=${y} width=${STEP - 1} height=${height}></rect>`;

/** What changed last, the newest first. */
export const transitions = (list) => (list.length
  ? html`<ul class="log">${[...list].reverse().slice(0, SHOWN).map((one) => html`<li>${one.status ? badge(one.status, one.statusLabel) : html`<span class="badge quiet">Not watched</span>`} <span class="small">${on(one.at)}</span>${one.code ? html` <span>${failureWords(one)}</span> <span class="fine">${codes(one)}</span>` : nothing}</li>`)}</ul>`
  : nothing);
