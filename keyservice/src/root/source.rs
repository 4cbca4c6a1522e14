//! Where the root key comes from: a file, a credential of systemd, or, for development only, an environment variable.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Exposure, RootKey};
use crate::error::Error;

/// Gives the root key. What it is made of is told, the key never.
pub trait RootProvider: Send + Sync {
    /// The root key.
    ///
    /// # Errors
    /// [`Error::RootKeyUnavailable`], [`Error::RootKeyExposed`], [`Error::RootKeyMalformed`].
    fn root_key(&self) -> Result<RootKey, Error>;

    /// Whether it is good enough for development only, which is to be said at start: others on the host can read it.
    fn is_for_development(&self) -> bool;
}

/// The sources that a configuration can name: `file:` and a path, `credential:` and a name, `environment:` and the name
/// of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A credential that the service manager passes (`LoadCredentialEncrypted=` in systemd.exec): the file of that
    /// name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// An environment variable with 64 hexadecimal digits: for development, because the environment of a process is
    /// inherited, logged and shown.
    Environment(String),
}

impl RootProvider for RootSource {
    fn root_key(&self) -> Result<RootKey, Error> {
        match self {
            Self::File(path) => RootKey::read(path),
            Self::Credential(name) => credential(std::env::var_os("CREDENTIALS_DIRECTORY"), name),
            Self::Environment(name) => variable(name, std::env::var_os(name)),
        }
    }

    fn is_for_development(&self) -> bool {
        matches!(self, Self::Environment(_))
    }
}

/// The file of a credential. Its group may have access: that is how systemd passes one to a service with a user of its
/// own, in a directory that nobody else enters.
fn credential(directory: Option<OsString>, name: &str) -> Result<RootKey, Error> {
    let directory = directory.ok_or_else(|| Error::RootKeyUnavailable {
        path: format!("credential {name}"),
        reason: "the service manager passed no credentials".to_owned(),
    })?;
    RootKey::read_guarded(&Path::new(&directory).join(name), Exposure::Group)
}

fn variable(name: &str, value: Option<OsString>) -> Result<RootKey, Error> {
    let value = value.ok_or_else(|| Error::RootKeyUnavailable {
        path: format!("environment variable {name}"),
        reason: "it is not set".to_owned(),
    })?;
    let text = Zeroizing::new(value.into_encoded_bytes());
    if text.len() == 32 { Err(Error::RootKeyMalformed) } else { RootKey::parse(&text) }
}

impl fmt::Display for RootSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Environment(name) => write!(f, "environment:{name}"),
        }
    }
}

impl FromStr for RootSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Malformed { what: "root key source" };
        let (kind, rest) = text.split_once(':').ok_or_else(malformed)?;
        let named =
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match kind {
            "file" if !rest.is_empty() => Ok(Self::File(PathBuf::from(rest))),
            // A plain name: what it joins stays in the directory.
            "credential" if named && !rest.starts_with('.') => Ok(Self::Credential(rest.to_owned())),
            "environment" if named => Ok(Self::Environment(rest.to_owned())),
            _ => Err(malformed()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::root::tests::in_directory;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_source_is_named_in_a_configuration() {
        for text in ["file:/etc/linkspan/root.key", "credential:linkspan.root", "environment:ROOT_KEY"] {
            let source: RootSource = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            assert_eq!(source.is_for_development(), text.starts_with("environment"));
        }
        for text in ["", "root.key", "file:", "credential:", "credential:../x", "credential:a/b", "kms:x"] {
            assert!(text.parse::<RootSource>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_credential_may_be_readable_by_its_group_and_by_nobody_else() {
        in_directory("credential", |directory| {
            let path = directory.join("root");
            fs::write(&path, DIGITS).unwrap();
            for (mode, accepted) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false)] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let read = credential(Some(directory.clone().into_os_string()), "root");
                assert_eq!(read.is_ok(), accepted, "{mode:o}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(credential(None, "root"), Err(Error::RootKeyUnavailable { .. })));
        });
    }

    #[test]
    fn a_variable_holds_hexadecimal_digits() {
        assert!(variable("ROOT", Some(DIGITS.into())).is_ok());
        for wrong in ["", "x", &"r".repeat(32), &"0".repeat(64)] {
            assert_eq!(variable("ROOT", Some(wrong.into())).err(), Some(Error::RootKeyMalformed));
        }
        assert!(matches!(variable("ROOT", None), Err(Error::RootKeyUnavailable { .. })));
        let unset = RootSource::Environment("LINKSPAN_NO_SUCH_VARIABLE".to_owned());
        assert!(matches!(unset.root_key(), Err(Error::RootKeyUnavailable { .. })));
    }
}
