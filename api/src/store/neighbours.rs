//! What belongs to many things at once, read in one statement however many they are.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::issue;
use super::people::{self, Account};
use super::{Reader, StoreError, entity, registration, scan};
use crate::domain::id::CompanyId;
use crate::domain::issue::Issue;
use crate::domain::registration::Registration;
use crate::domain::requester::Scope;
use crate::domain::scan::{Scan, Subject};

impl Reader {
    /// The open issues about these subjects, the oldest first. There is at most one for each check of a subject.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn open_issues_of(&self, subjects: &[Subject]) -> Result<Vec<Issue>, StoreError> {
        use entity::issue::{Column, Entity};
        let query = Entity::find()
            .filter(Column::SubjectId.is_in(subjects.iter().map(|subject| subject.id())))
            .filter(Column::State.eq("OPEN"));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.order_by_asc(Column::Id).all(self.conn()).await?.into_iter().map(issue::from_row).collect()
    }

    /// The latest `count` scans of each of these subjects, the newest first; only for those who may see everything.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn latest_scans_of(&self, subjects: &[Subject], count: u64) -> Result<Vec<Scan>, StoreError> {
        use entity::scan::{Column, Entity};
        if self.scope() != Scope::Everything {
            return Ok(Vec::new());
        }
        // Ids sort by time.
        let newer = "(select count(*) from scan newer where newer.subject_id = scan.subject_id and newer.id > scan.id)";
        let query = Entity::find()
            .filter(Column::SubjectId.is_in(subjects.iter().map(|subject| subject.id())))
            .filter(Expr::cust(format!("{newer} < {count}")));
        query.order_by_desc(Column::Id).all(self.conn()).await?.into_iter().map(scan::from_row).collect()
    }

    /// The latest `count` registrations of each of these companies, the newest first.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn latest_registrations_of(
        &self,
        companies: &[CompanyId],
        count: u64,
    ) -> Result<Vec<Registration>, StoreError> {
        use entity::registration::{Column, Entity};
        let newer = "(select count(*) from registration newer \
                     where newer.company_id = registration.company_id and newer.id > registration.id)";
        let query = Entity::find()
            .filter(Column::CompanyId.is_in(companies.iter().map(|id| id.0)))
            .filter(Expr::cust(format!("{newer} < {count}")));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query
            .order_by_desc(Column::Id)
            .all(self.conn())
            .await?
            .into_iter()
            .map(registration::from_row)
            .collect()
    }

    /// The latest `count` contacts of each of these companies, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest_contacts_of(
        &self,
        companies: &[CompanyId],
        count: u64,
    ) -> Result<Vec<Account>, StoreError> {
        use entity::account::{Column, Entity};
        let newer = "(select count(*) from account newer \
                     where newer.company_id = account.company_id and newer.id > account.id)";
        let query = Entity::find()
            .filter(Column::CompanyId.is_in(companies.iter().map(|id| id.0)))
            .filter(Expr::cust(format!("{newer} < {count}")));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        people::with_roles(self.conn(), query.order_by_desc(Column::Id).all(self.conn()).await?, &[]).await
    }
}
