//! Issues: what findings raised, de-duplicated, until it is resolved.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, Set};
use serde_json::json;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored};
use crate::domain::Timestamp;
use crate::domain::check::{CheckCode, Finding, Remedy};
use crate::domain::id::{CompanyId, IssueId, ScanId};
use crate::domain::scan::{Scan, Subject};
use entity::issue::{ActiveModel, Column, Entity, Model};

words! {
    /// Where an issue stands.
    IssueState {
        /// Somebody has to do something.
        Open = "OPEN", "Open";
        /// A later look found it mended.
        Resolved = "RESOLVED", "Resolved";
    }
}

/// An open matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Which one.
    pub id: IssueId,
    /// The check that found it.
    pub code: CheckCode,
    /// What it is about.
    pub subject: Subject,
    /// The scan that saw it last.
    pub scan: ScanId,
    /// Where it stands.
    pub state: IssueState,
    /// Whether it keeps its subject from going on.
    pub blocking: bool,
    /// What is wrong.
    pub message: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub remedy: Remedy,
    /// How often it was seen.
    pub count: i64,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
    /// When it was seen last.
    pub last_seen_at: Timestamp,
    /// When it was found mended.
    pub resolved_at: Option<Timestamp>,
    /// Grows by one with every change.
    pub revision: i64,
}

pub(super) fn from_row(row: Model) -> Result<Issue, StoreError> {
    let wrong = |column| inconsistent("issue", row.id, column);
    Ok(Issue {
        id: IssueId(row.id),
        code: CheckCode::parse(&row.check_code).ok_or_else(|| wrong("check_code"))?,
        subject: Subject::parse(&row.subject_kind, row.subject_id).ok_or_else(|| wrong("subject_kind"))?,
        scan: ScanId(row.scan_id),
        state: IssueState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        blocking: row.blocking,
        remedy: stored::remedy_from(&row.remedy).ok_or_else(|| wrong("remedy"))?,
        message: row.message,
        evidence: row.evidence,
        count: row.seen_count,
        first_seen_at: at(row.first_seen_at),
        last_seen_at: at(row.last_seen_at),
        resolved_at: row.resolved_at.map(at),
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

    /// A finding was seen: a new issue, or the open one counted once more.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn raise_issue(
        &mut self,
        scan: &Scan,
        code: CheckCode,
        finding: &Finding,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let now = self.now_ms();
        let seen = Entity::update_many()
            .col_expr(Column::SeenCount, Expr::col(Column::SeenCount).add(1))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .col_expr(Column::LastSeenAt, Expr::value(now))
            .col_expr(Column::ScanId, Expr::value(scan.id.0))
            .col_expr(Column::Blocking, Expr::value(finding.blocking))
            .col_expr(Column::Message, Expr::value(finding.message.clone()))
            .col_expr(Column::Evidence, Expr::value(finding.evidence.clone()))
            .col_expr(Column::Remedy, Expr::value(stored::remedy_to(&finding.remedy)))
            .filter(Column::CheckCode.eq(code.as_str()))
            .filter(Column::SubjectId.eq(scan.subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .exec_with_returning(&self.txn)
            .await?;
        let company = company.map(|id| id.0);
        let body = json!({ "state": "OPEN", "check": code.as_str() });
        if let Some(row) = seen.first() {
            self.changed(SubjectKind::Issue, row.id, ChangeKind::Updated, row.revision, company, body);
            return Ok(());
        }
        let id = self.uuid()?;
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
        };
        Entity::insert(row).exec_without_returning(&self.txn).await?;
        self.changed(SubjectKind::Issue, id, ChangeKind::Created, 1, company, body);
        Ok(())
    }

    /// A check passed: its open issue about this subject, if any, is resolved.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn resolve_issue(
        &mut self,
        subject: Subject,
        code: CheckCode,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let resolved = Entity::update_many()
            .col_expr(Column::State, Expr::value(IssueState::Resolved.as_str()))
            .col_expr(Column::ResolvedAt, Expr::value(self.now_ms()))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .filter(Column::CheckCode.eq(code.as_str()))
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .exec_with_returning(&self.txn)
            .await?;
        for row in resolved {
            let body = json!({ "state": "RESOLVED", "check": code.as_str() });
            self.changed(
                SubjectKind::Issue,
                row.id,
                ChangeKind::Updated,
                row.revision,
                company.map(|id| id.0),
                body,
            );
        }
        Ok(())
    }

    /// How many open issues keep this subject from going on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn blocking_issues(&self, subject: Subject) -> Result<u64, StoreError> {
        Ok(Entity::find()
            .filter(Column::SubjectId.eq(subject.id()))
            .filter(Column::State.eq(IssueState::Open.as_str()))
            .filter(Column::Blocking.eq(true))
            .count(&self.txn)
            .await?)
    }
}
