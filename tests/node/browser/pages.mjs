// Every page of two connected instances, at every size and in both schemes, and by keyboard; the playground, which is of
// use to nobody before it works, and what the contact of another company sees.
import assert from 'node:assert/strict';
import { CONSUMER, PROVIDER, Person, codeInLetter, looked, offered, run, walked } from './person.mjs';

const CONTACT = 'contact@consumer.example.com';
let ada, grace, connection;

async function visit(person, path, name, ready) {
  await person.goto(path);
  await person.heading(ready);
  await person.look(name);
  await person.tabs(name);
  // One that leads on to another was seen, too.
  for (const seen of [looked, walked]) seen.add(new URL(path, person.origin).pathname);
}

await run({
  async 'the pages of the provider'() {
    ada = await Person.at(PROVIDER, 'provider');
    await ada.goto('/connections');
    await ada.signIn('admin@provider.example.com');
    await ada.heading('Connections');
    assert.equal(new URL(ada.page.url()).pathname, '/connections', 'signing in leads back to where one wanted to go');
    connection = await ada.first('connections');
    await visit(ada, '/provider', 'provider-nothing-published', 'Provider centre');
    await ada.press('Publish a definition');
    await ada.page.getByLabel('Name of the definition').fill('order-form');
    await ada.page.getByLabel('What it is for').fill('Orders of parts.');
    await ada.page.getByLabel('Fields').fill('{ "type": "nonsense" }');
    await ada.press('Publish');
    await ada.page.locator('.problem, .notice.bad').first().waitFor();
    await ada.look('definition-problem');
    await ada.page.getByLabel('Fields').fill('{ "type": "object", "properties": { "title": { "type": "string" } } }');
    await ada.press('Publish');
    await ada.sees('order-form is published, version 1.');
    const fieldSchema = '{"type":"object","properties":{}}';
    await ada.mutate('saveDefinition', { kind: 'RECORD_PRODUCER', name: 'return-form', description: 'Sends parts back.', fieldSchema }, 'definition { id }');
    await ada.mutate('saveDefinition', { kind: 'TASK_DEFINITION', name: 'incident', description: 'Something is broken.', fieldSchema }, 'definition { id }');
    await ada.sees('incident');
    await ada.look('provider-definitions');
    await visit(ada, '/', 'start-provider', 'provider');
    await visit(ada, '/connections', 'connections-provider', 'Connections');
    await visit(ada, `/connections/${connection}`, 'connection-provider', 'consumer');
    await visit(ada, `/connections/${connection}/settings`, 'settings-provider', 'Settings');
    await visit(ada, '/registrations/new', 'register', 'Register a consumer');
    await visit(ada, `/registrations/${process.env.REGISTRATION_ID}`, 'registration-complete', 'REG-000001');
    await visit(ada, `/companies/${process.env.COMPANY_ID}`, 'company-contacts', 'Consumer Ltd');
    await visit(ada, '/people', 'people', 'People');
    await visit(ada, '/account', 'account', 'Your account');
    await visit(ada, '/scans/nothing', 'no-scan', 'No such scan');
    await visit(ada, '/issues/nothing', 'no-issue', 'No such issue');
  },

  async 'the pages of the consumer'() {
    grace = await Person.at(CONSUMER, 'consumer');
    await grace.signIn('admin@consumer.example.com');
    connection = await grace.first('connections');
    await offered(grace, connection, 2);
    await visit(grace, '/', 'start', 'consumer');
    await visit(grace, `/connections/${connection}/settings`, 'settings-offered', 'Settings');
    await visit(grace, `/connections/${connection}/form`, 'form-complete', 'Provider connection');
    await visit(grace, `/connections/${connection}/wizard`, 'wizard-complete', 'Connected with');
    await visit(grace, '/setup', 'setup', 'Guided set-up');
    await visit(grace, '/companies', 'companies', 'Companies');
    await visit(grace, '/errors', 'errors-none', 'Error log');
    await visit(grace, '/audit', 'audit', 'Audit log');
    await visit(grace, '/health', 'health', 'Health');
    await visit(grace, '/keys', 'keys', 'Keys');
    await visit(grace, '/checks', 'checks', 'Checks');
    await visit(grace, '/design', 'design', 'Design language');
    await visit(grace, '/provider', 'provider-none', 'Provider centre');
    await visit(grace, `/connections/${connection}/nothing`, 'no-page', 'No such page');
    await visit(grace, '/connections/nothing', 'no-connection', 'No such connection');
    await grace.goto('/connections/%zz');
    await grace.heading('No such page');
  },

  async 'the pages of those who look after keys'() {
    const auditor = await Person.at(CONSUMER, 'auditor');
    await auditor.signIn('auditor@consumer.example.com');
    await visit(auditor, '/keys/modules/identity', 'key-module', 'identity');
    await visit(auditor, '/keys/access?module=links', 'keys-access', 'Keys');
    await visit(auditor, '/keys/approvals', 'keys-approvals', 'Keys');
    await visit(auditor, '/keys/decisions/00000000-0000-0000-0000-000000000000', 'keys-no-decision', 'How access was decided');
    await auditor.close();
  },

  async 'the playground documents the schema and runs operations, live ones too'() {
    await visit(grace, '/playground', 'playground', 'API playground');
    await grace.press('Run');
    await grace.sees('"email": "admin@consumer.example.com"');
    await grace.page.getByLabel('Find a type or field').fill('authorizationUrl');
    await grace.press('OnboardingAttempt.authorizationUrl');
    await grace.sees('Where the contact approves, on the provider');
    await grace.look('playground-answer');
    await grace.press('Query');
    await grace.sees('So many from the start, 250 at most');
    await grace.press('Changes, live');
    await grace.press('Run');
    await grace.sees('"kind":"PRESENT"');
    await grace.press('Stop');
  },

  async 'the playground says what really came: an event in two pieces, no JSON, no schema'() {
    await grace.page.evaluate(() => {
      const real = window.fetch;
      const pieces = ['event: next\ndata: {"data":{"changes":{"kind":', '"IN_TWO_PIECES"}}}\n\n'];
      const body = () => new ReadableStream({
        async start(stream) {
          for (const piece of pieces) {
            stream.enqueue(new TextEncoder().encode(piece));
            await new Promise((next) => setTimeout(next, 200));
          }
          stream.close();
        },
      });
      const answers = [() => new Response(body(), { headers: { 'content-type': 'text/event-stream' } }), () => new Response('<h1>Bad gateway</h1>', { status: 502 })];
      window.fetch = (url, options) => {
        const mine = ['changes { cursor kind subject subjectId state at }', 'viewer { name email roles }'].some((text) => options?.body?.includes(text));
        if (!mine) return real(url, options);
        const answer = answers.shift();
        if (!answers.length) window.fetch = real;
        return Promise.resolve(answer());
      };
    });
    await grace.press('Run');
    await grace.sees('"kind":"IN_TWO_PIECES"');
    await grace.press('Who am I?');
    await grace.press('Run');
    await grace.sees('The answer (status 502) is no JSON');
    const forbidden = { errors: [{ message: 'The schema is not shown to you.', extensions: { code: 'FORBIDDEN' } }] };
    await grace.page.route('**/graphql', (route) => (route.request().postData()?.includes('__schema') ? route.fulfill({ json: forbidden }) : route.continue()));
    await grace.page.reload();
    await grace.sees('The schema is not shown here.');
    await grace.look('playground-without-schema');
    await grace.press('Run');
    await grace.sees('"email": "admin@consumer.example.com"');
    await grace.page.unroute('**/graphql');
  },

  async 'an address with a plain id, as letters have it, leads to the page'() {
    const uuid = Buffer.from(connection, 'base64url').toString().split(':')[1];
    await grace.goto(`/connections/${uuid}`);
    await grace.heading('provider');
    assert.equal(new URL(grace.page.url()).pathname, `/connections/${connection}`);
  },

  async 'whoever moves starts at the heading of where they are, and going back works'() {
    await grace.goto('/');
    await grace.heading('consumer');
    await grace.follow('Health');
    await grace.heading('Health');
    await grace.finds('tagName', 'H1');
    assert.match(await grace.page.title(), /^Health dashboard – consumer – Linkspan$/);
    await grace.page.goBack();
    await grace.heading('consumer');
  },

  async 'the contact of another company signs in with a code, and sees its own and no control that would be refused'() {
    const contact = await Person.at(PROVIDER, 'contact');
    await contact.goto('/sign-in');
    await contact.page.fill('#email', CONTACT);
    await contact.press('Email me a one-time code instead');
    await contact.heading('Enter your code');
    await contact.page.fill('#code', await codeInLetter());
    await contact.press('Sign in');
    await contact.heading('provider');
    assert.equal(await contact.page.getByRole('link', { name: 'Keys', exact: true }).count(), 0);
    await contact.look('start-contact');
    await contact.follow('Provider centre');
    await contact.heading('Provider centre');
    assert.equal(await contact.page.getByRole('link', { name: 'Register a consumer' }).count(), 0);
    await contact.look('provider-contact');
    await contact.follow('Health');
    await contact.heading('Health');
    await contact.sees('1 of 1');
    await contact.look('health-contact');
    await contact.close();
  },

  async 'no page of the router was left out, neither to the eye nor by keyboard'() {
    const program = await grace.page.locator('script[type=module]').getAttribute('src');
    const [, routes] = (await (await grace.page.request.get(new URL(program, CONSUMER).href)).text()).match(/const ROUTES = \[([^;]*)\];/);
    const patterns = [...routes.matchAll(/\['([^']+)'/g)].map(([, path]) => path);
    assert(patterns.length > 20, 'the routes were not found');
    for (const [what, paths] of Object.entries({ looked, walked })) {
      // A part that stands for itself is no name of something.
      const fits = (pattern, path) => path.split('/').length === pattern.split('/').length && pattern.split('/').every((part, at) => part === path.split('/')[at] || (part.startsWith(':') && !patterns.includes(path)));
      assert.deepEqual(patterns.filter((pattern) => ![...paths].some((path) => fits(pattern, path))), [], what);
    }
  },
});
