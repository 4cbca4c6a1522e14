// A new registration: company, contact, URL. What can be seen to be wrong is said before it is saved.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { warningList } from '../lib/checks.js';
import { companyChooser, contactChooser, person, switchedOff } from '../lib/chooser.js';
import { remedyPlace } from '../lib/remedies.js';
import { command, resource } from '../lib/resource.js';
import { announce } from '../lib/say.js';
import { button, head, input, notice, outcome, section, select, submit } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';

const CHOICES = gql`query RegistrationChoices($companyId: ID!, $named: Boolean!) {
  providerRecord { name }
  company: node(id: $companyId) @include(if: $named) { ... on Company { id name } }
}`;

const CONTACTS = gql`query CompanyContacts($companyId: ID!) {
  contacts(first: 2, companyId: $companyId) { edges { node { id name email active } } }
}`;

const CREATE = gql`mutation CreateRegistration($input: CreateRegistrationInput!) {
  createRegistration(input: $input) { registration { id number } refusal { ...RefusalParts } }
}
${REFUSAL}`;

const TRY = gql`mutation DryRunChecks($input: DryRunChecksInput!) {
  dryRunChecks(input: $input) {
    dryRun { passed results { check checkLabel answer answerLabel message blocking severity severityLabel docsUrl remedy { kind text setting value mutation variables { name value } } } }
    refusal { ...RefusalParts }
  }
}
${REFUSAL}`;

const ENVIRONMENTS = [['PRODUCTION', 'Production'], ['NON_PRODUCTION', 'Non-production']];

/** What is wrong with a URL as far as its text tells; the instance looks at it again. */
function urlProblem(text, ours) {
  if (!text) return 'Enter the URL of the consumer’s instance.';
  let url;
  try {
    url = new URL(text);
  } catch {
    return 'This is no URL. It looks like https://linkspan.consumer.example.';
  }
  if (!/^https?:$/.test(url.protocol)) return 'It begins with https://.';
  if (url.username || url.password) return 'Leave out user name and password.';
  if (url.pathname !== '/' || url.search || url.hash) return 'Only scheme, host and port: leave out what comes after.';
  return url.origin === ours ? 'This is our own URL. Enter that of the consumer’s instance.' : null;
}

export default function register({ update, query, navigate, instance, viewer }) {
  const named = query.get('company') ?? '';
  const choices = resource(CHOICES, { companyId: named, named: named !== '' }, update);
  const companies = companyChooser({ id: 'companyId', update, change: (id) => set('companyId', id) });
  const save = command(update);
  const trial = command(update);
  let tried = null;
  const values = { companyId: named, contactId: '', url: '', environment: instance.environment };
  const problems = {};
  // Whether the chosen company has people: a resource of its own for each, so that a late answer is never taken for another's.
  let contacts = null;
  let people = null;
  let key = crypto.randomUUID();

  async function loadContacts() {
    values.contactId = '';
    delete problems.contactId;
    people = values.companyId ? contactChooser(values.companyId, { id: 'contactId', update, change: chosen }) : null;
    const mine = values.companyId ? resource(CONTACTS, { companyId: values.companyId }, found) : null;
    contacts = mine;
    update();
    await mine?.refresh();

    function found() {
      const [only, ...others] = mine === contacts && mine.data ? mine.data.contacts.edges : [];
      if (only?.node.active && !others.length) values.contactId ||= only.node.id;
      update();
    }
  }

  function chosen(id, contact) {
    set('contactId', id);
    problems.contactId = switchedOff(contact);
    update();
  }

  function set(name, value) {
    values[name] = value;
    delete problems[name];
    key = crypto.randomUUID();
    save.clear();
    tried = null;
    if (name === 'companyId') loadContacts();
    else update();
  }

  /** Asks all checks what they would answer, without keeping anything. */
  async function tryOut() {
    problems.url = urlProblem(values.url.trim(), instance.origin);
    update();
    if (problems.url) {
      requestAnimationFrame(() => document.getElementById('url')?.focus());
      return;
    }
    tried = null;
    const { url, companyId, contactId, environment } = values;
    const payload = await trial.run(() => mutate(TRY, { url: url.trim(), environment, ...(companyId ? { companyId } : {}), ...(companyId && contactId ? { contactId } : {}) }));
    tried = payload?.dryRun ?? null;
    update();
    if (!tried) return;
    announce(tried.passed ? 'The checks would pass.' : 'The checks would not pass.');
    requestAnimationFrame(() => document.getElementById('tried')?.focus());
  }

  function trialResult() {
    if (!tried) return outcome(trial);
    const found = tried.results.filter((result) => result.answer === 'FINDING' || result.answer === 'ERROR');
    return html`${notice(tried.passed ? 'good' : 'warn', tried.passed ? 'The checks would pass.' : 'The checks would not pass yet.', html`<p>${values.contactId ? '' : 'The contact was not looked at: none is chosen. '}Nothing was kept.</p>`)}${found.length ? warningList(found) : nothing}`;
  }

  async function store(event) {
    event.preventDefault();
    const wrong = {
      companyId: values.companyId ? null : 'Choose the company.',
      contactId: values.contactId ? null : 'Choose the person who will connect their instance.',
      url: urlProblem(values.url.trim(), instance.origin),
    };
    // An account that is switched off stops nobody from saving: the checks look at it again.
    Object.assign(problems, wrong, values.contactId ? { contactId: problems.contactId } : {});
    const first = Object.keys(wrong).find((name) => wrong[name]);
    update();
    if (first) {
      requestAnimationFrame(() => document.getElementById(first)?.focus());
      return;
    }
    const payload = await save.run(() => mutate(CREATE, { ...values, url: values.url.trim() }, key));
    if (payload) navigate(`/registrations/${payload.registration.id}`);
    else if (save.refusal?.field) requestAnimationFrame(() => document.getElementById(save.refusal.field)?.focus());
  }

  const problem = (name) => problems[name] ?? (save.refusal?.field === name ? save.refusal.message : null);

  function contactField() {
    if (!contacts) return nothing;
    return contacts.view(({ contacts: { edges } }) => (edges.length ? people.view({
      label: 'Contact', value: values.contactId, name: values.contactId === edges[0].node.id ? person(edges[0].node) : null, error: problem('contactId'),
      help: 'They get the link, and only they can approve. They must be an administrator of their own instance.',
    }) : notice('warn', 'This company has no contact here yet.', html`<p><a href="/companies/${values.companyId}">Add the person who will connect their instance</a>, then come back.</p>`)));
  }

  const form = (asked) => html`<form class="panel form" novalidate @submit=${store}>
    ${companies.view({ label: 'Company', value: values.companyId, name: values.companyId === asked?.id ? asked.name : null, error: problem('companyId') })}
    <p class="small">Is the company missing? <a href="/companies">Add it</a> with its contact first.</p>
    ${contactField()}
    ${input({ id: 'url', label: 'URL of the consumer’s instance', type: 'url', value: values.url, maxlength: 255, required: true, error: problem('url'), placeholder: 'https://linkspan.consumer.example', change: (text) => set('url', text), blur: () => { if (values.url) { problems.url = urlProblem(values.url.trim(), instance.origin); update(); } } })}
    ${save.refusal?.field === 'url' ? html`<p class="small">${remedyPlace(save.refusal.remedy)}</p>` : nothing}
    ${select({ id: 'environment', label: 'Their environment', value: values.environment, error: problem('environment'), choices: ENVIRONMENTS, help: 'In production the contact’s email address has to work.', change: (value) => set('environment', value) })}
    ${save.refusal?.field && document.getElementById(save.refusal.field) ? nothing : outcome(save)}
    <div class="buttons">${submit('Save', { busy: save.busy })}${button('Try the checks', tryOut, { kind: 'secondary', busy: trial.busy })}<a class="button secondary" href="/provider">Do not save</a></div>
    <p class="small">Saving runs the checks. When they pass, ${instance.mailOn ? 'a letter with the link goes to the contact.' : 'you get a link to pass on: letters are off here.'}</p>
  </form>
  ${tried || trial.refusal || trial.error ? section('tried', 'What the checks would say', trialResult()) : nothing}`;

  const ready = choices.refresh().then(() => (values.companyId ? loadContacts() : null));
  return {
    title: () => 'Register a consumer',
    ready,
    refresh: choices.refresh,
    subjects: ['COMPANY'],
    changed: choices.refresh,
    view: () => html`${head('Register a consumer', { crumbs: [['Provider centre', '/provider']] })}
      ${choices.view((data) => {
        if (!viewer.canOperate) return notice('warn', 'Your account may not register consumers.', html`<p>Ask an administrator of this instance for the role operator.</p>`);
        if (!data.providerRecord) return notice('warn', 'This instance has no provider record yet.', html`<p>Say first what it offers: <a href="/provider">set up the provider record</a>.</p>`);
        return form(data.company);
      })}`,
  };
}
