//! Scans: runs of suites, and what their checks answered.

use async_graphql::{Context, ID, Object, Result, SimpleObject, Union};

use super::ask::{Ask, check, named, ours};
use super::connection::ConnectionRecord;
use super::id::{self, Kind};
use super::load::Results;
use super::page::{List, Window, cost, items_cost, list};
use super::people::empty;
use super::refusal::{Remedy, docs_url};
use super::registration::Registration;
use super::words::{CheckAnswer, CheckCode, ScanState, Severity, SuiteCode};
use crate::domain::Timestamp;
use crate::domain::check::Answer;
use crate::domain::id::{ConnectionId, RegistrationId, ScanId};
use crate::domain::refusal::Refusal;
use crate::domain::scan::{self as domain, Subject};
use crate::store::ScanResult;

/// What a scan or an issue is about.
#[derive(Union)]
pub(super) enum CheckSubject {
    Registration(Registration),
    Connection(ConnectionRecord),
}

impl CheckSubject {
    /// The subject, as far as it may be seen.
    pub(super) async fn load(ask: &Ask<'_>, subject: Subject) -> Result<Option<Self>> {
        Ok(match subject {
            Subject::Registration(id) => {
                ask.load.one(id).await?.map(|it| Self::Registration(Registration(it)))
            }
            Subject::Connection(id) => {
                ask.load.one(id).await?.map(|it| Self::Connection(ConnectionRecord(it)))
            }
        })
    }

    /// The subject with this global id.
    pub(super) fn read(id: &str) -> Option<Subject> {
        match id::decode(id)? {
            (Kind::Registration, id) => Some(Subject::Registration(RegistrationId(id))),
            (Kind::Connection, id) => Some(Subject::Connection(ConnectionId(id))),
            _ => None,
        }
    }
}

/// One run of a suite, or of one of its checks. Only a finished scan with no blocking finding and no error passes.
pub(super) struct Scan(pub(super) domain::Scan);

/// One run of a suite, or of one of its checks. Only a finished scan with no blocking finding and no error passes.
#[Object]
impl Scan {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Scan.id(self.0.id.0)
    }

    /// The suite it runs.
    async fn suite(&self) -> SuiteCode {
        self.0.suite.into()
    }

    /// The suite in words.
    async fn suite_label(&self) -> &'static str {
        self.0.suite.label()
    }

    /// Only this check is asked; null for the whole suite.
    async fn only(&self) -> Option<CheckCode> {
        self.0.only.map(Into::into)
    }

    /// What it is about.
    async fn subject(&self, ctx: &Context<'_>) -> Result<Option<CheckSubject>> {
        CheckSubject::load(&Ask::anyone(ctx)?, self.0.subject).await
    }

    /// Where it stands.
    async fn state(&self) -> ScanState {
        self.0.state.into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.0.state.label()
    }

    /// What the checks answered so far, in the order of the suite.
    #[graphql(complexity = "items_cost(20, child_complexity)")]
    async fn results(&self, ctx: &Context<'_>) -> Result<Vec<CheckResult>> {
        let ask = Ask::anyone(ctx)?;
        let results = ask.load.one(Results(self.0.id)).await?.unwrap_or_default();
        Ok(results.into_iter().map(|result| CheckResult::new(&ask, self.0.subject, result)).collect())
    }

    /// How far it is.
    async fn progress(&self, ctx: &Context<'_>) -> Result<ScanProgress> {
        let done = Ask::anyone(ctx)?.load.one(Results(self.0.id)).await?.map_or(0, |results| results.len());
        Ok(ScanProgress { done, total: self.0.checks().len() })
    }

    /// When it was asked for.
    async fn requested_at(&self) -> Timestamp {
        self.0.requested_at
    }

    /// When its checks began; null before.
    async fn started_at(&self) -> Option<Timestamp> {
        self.0.started_at
    }

    /// When it ended; null until then.
    async fn finished_at(&self) -> Option<Timestamp> {
        self.0.finished_at
    }
}

/// How far a scan is.
#[derive(SimpleObject)]
pub(super) struct ScanProgress {
    /// Checks that answered.
    done: usize,
    /// Checks it asks.
    total: usize,
}

/// What a check answered.
#[derive(SimpleObject)]
pub(super) struct CheckResult {
    /// Which check.
    check: CheckCode,
    /// The check in words.
    check_label: &'static str,
    /// What it answered.
    answer: CheckAnswer,
    /// The answer in words.
    answer_label: &'static str,
    /// What is wrong, or why it was not asked; null for a pass.
    message: Option<String>,
    /// What was seen; for a finding.
    evidence: Option<String>,
    /// What to do about it; for a finding.
    remedy: Option<Remedy>,
    /// Whether this answer keeps its subject from going on.
    blocking: bool,
    /// How bad its findings are.
    severity: Severity,
    /// The severity in words.
    severity_label: &'static str,
    /// When it answered.
    finished_at: Timestamp,
    /// Where the check is explained.
    docs_url: String,
}

impl CheckResult {
    fn new(ask: &Ask<'_>, subject: Subject, result: ScanResult) -> Self {
        let spec = result.code.spec();
        let (answer, message, evidence, remedy, blocking) = match result.answer {
            Answer::Pass => (CheckAnswer::Pass, None, None, None, false),
            Answer::Error(message) => (CheckAnswer::Error, Some(message), None, None, true),
            Answer::Skipped(message) => (CheckAnswer::Skipped, Some(message), None, None, false),
            Answer::Finding(finding) => {
                let remedy = Remedy::new(finding.remedy, Some(subject));
                let blocking = finding.blocking;
                (CheckAnswer::Finding, Some(finding.message), Some(finding.evidence), Some(remedy), blocking)
            }
        };
        Self {
            check: result.code.into(),
            check_label: result.code.label(),
            answer,
            answer_label: answer.label(),
            message,
            evidence,
            remedy,
            blocking,
            severity: spec.severity.into(),
            severity_label: spec.severity.label(),
            finished_at: result.finished_at,
            docs_url: docs_url(ask, &result.code.docs_path()),
        }
    }
}

/// Queries about scans.
#[derive(Default)]
pub(super) struct ScanQuery;

#[Object]
impl ScanQuery {
    /// A scan; null when there is none with this id, or it is not yours to see.
    async fn scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<Scan>> {
        let id = Kind::Scan.read(&id).map(ScanId);
        Ok(Ask::new(ctx)?.load.maybe(id).await?.map(Scan))
    }

    /// Scans, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn scans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only about this registration or connection.")] subject_id: Option<ID>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Scan>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let subject = match subject_id.map(|id| CheckSubject::read(&id)) {
            None => None,
            Some(Some(subject)) => Some(subject),
            Some(None) => return Ok(list(empty(), |scan: &domain::Scan| scan.id.0, Scan)),
        };
        let slice = ask.reader().scans(subject, page).await.map_err(ours)?;
        Ok(list(slice, |scan| scan.id.0, Scan))
    }
}

input! {
    /// What to scan.
    RunScanInput {
        /// The registration or connection.
        subject_id: ID,
    }
}

input! {
    /// The issue to look at again.
    ValidateIssueInput {
        /// The issue.
        issue_id: ID,
    }
}

payload! {
    /// What became of asking for a scan.
    ScanPayload {
        /// The scan that was started; null when it was refused.
        scan: Scan
    }
}

/// Mutations of scans.
#[derive(Default)]
pub(super) struct ScanMutation;

#[Object]
impl ScanMutation {
    /// Runs the suite of a registration or connection; watch `scanProgress`.
    async fn run_scan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of what.")] input: RunScanInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let absent = || Refusal::not_found("registration or connection").field("subjectId");
            let subject = CheckSubject::read(&input.subject_id).ok_or_else(absent)?;
            ask.actions.run_scan(ask.call, subject).await
        };
        Ok(ScanPayload::new(ask.settle(done.await)?, Scan))
    }

    /// Asks only the check that raised an issue (*Validate and resolve*): a pass resolves the issue.
    async fn validate_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ValidateIssueInput,
    ) -> Result<ScanPayload> {
        let ask = Ask::new(ctx)?;
        let done = async {
            check(&input)?;
            let id = named(Kind::Issue, "issueId", &input.issue_id)?;
            ask.actions.validate_issue(ask.call, id).await
        };
        Ok(ScanPayload::new(ask.settle(done.await)?, Scan))
    }
}
