// Guided set-up: an ordered checklist for each side. An activity is complete when a person says so, not before.
import { gql, mutate } from '../lib/api.js';
import { REFUSAL } from '../lib/fragments.js';
import { command, resource } from '../lib/resource.js';
import { announce, askFor, toast } from '../lib/say.js';
import { badge, button, head, notice, on, outcome, section } from '../lib/ui.js';
import { html, nothing, repeat } from '../lib/view.js';
import { local } from '../lib/words.js';

const ACTIVITY = gql`fragment ActivityParts on Activity {
  name label state stateLabel instructions lockedBecause verified missing url completedAt overrideReason
}`;

const SETUP = gql`query GuidedSetup($side: ConnectionRole!) {
  guidedSetup(side: $side) { side sideLabel completed activities { ...ActivityParts } }
}
${ACTIVITY}`;

// Which checklist to begin with: that of the side on which something was begun.
const SIDES = gql`query GuidedSetupSides {
  consumer: guidedSetup(side: CONSUMER) { activities { state verified } }
}`;

const COMPLETE = gql`mutation CompleteActivity($input: CompleteActivityInput!) {
  completeActivity(input: $input) { activity { ...ActivityParts } refusal { ...RefusalParts } }
}
${ACTIVITY} ${REFUSAL}`;

const TABS = [['provider', 'As a provider', 'Offer a service, and connect the instances of those who use it.'], ['consumer', 'As a consumer', 'Connect this instance to a provider that invited you.']];

/** Where an activity is done, in words. */
const PLACES = {
  PROVIDER_RECORD: 'Provider centre', COMPANY_AND_CONTACT: 'Companies', PUBLISH_DEFINITIONS: 'Provider centre', REGISTER_CONSUMER: 'Register a consumer',
  OPEN_LINK: 'Open a registration link', CONNECT: 'See the connection', CONFIGURE_SETTINGS: 'Configure settings', VERIFY_CONNECTION: 'See the connection',
};

/** Without a side in the address: leads to the one that fits. */
function choose({ update, navigate }) {
  const sides = resource(SIDES, {}, () => {
    if (sides.data) {
      const begun = sides.data.consumer?.activities.some((one) => one.verified || one.state === 'COMPLETED');
      navigate(`/setup/${begun ? 'consumer' : 'provider'}`, { replace: true });
    } else update();
  });
  return { title: () => 'Guided set-up', ready: sides.refresh(), subjects: [], view: () => html`${head('Guided set-up')}${sides.view(() => nothing)}` };
}

export default function setup(given) {
  const { params, update, viewer } = given;
  if (!params.side) return choose(given);
  const [path, title, lead] = TABS.find(([name]) => name === params.side) ?? TABS[0];
  const side = path.toUpperCase();
  const all = resource(SETUP, { side }, update);
  const act = command(update);
  let marked = null;

  async function complete(activity) {
    marked = activity.name;
    let overrideReason;
    if (!activity.verified) {
      const answer = await askFor({
        title: `Mark “${activity.label}” complete all the same?`,
        body: `${activity.missing} If you mark it complete in spite of that, your reason is kept in the audit log.`,
        confirm: 'Mark Complete',
        fields: [{ name: 'reason', label: 'Reason', required: 'Say why, for those who come after you.', maxlength: 500 }],
      });
      if (!answer) return;
      overrideReason = answer.reason.trim();
    }
    const payload = await act.run(() => mutate(COMPLETE, { side, activity: activity.name, ...(overrideReason ? { overrideReason } : {}) }));
    await all.refresh();
    if (!payload) return;
    toast(`“${activity.label}” is complete.`);
    const next = all.data.guidedSetup.activities.find((one) => one.state === 'AVAILABLE' || one.state === 'IN_PROGRESS');
    announce(next ? `Next: ${next.label}.` : 'Every activity is complete.');
    requestAnimationFrame(() => document.getElementById(next ? `activity-${next.name}` : 'activities')?.focus());
  }

  /** What can be done about an activity that is open. */
  function controls(activity, current) {
    const place = html`<a class="button secondary" href=${local(activity.url)}>${PLACES[activity.name] ?? 'Go there'}</a>`;
    if (!viewer.canOperate) return html`<div class="buttons">${place}</div>`;
    const mark = activity.verified || viewer.canAdminister
      ? button(html`Mark Complete<span class="unseen">: ${activity.label}</span>`, () => complete(activity), { busy: act.busy && marked === activity.name, kind: activity.verified && current ? '' : 'secondary' })
      : nothing;
    return html`<div class="buttons">${place}${mark}</div>`;
  }

  function row(activity, current) {
    const open = activity.state === 'AVAILABLE' || activity.state === 'IN_PROGRESS';
    return html`<li class="activity ${activity.state.toLowerCase()}" aria-current=${current ? 'step' : nothing}>
      <div class="issue-head"><h3 id="activity-${activity.name}" tabindex="-1">${activity.label}</h3>${open && activity.verified ? badge(activity.state, 'Done: to be marked') : badge(activity.state, activity.stateLabel)}</div>
      <p>${activity.instructions}</p>
      ${activity.lockedBecause ? html`<p class="small">${activity.lockedBecause}</p>` : nothing}
      ${activity.completedAt ? html`<p class="small">Marked complete ${on(activity.completedAt)}.${activity.overrideReason ? html` In spite of its verification: ${activity.overrideReason}` : nothing} <a href=${local(activity.url)}>${PLACES[activity.name] ?? 'Go there'}</a></p>` : nothing}
      ${open ? html`<p class="small">${activity.verified ? 'What it asks for is done: mark it complete to go on.' : activity.missing}</p>${controls(activity, current)}` : nothing}
      ${marked === activity.name ? outcome(act) : nothing}</li>`;
  }

  function shown(found) {
    if (!found) return notice('calm', 'The checklist is for this organisation’s own people.', html`<p>Your connection is under <a href="/connections">Connections</a>.</p>`);
    const { activities, completed } = found;
    const next = activities.find((one) => one.state === 'AVAILABLE' || one.state === 'IN_PROGRESS');
    return section('activities', title, html`
      <p>${lead}</p>
      <div class="progress"><progress max=${activities.length} value=${completed} aria-label="Activities that are complete"></progress><span class="small">${completed} of ${activities.length} activities</span></div>
      ${completed === activities.length ? notice('good', 'Every activity is complete.', html`<p>From here on, <a href="/health">Health</a> says when something needs you.</p>`) : nothing}
      <ol class="activities">${repeat(activities, (one) => one.name, (one) => row(one, one === next))}</ol>`);
  }

  return {
    title: () => 'Guided set-up',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: ['CONNECTION', 'REGISTRATION', 'COMPANY', 'ACCOUNT', 'DEFINITION', 'SETUP'],
    changed: all.refresh,
    view: () => html`${head('Guided set-up', { lead: 'One step after the other. An activity is complete when you say so: nothing here starts or stops anything.' })}
      <nav class="tabs" aria-label="Sides"><ul>${TABS.map(([name, label]) => html`<li><a href="/setup/${name}" aria-current=${name === path ? 'page' : 'false'}>${label}</a></li>`)}</ul></nav>
      ${all.view((data) => shown(data.guidedSetup))}`,
  };
}
