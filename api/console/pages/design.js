// The design language of the console, shown in its own terms.
import { companyChooser } from '../lib/chooser.js';
import { badge, button, empty, facts, fingerprint, head, input, loading, notice, refusal, section, select, tick } from '../lib/ui.js';
import { ask, toast } from '../lib/say.js';
import { html } from '../lib/view.js';

const COLOURS = [['ground', 'The page'], ['surface', 'What lies on it'], ['ink', 'Text'], ['ink-quiet', 'Secondary text'], ['line', 'Divides'], ['accent', 'Leads on'], ['good', 'As it should be'], ['calm', 'Goes on by itself'], ['warn', 'Worth a look'], ['bad', 'Somebody must act']];
const SIZES = [['title', 'Title', 'h1, one a page'], ['large', 'Large', 'Headings of panels'], ['text', 'Text', 'Everything that is read'], ['small', 'Small', 'What is there for whoever looks']];
const RULES = [
  'A state has a sign, words and a colour. The colour alone says nothing.',
  'A screen never shows a control that would be refused; if something cannot be done, it says why.',
  'A failure says what happened, why, and what to do. No text is a dead end.',
  'What takes long says so, and goes on when the page is closed.',
  'Everything works by keyboard. The focus is visible, and goes to the heading of where you are.',
  'What changes by itself appears without being asked for, and is spoken once, by the one live region. Messages name what they are about; those that matter stay until they are closed, and none lies over what has the focus.',
  'A moment says how long ago it was. Exact times, to the second, are one press in the menu, for keyboard, touch and ear as well as for the pointer.',
  'Movement only says that something goes on; with reduced motion nothing moves.',
  'Before something that cannot be taken back, one question, in plain words.',
];

export default function design({ update }) {
  let name = '';
  let company = '';
  const companies = companyChooser({ id: 'example-many', update, change: (id) => { company = id; update(); } });
  return {
    title: () => 'Design language',
    subjects: [],
    view: () => html`${head('Design language', { lead: 'What the console is made of, for whoever builds on it. Calm, legible, honest about what is going on.' })}
      ${section('rules', 'Rules', html`<ol class="steps">${RULES.map((rule) => html`<li>${rule}</li>`)}</ol>`)}
      ${section('colour', 'Colour', html`<p>Each name has a value for light and for dark; text on its ground reaches a contrast of 4.5 to 1 in both.</p><ul class="swatches">${COLOURS.map(([colour, use]) => html`<li><span class="swatch ${colour}"></span><span><code>--${colour}</code><br><span class="small">${use}</span></span></li>`)}</ul>`)}
      ${section('states', 'States', html`<p class="buttons">${badge('ONBOARDED', 'Onboarded')} ${badge('ONBOARDING', 'Onboarding')} ${badge('SLOW', 'Slow')} ${badge('VALIDATION_FAILED', 'Validation failed')} ${badge('PENDING', 'Pending')}</p>
        ${notice('good', 'Onboarding Complete', html`<p>Said when something came to a good end.</p>`)}${notice('calm', 'The contact approves.', html`<p>Said while somebody or something else is waited for.</p>`)}${notice('warn', 'The certificate expires soon.', html`<p>Said where nothing is stopped yet.</p>`)}
        ${refusal({ code: 'CONTACT_INACTIVE', codeLabel: 'Contact inactive', message: 'The contact’s account is switched off.', reason: null, docsUrl: '/docs/refusals/contact-inactive', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', remedy: { text: 'Switch the account on, or name another contact.' } })}`)}
      ${section('type', 'Type and spacing', html`${SIZES.map(([size, label, use]) => html`<p class="type-${size}">${label} <span class="small">${use}, <code>--size-${size}</code></span></p>`)}<ul class="spaces">${[1, 2, 3, 4, 5, 6, 7].map((step) => html`<li><span class="space space-${step}"></span><code>--space-${step}</code></li>`)}</ul>`)}
      ${section('controls', 'Controls', html`<div class="buttons">${button('Leads on', () => toast('A message for a while.'))}${button('Beside it', () => toast('Worth a look.', 'warn'), { kind: 'secondary' })}${button('Works', () => {}, { busy: true })}${button('Ask first', () => ask({ title: 'Suspend the connection?', body: html`<p>Says what happens, and what does not.</p>`, confirm: 'Suspend' }), { kind: 'danger' })}</div>
        <div class="fields">${input({ id: 'example', label: 'A field', value: name, help: 'Help stands below, and stays.', change: (text) => { name = text; update(); } })}
        ${input({ id: 'example-bad', label: 'A field with a problem', value: 'ftp://consumer.example', error: 'It begins with https://.', change: () => {} })}
        ${companies.view({ label: 'A choice among many', value: company, help: 'Type a part of the name, or go through the list with the arrows.' })}
        ${select({ id: 'example-choice', label: 'A choice', value: 'b', choices: [['a', 'Production'], ['b', 'Non-production']], change: () => {} })}</div>
        ${tick({ id: 'example-tick', label: 'Activate new task definitions automatically', help: 'Otherwise each waits until you activate it.', checked: true, change: () => {} })}`)}
      ${section('content', 'Content', html`${facts([['Provider', 'Northwind IT'], ['Outbound status', badge('UP', 'Up')]])}${fingerprint('KLUO X3FQ 7MTA VB2R 5ZQH WJ4D N6YC E3SP')}${loading()}${empty('Nothing here yet.', 'Says what would be here, and how it comes.')}`)}`,
  };
}
