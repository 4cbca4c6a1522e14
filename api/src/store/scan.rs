//! Scans and what their checks answered.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, Set};
use serde_json::json;

use super::change::{ChangeKind, SubjectKind};
use super::tx::Tx;
use super::{StoreError, at, entity, inconsistent, json as stored, ms};
use crate::domain::Timestamp;
use crate::domain::check::{Answer, CheckCode, Finding};
use crate::domain::id::{CompanyId, ScanId, UserId};
use crate::domain::scan::{Scan, ScanState, Subject, parse_suites};
use entity::{scan, scan_result};

/// What a check answered in a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanResult {
    /// Which scan.
    pub scan: ScanId,
    /// Which check.
    pub code: CheckCode,
    /// Its place in the suite.
    pub position: i64,
    /// What it answered.
    pub answer: Answer,
    /// When.
    pub finished_at: Timestamp,
}

pub(super) fn from_row(row: scan::Model) -> Result<Scan, StoreError> {
    let wrong = |column| inconsistent("scan", row.id, column);
    Ok(Scan {
        id: ScanId(row.id),
        suites: parse_suites(&row.suite).ok_or_else(|| wrong("suite"))?,
        only: row
            .only_check
            .as_deref()
            .map(|code| CheckCode::parse(code).ok_or_else(|| wrong("only_check")))
            .transpose()?,
        subject: Subject::parse(&row.subject_kind, row.subject_id).ok_or_else(|| wrong("subject_kind"))?,
        requested_by: row.requested_by.map(UserId),
        requested_by_admin: row.requested_by_admin,
        requested_at: at(row.requested_at),
        started_at: row.started_at.map(at),
        finished_at: row.finished_at.map(at),
        state: ScanState::parse(&row.state).ok_or_else(|| wrong("state"))?,
    })
}

pub(super) fn result_from(row: scan_result::Model) -> Result<ScanResult, StoreError> {
    let wrong = |column| inconsistent("scan_result", row.scan_id, column);
    let text = |value: &Option<String>, column| value.clone().ok_or_else(|| wrong(column));
    let answer = match row.answer.as_str() {
        "PASS" => Answer::Pass,
        "ERROR" => Answer::Error(text(&row.message, "message")?),
        "SKIPPED" => Answer::Skipped(text(&row.message, "message")?),
        "FINDING" => Answer::Finding(Finding {
            message: text(&row.message, "message")?,
            evidence: text(&row.evidence, "evidence")?,
            remedy: row.remedy.as_ref().and_then(stored::remedy_from).ok_or_else(|| wrong("remedy"))?,
            blocking: row.blocking,
        }),
        _ => return Err(wrong("answer")),
    };
    Ok(ScanResult {
        scan: ScanId(row.scan_id),
        code: CheckCode::parse(&row.check_code).ok_or_else(|| wrong("check_code"))?,
        position: row.position,
        answer,
        finished_at: at(row.finished_at),
    })
}

/// The stable name of an answer.
#[must_use]
pub(super) fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Pass => "PASS",
        Answer::Finding(_) => "FINDING",
        Answer::Error(_) => "ERROR",
        Answer::Skipped(_) => "SKIPPED",
    }
}

impl Tx {
    /// The scan with this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scan(&self, id: ScanId) -> Result<Option<Scan>, StoreError> {
        scan::Entity::find_by_id(id.0).one(&self.txn).await?.map(from_row).transpose()
    }

    /// A scan that asks the same about the same thing and has not begun.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn queued_scan(&self, like: &Scan) -> Result<Option<Scan>, StoreError> {
        let only = match like.only {
            Some(only) => scan::Column::OnlyCheck.eq(only.as_str()),
            None => scan::Column::OnlyCheck.is_null(),
        };
        let mut queued = scan::Entity::find()
            .filter(scan::Column::SubjectId.eq(like.subject.id()))
            .filter(scan::Column::Suite.eq(like.suites_text()))
            .filter(scan::Column::State.eq(ScanState::Queued.as_str()))
            .filter(only);
        // What an administrator asks for is not what somebody else will be told: one check asks who ran it.
        if like.requested_by_admin {
            queued = queued.filter(scan::Column::RequestedByAdmin.eq(true));
        }
        queued.one(&self.txn).await?.map(from_row).transpose()
    }

    /// Adds a scan. Earlier ones that ask the same about the same thing and have not ended are cancelled.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_scan(&mut self, scan: &Scan, company: Option<CompanyId>) -> Result<(), StoreError> {
        // A whole run that decides overtakes everything under way; one check only itself, or what others wait for
        // would never end.
        let mut overtaken = scan::Entity::update_many()
            .col_expr(scan::Column::State, Expr::value(ScanState::Cancelled.as_str()))
            .col_expr(scan::Column::FinishedAt, Expr::value(self.now_ms()))
            .filter(scan::Column::SubjectId.eq(scan.subject.id()))
            .filter(scan::Column::State.is_in([ScanState::Queued.as_str(), ScanState::Running.as_str()]));
        if let Some(only) = scan.only {
            overtaken = overtaken.filter(scan::Column::OnlyCheck.eq(only.as_str()));
        } else if !scan.decides() {
            overtaken = overtaken
                .filter(scan::Column::Suite.eq(scan.suites_text()))
                .filter(scan::Column::OnlyCheck.is_null());
        }
        // Whoever watches one of them hears that it ended.
        for row in overtaken.exec_with_returning(&self.txn).await? {
            self.scan_changed(&from_row(row)?, ChangeKind::Updated, company, None);
        }
        self.add_scan(scan, company).await
    }

    /// Adds a scan beside those under way.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn add_scan(&mut self, scan: &Scan, company: Option<CompanyId>) -> Result<(), StoreError> {
        let row = scan::ActiveModel {
            id: Set(scan.id.0),
            suite: Set(scan.suites_text()),
            only_check: Set(scan.only.map(|code| code.as_str().to_owned())),
            subject_kind: Set(scan.subject.kind().to_owned()),
            subject_id: Set(scan.subject.id()),
            requested_by: Set(scan.requested_by.map(|id| id.0)),
            requested_by_admin: Set(scan.requested_by_admin),
            requested_at: Set(ms(scan.requested_at)),
            started_at: Set(scan.started_at.map(ms)),
            finished_at: Set(None),
            state: Set(scan.state.as_str().to_owned()),
        };
        scan::Entity::insert(row).exec_without_returning(&self.txn).await?;
        self.scan_changed(scan, ChangeKind::Created, company, None);
        Ok(())
    }

    /// Moves a scan on, unless it has ended meanwhile; answers whether it did.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_scan(&mut self, scan: &Scan, company: Option<CompanyId>) -> Result<bool, StoreError> {
        let saved = scan::Entity::update_many()
            .col_expr(scan::Column::State, Expr::value(scan.state.as_str()))
            .col_expr(scan::Column::StartedAt, Expr::value(scan.started_at.map(ms)))
            .col_expr(scan::Column::FinishedAt, Expr::value(scan.finished_at.map(ms)))
            .filter(scan::Column::Id.eq(scan.id.0))
            .filter(scan::Column::State.is_in([ScanState::Queued.as_str(), ScanState::Running.as_str()]))
            .exec(&self.txn)
            .await?;
        if saved.rows_affected == 0 {
            return Ok(false);
        }
        self.scan_changed(scan, ChangeKind::Updated, company, None);
        Ok(true)
    }

    /// Calls off what runs or waits to run on something that ended.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn cancel_scans(
        &mut self,
        subject: Subject,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let under_way = scan::Entity::find()
            .filter(scan::Column::SubjectId.eq(subject.id()))
            .filter(scan::Column::State.is_in([ScanState::Queued.as_str(), ScanState::Running.as_str()]));
        for row in under_way.all(&self.txn).await? {
            self.forget_work(row.id).await?;
            let ended = Scan { state: ScanState::Cancelled, finished_at: Some(self.now()), ..from_row(row)? };
            self.save_scan(&ended, company).await?;
        }
        Ok(())
    }

    /// Records what a check answered; the same check again in the same scan replaces it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn save_result(
        &mut self,
        scan: &Scan,
        result: &ScanResult,
        company: Option<CompanyId>,
    ) -> Result<(), StoreError> {
        let (message, evidence, remedy, blocking) = match &result.answer {
            Answer::Pass => (None, None, None, false),
            Answer::Error(why) => (Some(why.clone()), None, None, true),
            Answer::Skipped(why) => (Some(why.clone()), None, None, false),
            Answer::Finding(Finding { message, evidence, remedy, blocking }) => {
                (Some(message.clone()), Some(evidence.clone()), Some(stored::remedy_to(remedy)), *blocking)
            }
        };
        let row = scan_result::ActiveModel {
            scan_id: Set(result.scan.0),
            check_code: Set(result.code.as_str().to_owned()),
            position: Set(result.position),
            answer: Set(answer_name(&result.answer).to_owned()),
            message: Set(message),
            evidence: Set(evidence),
            remedy: Set(remedy),
            blocking: Set(blocking),
            finished_at: Set(ms(result.finished_at)),
        };
        let again = OnConflict::columns([scan_result::Column::ScanId, scan_result::Column::CheckCode])
            .update_columns([
                scan_result::Column::Answer,
                scan_result::Column::Message,
                scan_result::Column::Evidence,
                scan_result::Column::Remedy,
                scan_result::Column::Blocking,
                scan_result::Column::FinishedAt,
            ])
            .to_owned();
        scan_result::Entity::insert(row).on_conflict(again).exec_without_returning(&self.txn).await?;
        self.scan_changed(scan, ChangeKind::Updated, company, Some(result));
        Ok(())
    }

    /// Whether a scan came to its end and skipped no check.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn asked_everything(&self, id: ScanId) -> Result<bool, StoreError> {
        let ended = matches!(
            self.scan(id).await?.map(|scan| scan.state),
            Some(ScanState::Passed | ScanState::Failed)
        );
        let skipped = scan_result::Entity::find()
            .filter(scan_result::Column::ScanId.eq(id.0))
            .filter(scan_result::Column::Answer.eq("SKIPPED"))
            .count(&self.txn);
        Ok(ended && skipped.await? == 0)
    }

    /// What the checks of a scan answered so far.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scan_results(&self, id: ScanId) -> Result<Vec<ScanResult>, StoreError> {
        let query = scan_result::Entity::find().filter(scan_result::Column::ScanId.eq(id.0));
        query.all(&self.txn).await?.into_iter().map(result_from).collect()
    }

    fn scan_changed(
        &mut self,
        scan: &Scan,
        kind: ChangeKind,
        company: Option<CompanyId>,
        result: Option<&ScanResult>,
    ) {
        let body = json!({
            "state": scan.state.as_str(),
            "check": result.map(|result| result.code.as_str()),
            "answer": result.map(|result| answer_name(&result.answer)),
        });
        self.changed(SubjectKind::Scan, scan.id.0, kind, 0, company.map(|id| id.0), body);
    }
}
