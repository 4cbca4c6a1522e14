// The frame: who is here, where they are, and what changes. Pages are modules of their own, loaded when they are needed.
import { follow, gql, onSignedOut, onStepUp, request } from './lib/api.js';
import { hold } from './lib/focus.js';
import { announce, ask, begun, turnPage } from './lib/say.js';
import { failed, head, loading, mark, notice, signInPath } from './lib/ui.js';
import { html, nothing, render } from './lib/view.js';
import { role, showExactTimes, timesAreExact } from './lib/words.js';

const ME = gql`query Me {
  viewer { id name email roles canAdminister canOperate company { id name } }
  instance { name origin environment environmentLabel fingerprintText mailOn version copied }
}`;

/** Paths and their pages. `:name` is a part of the path that the page is given. */
const ROUTES = [
  ['/', () => import('./pages/start.js')],
  ['/setup', () => import('./pages/setup.js')],
  ['/setup/:side', () => import('./pages/setup.js')],
  ['/connections', () => import('./pages/connections.js')],
  ['/connections/:id', () => import('./pages/connection.js')],
  ['/connections/:id/wizard', () => import('./pages/wizard.js')],
  ['/connections/:id/form', () => import('./pages/form.js')],
  ['/connections/:id/settings', () => import('./pages/settings.js')],
  ['/provider', () => import('./pages/provider.js')],
  ['/registrations/new', () => import('./pages/register.js')],
  ['/registrations/:id', () => import('./pages/registration.js')],
  ['/companies', () => import('./pages/companies.js')],
  ['/companies/:id', () => import('./pages/company.js')],
  ['/health', () => import('./pages/health.js')],
  ['/issues/:id', () => import('./pages/issue.js')],
  ['/scans/:id', () => import('./pages/scan.js')],
  ['/errors', () => import('./pages/errors.js')],
  ['/checks', () => import('./pages/checks.js')],
  ['/people', () => import('./pages/people.js')],
  ['/audit', () => import('./pages/audit.js')],
  ['/account', () => import('./pages/account.js')],
  ['/keys', () => import('./pages/keys.js')],
  ['/keys/modules/:name', () => import('./pages/key-module.js')],
  ['/keys/access', () => import('./pages/key-access.js')],
  ['/keys/approvals', () => import('./pages/key-approvals.js')],
  ['/keys/decisions/:id', () => import('./pages/key-decision.js')],
  ['/playground', () => import('./pages/playground.js')],
  ['/design', () => import('./pages/design.js')],
];

/** Labels and paths; what is marked is for this organisation's own people, not for contacts of others. */
const NAVIGATION = [
  ['Start', '/'],
  ['Guided set-up', '/setup', 'own'],
  ['Connections', '/connections'],
  ['Provider centre', '/provider'],
  ['Companies', '/companies', 'own'],
  ['Health', '/health'],
  ['Keys', '/keys', 'own'],
  ['People', '/people', 'own'],
  ['API playground', '/playground'],
];

const main = document.getElementById('content');
const context = { viewer: null, instance: null, navigate };
let page = null;
/** The page that loads. What changes meanwhile concerns it already: its answer may be older than the change. */
let coming = null;
let visit = 0;
/** The address that the page was opened for. */
let opened = new URL(location);
let scheduled = false;
/** How often what was drawn is drawn again, so that “3 minutes ago” is true. */
const TICK_MS = 20_000;
/** After so long without scrolling, somebody has found their place. */
const SCROLLED_MS = 250;

/** A part of a path as it was meant; null where it is no encoding of anything. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

function match(path) {
  const parts = path.split('/').filter(Boolean);
  for (const [pattern, load] of ROUTES) {
    const wanted = pattern.split('/').filter(Boolean);
    const params = {};
    const fits = wanted.length === parts.length && wanted.every((part, at) => {
      if (!part.startsWith(':')) return part === parts[at];
      params[part.slice(1)] = decoded(parts[at]);
      return params[part.slice(1)] !== null;
    });
    if (fits) return { load, params };
  }
  return null;
}

/** Draws the page soon, once, however often it is asked for. */
function update() {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    draw();
  });
}

function draw() {
  if (!page) return;
  const [title, body] = drawing();
  put(body, title);
  document.title = `${title} – ${context.instance?.name ?? 'Linkspan'} – Linkspan`;
}

/** A page's title and content; a mistake in its program is told as one, and is over with the next drawing without it. */
function drawing() {
  try {
    return [page.title(), page.view()];
  } catch (error) {
    console.error(error);
    return ['Mistake', mistake()];
  }
}

const mistake = () => cannotShow('Something in this page is broken.', 'What has begun continues. Reload; if it stays so, send the instance’s operator this address. The browser’s developer tools say where it is.');
const cannotShow = (title, todo) => html`${head('This page cannot be shown')}${notice('bad', title, html`<p>${todo}</p><p><button type="button" @click=${() => location.reload()}>Reload</button></p>`, true)}`;

/** Whoever may be a copy does nothing, and says so on each page. */
const copied = () => (context.instance?.copied
  ? notice('bad', 'This instance may be a copy.', html`<p>Its database is from another installation than the one that is at home on this host, so nothing is exchanged with any other side. If it is to go on here, stop the other one; then its operator runs <code>linkspan survivor</code> on this host and starts it again.</p>`)
  : nothing);

let drawn = false;
/** Whether what is drawn has no heading yet; then the frame says where one is, to those who hear it. */
let bare = false;
/** Draws into the page, in place of what the server wrote there. */
function put(body, title) {
  if (!drawn) main.replaceChildren();
  drawn = true;
  const settle = hold(main);
  const show = () => render(html`${bare ? html`<h1 class="unseen" id="place" tabindex="-1">${title}</h1>` : nothing}${copied()}${body}`, main);
  show();
  if (bare === Boolean(main.querySelector('h1:not(#place)'))) {
    bare = !bare;
    show();
  }
  // After whoever asked for it to be drawn had the time to say where the focus goes.
  requestAnimationFrame(settle);
}

function show(body, title) {
  page = { title: () => title, view: () => body };
  draw();
}

/** Shows what the address asks for. `to`: the person went there, so the focus goes along; see `arrive`. */
async function open(to) {
  const mine = ++visit;
  opened = new URL(location);
  page?.leave?.();
  page = null;
  coming = null;
  turnPage();
  drawNavigation();
  const found = match(location.pathname);
  if (!found) {
    show(html`${head('No such page')}${notice('warn', 'There is nothing under this address.', html`<p>It may have been mistyped, or be from another version. <a href="/">Go to the start</a>.</p>`)}`, 'No such page');
    if (to) arrive(to);
    return;
  }
  const slow = setTimeout(() => mine === visit && !page && drawn && put(loading(), 'Loading'), 150);
  let late = null;
  let module = null;
  try {
    module = await found.load();
    if (mine !== visit) return;
    const shown = module.default({ ...context, params: found.params, query: new URLSearchParams(location.search), update: () => mine === visit && update() });
    coming = shown;
    late = Promise.resolve(shown.ready).then(() => { late = null; });
    await Promise.race([late, new Promise((done) => setTimeout(done, 400))]);
    if (mine !== visit) {
      shown.leave?.();
      return;
    }
    page = shown;
    coming = null;
    draw();
  } catch (error) {
    if (mine !== visit) return;
    console.warn(error);
    if (module) show(mistake(), 'Mistake');
    else show(cannotShow('Its program could not be loaded.', 'Either this instance cannot be reached, or it was updated since you opened the console.'), 'Not loaded');
  } finally {
    clearTimeout(slow);
  }
  if (!to || mine !== visit) return;
  arrive(to);
  if (!late) return;
  await late;
  // What was to be found was not loaded before: whoever still waits at the heading is taken there.
  if (mine !== visit || ![document.body, main, main.querySelector('h1')].includes(document.activeElement)) return;
  draw();
  arrive(to);
}

/**
 * A person who moved starts at the heading of where they are, or at the part that the address names. Who comes back
 * is where they left: `top` is how far the page was scrolled, `link` what they followed.
 */
function arrive({ top = 0, link = null }) {
  const left = link && [...main.querySelectorAll('a[href]')].find(({ href }) => href === link);
  const part = location.hash ? document.getElementById(location.hash.slice(1)) : null;
  const place = left || part || main.querySelector('h1');
  if (place !== left) place?.setAttribute('tabindex', '-1');
  place?.focus({ preventScroll: true });
  if (part && !left) part.scrollIntoView({ block: 'start' });
  else scrollTo(0, top);
  document.querySelector('.nav details')?.removeAttribute('open');
}

let scrolled = null;
/** Remembers with the address where somebody is on the page, for when they come back. */
function remember(link = history.state?.link) {
  clearTimeout(scrolled);
  history.replaceState({ link, top: scrollY }, '');
}

/** Whether an address is a part of the page that is open, of which nothing has to be loaded anew. */
const withinPage = ({ pathname, search }, { pathname: here, search: asked }) => pathname === here && search === asked;

function navigate(path, { replace = false } = {}) {
  if (!replace) remember(new URL(path, location).href);
  clearTimeout(scrolled);
  history[replace ? 'replaceState' : 'pushState'](null, '', path);
  return open({});
}

function drawNavigation() {
  const path = location.pathname;
  const current = (href) => (href === '/' ? path === '/' : path === href || path.startsWith(`${href}/`) || (href === '/provider' && path.startsWith('/registrations')) || (href === '/keys' && path === '/audit') || (href === '/health' && /^\/(issues|scans|checks|errors)(\/|$)/.test(path)));
  const mine = NAVIGATION.filter(([, , whose]) => !whose || !context.viewer?.company);
  const list = html`<ul>${mine.map(([label, href]) => html`<li><a href=${href} aria-current=${current(href) ? 'page' : 'false'}>${label}</a></li>`)}</ul>`;
  const here = mine.find(([, href]) => current(href))?.[0] ?? 'Menu';
  render(html`<details class="narrow"><summary>${here}</summary>${list}</details><div class="wide">${list}</div>`, document.getElementById('nav'));
}

async function refreshViewer() {
  const data = await request(ME);
  Object.assign(context, data);
  const { viewer } = data;
  const roles = viewer.roles.map(role).join(', ') || 'no roles';
  render(html`${viewer.email}<br>${roles}`, document.getElementById('viewer'));
}

/** Whoever signed in elsewhere meanwhile may be somebody else, with other rights: nothing of the other stays on the screen. */
async function lookWhoIsHere() {
  if (document.hidden || !context.viewer) return;
  const before = JSON.stringify(context.viewer);
  try {
    await refreshViewer();
  } catch {
    // Told where something is asked for.
    return;
  }
  if (JSON.stringify(context.viewer) !== before) location.reload();
}

function links() {
  document.addEventListener('visibilitychange', lookWhoIsHere);
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[href]');
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !match(url.pathname)) return;
    event.preventDefault();
    if (url.hash && withinPage(url, location)) {
      history.replaceState(history.state, '', url.hash);
      arrive({});
    } else navigate(url.pathname + url.search + url.hash);
  });
  document.addEventListener('input', begun);
  history.scrollRestoration = 'manual';
  addEventListener('scroll', () => {
    clearTimeout(scrolled);
    scrolled = setTimeout(remember, SCROLLED_MS);
  }, { passive: true });
  addEventListener('popstate', () => {
    clearTimeout(scrolled);
    if (withinPage(location, opened) && location.hash !== opened.hash) {
      opened = new URL(location);
      arrive(history.state ?? {});
    } else open(history.state ?? {});
  });
  document.addEventListener('click', (event) => {
    const menu = document.querySelector('.menu[open]');
    if (menu && !menu.contains(event.target)) menu.removeAttribute('open');
  });
  document.addEventListener('keydown', (event) => {
    const menu = event.key === 'Escape' && document.querySelector('.menu[open]');
    if (menu) {
      menu.removeAttribute('open');
      menu.querySelector('summary').focus();
    }
  });
}

/** How live the screen is: what stands in the bar, and what is said when it becomes so. */
const LIVE = {
  live: [null, 'Connected again. What you see is up to date.'],
  waiting: [() => html`<span class="badge warn">Not live: reconnecting …</span>`, 'The connection to this instance was lost. What you see may be out of date.'],
  out: [() => html`<a class="badge bad" href=${signInPath()}>Signed out: sign in</a>`, 'You are signed out. What you see may be out of date.'],
};
/** The choice between how long ago something was and when exactly: by keyboard, touch and ear, too. */
function drawTimes() {
  const choose = () => {
    showExactTimes(!timesAreExact());
    drawTimes();
    draw();
  };
  render(html`<button class="secondary" type="button" aria-pressed=${String(timesAreExact())} @click=${choose}>${timesAreExact() ? mark('good') : nothing}Exact times</button>`, document.getElementById('times'));
}

let state = 'live';
/** Says when the screen may be out of date, and when it is live again. */
function connection(now) {
  if (now === state) return;
  if (state === 'out' && now === 'live') lookWhoIsHere();
  state = now;
  const [sign, words] = LIVE[state];
  const region = document.getElementById('live');
  region.hidden = !sign;
  render(sign ? sign() : nothing, region);
  announce(words);
}

async function sessionEnded() {
  if (state === 'out') return;
  connection('out');
  const again = await ask({
    title: 'You are signed out',
    body: html`<p>Your session has ended. What has begun continues. Sign in again, and you are back on this page.</p>`,
    confirm: 'Sign in',
    cancel: 'Stay here',
  });
  if (again) location.assign(signInPath());
}

async function boot() {
  links();
  drawTimes();
  setInterval(() => document.hidden || draw(), TICK_MS);
  onSignedOut(sessionEnded);
  onStepUp(async () => (await import('./lib/step-up.js')).confirmIdentity(context.instance));
  try {
    await refreshViewer();
  } catch (error) {
    show(html`${head('The console cannot start')}${failed(error, () => location.reload())}`, 'Not started');
    return;
  }
  await open(null);
  if (history.state?.top) scrollTo(0, history.state.top);
  follow({
    onChange: (event) => {
      const here = page ?? coming;
      if (!here?.subjects || here.subjects.includes(event.subject)) here?.changed?.(event);
    },
    onFresh: () => (page ?? coming)?.refresh?.(),
    onState: connection,
  });
}

boot();
