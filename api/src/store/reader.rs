//! Reading within what a requester may see. What they may not see looks exactly like what does not exist.

use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, DatabaseConnection, EntityTrait, PrimaryKeyTrait, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, QueryTrait as _, Select,
};
use uuid::Uuid;

use super::attempt::{self, AttemptWork};
use super::issue;
use super::ordered::{ConnectionOrder, RegistrationOrder};
use super::page::{Page, Slice};
use super::people::{self, Account, Company};
use super::registration::{self, ProviderRecord};
use super::scan::{self, ScanResult};
use super::settings::{self, SettingsRecord};
use super::{Store, StoreError, entity};
use super::{connection, direction, overview};
use crate::domain::attempt::Attempt;
use crate::domain::audit::AuditScope;
use crate::domain::connection::{Connection, ConnectionState, Part};
use crate::domain::direction::{Evidence, Way};
use crate::domain::id::{ChannelId, CompanyId, ConnectionId, IssueId, RegistrationId, ScanId, UserId};
use crate::domain::issue::Issue;
use crate::domain::registration::{Registration, RegistrationState};
use crate::domain::requester::{Scope, Viewer};
use crate::domain::scan::{Scan, Subject};

/// Reads on behalf of somebody.
#[derive(Clone)]
pub struct Reader {
    conn: DatabaseConnection,
    scope: Scope,
    audit: Option<AuditScope>,
    keys: bool,
    grants: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Which registrations.
#[derive(Clone, Debug, Default)]
pub struct RegistrationFilter {
    /// In one of these states.
    pub states: Vec<RegistrationState>,
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Whose number, URL or company holds this text.
    pub search: Option<String>,
}

/// Which connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFilter {
    /// In one of these states.
    pub states: Vec<ConnectionState>,
    /// In which we are this.
    pub part: Option<Part>,
    /// Whose URL, peer's name or company holds this text.
    pub search: Option<String>,
    /// Whether somebody should look at it.
    pub needs_attention: Option<bool>,
}

impl Store {
    /// A reader for whoever holds this right.
    #[must_use]
    pub fn reader(&self, viewer: &Viewer) -> Reader {
        Reader {
            conn: self.read.clone(),
            scope: viewer.scope(),
            audit: viewer.audit(),
            keys: viewer.keys(),
            grants: viewer.grants(),
        }
    }
}

/// The text between wildcards, with the text's own wildcards taken literally.
fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{}%", escaped.to_lowercase())
}

/// A registration's number as people write it, in lower case.
const NUMBER: &str = "('reg-' || case when registration.number < 1000000
    then substr(cast(1000000 + registration.number as text), 2) else cast(registration.number as text) end)";

fn like<C: ColumnTrait>(column: C, text: &str) -> SimpleExpr {
    let table = sea_orm::EntityName::table_name(&C::EntityName::default()).to_owned();
    holds(Expr::expr(Func::lower(Expr::col((table, column)))), text)
}

fn holds(lowered: impl ExprTrait, text: &str) -> SimpleExpr {
    lowered.like(LikeExpr::new(containing(text)).escape('\\'))
}

/// Of a company whose name holds this text.
fn of_company<C: ColumnTrait>(company: C, text: &str) -> SimpleExpr {
    use entity::company::{Column, Entity};
    let named = Entity::find().select_only().column(Column::Id).filter(like(Column::Name, text));
    company.in_subquery(named.into_query())
}

impl Reader {
    pub(super) const fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) const fn reads_keys(&self) -> bool {
        self.keys
    }

    pub(super) const fn grants(&self) -> bool {
        self.grants
    }

    pub(super) const fn audit(&self) -> Option<AuditScope> {
        self.audit
    }

    pub(super) const fn conn(&self) -> &DatabaseConnection {
        &self.conn
    }

    /// Keeps a query within what may be seen.
    pub(super) fn scoped<E: EntityTrait>(
        &self,
        query: Select<E>,
        company: impl ColumnTrait,
    ) -> Option<Select<E>> {
        match self.scope {
            Scope::Everything => Some(query),
            Scope::Company(id) => Some(query.filter(company.eq(id.0))),
            Scope::Nothing => None,
        }
    }

    /// Keeps a query of accounts within what may be seen: whoever grants key roles sees our own people, if nobody else.
    fn scoped_accounts(
        &self,
        query: Select<entity::account::Entity>,
    ) -> Option<Select<entity::account::Entity>> {
        use entity::account::Column;
        match self.scope {
            Scope::Nothing if self.grants => Some(query.filter(Column::CompanyId.is_null())),
            Scope::Everything | Scope::Company(_) | Scope::Nothing => self.scoped(query, Column::CompanyId),
        }
    }

    pub(super) async fn page<E, T>(
        &self,
        query: Select<E>,
        id: impl ColumnTrait,
        page: Page,
        map: impl Fn(E::Model) -> Result<T, StoreError>,
    ) -> Result<Slice<T>, StoreError>
    where
        E: EntityTrait,
        E::PrimaryKey: PrimaryKeyTrait,
    {
        let query = match (page.beyond, page.backward) {
            (Some(beyond), false) => query.filter(id.lt(beyond)),
            (Some(beyond), true) => query.filter(id.gt(beyond)),
            (None, _) => query,
        };
        let query = if page.backward { query.order_by_asc(id) } else { query.order_by_desc(id) };
        let rows = query.limit(page.limit + 1).all(&self.conn).await?;
        Ok(page.slice(rows.into_iter().map(map).collect::<Result<_, _>>()?))
    }

    /// The provider record; everybody who signed in may see it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn provider_record(&self) -> Result<Option<ProviderRecord>, StoreError> {
        Ok(entity::provider_record::Entity::find_by_id(1)
            .one(&self.conn)
            .await?
            .map(registration::provider_from))
    }

    /// These companies, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn companies_by_id(&self, ids: &[CompanyId]) -> Result<Vec<Company>, StoreError> {
        use entity::company::{Column, Entity};
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped(query, Column::Id) else { return Ok(Vec::new()) };
        Ok(query.all(&self.conn).await?.into_iter().map(people::company_from).collect())
    }

    /// A page of companies, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn companies(&self, search: Option<&str>, page: Page) -> Result<Slice<Company>, StoreError> {
        use entity::company::{Column, Entity};
        let mut query = Entity::find();
        if let Some(text) = search {
            query = query.filter(like(Column::Name, text));
        }
        let Some(query) = self.scoped(query, Column::Id) else { return Ok(page.slice(Vec::new())) };
        self.page(query, Column::Id, page, |row| Ok(people::company_from(row))).await
    }

    /// These accounts, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn accounts_by_id(&self, ids: &[UserId]) -> Result<Vec<Account>, StoreError> {
        use entity::account::{Column, Entity};
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped_accounts(query) else { return Ok(Vec::new()) };
        people::with_roles(&self.conn, query.all(&self.conn).await?, &[]).await
    }

    /// The names of these people, as far as they are our own: whoever works with them sees who they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn names_of(&self, ids: &[UserId]) -> Result<Vec<(UserId, String)>, StoreError> {
        use entity::account::{Column, Entity};
        if matches!(self.scope, Scope::Company(_)) {
            return Ok(Vec::new());
        }
        let query = Entity::find()
            .select_only()
            .columns([Column::Id, Column::Name])
            .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(Column::CompanyId.is_null());
        let rows: Vec<(Uuid, String)> = query.into_tuple().all(&self.conn).await?;
        Ok(rows.into_iter().map(|(id, name)| (UserId(id), name)).collect())
    }

    /// A page of accounts: of our own people, or of one or all other companies'; with `search`, of those whose name or mail
    /// address holds it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn accounts(
        &self,
        contacts: bool,
        company: Option<CompanyId>,
        search: Option<&str>,
        page: Page,
    ) -> Result<Slice<Account>, StoreError> {
        use entity::account::{Column, Entity};
        let mut query = Entity::find();
        query = if contacts {
            query.filter(Column::CompanyId.is_not_null())
        } else {
            query.filter(Column::CompanyId.is_null())
        };
        if let Some(company) = company {
            query = query.filter(Column::CompanyId.eq(company.0));
        }
        if let Some(text) = search {
            query =
                query.filter(Condition::any().add(like(Column::Name, text)).add(like(Column::Email, text)));
        }
        let Some(query) = self.scoped_accounts(query) else { return Ok(page.slice(Vec::new())) };
        let slice = self.page(query, Column::Id, page, Ok).await?;
        let items = people::with_roles(&self.conn, slice.items, &[]).await?;
        Ok(Slice { items, has_next: slice.has_next, has_previous: slice.has_previous })
    }

    /// These registrations, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn registrations_by_id(&self, ids: &[RegistrationId]) -> Result<Vec<Registration>, StoreError> {
        use entity::registration::{Column, Entity};
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.all(&self.conn).await?.into_iter().map(registration::from_row).collect()
    }

    /// A page of registrations.
    ///
    /// # Errors
    /// As [`Reader::registrations_by_id`].
    pub async fn registrations(
        &self,
        filter: &RegistrationFilter,
        order: RegistrationOrder,
        page: Page,
    ) -> Result<Slice<Registration>, StoreError> {
        use entity::registration::{Column, Entity};
        let mut query = Entity::find();
        if !filter.states.is_empty() {
            query = query.filter(Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
        }
        if let Some(company) = filter.company {
            query = query.filter(Column::CompanyId.eq(company.0));
        }
        if let Some(text) = &filter.search {
            let any = Condition::any().add(like(Column::Origin, text)).add(holds(Expr::cust(NUMBER), text));
            query = query.filter(any.add(of_company(Column::CompanyId, text)));
        }
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(page.slice(Vec::new())) };
        self.sorted(query, order.into(), page, registration::from_row).await
    }

    /// These connections, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn connections_by_id(&self, ids: &[ConnectionId]) -> Result<Vec<Connection>, StoreError> {
        use entity::connection::{Column, Entity};
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.all(&self.conn).await?.into_iter().map(connection::from_row).collect()
    }

    /// The connections whose messages these name, as far as they may be seen.
    ///
    /// # Errors
    /// As [`Reader::connections_by_id`].
    pub async fn connections_by_channel(&self, of: &[ChannelId]) -> Result<Vec<Connection>, StoreError> {
        use entity::connection::{Column, Entity};
        let query = Entity::find().filter(Column::ChannelId.is_in(of.iter().map(|channel| channel.0)));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.all(&self.conn).await?.into_iter().map(connection::from_row).collect()
    }

    /// A page of connections.
    ///
    /// # Errors
    /// As [`Reader::connections_by_id`].
    pub async fn connections(
        &self,
        filter: &ConnectionFilter,
        order: ConnectionOrder,
        page: Page,
    ) -> Result<Slice<Connection>, StoreError> {
        use entity::connection::{Column, Entity};
        let mut query = Entity::find();
        if !filter.states.is_empty() {
            query = query.filter(Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
        }
        if let Some(part) = filter.part {
            query = query.filter(Column::Part.eq(part.as_str()));
        }
        if let Some(needed) = filter.needs_attention {
            let needing = overview::needing_attention();
            query = query.filter(if needed { needing } else { needing.not() });
        }
        if let Some(text) = &filter.search {
            let any = Condition::any().add(like(Column::Origin, text)).add(like(Column::PeerName, text));
            query = query.filter(any.add(of_company(Column::CompanyId, text)));
        }
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(page.slice(Vec::new())) };
        self.sorted(query, order.into(), page, connection::from_row).await
    }

    /// The directions of these connections, which the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn directions(
        &self,
        of: &[ConnectionId],
    ) -> Result<Vec<(ConnectionId, Way, Evidence)>, StoreError> {
        let ids: Vec<Uuid> = of.iter().map(|id| id.0).collect();
        direction::of_connections(&self.conn, &ids).await
    }

    /// The latest attempt of each of these connections, which the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer, or a row matches no legal state.
    pub async fn attempts(&self, of: &[ConnectionId]) -> Result<Vec<(Attempt, AttemptWork)>, StoreError> {
        use entity::attempt::{Column, Entity};
        let query = Entity::find().filter(Column::ConnectionId.is_in(of.iter().map(|id| id.0)));
        query.order_by_asc(Column::Number).all(&self.conn).await?.into_iter().map(attempt::from_row).collect()
    }

    /// The settings of these connections, which the caller has read and so may see.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settings(
        &self,
        of: &[ConnectionId],
    ) -> Result<Vec<(ConnectionId, SettingsRecord)>, StoreError> {
        use entity::settings::{Column, Entity};
        let query = Entity::find().filter(Column::ConnectionId.is_in(of.iter().map(|id| id.0)));
        let rows = query.all(&self.conn).await?;
        rows.into_iter().map(|row| Ok((ConnectionId(row.connection_id), settings::from_row(row)?))).collect()
    }

    /// These scans; only for those who may see everything.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scans_by_id(&self, ids: &[ScanId]) -> Result<Vec<Scan>, StoreError> {
        use entity::scan::{Column, Entity};
        if self.scope != Scope::Everything {
            return Ok(Vec::new());
        }
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        query.all(&self.conn).await?.into_iter().map(scan::from_row).collect()
    }

    /// A page of scans, the newest first; only for those who may see everything.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scans(&self, subject: Option<Subject>, page: Page) -> Result<Slice<Scan>, StoreError> {
        use entity::scan::{Column, Entity};
        if self.scope != Scope::Everything {
            return Ok(page.slice(Vec::new()));
        }
        let mut query = Entity::find();
        if let Some(subject) = subject {
            query = query.filter(Column::SubjectId.eq(subject.id()));
        }
        self.page(query, Column::Id, page, scan::from_row).await
    }

    /// What the checks of these scans answered, in the order of their suites.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn results(&self, of: &[ScanId]) -> Result<Vec<ScanResult>, StoreError> {
        use entity::scan_result::{Column, Entity};
        let query = Entity::find().filter(Column::ScanId.is_in(of.iter().map(|id| id.0)));
        query
            .order_by_asc(Column::Position)
            .all(&self.conn)
            .await?
            .into_iter()
            .map(scan::result_from)
            .collect()
    }

    /// These issues, as far as they may be seen.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn issues_by_id(&self, ids: &[IssueId]) -> Result<Vec<Issue>, StoreError> {
        use entity::issue::{Column, Entity};
        let query = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
        let Some(query) = self.scoped(query, Column::CompanyId) else { return Ok(Vec::new()) };
        query.all(&self.conn).await?.into_iter().map(issue::from_row).collect()
    }
}
