//! Memory: the one room that knows the database. Rows become things of the domain here or are refused as
//! inconsistent; [`Tx`] writes, [`Reader`] reads within what a requester may see.

mod attempt;
mod audit;
mod authorization;
mod catalogue;
mod change;
mod checkpoint;
mod connection;
mod credential;
mod direction;
mod entity;
mod exchange;
mod failure;
mod guided_setup;
mod idempotency;
mod instance;
mod issue;
mod job;
mod json;
mod key;
mod key_approval;
mod key_decision;
mod key_encryption;
mod matters;
mod module;
mod neighbours;
mod opening;
mod ordered;
mod overview;
mod page;
mod people;
mod reader;
mod registration;
mod role;
mod scan;
mod schedule;
mod settings;
mod sweep;
mod tx;
mod verification;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use migrations::Migrator;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement,
    TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::{Notify, watch};

pub use attempt::AttemptWork;
pub use audit::{ADDRESS, ADDRESS_KIND, AuditFilter, AuditTail};
pub use authorization::{AuthorizationRequest, AuthorizationState};
pub use catalogue::PublishedDefinition;
pub use change::{Change, ChangeKind, SubjectKind};
pub use checkpoint::{Kept, KeptOfPeer, Witnessed};
pub use exchange::{Handshake, StoredMessage};
pub use failure::{Failed, FailureRecord};
pub use idempotency::{IdempotencyKey, Once, StoredAnswer};
pub use instance::InstanceRecord;
pub use job::{Job, NewJob};
pub use key::KeyTrail;
pub use key_approval::{APPROVAL_KIND, ApprovalRecord, tampered as tampered_approval};
pub use key_decision::DecisionRecord;
pub use key_encryption::{Waiting, Wraps};
pub use matters::{IssueFilter, IssueOrder};
pub use ordered::{ConnectionOrder, RegistrationOrder};
pub use overview::{Lately, StateTally};
pub use page::{Page, Slice};
pub use people::{AccessToken, Account, Company, Session};
pub use reader::{ConnectionFilter, Reader, RegistrationFilter};
pub use registration::{Claim, ClaimState, ProviderRecord, SpentLink};
pub use role::{KEY_ROLE_GRANTED, KEY_ROLE_REVOKED};
pub use scan::ScanResult;
pub use settings::{ServiceAccount, SettingsRecord};
pub use tx::{Cause, Tx};
pub use watched::{Lease, Traffic, WatchRow};

use crate::domain::Timestamp;
use crate::world::World;

/// How long to wait before listening again after it failed.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite:PATH` for the embedded database, or `postgres://user@host/name`. A password in the URL works,
    /// but `password_file` keeps it out of the environment.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// A file whose content is the database password.
    pub password_file: Option<PathBuf>,
    /// The most connections held open (PostgreSQL), or the most readers (SQLite).
    pub max_connections: u32,
    /// How long one statement may take in milliseconds (PostgreSQL); 0 for as long as it likes. Migrations may always.
    pub statement_timeout_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:linkspan.db".to_owned(),
            password_file: None,
            max_connections: 16,
            statement_timeout_ms: 30_000,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("url", &masked(&self.url))
            .field("password_file", &self.password_file)
            .field("max_connections", &self.max_connections)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .finish()
    }
}

/// The URL as it may be shown. One that cannot be read may hold a password anywhere, so nothing of it is shown.
fn masked(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    match url::Url::parse(url) {
        Ok(mut url) => {
            if url.password().is_some() && url.set_password(Some("********")).is_err() {
                return "********".to_owned();
            }
            // A password may also stand among the parameters.
            if url.query().is_some() {
                url.set_query(Some("********"));
            }
            url.to_string()
        }
        Err(_) => "********".to_owned(),
    }
}

impl StoreError {
    /// Whether it is about a row that the key service sealed, and that is not as it was written.
    #[must_use]
    pub fn breaks_a_seal(&self) -> bool {
        match self {
            Self::Tampered { .. } => true,
            Self::Inconsistent { table, .. } => ["key_version", "key_module", "key_approval"].contains(table),
            _ => false,
        }
    }
}

fn without_password<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&masked(url))
}

/// What goes wrong with memory. The driver's error is kept as the source, for our log only.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not do its work.
    #[error("the database does not answer as it should")]
    Database(#[source] DbErr),
    /// Somebody else changed the row since it was read.
    #[error("the {0} was changed by someone else")]
    Conflict(&'static str),
    /// A row that matches no legal state.
    #[error("table {table}, row {row}: {column} matches no legal state")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// The column.
        column: &'static str,
    },
    /// A row that is not the one that the audit trail says was written last.
    #[error("the row of {what} is not the one that was written last")]
    Tampered {
        /// The row.
        what: String,
    },
    /// A unique value exists already.
    #[error("{0} exists already")]
    Duplicate(&'static str),
    /// There is no such row.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// The database is older than the program.
    #[error("{0} migrations are pending: run `linkspan migrate`, or start with `linkspan serve --migrate`")]
    Pending(usize),
    /// The database was used by a program that is newer than this one.
    #[error(
        "it was brought up to date by a newer Linkspan (this one does not know {0}): run that version, or put back the \
         copy from before the upgrade"
    )]
    Newer(String),
    /// The file of the embedded database is not there.
    #[error(
        "{0} is not there: `linkspan migrate` makes it, and so does `linkspan serve --migrate`; if there should be one, \
         correct data_dir or database.url"
    )]
    NoFile(PathBuf),
    /// The file of the embedded database cannot be used.
    #[error("{path} cannot be opened: {error}; give it and its directory to the user who runs linkspan")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("{place} cannot be opened")]
    Opening {
        /// Its file, or its URL without what is secret.
        place: String,
        /// What the driver says.
        source: DbErr,
    },
    /// The machine gave no entropy.
    #[error("no entropy")]
    Entropy(#[from] keyservice::Error),
    /// A test stopped the instance here.
    #[error("interrupted")]
    Interrupted,
    /// The configuration names no database we know.
    #[error("{0}")]
    Config(String),
}

/// Where nodes on one PostgreSQL tell each other the number of the latest change.
const CHANGES: &str = "linkspan";
/// The same for the last entry of the audit trail.
const ENTRIES: &str = "linkspan_audit";

/// The database, and the announcements of what was committed.
#[derive(Clone)]
pub struct Store {
    write: DatabaseConnection,
    read: DatabaseConnection,
    world: World,
    committed: watch::Sender<i64>,
    recorded: watch::Sender<i64>,
    work: Arc<Notify>,
    /// How often this process changed key modules.
    module_changes: Arc<AtomicU64>,
    /// How often this process wrote entries of the audit trail that the database did not take.
    lost_entries: Arc<AtomicU64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the database.
    ///
    /// # Errors
    /// When its file is not there, it cannot be reached, or the URL names neither SQLite nor PostgreSQL.
    pub async fn open(config: &Config, world: World) -> Result<Self, StoreError> {
        let url = with_password(config)?;
        config.require_file()?;
        let opening = |source| StoreError::Opening { place: config.place(), source };
        let (write, read) = if url.starts_with("sqlite:") {
            let writer = connect_sqlite(&url, 1).await.map_err(opening)?;
            (writer, connect_sqlite(&url, config.max_connections.max(1)).await.map_err(opening)?)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let mut options = options(url, config.max_connections.max(2));
            let timeout = [("statement_timeout", config.statement_timeout_ms.to_string())];
            options.map_sqlx_postgres_opts(move |options| options.options(timeout.clone()));
            let pool = Database::connect(options).await.map_err(opening)?;
            (pool.clone(), pool)
        } else {
            return Err(StoreError::Config("database.url must begin with sqlite: or postgres:".to_owned()));
        };
        let ((committed, _), (recorded, _)) = (watch::channel(0), watch::channel(0));
        Ok(Self {
            write,
            read,
            world,
            committed,
            recorded,
            work: Arc::new(Notify::new()),
            module_changes: Arc::default(),
            lost_entries: Arc::default(),
        })
    }

    /// Applies pending migrations; answers how many there were.
    ///
    /// # Errors
    /// [`StoreError::Newer`]; when the database refuses.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        opening::require_known(&self.write).await?;
        let pending = Migrator::get_pending_migrations(&self.write).await?.len();
        if self.backend() == DbBackend::Postgres {
            // To rewrite a long table takes its time.
            let txn = self.write.begin().await?;
            txn.execute_unprepared("set local statement_timeout = 0").await?;
            Migrator::up(&txn, None).await?;
            txn.commit().await?;
        } else {
            Migrator::up(&self.write, None).await?;
        }
        Ok(pending)
    }

    /// Refuses a database that is older or newer than the program.
    ///
    /// # Errors
    /// [`StoreError::Pending`] with the number of steps; [`StoreError::Newer`].
    pub async fn require_migrated(&self) -> Result<(), StoreError> {
        opening::require_known(&self.write).await?;
        match Migrator::get_pending_migrations(&self.write).await?.len() {
            0 => Ok(()),
            pending => Err(StoreError::Pending(pending)),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read.query_one_raw(Statement::from_string(self.backend(), "select 1")).await?;
        Ok(())
    }

    /// The number of the latest change this process committed or saw; moves when there is something to read.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    /// The number of the last entry of the audit trail that this process wrote or saw.
    #[must_use]
    pub fn watch_audit(&self) -> watch::Receiver<i64> {
        self.recorded.subscribe()
    }

    /// Wakes when work was committed.
    #[must_use]
    pub fn work(&self) -> Arc<Notify> {
        self.work.clone()
    }

    /// Looks whether another node committed something, and announces it here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn poll(&self) -> Result<(), StoreError> {
        let head = change::head(&self.read).await?;
        self.announce(head);
        Ok(())
    }

    /// Announces what other nodes commit as the database tells it, on PostgreSQL; returns at once on SQLite, which has
    /// one node. Where telling fails, [`Store::poll`] finds it out a little later.
    pub async fn listen(&self) {
        if self.backend() != DbBackend::Postgres {
            return;
        }
        loop {
            if let Err(error) = self.hear().await {
                tracing::warn!(%error, "the database does not tell of commits; asking it instead");
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    async fn hear(&self) -> Result<(), sea_orm::sqlx::Error> {
        let pool = self.read.get_postgres_connection_pool();
        let mut listener = sea_orm::sqlx::postgres::PgListener::connect_with(pool).await?;
        listener.listen_all([CHANGES, ENTRIES]).await?;
        loop {
            let told = listener.recv().await?;
            match (told.channel(), told.payload().parse()) {
                (CHANGES, Ok(seq)) => raise(&self.committed, seq),
                (ENTRIES, Ok(audit_n)) => raise(&self.recorded, audit_n),
                _ => {}
            }
        }
    }

    /// How often this process wrote entries of the audit trail that the database did not take: grows with each such
    /// transaction.
    #[must_use]
    pub fn lost_entries(&self) -> u64 {
        self.lost_entries.load(Ordering::SeqCst)
    }

    /// Calls these after each statement, for tests: what is read outside of transactions that write, and the others.
    pub fn on_statement(
        &mut self,
        read: impl Fn() + Send + Sync + 'static,
        other: impl Fn() + Send + Sync + 'static,
    ) {
        self.read.set_metric_callback(move |_| read());
        self.write.set_metric_callback(move |_| other());
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.write.clone().close().await?;
        self.read.clone().close().await?;
        Ok(())
    }

    fn announce(&self, head: change::Head) {
        raise(&self.committed, head.seq);
        raise(&self.recorded, head.audit_n);
    }

    fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }
}

/// Announces a number, unless a later one was.
fn raise(announced: &watch::Sender<i64>, number: i64) {
    announced.send_if_modified(|last| {
        let newer = number > *last;
        *last = number.max(*last);
        newer
    });
}

fn with_password(config: &Config) -> Result<String, StoreError> {
    let Some(file) = &config.password_file else { return Ok(config.url.clone()) };
    let refuse = |why: &str| StoreError::Config(format!("database.password_file: {why}"));
    let password = std::fs::read_to_string(file).map_err(|error| refuse(&error.to_string()))?;
    let mut url = url::Url::parse(&config.url).map_err(|_| refuse("database.url is not a URL"))?;
    url.set_password(Some(password.trim_end())).map_err(|()| refuse("database.url takes no password"))?;
    Ok(url.to_string())
}

fn options(url: String, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        .sqlx_logging(false);
    options
}

async fn connect_sqlite(url: &str, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
    let mut options = options(url, connections);
    options.map_sqlx_sqlite_opts(|options| {
        options
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
            .pragma("foreign_keys", "ON")
            // What is forgotten, such as the material of a destroyed key, is not left in the file's free pages.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(5))
    });
    Database::connect(options).await
}

/// The representation of a moment in the database: milliseconds since the Unix epoch.
fn ms(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap_or_default()
}

fn inconsistent(table: &'static str, row: impl ToString, column: &'static str) -> StoreError {
    StoreError::Inconsistent { table, row: row.to_string(), column }
}

/// Tells a broken unique rule from other errors of the database.
fn unique(error: DbErr, what: &'static str) -> StoreError {
    match error.sql_err() {
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) => StoreError::Duplicate(what),
        _ => error.into(),
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if gave_way(&error) { Self::Conflict("same data") } else { Self::Database(error) }
    }
}

/// Whether PostgreSQL took a transaction back because others wanted the same rows in another order
/// (`serialization_failure`, `deadlock_detected`: its manual, appendix A). Nothing of it happened, and it may be tried again.
fn gave_way(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let Some(error) = error.as_database_error() else { return false };
    error.code().is_some_and(|code| ["40001", "40P01"].contains(&code.as_ref()))
}
