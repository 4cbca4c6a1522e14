// What the wizard and the classic form both ask of a connection on its way to being onboarded.
import { gql, mutate } from './api.js';
import { REFUSAL } from './fragments.js';

const CHOOSE = gql`mutation ChooseCompany($input: ChooseProviderCompanyInput!) {
  chooseProviderCompany(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const CHECK = gql`mutation RunChecks($input: RunPreOnboardingChecksInput!) {
  runPreOnboardingChecks(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const START = gql`mutation StartOnboarding($input: StartOnboardingInput!) {
  startOnboarding(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;
export const RETRY = gql`mutation RetryPhase($input: RetryPhaseInput!) {
  retryPhase(input: $input) { connection { id state } refusal { ...RefusalParts } }
}
${REFUSAL}`;

/** Says which company the provider is, unless that is known already, and has the checks run. */
export async function chooseAndCheck(id, known, company) {
  if (company !== known?.id) {
    const chosen = await mutate(CHOOSE, { connectionId: id, companyId: company });
    if (chosen.refusal) return chosen;
  }
  return mutate(CHECK, { connectionId: id });
}
