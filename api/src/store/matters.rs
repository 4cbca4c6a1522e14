//! Lists of issues: which, in which order, and who follows them.

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};

use super::ordered::Sorting;
use super::page::{Page, Slice};
use super::{Reader, StoreError, entity, issue, ms};
use crate::domain::Timestamp;
use crate::domain::check::{CheckCode, Severity};
use crate::domain::id::{IssueId, UserId};
use crate::domain::issue::{Issue, IssueMail, IssueState};
use crate::domain::scan::Subject;
use entity::issue::{Column, Entity};
use entity::{issue_follower, issue_mail};

/// Which issues. Empty lists and absent parts keep nothing out.
#[derive(Clone, Debug, Default)]
pub struct IssueFilter {
    /// In this state.
    pub state: Option<IssueState>,
    /// About this.
    pub subject: Option<Subject>,
    /// Raised by one of these checks.
    pub checks: Vec<CheckCode>,
    /// This bad.
    pub severities: Vec<Severity>,
    /// Whether they block.
    pub blocking: Option<bool>,
    /// Whether they are muted at that time.
    pub muted: Option<(bool, Timestamp)>,
    /// Looked after by this person.
    pub assignee: Option<UserId>,
    /// Followed by this person.
    pub follower: Option<UserId>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IssueOrder {
    /// Raised last first.
    #[default]
    Newest,
    /// Seen last first.
    LastSeen,
    /// Worst first.
    Severity,
}

impl From<IssueOrder> for Sorting {
    fn from(order: IssueOrder) -> Self {
        let newest = Self::newest("issue");
        match order {
            IssueOrder::Newest => newest,
            IssueOrder::LastSeen => Self { by: Some("row.last_seen_at"), ..newest },
            IssueOrder::Severity => Self { by: Some("row.severity_rank"), ..newest },
        }
    }
}

impl IssueFilter {
    fn condition(&self) -> Condition {
        let mut all = Condition::all();
        if let Some(state) = self.state {
            all = all.add(Column::State.eq(state.as_str()));
        }
        if let Some(subject) = self.subject {
            all = all.add(Column::SubjectId.eq(subject.id()));
        }
        if !self.checks.is_empty() {
            all = all.add(Column::CheckCode.is_in(self.checks.iter().map(|code| code.as_str())));
        }
        if !self.severities.is_empty() {
            all = all.add(Column::SeverityRank.is_in(self.severities.iter().map(|severity| severity.rank())));
        }
        if let Some(blocking) = self.blocking {
            all = all.add(Column::Blocking.eq(blocking));
        }
        match self.muted {
            Some((true, now)) => all = all.add(Column::MutedUntil.gt(ms(now))),
            Some((false, now)) => {
                let silent = Condition::any().add(Column::MutedUntil.is_null());
                all = all.add(silent.add(Column::MutedUntil.lte(ms(now))));
            }
            None => {}
        }
        if let Some(assignee) = self.assignee {
            all = all.add(Column::AssigneeId.eq(assignee.0));
        }
        if let Some(follower) = self.follower {
            let followed = issue_follower::Entity::find()
                .select_only()
                .column(issue_follower::Column::IssueId)
                .filter(issue_follower::Column::AccountId.eq(follower.0));
            all = all.add(Column::Id.in_subquery(followed.into_query()));
        }
        all
    }
}

impl Reader {
    /// A page of issues.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issues(
        &self,
        filter: &IssueFilter,
        order: IssueOrder,
        page: Page,
    ) -> Result<Slice<Issue>, StoreError> {
        let query = Entity::find().filter(filter.condition());
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(page.slice(Vec::new())) };
        self.sorted(query, order.into(), page, issue::from_row).await
    }

    /// Who follows these issues, which the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issue_followers(&self, of: &[IssueId]) -> Result<Vec<(IssueId, UserId)>, StoreError> {
        let query = issue_follower::Entity::find()
            .filter(issue_follower::Column::IssueId.is_in(of.iter().map(|id| id.0)));
        let rows = query.order_by_asc(issue_follower::Column::AccountId).all(self.conn()).await?;
        Ok(rows.into_iter().map(|row| (IssueId(row.issue_id), UserId(row.account_id))).collect())
    }

    /// How somebody hears of issues, if they ever said.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issue_mail(&self, who: UserId) -> Result<Option<IssueMail>, StoreError> {
        let row = issue_mail::Entity::find_by_id(who.0).one(self.conn()).await?;
        Ok(row.and_then(|row| IssueMail::parse(&row.mode)))
    }
}
