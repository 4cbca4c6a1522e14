//! Issues: what findings raised, until it is resolved.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::ask::{Ask, ours};
use super::id::Kind;
use super::load::Followers;
use super::page::{List, Window, cost, items_cost, list};
use super::people::{User, empty};
use super::refusal::{Action, Remedy, docs_url};
use super::scan::{CheckSubject, Scan};
use super::words::{CheckCode, IssueOrder, IssueState, Severity};
use crate::domain::Timestamp;
use crate::domain::id::{IssueId, UserId};
use crate::domain::issue::{Exception, Issue as Matter, IssueVerb};
use crate::domain::requester::Scope;
use crate::domain::scan::Subject;
use crate::store::IssueFilter;

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

    /// Who looks after it; null when nobody does, or the account is not yours to see.
    async fn assignee(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let ask = Ask::anyone(ctx)?;
        let Some(user) = self.0.assignee.filter(|_| sees_people(&ask)) else { return Ok(None) };
        Ok(ask.load.one(user).await?.map(User))
    }

    /// Who follows it; empty for those who may not see everything of this instance.
    #[graphql(complexity = "items_cost(5, child_complexity)")]
    async fn followers(&self, ctx: &Context<'_>) -> Result<Vec<User>> {
        let ask = Ask::anyone(ctx)?;
        if !sees_people(&ask) {
            return Ok(Vec::new());
        }
        let ids = ask.load.one(Followers(self.0.id)).await?.unwrap_or_default();
        let load = ids.into_iter().map(|id| ask.load.one(id));
        let accounts = futures_util::future::try_join_all(load).await?;
        Ok(accounts.into_iter().flatten().map(User).collect())
    }

    /// Whether whoever asks follows it.
    async fn viewer_follows(&self, ctx: &Context<'_>) -> Result<bool> {
        let ask = Ask::anyone(ctx)?;
        let ids = ask.load.one(Followers(self.0.id)).await?.unwrap_or_default();
        Ok(ask.person().is_some_and(|person| ids.contains(&person.user)))
    }

    /// Set while nobody is told of it; it blocks all the same. Found mended and raised again before the end, it is as
    /// silent.
    async fn mute(&self, ctx: &Context<'_>) -> Result<Option<IssueException>> {
        Ok(IssueException::now(&Ask::anyone(ctx)?, self.0.mute.as_ref()))
    }

    /// Set while it does not block. It covers what was seen when it was given: it ends when the check breaks later.
    async fn waiver(&self, ctx: &Context<'_>) -> Result<Option<IssueException>> {
        Ok(IssueException::now(&Ask::anyone(ctx)?, self.0.waiver.as_ref()))
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let connection = match self.0.subject {
            Subject::Connection(id) => ask.load.one(id).await?,
            Subject::Registration(_) | Subject::Instance(_) => None,
        };
        let action = |verb: &IssueVerb| {
            let may = ask.actions.may_issue(ask.call, &self.0, connection.as_ref(), *verb);
            Action::new(verb.as_str(), verb.label(), may)
        };
        Ok(IssueVerb::ALL.iter().map(action).collect())
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

/// An exception that somebody made on purpose.
pub(super) struct IssueException(Exception);

/// An exception that somebody made on purpose.
#[Object]
impl IssueException {
    /// Who made it; null when the account is not yours to see.
    async fn by(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        let ask = Ask::anyone(ctx)?;
        let Some(user) = Some(self.0.by).filter(|_| sees_people(&ask)) else { return Ok(None) };
        Ok(ask.load.one(user).await?.map(User))
    }

    /// Why.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// When it ends by itself.
    async fn until(&self) -> Timestamp {
        self.0.until
    }
}

impl IssueException {
    /// The exception, if it holds now and is for whoever asks to see.
    fn now(ask: &Ask<'_>, exception: Option<&Exception>) -> Option<Self> {
        exception.filter(|it| it.holds(ask.actions.now()) && sees_people(ask)).cloned().map(Self)
    }
}

/// Whether whoever asks sees what this organisation's people do about issues.
fn sees_people(ask: &Ask<'_>) -> bool {
    ask.call.requester.viewer().scope() == Scope::Everything
}

/// Which issues. What is left out keeps nothing out.
#[derive(Default, InputObject)]
pub(super) struct IssuesFilter {
    /// In this state.
    state: Option<IssueState>,
    /// About this registration or connection.
    subject_id: Option<ID>,
    /// Raised by one of these checks.
    checks: Option<Vec<CheckCode>>,
    /// This bad.
    severities: Option<Vec<Severity>>,
    /// Whether they block, waived or not.
    blocking: Option<bool>,
    /// Whether they are muted now.
    muted: Option<bool>,
    /// Looked after by this person.
    assignee_id: Option<ID>,
    /// True: only those that whoever asks follows.
    followed: Option<bool>,
}

/// Queries about issues.
#[derive(Default)]
pub(super) struct IssueQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
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

    /// Issues, the newest first unless another order is named.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn issues(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all when left out.")] filter: Option<IssuesFilter>,
        #[graphql(desc = "In which order.")] order_by: Option<IssueOrder>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<Issue>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let nothing = || Ok(list(empty(), |issue: &Matter| issue.id.0, Issue));
        let filter = filter.unwrap_or_default();
        let subject = match filter.subject_id.map(|id| CheckSubject::read(&id)) {
            None => None,
            Some(Some(subject)) => Some(subject),
            Some(None) => return nothing(),
        };
        let assignee = match filter.assignee_id.map(|id| Kind::User.read(&id)) {
            None => None,
            Some(Some(id)) => Some(UserId(id)),
            Some(None) => return nothing(),
        };
        let filter = IssueFilter {
            state: filter.state.map(Into::into),
            subject,
            checks: filter.checks.unwrap_or_default().into_iter().map(Into::into).collect(),
            severities: filter.severities.unwrap_or_default().into_iter().map(Into::into).collect(),
            blocking: filter.blocking,
            muted: filter.muted.map(|muted| (muted, ask.actions.now())),
            assignee,
            follower: ask.person().filter(|_| filter.followed == Some(true)).map(|person| person.user),
        };
        let order = order_by.unwrap_or_default().into();
        let slice = ask.reader().issues(&filter, order, page).await.map_err(ours)?;
        Ok(list(slice, |issue| issue.id.0, Issue))
    }
}
