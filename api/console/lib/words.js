// How states, times and numbers are said and coloured. The labels themselves come from the API.

const GOOD = new Set(['ONBOARDED', 'UP', 'DONE', 'PASSED', 'PASS', 'OPERATIONAL', 'CLOSED_COMPLETE', 'VALIDATED', 'RESOLVED', 'ACTIVE', 'COMPLETED']);
const BAD = new Set(['VALIDATION_FAILED', 'DOWN', 'FAILED', 'ERROR', 'MALFUNCTION', 'CRITICAL', 'COMPROMISED', 'REVOKED']);
const WARN = new Set(['SLOW', 'DISPUTED', 'SUSPENDED', 'DEGRADED', 'FINDING', 'HIGH', 'MODERATE', 'EXPIRED', 'CLOSED_INCOMPLETE', 'DEACTIVATED', 'ABANDONED']);
const CALM = new Set(['ONBOARDING', 'AWAITING_VALIDATION', 'RUNNING', 'OPEN', 'WORK_IN_PROGRESS', 'QUEUED', 'AVAILABLE', 'IN_PROGRESS', 'PRE_ACTIVE']);

/** The colour of a state: good, bad, warn, calm, or quiet for what asks for nothing. */
export function tone(state) {
  if (GOOD.has(state)) return 'good';
  if (BAD.has(state)) return 'bad';
  if (WARN.has(state)) return 'warn';
  return CALM.has(state) ? 'calm' : 'quiet';
}

/** The colour of an issue: what is critical or high is red, whether it stops anything or not. */
export const severityTone = ({ severity, blocking }) => (blocking || severity === 'CRITICAL' || severity === 'HIGH' ? 'bad' : 'warn');

const full = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'long', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long' });
const precise = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' });
const seconds = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** `20 November 2026 at 14:03 UTC`: with the zone, because letters and the other instance's people have another. */
export const dateTime = (iso) => full.format(new Date(iso));
/** `20 November 2026`. */
export const date = (iso) => day.format(new Date(iso));
/** With weekday, seconds and zone. */
export const dateTimeExact = (iso) => precise.format(new Date(iso));
/** `20 Nov 2026, 14:03:07 UTC`: as exact as that, for where many stand below each other. */
export const dateTimeSeconds = (iso) => seconds.format(new Date(iso));

const EXACT = 'linkspan.exact-times';
let exact = localStorage.getItem(EXACT) !== null;
/** Whether this person wants moments to the second, instead of how long ago they were. */
export const timesAreExact = () => exact;
/** Sets it, for this browser. */
export function showExactTimes(wanted) {
  exact = wanted;
  if (wanted) localStorage.setItem(EXACT, '');
  else localStorage.removeItem(EXACT);
}

const UNITS = [['year', 31_536_000], ['month', 2_592_000], ['day', 86_400], ['hour', 3_600], ['minute', 60]];

const secondsFromNow = (iso) => Math.round((new Date(iso) - Date.now()) / 1000);

function relatively(seconds, near) {
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? near : relative.format(seconds, 'second');
}

/** `3 minutes ago`. What has happened never lies ahead, also where this machine's clock is behind the instance's. */
export const ago = (iso) => relatively(Math.min(secondsFromNow(iso), 0), 'just now');

/** `in 2 days`, for what is still to come. */
export const ahead = (iso) => relatively(Math.max(secondsFromNow(iso), 0), 'in a moment');

const SPANS = [['year', 31_536_000], ['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]];

/** `90 seconds` as `1 minute 30 seconds`; the two greatest units at most. */
export function duration(seconds) {
  const parts = [];
  let left = seconds;
  for (const [unit, size] of SPANS) {
    const whole = Math.floor(left / size);
    left -= whole * size;
    if (whole) parts.push(count(whole, unit));
  }
  return parts.slice(0, 2).join(' ') || '0 seconds';
}

/** `every hour`, `every 15 seconds`. */
export const every = (seconds) => `every ${duration(seconds).replace(/^1 (?=\w+$)/, '')}`;

/** `1 check`, `3 checks`. */
export const count = (number, one, many = `${one}s`) => `${figure(number)} ${number === 1 ? one : many}`;

const thousands = new Intl.NumberFormat('en-GB');
/** `10,001`. */
export const figure = (number) => thousands.format(number);

/** The path of an address of this instance. */
export function local(url) {
  const { pathname, search, hash } = new URL(url, location.origin);
  return pathname + search + hash;
}

/** The host of an origin, for headings. */
export const host = (origin) => origin.replace(/^https?:\/\//, '');

/** A finding as its first sentence, which says what is wrong, and the rest. */
export function finding(message) {
  const [, first, rest = ''] = message.match(/^(.+?)\.(?:\s+(\p{Lu}.*))?$/su) ?? [null, message];
  return first.length > 120 ? [`${first.slice(0, 117)} …`, message] : [first, rest];
}

const STAGES = {
  DNS: 'The other instance’s name does not resolve.',
  TCP: 'The other instance’s address does not answer.',
  TLS: 'The other instance’s certificate was not accepted.',
  HTTP: 'The other instance answered with an error.',
  TIMEOUT: 'The other instance did not answer in time.',
};
/** Why messages did not get through, as a sentence: by the step that failed, or by the code and what was seen. */
export const failureWords = ({ reason, codeLabel, detail }) => STAGES[reason] ?? `${codeLabel}${detail ? `${/^\p{Lu}/u.test(detail) ? '.' : ':'} ${detail.replace(/\.+$/, '')}` : ''}.`;

/** A code of the API in words: `OPEN_COMPROMISED` as `Open compromised`. */
export const inWords = (code) => (code[0] + code.slice(1).toLowerCase()).replaceAll('_', ' ').replace(/\bmac\b/i, 'MAC');

const KINDS = { ADMIN: 'Administrator', OPERATOR: 'Operator', VIEWER: 'Viewer', CONSUMER_CONTACT: 'Consumer contact', KEY_ADMIN: 'Key administrator', KEY_MANAGER: 'Key manager', KEY_OPERATOR: 'Key operator', KEY_AUDITOR: 'Key auditor', KEY_INTEGRATOR: 'Key integrator' };
/** A role in words. */
export const role = (name) => KINDS[name] ?? name.toLowerCase().replaceAll('_', ' ');
