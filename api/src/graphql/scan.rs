//! Scans: runs of suites, and what their checks answered.

use async_graphql::{Context, ID, Object, Result, SimpleObject, Union};

use super::ask::{Ask, ours};
use super::connection::ConnectionRecord;
use super::id::{self, Kind};
use super::instance::Instance;
use super::load::Results;
use super::page::{List, Window, cost, items_cost, list};
use super::people::{User, empty};
use super::refusal::{Action, Remedy, docs_url};
use super::registration::Registration;
use super::words::{CheckAnswer, CheckCode, ScanState, Severity, SuiteCode};
use crate::domain::Timestamp;
use crate::domain::check::{self as domain_check, Answer};
use crate::domain::explain::sentence;
use crate::domain::id::{ConnectionId, RegistrationId, ScanId};
use crate::domain::scan::{self as domain, Subject};
use crate::store::ScanResult;

/// What a scan or an issue is about.
#[derive(Union)]
pub(super) enum CheckSubject {
    Registration(Registration),
    Connection(ConnectionRecord),
    Instance(Instance),
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
            Subject::Instance(_) => Some(Self::Instance(Instance::of(ask.actions))),
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

/// One run of suites, or of one of their checks. Only a finished scan with no blocking finding and no error passes.
pub(super) struct Scan(pub(super) domain::Scan);

/// One run of suites, or of one of their checks. Only a finished scan with no blocking finding and no error passes.
#[Object]
impl Scan {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Scan.id(self.0.id.0)
    }

    /// The suite it runs; of several, the first.
    async fn suite(&self) -> Option<SuiteCode> {
        self.0.suites.first().map(|suite| (*suite).into())
    }

    /// The suite in words; of several, the first.
    async fn suite_label(&self) -> Option<&'static str> {
        self.0.suites.first().map(|suite| suite.label())
    }

    /// The suites it runs.
    async fn suites(&self) -> Vec<SuiteCode> {
        self.0.suites.iter().map(|suite| (*suite).into()).collect()
    }

    /// The suites in words.
    async fn suite_labels(&self) -> Vec<&'static str> {
        self.0.suites.iter().map(|suite| suite.label()).collect()
    }

    /// Only this check is asked; null for whole suites.
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
        let result =
            |it: ScanResult| CheckResult::new(&ask, self.0.subject, it.code, it.answer, it.finished_at);
        Ok(results.into_iter().map(result).collect())
    }

    /// How far it is.
    async fn progress(&self, ctx: &Context<'_>) -> Result<ScanProgress> {
        let done = Ask::anyone(ctx)?.load.one(Results(self.0.id)).await?.map_or(0, |results| results.len());
        Ok(ScanProgress { done, total: self.0.checks().len() })
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let may = ask.actions.may_cancel_scan(ask.call, &self.0);
        Ok(vec![Action::new("cancelScan", "Call off", may)])
    }

    /// Who asked for it; null when it ran by itself, or the account is not yours to see.
    async fn requested_by(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let ask = Ask::anyone(ctx)?;
        let Some(user) = self.0.requested_by.filter(|user| ask.sees_user(*user)) else { return Ok(None) };
        Ok(ask.load.one(user).await?.map(User))
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
    /// What a check answered about a subject.
    pub(super) fn new(
        ask: &Ask<'_>,
        subject: Subject,
        code: domain_check::CheckCode,
        answer: Answer,
        finished_at: Timestamp,
    ) -> Self {
        let spec = code.spec();
        let (answer, message, evidence, remedy, blocking) = match answer {
            Answer::Pass => (CheckAnswer::Pass, None, None, None, false),
            Answer::Error(why) => (CheckAnswer::Error, Some(sentence(&why)), None, None, true),
            Answer::Skipped(message) => (CheckAnswer::Skipped, Some(message), None, None, false),
            Answer::Finding(finding) => {
                let remedy = Remedy::new(finding.remedy, Some(subject));
                let blocking = finding.blocking;
                (CheckAnswer::Finding, Some(finding.message), Some(finding.evidence), Some(remedy), blocking)
            }
        };
        Self {
            check: code.into(),
            check_label: code.label(),
            answer,
            answer_label: answer.label(),
            message,
            evidence,
            remedy,
            blocking,
            severity: spec.severity.into(),
            severity_label: spec.severity.label(),
            finished_at,
            docs_url: docs_url(ask, &code.docs_path()),
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
