//! Issues: what findings raised, de-duplicated, until it is resolved.

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Set, Statement,
};
use serde_json::json;
use uuid::Uuid;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored, ms};
use crate::domain::Timestamp;
use crate::domain::check::{CheckCode, Finding, Severity};
use crate::domain::id::{CompanyId, IssueId, ScanId, UserId};
use crate::domain::issue::{Exception, Issue, IssueMail, IssueState};
use crate::domain::scan::{Scan, Subject};
use entity::issue::{ActiveModel, Column, Entity, Model};
use entity::{issue_follower, issue_mail};

/// Whoever followed the last issue of this check about this subject follows the one that came after it.
const FOLLOWED_BEFORE: &str = "insert into issue_follower (issue_id, account_id)
    select $1, account_id from issue_follower where issue_id = $2";

/// Of those that people are told of at once: it stops something, or something that matters does not work.
fn matters() -> Condition {
    Condition::any().add(Column::Blocking.eq(true)).add(Column::SeverityRank.gte(Severity::High.rank()))
}

/// Open, and not muted at this time.
fn audible(now: i64) -> Condition {
    Condition::all()
        .add(Column::State.eq(IssueState::Open.as_str()))
        .add(Column::MutedUntil.is_null().or(Column::MutedUntil.lte(now)))
}

pub(super) fn from_row(row: Model) -> Result<Issue, StoreError> {
    let wrong = |column| inconsistent("issue", row.id, column);
    let exception =
        |by: Option<Uuid>, reason: &Option<String>, until: Option<i64>, column| match (by, reason, until) {
            (None, None, None) => Ok(None),
            (Some(by), Some(reason), Some(until)) => {
                Ok(Some(Exception { by: UserId(by), reason: reason.clone(), until: at(until) }))
            }
            _ => Err(wrong(column)),
        };
    Ok(Issue {
        id: IssueId(row.id),
        code: CheckCode::parse(&row.check_code).ok_or_else(|| wrong("check_code"))?,
        subject: Subject::parse(&row.subject_kind, row.subject_id).ok_or_else(|| wrong("subject_kind"))?,
        scan: ScanId(row.scan_id),
        state: IssueState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        blocking: row.blocking,
        remedy: stored::remedy_from(&row.remedy).ok_or_else(|| wrong("remedy"))?,
        mute: exception(row.muted_by, &row.mute_reason, row.muted_until, "muted_until")?,
        waiver: exception(row.waived_by, &row.waiver_reason, row.waived_until, "waived_until")?,
        message: row.message,
        evidence: row.evidence,
        count: row.seen_count,
        first_seen_at: at(row.first_seen_at),
        last_seen_at: at(row.last_seen_at),
        resolved_at: row.resolved_at.map(at),
        assignee: row.assignee_id.map(UserId),
        revision: row.revision,
    })
}

impl Tx {
    /// The issue with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issue(&self, id: IssueId) -> Result<Option<Issue>, StoreError> {
        Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// The open issues about this subject, the oldest first.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn open_issues(&self, subject: Subject) -> Result<Vec<Issue>, StoreError> {
        let query = Entity::find()
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()));
        query.order_by_asc(Column::Id).all(&self.txn).await?.into_iter().map(from_row).collect()
    }

    /// The open issues that were seen since then and are not muted, the worst first: at most `limit`, and how many there
    /// are.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn issues_since(&self, since: Timestamp, limit: u64) -> Result<(Vec<Issue>, u64), StoreError> {
        let query = Entity::find().filter(audible(self.now_ms())).filter(Column::LastSeenAt.gte(ms(since)));
        let total = query.clone().count(&self.txn).await?;
        let worst = query.order_by_desc(Column::SeverityRank).order_by_asc(Column::Id).limit(limit);
        let issues = worst.all(&self.txn).await?.into_iter().map(from_row).collect::<Result<_, _>>()?;
        Ok((issues, total))
    }

    /// How many scans raised an issue since then that matters.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scans_that_raised(&self, since: Timestamp) -> Result<u64, StoreError> {
        let raised = Entity::find().filter(matters()).filter(Column::FirstSeenAt.gt(ms(since)));
        Ok(raised.select_only().column(Column::ScanId).distinct().count(&self.txn).await?)
    }

    /// The issues that matter, are not muted, and nobody was told of yet: about this, or about anything.
    fn untold(&self, about: Option<Subject>) -> Condition {
        let about = about.map(|subject| Column::SubjectId.eq(subject.id()));
        audible(self.now_ms()).add(matters()).add(Column::ToldAt.is_null()).add_option(about)
    }

    /// Whether there is something to tell about this; see [`Tx::take_untold`].
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_untold(&self, about: Subject) -> Result<bool, StoreError> {
        Ok(Entity::find().filter(self.untold(Some(about))).count(&self.txn).await? > 0)
    }

    /// The open issues about this, or about anything, that matter, are not muted, and nobody was told of yet, the worst
    /// first. They count as told from now on: whoever takes them tells.
    ///
    /// # Errors
    /// When the database refuses, or a row matches no legal state.
    pub async fn take_untold(&mut self, about: Option<Subject>) -> Result<Vec<Issue>, StoreError> {
        let mut taken = Entity::update_many()
            .col_expr(Column::ToldAt, Expr::value(self.now_ms()))
            .filter(self.untold(about))
            .exec_with_returning(&self.txn)
            .await?;
        taken.sort_unstable_by_key(|row| (std::cmp::Reverse(row.severity_rank), row.id));
        taken.into_iter().map(from_row).collect()
    }

    /// People were told of this issue.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count_as_told(&mut self, id: IssueId) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::ToldAt, Expr::value(self.now_ms()))
            .filter(Column::Id.eq(id.0))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// A finding was seen: a new issue, which whoever followed the last one of its kind follows and which is as silent as
    /// that was told to be, or the open one counted once more. Answers one that blocks from now on and did not before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn raise_issue(
        &mut self,
        scan: &Scan,
        code: CheckCode,
        finding: &Finding,
        company: Option<CompanyId>,
    ) -> Result<Option<Issue>, StoreError> {
        let now = self.now_ms();
        let of_its_kind = Condition::all()
            .add(Column::CheckCode.eq(code.as_str()))
            .add(Column::SubjectId.eq(scan.subject.id()));
        let open = of_its_kind.clone().add(Column::State.eq(IssueState::Open.as_str()));
        let waiver_ended = self.end_waiver(open.clone(), code, finding).await?;
        let warned = Entity::find().filter(open.clone()).filter(Column::Blocking.eq(false));
        let worse = finding.blocking && (waiver_ended || warned.count(&self.txn).await? > 0);
        let seen = Entity::update_many()
            .col_expr(Column::SeenCount, Expr::col(Column::SeenCount).add(1))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .col_expr(Column::LastSeenAt, Expr::value(now))
            .col_expr(Column::ScanId, Expr::value(scan.id.0))
            .col_expr(Column::Blocking, Expr::value(finding.blocking))
            .col_expr(Column::Message, Expr::value(finding.message.clone()))
            .col_expr(Column::Evidence, Expr::value(finding.evidence.clone()))
            .col_expr(Column::Remedy, Expr::value(stored::remedy_to(&finding.remedy)))
            .filter(open)
            .exec_with_returning(&self.txn)
            .await?;
        let company = company.map(|id| id.0);
        let body = json!({ "state": "OPEN", "check": code.as_str() });
        if let Some(row) = seen.into_iter().next() {
            self.changed(SubjectKind::Issue, row.id, ChangeKind::Updated, row.revision, company, body);
            return worse.then(|| from_row(row)).transpose();
        }
        let id = self.uuid()?;
        let last = Entity::find().filter(of_its_kind).order_by_desc(Column::Id).one(&self.txn).await?;
        let muted = last.as_ref().filter(|last| last.muted_until.is_some_and(|until| until > now));
        let row = ActiveModel {
            id: Set(id),
            check_code: Set(code.as_str().to_owned()),
            subject_kind: Set(scan.subject.kind().to_owned()),
            subject_id: Set(scan.subject.id()),
            company_id: Set(company),
            scan_id: Set(scan.id.0),
            state: Set(IssueState::Open.as_str().to_owned()),
            blocking: Set(finding.blocking),
            message: Set(finding.message.clone()),
            evidence: Set(finding.evidence.clone()),
            remedy: Set(stored::remedy_to(&finding.remedy)),
            seen_count: Set(1),
            first_seen_at: Set(now),
            last_seen_at: Set(now),
            resolved_at: Set(None),
            revision: Set(1),
            severity_rank: Set(code.spec().severity.rank()),
            assignee_id: Set(None),
            muted_by: Set(muted.and_then(|last| last.muted_by)),
            mute_reason: Set(muted.and_then(|last| last.mute_reason.clone())),
            muted_until: Set(muted.and_then(|last| last.muted_until)),
            waived_by: Set(None),
            waiver_reason: Set(None),
            waived_until: Set(None),
            told_at: Set(None),
        };
        Entity::insert(row).exec_without_returning(&self.txn).await?;
        if let Some(last) = &last {
            let (backend, values) = (self.txn.get_database_backend(), [id.into(), last.id.into()]);
            let follow = Statement::from_sql_and_values(backend, FOLLOWED_BEFORE, values);
            self.txn.execute_raw(follow).await?;
        }
        self.changed(SubjectKind::Issue, id, ChangeKind::Created, 1, company, body);
        Ok(None)
    }

    /// A waiver covers what was seen when it was given: not that the check breaks later, and not what it finds once it
    /// works again. Answers whether one ended for that, which goes on record.
    async fn end_waiver(
        &mut self,
        open: Condition,
        code: CheckCode,
        finding: &Finding,
    ) -> Result<bool, StoreError> {
        let broken = Finding::broken(code, "").message;
        let seen_otherwise = match finding.message == broken {
            true => Column::Message.ne(broken),
            false => Column::Message.eq(broken),
        };
        let waived = open.add(seen_otherwise).add(Column::WaivedUntil.gt(self.now_ms()));
        let Some(row) = Entity::find().filter(waived).one(&self.txn).await? else { return Ok(false) };
        Entity::update_many()
            .col_expr(Column::WaivedBy, Expr::value(None::<Uuid>))
            .col_expr(Column::WaiverReason, Expr::value(None::<String>))
            .col_expr(Column::WaivedUntil, Expr::value(None::<i64>))
            .filter(Column::Id.eq(row.id))
            .exec(&self.txn)
            .await?;
        let details = json!({ "reason": row.waiver_reason, "until": row.waived_until });
        self.audit("issue.waiver_ended", "ISSUE", row.id, "OK", details);
        Ok(true)
    }

    /// Open issues were seen again as they were: counted, and nobody is told.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count_issues(&mut self, subject: Subject, codes: &[CheckCode]) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::SeenCount, Expr::col(Column::SeenCount).add(1))
            .col_expr(Column::LastSeenAt, Expr::value(self.now_ms()))
            .filter(Column::CheckCode.is_in(codes.iter().map(|code| code.as_str())))
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// An open issue was seen again, with this evidence.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seen_as(
        &mut self,
        subject: Subject,
        code: CheckCode,
        evidence: &str,
    ) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::Evidence, Expr::value(evidence))
            .filter(Column::CheckCode.eq(code.as_str()))
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .filter(Column::Evidence.ne(evidence))
            .exec(&self.txn)
            .await?;
        Ok(())
    }

    /// A check passed: its open issue about this subject, if any, is resolved; answers it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn resolve_issue(
        &mut self,
        subject: Subject,
        code: CheckCode,
        company: Option<CompanyId>,
    ) -> Result<Option<Issue>, StoreError> {
        let resolved = Entity::update_many()
            .col_expr(Column::State, Expr::value(IssueState::Resolved.as_str()))
            .col_expr(Column::ResolvedAt, Expr::value(self.now_ms()))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .filter(Column::CheckCode.eq(code.as_str()))
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .exec_with_returning(&self.txn)
            .await?;
        let Some(row) = resolved.into_iter().next() else { return Ok(None) };
        let body = json!({ "state": "RESOLVED", "check": code.as_str() });
        let company = company.map(|id| id.0);
        self.changed(SubjectKind::Issue, row.id, ChangeKind::Updated, row.revision, company, body);
        from_row(row).map(Some)
    }

    /// What is open about the subject is closed, but for what these checks found: they go on being asked.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close_issues(
        &mut self,
        subject: Subject,
        company: Option<CompanyId>,
        asked: &[CheckCode],
    ) -> Result<(), StoreError> {
        let closed = Entity::update_many()
            .col_expr(Column::State, Expr::value(IssueState::Closed.as_str()))
            .col_expr(Column::ResolvedAt, Expr::value(self.now_ms()))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .filter(Column::CheckCode.is_not_in(asked.iter().map(|code| code.as_str())))
            .exec_with_returning(&self.txn)
            .await?;
        for row in closed {
            let body = json!({ "state": IssueState::Closed.as_str(), "check": row.check_code });
            let company = company.map(|id| id.0);
            self.changed(SubjectKind::Issue, row.id, ChangeKind::Updated, row.revision, company, body);
        }
        Ok(())
    }

    /// Saves who looks after an issue and which exceptions hold, if nobody changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Conflict`].
    pub async fn save_issue(
        &mut self,
        mut issue: Issue,
        company: Option<CompanyId>,
    ) -> Result<Issue, StoreError> {
        let revision = issue.revision + 1;
        let (mute, waiver) = (issue.mute.as_ref(), issue.waiver.as_ref());
        let saved = Entity::update_many()
            .col_expr(Column::AssigneeId, Expr::value(issue.assignee.map(|id| id.0)))
            .col_expr(Column::MutedBy, Expr::value(mute.map(|it| it.by.0)))
            .col_expr(Column::MuteReason, Expr::value(mute.map(|it| it.reason.clone())))
            .col_expr(Column::MutedUntil, Expr::value(mute.map(|it| ms(it.until))))
            .col_expr(Column::WaivedBy, Expr::value(waiver.map(|it| it.by.0)))
            .col_expr(Column::WaiverReason, Expr::value(waiver.map(|it| it.reason.clone())))
            .col_expr(Column::WaivedUntil, Expr::value(waiver.map(|it| ms(it.until))))
            .col_expr(Column::Revision, Expr::value(revision))
            .filter(Column::Id.eq(issue.id.0))
            .filter(Column::Revision.eq(issue.revision))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Err(StoreError::Conflict("issue"));
        }
        issue.revision = revision;
        let body = json!({ "state": issue.state.as_str(), "check": issue.code.as_str() });
        let company = company.map(|id| id.0);
        self.changed(SubjectKind::Issue, issue.id.0, ChangeKind::Updated, revision, company, body);
        Ok(issue)
    }

    /// How many open issues keep this subject from going on. A muted one does, a waived one does not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn blocking_issues(&self, subject: Subject) -> Result<u64, StoreError> {
        let waived = Column::WaivedUntil.is_null().or(Column::WaivedUntil.lte(self.now_ms()));
        Ok(Entity::find()
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .filter(Column::Blocking.eq(true))
            .filter(waived)
            .count(&self.txn)
            .await?)
    }

    /// Somebody wants to hear of what becomes of an issue, or no more. Said again, it changes nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn follow_issue(&mut self, issue: IssueId, who: UserId, on: bool) -> Result<(), StoreError> {
        if on {
            let row = issue_follower::ActiveModel { issue_id: Set(issue.0), account_id: Set(who.0) };
            let known =
                OnConflict::columns([issue_follower::Column::IssueId, issue_follower::Column::AccountId])
                    .do_nothing()
                    .to_owned();
            issue_follower::Entity::insert(row).on_conflict(known).exec_without_returning(&self.txn).await?;
        } else {
            issue_follower::Entity::delete_by_id((issue.0, who.0)).exec(&self.txn).await?;
        }
        Ok(())
    }

    /// Who follows these issues.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn followers(&self, issues: &[IssueId]) -> Result<Vec<UserId>, StoreError> {
        let filter = issue_follower::Column::IssueId.is_in(issues.iter().map(|id| id.0));
        let rows = issue_follower::Entity::find().filter(filter).all(&self.txn).await?;
        Ok(rows.into_iter().map(|row| UserId(row.account_id)).collect())
    }

    /// How these people want to hear of issues; those who did not say are not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issue_mail(&self, of: &[UserId]) -> Result<Vec<(UserId, IssueMail)>, StoreError> {
        let filter = issue_mail::Column::AccountId.is_in(of.iter().map(|id| id.0));
        let rows = issue_mail::Entity::find().filter(filter).all(&self.txn).await?;
        rows.into_iter()
            .map(|row| {
                let wrong = || inconsistent("issue_mail", row.account_id, "mode");
                Ok((UserId(row.account_id), IssueMail::parse(&row.mode).ok_or_else(wrong)?))
            })
            .collect()
    }

    /// Somebody says how they want to hear of issues.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_issue_mail(&mut self, who: UserId, mode: IssueMail) -> Result<(), StoreError> {
        let row = issue_mail::ActiveModel { account_id: Set(who.0), mode: Set(mode.as_str().to_owned()) };
        let again = OnConflict::column(issue_mail::Column::AccountId)
            .update_column(issue_mail::Column::Mode)
            .to_owned();
        issue_mail::Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        Ok(())
    }
}
