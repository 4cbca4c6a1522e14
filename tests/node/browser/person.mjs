// A person at a real browser. Whatever a page does that it must not do is remembered: errors on the console, requests
// to other origins, a policy that lets in what is not its own. `look` draws a state at each size and in each scheme, and
// asks axe-core.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const { PROVIDER, CONSUMER, PASSWORD, PROVIDER_MAIL, SHOTS, CHROMIUM } = process.env;

export { PROVIDER, CONSUMER, PASSWORD };

/** The paths that `look` and `tabs` were asked for. */
export const looked = new Set();
export const walked = new Set();

let browser;
let done = 0;
const people = [];

/** Runs the steps of a script in one browser and says how they went; the first failure ends it. */
export async function run(steps) {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'] });
  try {
    for (const [name, step] of Object.entries(steps)) {
      const begun = Date.now();
      try {
        await step();
      } catch (error) {
        for (const person of people) await person.page.screenshot({ path: path.join(SHOTS, `failed-${person.name}.png`), fullPage: true }).catch(() => {});
        console.log(`failed: ${name}`);
        throw error;
      }
      for (const person of people) person.wasGood(name);
      done += 1;
      console.log(`passed: ${name} (${Date.now() - begun} ms)`);
    }
    console.log(`${done} passed, 0 failed`);
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}

/** Waits until something is so. */
export async function until(what, ask, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert(Date.now() < end, `never: ${what}`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the host for what people cannot do, such as `@stop provider` or `@later 60`, and waits until it is done. */
export async function host(what) {
  console.log(what);
  await answers.next();
}

/** Whether a content security policy lets in nothing but the page's own; where a form may lead is left to the page. */
function strict(policy = '') {
  const rules = new Map(policy.split(';').map((rule) => rule.trim().split(/\s+/)).map(([name, ...from]) => [name, from.join(' ')]));
  const closed = ['default-src', 'frame-ancestors', 'base-uri'].every((name) => rules.get(name) === "'none'");
  return closed && rules.get('form-action')?.startsWith("'self'") && [...rules].every(([name, from]) => name === 'form-action' || from === "'none'" || from === "'self'");
}

/** Writes down in a page what its live regions say; what is said behind a modal dialog nobody hears. */
function listen() {
  window.heard = [];
  const hear = (changes) => {
    for (const { target, addedNodes } of changes) {
      if (!target.closest?.('#announcer, .announcer')) continue;
      const dialog = document.querySelector('dialog:modal');
      if (!dialog || dialog.contains(target)) for (const node of addedNodes) window.heard.push(node.textContent.trim());
    }
  };
  new MutationObserver(hear).observe(document, { childList: true, subtree: true });
}

/** In the page: prepares a walk by Tab, and answers how many steps it takes. */
function begin() {
  const dialog = document.querySelector('dialog:modal');
  const had = document.activeElement;
  const problems = [];
  if (dialog && !dialog.contains(had)) problems.push('the dialog was opened and does not have the focus');
  const controls = [...(dialog ?? document).querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter((element) => !element.disabled && element.checkVisibility() && !element.closest('#toasts'));
  const says = (element) => element.outerHTML.slice(0, 100);
  const looks = (element) => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow, borderColor, backgroundColor } = getComputedStyle(element);
    return JSON.stringify([outlineStyle === 'none' ? null : [outlineStyle, outlineWidth, outlineColor], boxShadow, borderColor, backgroundColor]);
  };
  had?.blur();
  const calm = new Map(controls.map((element) => [element, looks(element)]));
  const stops = [];
  let last = null;
  window.walk = {
    step() {
      const now = document.activeElement;
      if (now === document.body || now === document.documentElement) {
        last = null;
        return;
      }
      if (dialog?.isConnected && !dialog.contains(now)) problems.push(`behind the dialog: ${says(now)}`);
      if (now === last) problems.push(`holds the focus: ${says(now)}`);
      if (!stops.includes(now) && !now.closest('#toasts')) {
        if (now.tabIndex > 0) problems.push(`is out of the order: ${says(now)}`);
        if (calm.get(now) === looks(now)) problems.push(`the focus cannot be seen: ${says(now)}`);
        const [before, here] = [stops.at(-1), now].map((element) => element?.getBoundingClientRect());
        const over = before && last && here.bottom <= before.top && here.right > before.left && here.left < before.right;
        if (over && !now.closest('header, nav')) problems.push(`goes up from ${says(stops.at(-1))} to ${says(now)}`);
        stops.push(now);
      }
      last = now;
    },
    end() {
      had?.focus();
      const missed = controls.filter((element) => element.isConnected && !stops.includes(element)).map(says);
      return { problems, reached: stops.length, missed };
    },
  };
  // Messages have a control each, and the walk may go over the end of the page.
  return controls.length + document.querySelectorAll('#toasts button').length + 2;
}

export class Person {
  /** A person with a browser of their own, at this origin. */
  static async at(origin, name, options = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 900 }, ...options });
    await context.addInitScript(listen);
    const person = new Person(origin, name, context, await context.newPage());
    people.push(person);
    return person;
  }

  constructor(origin, name, context, page) {
    Object.assign(this, { origin, name, context, page, problems: [], expected: [], transferred: 0 });
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && this.problems.push(message.text()));
    page.on('pageerror', (error) => this.problems.push(String(error.stack)));
    page.on('request', (request) => {
      const { origin: to, protocol } = new URL(request.url());
      // A person goes from one instance to the other; a page asks nobody but its own.
      const own = request.isNavigationRequest() ? [PROVIDER, CONSUMER] : [new URL(request.frame().url()).origin];
      if (/^https?:/.test(protocol) && !own.includes(to)) this.problems.push(`a request to ${to} from ${own}`);
    });
    page.on('response', (response) => {
      const policy = response.headers()['content-security-policy'];
      if (response.request().resourceType() === 'document' && !strict(policy)) this.problems.push(`the policy of ${response.url()} is ${policy}`);
    });
  }

  /** What is said on the console in this step is no surprise. */
  expects(pattern) {
    this.expected.push(pattern);
  }

  wasGood(step) {
    const bad = this.problems.filter((problem) => !this.expected.some((pattern) => pattern.test(problem)));
    assert.deepEqual(bad, [], `${this.name}, after “${step}”`);
    this.problems = [];
    this.expected = [];
  }

  async goto(where) {
    await this.page.goto(/^https?:/.test(where) ? where : this.origin + where);
  }

  async signIn(email, password = PASSWORD) {
    if (!this.page.url().includes('/sign-in')) await this.goto('/sign-in');
    await this.page.fill('#email', email);
    await this.page.fill('#password', password);
    await this.page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await this.page.waitForURL((url) => !url.pathname.startsWith('/sign-in'));
  }

  press(name, options = {}) {
    return this.page.getByRole('button', { name, exact: true, ...options }).click();
  }

  /** Takes from a field's list what is named so, by a part of the name. */
  async choose(label, text, name = text) {
    const { page } = this;
    await page.getByRole('combobox', { name: label, exact: true }).fill(text);
    await page.getByRole('listbox', { name: `${label}: what fits`, exact: true }).getByRole('option', { name, exact: true }).click();
  }

  follow(name) {
    return this.page.getByRole('link', { name, exact: true }).first().click();
  }

  sees(text, ms = 15_000) {
    return this.page.getByText(text).first().waitFor({ timeout: ms });
  }

  async heading(text) {
    await this.page.getByRole('heading', { name: text, level: 1 }).waitFor({ timeout: 15_000 });
  }

  /** Waits for the focus to be where a person expects it: it moves after what is new was drawn. */
  async finds(what, expected) {
    let found;
    for (const start = Date.now(); Date.now() - start < 5_000; await this.page.waitForTimeout(20)) {
      found = await this.page.evaluate((what) => document.activeElement[what], what);
      if (expected instanceof RegExp ? expected.test(found) : found === expected) return;
    }
    assert.fail(`the focus is on ${found}, not on ${expected}`);
  }

  /** Waits until a live region has said this since the page was opened. */
  async hears(words) {
    const fits = (said) => (words instanceof RegExp ? words.test(said) : said === words);
    let heard = [];
    for (const start = Date.now(); Date.now() - start < 15_000; await this.page.waitForTimeout(50)) {
      heard = await this.page.evaluate(() => window.heard);
      if (heard.some(fits)) return;
    }
    assert.fail(`never said: ${words}; said was ${JSON.stringify(heard)}`);
  }

  /** Decides what becomes of each request with this operation, until the function that it answers is called. */
  async meddle(operation, fate) {
    const held = new Set();
    let over = false;
    const decide = (route) => {
      if (over || !route.request().postData()?.includes(operation)) return route.fallback();
      const decided = Promise.resolve(fate(route)).finally(() => held.delete(decided));
      held.add(decided);
      return decided;
    };
    await this.page.route('**/graphql', decide);
    return async () => {
      over = true;
      await Promise.all(held);
      await this.page.unroute('**/graphql', decide);
    };
  }

  /** Shows this person the answers to an operation as `change` makes them of its data, until the function that it answers is called. */
  alters(operation, change) {
    return this.meddle(operation, async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      change(json.data);
      await route.fulfill({ response, json });
    });
  }

  /** Sends an operation with this person's session. */
  graphql(query, variables = {}) {
    return this.page.evaluate(async ([query, variables]) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await (await fetch('/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json();
      if (answer.errors) throw new Error(JSON.stringify(answer.errors));
      return answer.data;
    }, [query, variables]);
  }

  /** The id of the first in a list. */
  async first(list) {
    return (await this.graphql(`{ ${list} { edges { node { id } } } }`))[list].edges[0].node.id;
  }

  async mutate(name, input, fields) {
    const type = `${name[0].toUpperCase()}${name.slice(1)}Input`;
    const data = await this.graphql(`mutation($input: ${type}!) { ${name}(input: $input) { ${fields} refusal { code message } } }`, { input });
    assert.equal(data[name].refusal, null, `${name}: ${JSON.stringify(data[name].refusal)}`);
    return data[name];
  }

  /**
   * Draws the page as it is at every size and in both schemes, for whoever wants nothing to move, and lets axe-core look at
   * each; a dialog is gone through by keyboard.
   */
  async look(name) {
    const { page } = this;
    const before = page.viewportSize();
    looked.add(new URL(page.url()).pathname);
    if (await page.locator('dialog:modal').count()) await this.tabs(name);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      assert.equal(await page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === 'running').length), 0, `${name}: something moves`);
      for (const width of [360, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(wide <= 1, `${name} at ${width}: scrolls sideways by ${wide}`);
        await this.axe(`${name} (${colorScheme}, ${width})`);
        await page.screenshot({ path: path.join(SHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
      }
    }
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: null });
    await page.setViewportSize(before);
  }

  /** Asks every rule, and wants to know nothing of what is in order. */
  async axe(name) {
    // Put in by the debugger, which the page's policy does not bind.
    if (!await this.page.evaluate(() => 'axe' in window)) await this.page.evaluate(AXE);
    const options = { runOnly: { type: 'tag', values: TAGS }, resultTypes: ['violations'], preload: false };
    const violations = await this.page.evaluate(async (options) => (await axe.run(document, options)).violations, options);
    const words = violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html.slice(0, 120)} (${node.failureSummary.split('\n')[1]?.trim()})`).join(' | ')}`);
    assert.deepEqual(words, [], name);
  }

  /** Goes to a control by keyboard alone, and makes sure that the focus can be seen on the way. */
  async tabTo(role, name, most = 60) {
    const wanted = await this.page.getByRole(role, { name, exact: true }).first().elementHandle();
    for (let i = 0; i < most; i += 1) {
      await this.page.keyboard.press('Tab');
      const [there, visible] = await this.page.evaluate((element) => {
        const now = document.activeElement;
        const style = getComputedStyle(now);
        return [now === element, style.outlineStyle !== 'none' && style.outlineWidth !== '0px'];
      }, wanted);
      if (there) {
        assert(visible, `the focus on ${name} cannot be seen`);
        return;
      }
    }
    assert.fail(`${name} is not reached by keyboard`);
  }

  /**
   * Goes by Tab alone through the page, or the dialog over it: every control is reached and none holds the focus, what has
   * it looks otherwise than without, the order is that of reading, and nothing behind a dialog is reached. The focus is
   * where it was afterwards. Messages come and go.
   */
  async tabs(name) {
    const { page } = this;
    walked.add(new URL(page.url()).pathname);
    const most = await page.evaluate(begin);
    for (let i = 0; i < most; i += 1) {
      await page.keyboard.press('Tab');
      await page.evaluate(() => window.walk.step());
    }
    const { problems, reached, missed } = await page.evaluate(() => window.walk.end());
    assert.deepEqual([...problems, ...missed.map((one) => `not reached: ${one}`)], [], name);
    assert(reached > 0, `${name}: nothing is reached`);
  }

  close() {
    this.wasGood('the end');
    people.splice(people.indexOf(this), 1);
    return this.context.close();
  }
}

const plain = (text) => Buffer.from(text.replace(/=\r?\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), 'latin1').toString('utf8');

/** Letters to the provider's people as they lie in the folder, the oldest first. */
function files() {
  if (!fs.existsSync(PROVIDER_MAIL)) return [];
  return fs.readdirSync(PROVIDER_MAIL).sort().map((file) => fs.readFileSync(path.join(PROVIDER_MAIL, file), 'utf8'));
}

/** Letters to the provider's people, the oldest first, out of their quoted-printable form. */
export const letters = () => files().map(plain);

/** The same taken apart: the head of each, and what it says as text and as HTML. */
export function mail() {
  return files().map((file) => {
    const [, boundary] = file.match(/boundary="([^"]+)"/);
    const [head, ...parts] = file.split(`--${boundary}`);
    const body = (type) => {
      const part = parts.find((one) => one.includes(`Content-Type: ${type}`));
      const [fields, ...rest] = part.trimStart().split(/\r?\n\r?\n/);
      const content = rest.join('\n\n').trimEnd();
      return /quoted-printable/i.test(fields) ? plain(content) : /base64/i.test(fields) ? Buffer.from(content, 'base64').toString('utf8') : content;
    };
    return { head: plain(head), text: body('text/plain'), html: body('text/html') };
  });
}

/** The registration link of the latest letter that has one. */
export const linkInLetter = () => until('a letter with a link', () => letters().reverse().find((letter) => letter.includes('/connect#'))?.match(/https?:\/\/\S+\/connect#[^\s"<]+/)[0].replaceAll('&amp;', '&'));

/** The one-time code of the latest letter that has one, another than this. */
export const codeInLetter = (before) => until('a letter with a code', () => {
  const code = letters().reverse().find((letter) => !letter.includes('/connect#'))?.match(/^\s*(\d{8})\s*$/m)?.[1];
  return code !== before && code;
});

/** Waits until so many record producers are offered to this person over a connection. */
export const offered = (person, id, count) => until('the offer arrived', async () => (await person.graphql('query($id: ID!) { connection(id: $id) { settings { recordProducers { name } } } }', { id })).connection.settings.recordProducers.length === count, 30_000);
