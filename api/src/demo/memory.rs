//! What the demonstration remembers between runs, in its directory: the ports by which its instances know each
//! other, made-up passwords, and how far it came.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::cli::{Failed, generated_password};
use crate::world::World;

/// The remembered things. Ids are those of the public API.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) provider_port: Option<u16>,
    pub(super) consumer_port: Option<u16>,
    provider_password: String,
    consumer_password: String,
    /// On the provider.
    pub(super) company: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) registration: Option<String>,
    /// On the consumer.
    pub(super) provider_company: Option<String>,
    pub(super) connection: Option<String>,
    #[serde(skip)]
    path: PathBuf,
}

impl Memory {
    pub(super) fn open(directory: &Path, world: &World) -> Result<Self, Failed> {
        let failed =
            |error: &dyn std::fmt::Display| Failed(format!("--dir {}: {error}", directory.display()));
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(|error| failed(&error))?;
        let path = directory.join("demo.json");
        let mut memory = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(failed(&error)),
        };
        for password in [&mut memory.provider_password, &mut memory.consumer_password] {
            if password.is_empty() {
                *password = generated_password(world)?.expose_secret().to_owned();
            }
        }
        Ok(Self { path, ..memory })
    }

    /// Writes beside the file and renames, so that a stop in between loses nothing.
    pub(super) fn save(&self) -> Result<(), Failed> {
        let partial = self.path.with_extension("partial");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = serde_json::to_vec_pretty(self).map_err(Failed::because)?;
        let written = options.open(&partial).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| std::fs::rename(&partial, &self.path))
            .map_err(|error| Failed(format!("{}: {error}", self.path.display())))
    }

    pub(super) fn provider_password(&self) -> SecretString {
        SecretString::from(self.provider_password.as_str())
    }

    pub(super) fn consumer_password(&self) -> SecretString {
        SecretString::from(self.consumer_password.as_str())
    }
}
