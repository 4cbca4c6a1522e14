//! Lists in an order of their own: by what the order names, then by id, so that pages by key have a stable place.

use sea_orm::sea_query::{Expr, Order};
use sea_orm::{DatabaseBackend, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select};

use super::StoreError;
use super::page::{Page, Slice};
use super::reader::Reader;

/// In which order connections are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionOrder {
    /// Made last first.
    #[default]
    Newest,
    /// Changed last first.
    LastChanged,
    /// By the peer's name, or its URL where it has none, from A to Z.
    Name,
}

/// In which order registrations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationOrder {
    /// Made last first.
    #[default]
    Newest,
    /// Changed last first.
    LastChanged,
    /// By the company's name, from A to Z.
    Company,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorting {
    /// The table.
    pub(super) table: &'static str,
    /// An expression over a row of it, which is written `row`; none for the id, which is the time of creation.
    pub(super) by: Option<&'static str>,
    /// From the least to the greatest.
    pub(super) rising: bool,
}

impl Sorting {
    pub(super) const fn newest(table: &'static str) -> Self {
        Self { table, by: None, rising: false }
    }

    /// The columns by which a row is sorted.
    fn key(&self, row: &str) -> Vec<String> {
        let by = self.by.map(|by| by.replace("row.", &format!("{row}.")));
        by.into_iter().chain([format!("{row}.id")]).collect()
    }
}

impl From<ConnectionOrder> for Sorting {
    fn from(order: ConnectionOrder) -> Self {
        let newest = Self::newest("connection");
        match order {
            ConnectionOrder::Newest => newest,
            ConnectionOrder::LastChanged => Self { by: Some("row.updated_at"), ..newest },
            ConnectionOrder::Name => {
                Self { by: Some("lower(coalesce(row.peer_name, row.origin))"), rising: true, ..newest }
            }
        }
    }
}

impl From<RegistrationOrder> for Sorting {
    fn from(order: RegistrationOrder) -> Self {
        let newest = Self::newest("registration");
        let company = "(select lower(company.name) from company where company.id = row.company_id)";
        match order {
            RegistrationOrder::Newest => newest,
            RegistrationOrder::LastChanged => Self { by: Some("row.updated_at"), ..newest },
            RegistrationOrder::Company => Self { by: Some(company), rising: true, ..newest },
        }
    }
}

impl Reader {
    /// A page of a list in this order.
    pub(super) async fn sorted<E: EntityTrait, T>(
        &self,
        query: Select<E>,
        sorting: Sorting,
        page: Page,
        map: impl Fn(E::Model) -> Result<T, StoreError>,
    ) -> Result<Slice<T>, StoreError> {
        let table = sorting.table;
        let rising = sorting.rising != page.backward;
        let mut query = query;
        if let Some(beyond) = page.beyond {
            let sign = if rising { ">" } else { "<" };
            let (here, there) = (sorting.key(table).join(", "), sorting.key("it").join(", "));
            let value = match self.conn().get_database_backend() {
                DatabaseBackend::Postgres => "$1",
                _ => "?",
            };
            let beyond_it = format!("({here}) {sign} (select {there} from {table} it where it.id = {value})");
            query = query.filter(Expr::cust_with_values(beyond_it, [beyond]));
        }
        let order = if rising { Order::Asc } else { Order::Desc };
        for column in sorting.key(table) {
            query = query.order_by(Expr::cust(column), order.clone());
        }
        let rows = query.limit(page.limit + 1).all(self.conn()).await?;
        Ok(page.slice(rows.into_iter().map(map).collect::<Result<_, _>>()?))
    }
}
