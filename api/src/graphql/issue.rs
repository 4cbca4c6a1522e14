//! Issues: what findings raised, until it is resolved.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::ask::{Ask, ours};
use super::id::Kind;
use super::page::{List, Window, cost, list};
use super::people::empty;
use super::refusal::{Remedy, docs_url};
use super::scan::{CheckSubject, Scan};
use super::words::{CheckCode, IssueState, Severity};
use crate::domain::Timestamp;
use crate::domain::id::IssueId;
use crate::store::{Issue as Matter, IssueFilter};

/// The open, de-duplicated matter that findings raise: one for each check and subject.
pub(super) struct Issue(pub(super) Matter);

/// The open, de-duplicated matter that findings raise: one for each check and subject.
#[Object]
impl Issue {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Issue.id(self.0.id.0)
    }

    /// The check that found it.
    async fn check(&self) -> CheckCode {
        self.0.code.into()
    }

    /// The check in words.
    async fn check_label(&self) -> &'static str {
        self.0.code.label()
    }

    /// What it is about.
    async fn subject(&self, ctx: &Context<'_>) -> Result<Option<CheckSubject>> {
        CheckSubject::load(&Ask::anyone(ctx)?, self.0.subject).await
    }

    /// The scan that saw it last; null for those who may not see scans.
    async fn scan(&self, ctx: &Context<'_>) -> Result<Option<Scan>> {
        Ok(Ask::anyone(ctx)?.load.one(self.0.scan).await?.map(Scan))
    }

    /// Where it stands.
    async fn state(&self) -> IssueState {
        self.0.state.into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.0.state.label()
    }

    /// Whether it keeps its subject from going on.
    async fn blocking(&self) -> bool {
        self.0.blocking
    }

    /// How bad it is.
    async fn severity(&self) -> Severity {
        self.0.code.spec().severity.into()
    }

    /// The severity in words.
    async fn severity_label(&self) -> &'static str {
        self.0.code.spec().severity.label()
    }

    /// What is wrong, for people.
    async fn message(&self) -> &str {
        &self.0.message
    }

    /// What was seen.
    async fn evidence(&self) -> &str {
        &self.0.evidence
    }

    /// What to do about it.
    async fn remedy(&self) -> Remedy {
        Remedy::new(self.0.remedy.clone(), Some(self.0.subject))
    }

    /// How often it was seen.
    async fn count(&self) -> i64 {
        self.0.count
    }

    /// When it was seen first.
    async fn first_seen_at(&self) -> Timestamp {
        self.0.first_seen_at
    }

    /// When it was seen last.
    async fn last_seen_at(&self) -> Timestamp {
        self.0.last_seen_at
    }

    /// When it was found mended; null while it is open.
    async fn resolved_at(&self) -> Option<Timestamp> {
        self.0.resolved_at
    }

    /// Grows by one with every change.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// Where the check behind it is explained.
    async fn docs_url(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(docs_url(&Ask::anyone(ctx)?, &self.0.code.docs_path()))
    }
}

/// Which issues.
#[derive(Default, InputObject)]
pub(super) struct IssuesFilter {
    /// In this state.
    state: Option<IssueState>,
    /// About this registration or connection.
    subject_id: Option<ID>,
}

/// Queries about issues.
#[derive(Default)]
pub(super) struct IssueQuery;

#[Object]
impl IssueQuery {
    /// An issue; null when there is none with this id, or it is not yours to see.
    async fn issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<Issue>> {
        let id = Kind::Issue.read(&id).map(IssueId);
        Ok(Ask::new(ctx)?.load.maybe(id).await?.map(Issue))
    }

    /// Issues, the newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn issues(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all when left out.")] filter: Option<IssuesFilter>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Issue>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let filter = filter.unwrap_or_default();
        let subject = match filter.subject_id.map(|id| CheckSubject::read(&id)) {
            None => None,
            Some(Some(subject)) => Some(subject),
            Some(None) => return Ok(list(empty(), |issue: &Matter| issue.id.0, Issue)),
        };
        let filter = IssueFilter { state: filter.state.map(Into::into), subject };
        let slice = ask.reader().issues(&filter, page).await.map_err(ours)?;
        Ok(list(slice, |issue| issue.id.0, Issue))
    }
}
