// How access to a key was decided: every policy that was looked at, and which settled it.
import { gql } from '../lib/api.js';
import { cell } from '../lib/list.js';
import { resource } from '../lib/resource.js';
import { badge, facts, head, notice, on, section } from '../lib/ui.js';
import { html, nothing } from '../lib/view.js';
import { count, inWords } from '../lib/words.js';

const DECISION = gql`query ExplainDecision($id: ID!) {
  explainDecision(id: $id) {
    id decidedAt module operation allowed explanation principal { label } data { name value }
    trace { policyId effect outcome outcomeLabel note }
  }
}`;

export default function keyDecision({ params, update }) {
  const all = resource(DECISION, { id: params.id }, update);

  function shown({ explainDecision: now }) {
    if (!now) return notice('warn', 'There is no such decision, or not any more.', html`<p>Denials are kept for 30 days. <a href="/keys/access">See who may do what</a>.</p>`);
    // Most policies are about other parts of the program and other people: that they are is no news.
    const near = now.trace.filter((one) => one.outcome !== 'OTHER_PRINCIPAL');
    const settled = near.findIndex((one) => one.outcome === 'APPLIES');
    const far = now.trace.length - near.length;
    return html`<div class="columns"><div class="column-main">
      ${section('why', now.allowed ? 'Why it was allowed' : 'Why it was denied', html`<p>${now.explanation}</p>
        ${near.length ? html`<div class="table-wrap"><table class="rows"><caption class="unseen">Policies in the order in which they decide</caption>
          <thead><tr><th scope="col">Policy</th><th scope="col">Whether it applied</th><th scope="col">Note</th></tr></thead>
          <tbody>${near.map((one, at) => html`<tr><th scope="row">${inWords(one.effect)}</th>${cell('Whether it applied', badge('', at === settled ? 'Settled it' : one.outcomeLabel, at === settled ? (now.allowed ? 'good' : 'bad') : 'quiet'))}${cell('Note', one.note || '–')}</tr>`)}</tbody></table></div>`
          : far ? html`<p>No policy is about ${now.principal.label}, and without one everything is denied.</p>` : nothing}
        ${near.length && far ? html`<p class="small">${count(far, 'more policy', 'more policies')} of the module ${far === 1 ? 'is' : 'are'} about others.</p>` : nothing}
        <p>${now.module ? html`<a href="/keys/access?module=${now.module}">See who may do what with ${now.module}</a>. ` : nothing}If this should be allowed, ask a key manager for a policy that allows it, or a key administrator for the role that does.</p>`)}
    </div><div class="column-side">${section('facts', 'Decision', facts([
      ['Who', now.principal.label], ['Wanted', inWords(now.operation)], now.module && ['Module', now.module], ['When', on(now.decidedAt)],
      ...now.data.map((one) => [one.name === 'link_id' ? 'Connection' : one.name, html`<code>${one.value}</code>`]),
    ]))}</div></div>`;
  }

  return {
    title: () => 'Decision',
    ready: all.refresh(),
    refresh: all.refresh,
    subjects: [],
    view: () => html`${head('How access was decided', { crumbs: [['Keys', '/keys'], ['Access', '/keys/access']], status: all.data?.explainDecision ? badge('', all.data.explainDecision.allowed ? 'Allowed' : 'Denied', all.data.explainDecision.allowed ? 'good' : 'bad') : nothing })}
      ${all.error?.kind === 'FORBIDDEN' ? notice('calm', 'Decisions are for key managers and auditors.', html`<p>${all.error.message} Tell one of them this address.</p>`) : all.view(shown)}`,
  };
}
