//! Mutations of scans.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::ask::{Ask, account, check, named};
use super::id::Kind;
use super::refusal::Refusal as Answered;
use super::scan::{CheckResult, CheckSubject, Scan};
use super::words::{Environment, SuiteCode};
use crate::actions::{DryRun, Examine};
use crate::domain::check::Suite;
use crate::domain::id::CompanyId;
use crate::domain::refusal::Refusal;
use crate::domain::scan::{Subject, blocking};

input! {
    /// What to scan.
    RunScanInput {
        /// The registration or connection; when left out, this instance itself.
        subject_id: Option<ID>,
        /// The suites to run, in one scan; those that fit the subject as it stands when left out.
        suites: Option<Vec<SuiteCode>>,
    }
}

input! {
    /// The scan to call off.
    CancelScanInput {
        /// The scan.
        scan_id: ID,
    }
}

input! {
    /// What a registration would be about. Nothing of it is kept.
    DryRunChecksInput {
        /// The consumer's instance, as `https://host[:port]`.
        url: String,
        /// The organisation to connect, to have duplicates looked for.
        company_id: Option<ID>,
        /// The person there, to have them looked at; with `companyId`.
        contact_id: Option<ID>,
        /// What the consumer's instance is for; `PRODUCTION` when left out.
        environment: Option<Environment>,
    }
}

payload! {
    /// What became of a mutation of a scan.
    ScanPayload {
        /// The scan afterwards; null when it was refused.
        scan: Scan
    }
}

/// What the checks would answer.
#[derive(SimpleObject)]
pub(super) struct DryRunResult {
    /// Whether a registration would open.
    passed: bool,
    /// What each check answered, in the order of the suite.
    results: Vec<CheckResult>,
}

/// What became of a dry run.
#[derive(SimpleObject)]
pub(super) struct DryRunChecksPayload {
    /// What the checks answered; null when it was refused.
    dry_run: Option<DryRunResult>,
    /// Why it was not done; null when it was.
    refusal: Option<Answered>,
}

/// Mutations of scans.
#[derive(Default)]
pub(super) struct ScanMutation;

#[Object]
impl ScanMutation {
    /// Runs suites about a registration, a connection or this instance; watch `scanProgress`. The same scan asked for
    /// again before it began is the same scan. What looks at another instance is limited: 12 at once, then 6 a minute,
    /// 200 a day.
    async fn run_scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of what.")] input: RunScanInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let absent = || Refusal::not_found("registration or connection").field("subjectId");
            let subject = match &input.subject_id {
                Some(id) => Some(CheckSubject::read(id).ok_or_else(absent)?),
                None => None,
            };
            let suites: Vec<Suite> = input.suites.unwrap_or_default().into_iter().map(Into::into).collect();
            ask.actions.run_scan(&call, subject, &suites).await
        });
        let (id, refusal) = done.await?;
        Ok(ScanPayload::new((ask.load.maybe(id).await?, refusal), Scan))
    }

    /// Calls a scan off that has not ended. What waited for it has not passed.
    async fn cancel_scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CancelScanInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = ask.once(input, |call, input| async move {
            let id = named(Kind::Scan, "scanId", &input.scan_id)?;
            ask.actions.cancel_scan(&call, id).await
        });
        Ok(ScanPayload::new(done.await?, Scan))
    }

    /// Asks the provider's pre-onboarding checks about a URL, before anything is stored: neither the answers nor what
    /// was asked are kept. Answers within about 4 seconds; what is not answered by then is an error.
    async fn dry_run_checks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "About what.")] input: DryRunChecksInput,
    ) -> Result<DryRunChecksPayload> {
        let ask = Ask::new(ctx)?;
        let hands = ctx.data::<Arc<dyn Examine>>()?;
        let done = async {
            check(&input)?;
            let company = match &input.company_id {
                Some(id) => Some(named::<CompanyId>(Kind::Company, "companyId", id)?),
                None => None,
            };
            let contact = match &input.contact_id {
                Some(id) => Some(account("contactId", id)?),
                None => None,
            };
            let environment = input.environment.unwrap_or(Environment::Production).into();
            let about = DryRun { url: input.url.clone(), company, contact, environment };
            ask.actions.dry_run(ask.call, hands.as_ref(), about).await
        };
        let (answers, refusal) = ask.settle(done.await)?;
        let now = ask.actions.now();
        let subject = Subject::Instance(ask.actions.profile().instance);
        let dry_run = answers.map(|mut answers| {
            let order = Suite::PreOnboardingProvider.checks();
            answers.sort_by_key(|(code, _)| order.iter().position(|one| one == code));
            DryRunResult {
                passed: blocking(&answers).is_empty(),
                results: answers
                    .into_iter()
                    .map(|(code, answer)| CheckResult::new(&ask, subject, code, answer, now))
                    .collect(),
            }
        });
        Ok(DryRunChecksPayload { dry_run, refusal })
    }
}
