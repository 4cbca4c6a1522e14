// The parts that screens are made of. Each is a function that draws; none keeps anything.
import { html, live, nothing } from './view.js';
import { ago, ahead, dateTime, dateTimeExact, dateTimeSeconds, timesAreExact, tone } from './words.js';

const MARKS = {
  good: 'm3.5 8.5 3 3 6-7',
  bad: 'm4 4 8 8m0-8-8 8',
  warn: 'M8 3v6.5M8 12v1',
  calm: 'M8 2a6 6 0 1 0 .01 0M8 5v3.25l2 1.25',
  quiet: 'M4 8h8',
};

/** A sign beside words; never the only carrier of a meaning. */
export const mark = (kind) => html`<svg class="mark ${kind}" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false"><path d=${MARKS[kind]} fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/></svg>`;

/** Turns while something goes on. */
export const spinner = () => html`<svg class="spinner" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false"><circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="26 12" stroke-linecap="round"/></svg>`;

/** A state with its colour and words. */
export const badge = (state, label, kind = tone(state)) => html`<span class="badge ${kind}">${kind === 'calm' && MOVING.has(state) ? spinner() : mark(kind)}${label}</span>`;
const MOVING = new Set(['ONBOARDING', 'AWAITING_VALIDATION', 'RUNNING', 'QUEUED', 'WORK_IN_PROGRESS']);

/** A direction's status; blank before anything is begun. */
export const directionBadge = (direction) => (direction?.status
  ? badge(direction.status, direction.statusLabel)
  : html`<span class="badge quiet">No status yet</span>`);

/** The state of a connection and, beside it, that the other side suspended it: by our own state it stands. */
export const connectionBadge = ({ state, stateLabel, outbound }) => html`${badge(state, stateLabel)}${state === 'ONBOARDED' && outbound?.status === 'SUSPENDED' ? html` ${directionBadge(outbound)}` : nothing}`;

/** A notice: what it is, then more. */
export const notice = (kind, title, body = nothing, alert = false) => html`<div class="notice ${kind}" role=${alert ? 'alert' : nothing}><p><strong>${title}</strong></p>${body}</div>`;

/** A code with its finer reason, for whoever looks it up. */
export const codes = ({ code, reason }) => html`Code <code>${code}</code>${reason ? html` · Reason <code>${reason}</code>` : nothing}`;

/** Where this instance says how it decided on a key; what another instance decided, only that one knows. */
export const decided = ({ code, reason }) => (code === 'POLICY_DENIED' && /^[0-9a-f-]{36}$/.test(reason ?? '') ? html`<a href="/keys/decisions/${reason}">How it was decided</a>` : nothing);

/** An expected "no": what happened, why, what to do. */
export function refusal(no, { remedies = nothing } = {}) {
  if (!no) return nothing;
  return html`<div class="notice bad" role="alert">
    <p><strong>${no.codeLabel}.</strong> ${no.message}</p>
    ${no.remedy?.text ? html`<p>${no.remedy.text}</p>` : nothing}
    ${decided(no) === nothing ? nothing : html`<p>${decided(no)}</p>`}
    ${remedies}
    <p class="fine"><a href=${no.docsUrl}>What this means</a> · ${codes(no)} · Reference <code>${no.traceId}</code></p>
  </div>`;
}

const FAILURES = {
  OFFLINE: ['This instance cannot be reached', 'Nothing was lost: what has begun continues. Check your network, or ask the instance’s operator whether it is running.'],
  UNAUTHENTICATED: ['You are signed out', 'Your session has ended. Sign in again, and you are back on this page.'],
  FORBIDDEN: ['This is not yours to see', 'It is for others than your account. If you need it, ask an administrator of this instance.'],
  UNAVAILABLE: ['This instance is busy', 'It could not answer in time. Try again in a moment.'],
  LIMIT_EXCEEDED: ['That was too much at once', 'Wait a moment, then try again.'],
};

/** What went wrong with a request: what happened, and what to do. */
export function failed(error, retry) {
  return fault('bad', nothing, error, retry);
}

/** Over what was loaded before and could not be loaded again. */
export const stale = (error, retry, what = 'What you see') => fault('warn', html`<p><strong>${what} could not be brought up to date.</strong></p>`, error, retry);

/** In place of a part of a page that could not be loaded. */
export const missing = (error, retry, what) => fault('warn', html`<p><strong>${what} could not be loaded.</strong></p>`, error, retry);

function fault(kind, before, error, retry) {
  const [title, todo] = FAILURES[error.kind] ?? ['Something went wrong here', 'Try again. If it stays so, tell the instance’s operator the reference.'];
  return html`<div class="notice ${kind}" role="alert">${before}
    <p><strong>${title}.</strong> ${todo}</p>
    <p class="fine">${error.kind === 'OFFLINE' || error.kind === 'UNAUTHENTICATED' ? nothing : error.message}${error.traceId ? html` Reference <code>${error.traceId}</code>` : nothing}</p>
    ${error.kind === 'UNAUTHENTICATED'
      ? html`<p><a class="button" href=${signInPath()}>Sign in</a></p>`
      : retry && error.kind !== 'FORBIDDEN' ? html`<p><button class="secondary" type="button" @click=${retry}>Try again</button></p>` : nothing}
  </div>`;
}

/** Where to sign in so as to come back here. */
export const signInPath = () => `/sign-in?return_to=${encodeURIComponent(location.pathname + location.search)}`;

/** What a command has to say: that it was refused or failed. */
export const outcome = (command, options) => html`${refusal(command.refusal, options)}${command.error ? failed(command.error) : nothing}`;

/** While something loads. */
export const loading = (what = 'Loading') => html`<p class="loading">${spinner()} ${what} …</p>`;

/** A button that says that it works, and cannot be pressed twice; it keeps the focus meanwhile. */
export const button = (label, press, { busy = false, kind = '', disabled = false, describedby = nothing, first = false } = {}) => html`<button
  type="button" class=${kind} ?autofocus=${first} aria-disabled=${busy || disabled ? 'true' : nothing} aria-describedby=${describedby}
  @click=${(event) => (busy || disabled ? event.preventDefault() : press(event))}>${busy ? spinner() : nothing}${label}</button>`;

/** As `button`, for a form. */
export const submit = (label, { busy = false, kind = '' } = {}) => html`<button type="submit" class=${kind} aria-disabled=${busy ? 'true' : nothing}>${busy ? spinner() : nothing}${label}</button>`;

/** Terms and their values. */
export const facts = (rows) => html`<dl class="facts">${rows.filter(Boolean).map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`)}</dl>`;

/** A moment; exact to the second for whoever chose that in the menu, and under the pointer. */
const moment = (iso, words) => html`<time datetime=${iso} title=${dateTimeExact(iso)}>${timesAreExact() ? dateTimeSeconds(iso) : words(iso)}</time>`;
/** A moment as how long ago it was. */
export const when = (iso, none = '–') => (iso ? moment(iso, ago) : none);
/** A moment to the second, where the order of things matters. */
export const exactly = (iso) => moment(iso, dateTimeSeconds);
/** A moment to come, as how soon it is. */
export const soon = (iso) => moment(iso, ahead);
/** A moment as a date. */
export const on = (iso, none = '–') => (iso ? moment(iso, dateTime) : none);

/** A URL or an email address, which breaks between its parts before it breaks within one. */
export const address = (text) => text.match(/\w+:\/\/|[^/:@.]*[/:@.]|[^/:@.]+/g).map((part) => html`${part}<wbr>`);

/** A fingerprint in groups, as people compare it. */
export const fingerprint = (text) => html`<ul class="fingerprint">${text.split(/\s+/).map((group) => html`<li>${group}</li>`)}</ul>`;

/** A labelled control with help and what is wrong with it. `control(attributes)` draws the control. */
export function field({ id, label, help, error, optional }, control) {
  const described = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(' ') || nothing;
  return html`<div class="field ${error ? 'invalid' : ''}">
    <label for=${id}>${label}${optional ? html` <span class="small">(optional)</span>` : nothing}</label>
    ${control({ id, described, invalid: error ? 'true' : nothing })}
    ${help ? html`<p class="small" id="${id}-help">${help}</p>` : nothing}
    ${error ? html`<p class="problem" id="${id}-error">${mark('bad')} ${error}</p>` : nothing}
  </div>`;
}

/** An input of one line. */
export const input = (options) => field(options, ({ id, described, invalid }) => html`<input id=${id} name=${options.name ?? id}
  type=${options.type ?? 'text'} .value=${options.value ?? ''} aria-describedby=${described} aria-invalid=${invalid} ?required=${options.required}
  maxlength=${options.maxlength ?? nothing} autocomplete=${options.autocomplete ?? 'off'} spellcheck="false"
  placeholder=${options.placeholder ?? nothing} @input=${(event) => options.change(event.target.value)} @blur=${options.blur ?? null}>`);

/**
 * The options of a select, pairs of value and label; what is shown as chosen is `value`, whatever a person chose before.
 */
export const optionsOf = (choices, value) => choices.map(([one, label]) => html`<option value=${one} .selected=${live(one === value)}>${label}</option>`);

/** A choice from a list: `choices` are pairs of value and label. */
export const select = (options) => field(options, ({ id, described, invalid }) => html`<select id=${id} name=${options.name ?? id}
  aria-describedby=${described} aria-invalid=${invalid} ?required=${options.required} ?disabled=${options.disabled} @change=${(event) => options.change(event.target.value)}>
  ${optionsOf(options.empty === undefined ? options.choices : [['', options.empty], ...options.choices], options.value ?? '')}</select>`);

/** A box to tick. */
export const tick = ({ id, label, help, checked, change, disabled = false }) => html`<div class="tick">
  <input id=${id} type="checkbox" .checked=${checked} ?disabled=${disabled} aria-describedby=${help ? `${id}-help` : nothing} @change=${(event) => change(event.target.checked)}>
  <div><label for=${id}>${label}</label>${help ? html`<p class="small" id="${id}-help">${help}</p>` : nothing}</div></div>`;

/** A section with its heading. */
export const section = (id, title, body, { aside = nothing, kind = '' } = {}) => html`<section class="panel ${kind}" aria-labelledby=${id}>
  <div class="panel-head"><h2 id=${id} tabindex="-1">${title}</h2>${aside}</div>${body}</section>`;

/** What is said where there is nothing, and what to do about it. */
export const empty = (title, body, action = nothing) => html`<div class="empty"><p><strong>${title}</strong></p><p>${body}</p>${action}</div>`;

/** The head of a page. */
export const head = (title, { lead = nothing, status = nothing, actions = nothing, crumbs = [] } = {}) => html`<header class="page-head">
  ${crumbs.length ? html`<nav aria-label="Breadcrumb" class="crumbs"><ol>${crumbs.map(([label, href]) => html`<li><a href=${href}>${label}</a></li>`)}</ol></nav>` : nothing}
  <div class="title"><h1 tabindex="-1">${title}</h1>${status}</div>
  ${lead === nothing ? nothing : html`<p class="lead">${lead}</p>`}
  ${actions === nothing ? nothing : html`<div class="buttons">${actions}</div>`}
</header>`;
