// What people agree on about an issue: who looks after it, silence for a while, going on in spite of it.
import { may as mayWith } from './actions.js';
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';
import { askFor, toast } from './say.js';
import { button, notice, on } from './ui.js';
import { html, nothing } from './view.js';
import { finding } from './words.js';

const OPERATIONS = {
  assignIssue: gql`mutation AssignIssue($input: AssignIssueInput!) {
    assignIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  followIssue: gql`mutation FollowIssue($input: FollowIssueInput!) {
    followIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  unfollowIssue: gql`mutation UnfollowIssue($input: UnfollowIssueInput!) {
    unfollowIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  muteIssue: gql`mutation MuteIssue($input: MuteIssueInput!) {
    muteIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  unmuteIssue: gql`mutation UnmuteIssue($input: UnmuteIssueInput!) {
    unmuteIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  waiveIssue: gql`mutation WaiveIssue($input: WaiveIssueInput!) {
    waiveIssue(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
  withdrawWaiver: gql`mutation WithdrawWaiver($input: WithdrawWaiverInput!) {
    withdrawWaiver(input: $input) { issue { id revision } refusal { ...RefusalParts } }
  }
  ${REFUSAL}`,
};

const DAYS = [['1', '1 day'], ['7', '7 days'], ['30', '30 days'], ['90', '90 days']];
const DAY_MS = 86_400_000;

const QUESTIONS = {
  muteIssue: { title: 'Mute this issue?', body: 'Nobody is told of it until then. It blocks all the same.', confirm: 'Mute', done: 'muted.' },
  waiveIssue: { title: 'Go on in spite of this issue?', body: 'It no longer stops what waits for it. You take the risk, and it is recorded.', confirm: 'Waive', done: 'waived.' },
};

/** Exceptions that hold now, and the controls for what whoever looks may do. */
export function exceptions(issue, { command, refresh, viewer }) {
  const may = (name) => mayWith(issue, name);

  async function run(name, input, words) {
    if (await command.run(() => mutate(OPERATIONS[name], { issueId: issue.id, ...input }))) toast(`${finding(issue.message)[0]}: ${words}`);
    await refresh();
  }

  async function except(name) {
    const { done, ...question } = QUESTIONS[name];
    const answer = await askFor({ ...question, fields: [{ name: 'reason', label: 'Why', required: 'Say why, for those who come after you.', maxlength: 500 }, { name: 'days', label: 'For how long', choices: DAYS, value: '7' }] });
    if (answer) await run(name, { reason: answer.reason.trim(), until: new Date(Date.now() + Number(answer.days) * DAY_MS).toISOString() }, done);
  }

  const said = (what, it) => notice('calm', `${what}.`, html`<p>Until ${on(it.until)}${it.by ? `, by ${it.by.name}` : ''}: ${it.reason}</p>`);
  const mine = issue.assignee && issue.assignee.id === viewer?.id;

  return html`
    ${issue.mute ? said('Muted', issue.mute) : nothing}
    ${issue.waiver ? said('Waived', issue.waiver) : nothing}
    <p class="small issue-people">${issue.assignee ? html`${issue.assignee.name} looks after it. ` : may('assignIssue') ? 'Nobody looks after it yet. ' : nothing}
      ${may('assignIssue') && viewer?.id && !mine ? button('Look after it', () => run('assignIssue', { userId: viewer.id }, 'you look after it.'), { kind: 'text' }) : nothing}
      ${mine && may('assignIssue') ? button('Not me any more', () => run('assignIssue', {}, 'nobody looks after it now.'), { kind: 'text' }) : nothing}
      ${may('followIssue') && !issue.viewerFollows ? button('Follow', () => run('followIssue', {}, 'you hear what becomes of it.'), { kind: 'text' }) : nothing}
      ${issue.viewerFollows ? button('Stop following', () => run('unfollowIssue', {}, 'you no longer follow it.'), { kind: 'text' }) : nothing}
      ${may('muteIssue') && !issue.mute ? button('Mute', () => except('muteIssue'), { kind: 'text' }) : nothing}
      ${may('unmuteIssue') ? button('Unmute', () => run('unmuteIssue', {}, 'heard again.'), { kind: 'text' }) : nothing}
      ${may('waiveIssue') && !issue.waiver ? button('Waive', () => except('waiveIssue'), { kind: 'text' }) : nothing}
      ${may('withdrawWaiver') ? button('Withdraw the waiver', () => run('withdrawWaiver', {}, 'no longer waived: it counts when the checks next run.'), { kind: 'text' }) : nothing}</p>`;
}
