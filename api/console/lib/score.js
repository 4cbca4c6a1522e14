// How good it is in one number, and how that number is made.
import { gql } from './api.js';
import { badge, section } from './ui.js';
import { html } from './view.js';
import { count, figure, inWords } from './words.js';

export const OVERVIEW = gql`query HealthOverview {
  healthOverview {
    score formula measuredAt upBothWays
    parts { name weight value counted }
    states { state stateLabel count }
    issues { severity severityLabel count }
    lastDay { wentDown cameUp becameDisputed issuesRaised issuesResolved onboarded }
  }
}`;

const kind = (value) => (value >= 90 ? 'good' : value >= 60 ? 'warn' : 'bad');

const CHANGES = [
  ['wentDown', 'direction went down', 'directions went down', 'bad'], ['cameUp', 'direction came up', 'directions came up', 'good'],
  ['becameDisputed', 'direction became disputed', 'directions became disputed', 'warn'], ['issuesRaised', 'issue was raised', 'issues were raised', 'warn'],
  ['issuesResolved', 'issue was resolved', 'issues were resolved', 'good'], ['onboarded', 'connection was onboarded', 'connections were onboarded', 'good'],
];

/** Score, its parts and formula, and what changed in the last day. */
export function overview({ healthOverview: now }) {
  const weights = now.parts.reduce((sum, { weight }) => sum + weight, 0);
  const changed = CHANGES.filter(([name]) => now.lastDay[name] > 0);
  return section('score', 'Score', html`
    <div class="score"><p class="figure-number" id="score-number">${now.score}<span class="unseen"> of 100</span></p>
      <ul class="score-parts">${now.parts.map((part) => html`<li><span class="score-name">${inWords(part.name)}</span>
        <progress max="100" value=${part.value} aria-label="${inWords(part.name)}, from 0 to 100"></progress>
        <span class="small">${part.value} of 100, ${Math.round(100 * part.weight / weights)} % of the score: ${part.counted}</span></li>`)}</ul></div>
    <details class="more"><summary>How it is made</summary><p>${now.formula}</p></details>
    <div class="score-notes"><p><strong>Connections</strong> ${now.states.length ? now.states.map((one) => html`${badge(one.state, `${one.stateLabel}: ${figure(one.count)}`)} `) : html`<span class="small">none yet</span>`}</p>
    <p><strong>Open issues</strong> ${now.issues.length ? now.issues.map((one) => html`${badge(one.severity, `${one.severityLabel}: ${figure(one.count)}`)} `) : html`<span class="small">none</span>`}</p>
    <p><strong>In the last day</strong> ${changed.length ? changed.map(([name, one, many, tone]) => html`${badge('', count(now.lastDay[name], one, many), tone)} `) : html`<span class="small">nothing changed</span>`}</p></div>`, { aside: badge('', now.score === 100 ? 'All works' : now.score >= 90 ? 'Nearly all works' : now.score >= 60 ? 'Some does not work' : 'Much does not work', kind(now.score)) });
}
