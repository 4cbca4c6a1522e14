//! Whether the database is at home on this host: an installation's id is in it, and in a file beside the root key.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use uuid::Uuid;

use super::StartError;
use crate::config::Config;

/// Whether the file names this installation. For one that was just made, or where there is none, it is written: that is an
/// upgrade, another node, or a backup whose files were not put back, which peers notice by the chain of heartbeats if it is an old one.
pub(super) fn is_at_home(config: &Config, install: Uuid, is_new: bool) -> Result<bool, StartError> {
    let path = config.install_file();
    let named = if is_new { Err(ErrorKind::NotFound.into()) } else { std::fs::read_to_string(&path) };
    match named {
        Ok(text) => Ok(text.trim() == install.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // It is a safeguard: where nothing can be written there, the rest works.
            if let Err(error) = write(&path, install) {
                tracing::warn!(%error, path = %path.display(), "which installation is at home here cannot be written down");
            }
            Ok(true)
        }
        Err(error) => Err(StartError::Install { path, problem: error.to_string() }),
    }
}

/// Writes down that this installation is at home here, whichever was before.
///
/// # Errors
/// [`StartError::Install`].
pub(super) fn settle_in(config: &Config, install: Uuid) -> Result<(), StartError> {
    let path = config.install_file();
    write(&path, install).map_err(|error| StartError::Install { path, problem: error.to_string() })
}

fn write(path: &Path, install: Uuid) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{install}")?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}
