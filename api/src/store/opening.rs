//! Before the database is opened: whether its file is there and can be used, and what to do otherwise. Afterwards:
//! whether it is of this program's version.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::PathBuf;

use migrations::Migrator;
use sea_orm::DatabaseConnection;
use sea_orm_migration::MigratorTrait as _;

use super::{Config, Store, StoreError, masked};
use crate::world::World;

impl Config {
    /// The file of the embedded database; none in memory, and none on a server.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let rest = self.url.strip_prefix("sqlite:")?;
        let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next()?;
        // What the configuration escapes when it puts the path into a URL.
        let path = path.replace("%23", "#").replace("%3f", "?").replace("%25", "%");
        (!path.contains(":memory:")).then(|| PathBuf::from(path))
    }

    /// Makes the file of the embedded database, for its owner only, unless it is there.
    fn make_file(&self) -> Result<(), StoreError> {
        let Some(path) = self.file() else { return Ok(()) };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // The files beside it, which SQLite makes, get the same mode.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::File { path, error }),
            _ => Ok(()),
        }
    }

    /// Whether the file of the embedded database can be opened to read and write.
    pub(super) fn require_file(&self) -> Result<(), StoreError> {
        let Some(path) = self.file() else { return Ok(()) };
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::NoFile(path)),
            Err(error) => Err(StoreError::File { path, error }),
        }
    }

    /// The database as it may be named to whoever looks after it.
    pub(super) fn place(&self) -> String {
        self.file().map_or_else(|| masked(&self.url), |file| file.display().to_string())
    }
}

impl Store {
    /// As [`Store::open`], and makes the file of an embedded database if it is not there.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_or_make(config: &Config, world: World) -> Result<Self, StoreError> {
        config.make_file()?;
        Self::open(config, world).await
    }
}

/// Refuses a database in which steps were applied that this program does not know.
pub(super) async fn require_known(database: &DatabaseConnection) -> Result<(), StoreError> {
    let applied = Migrator::get_migration_models(database).await?;
    let known = Migrator::migrations();
    match applied.iter().find(|applied| known.iter().all(|step| step.name() != applied.version)) {
        Some(step) => Err(StoreError::Newer(step.version.clone())),
        None => Ok(()),
    }
}
