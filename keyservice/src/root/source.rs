//! Where the root key comes from: a file, a credential of systemd, or, for development only, an environment variable.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Exposure, RootKey, open_guarded, refuse_length};
use crate::error::Error;

/// The variable in which a service manager names the directory with the credentials (systemd.exec).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What stands behind the name of the next root key.
const NEXT: &str = ".next";

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
            Self::Credential(name) => credential(std::env::var_os(CREDENTIALS), name),
            Self::Environment(name) => variable(name, std::env::var_os(name)),
        }
    }

    fn is_for_development(&self) -> bool {
        matches!(self, Self::Environment(_))
    }
}

impl RootSource {
    /// The place of the root key that is to take the place of this one: the file, or the credential, with `.next` behind
    /// its name. None for a variable: whoever sets that makes another instance.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        match self {
            Self::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(NEXT);
                Some(Self::File(PathBuf::from(name)))
            }
            Self::Credential(name) => Some(Self::Credential(format!("{name}{NEXT}"))),
            Self::Environment(_) => None,
        }
    }

    /// The file that it is in; none for a variable, and for a credential where the service manager passed none.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Credential(name) => Some(Path::new(&std::env::var_os(CREDENTIALS)?).join(name)),
            Self::Environment(_) => None,
        }
    }

    /// Whether there is anything in this place.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Self::File(_) | Self::Credential(_) => self.path().is_some_and(|path| path.exists()),
            Self::Environment(name) => std::env::var_os(name).is_some(),
        }
    }

    /// That it is there, can be read by those alone who may, and may be a root key: by the name, mode and length of its
    /// file, without reading it. A variable is in the memory of whoever asks already.
    ///
    /// # Errors
    /// [`Error::RootKeyUnavailable`], [`Error::RootKeyExposed`], [`Error::RootKeyMalformed`].
    pub fn look(&self) -> Result<(), Error> {
        let (path, exposure) = match self {
            Self::File(path) => (path.clone(), Exposure::Owner),
            Self::Credential(name) => {
                (credential_file(std::env::var_os(CREDENTIALS), name)?, Exposure::Group)
            }
            Self::Environment(_) => return self.root_key().map(drop),
        };
        refuse_length(&path, &open_guarded(&path, exposure)?)
    }
}

/// The file of a credential. Its group may have access: that is how systemd passes one to a service with a user of its
/// own, in a directory that nobody else enters.
fn credential(directory: Option<OsString>, name: &str) -> Result<RootKey, Error> {
    RootKey::read_guarded(&credential_file(directory, name)?, Exposure::Group)
}

fn credential_file(directory: Option<OsString>, name: &str) -> Result<PathBuf, Error> {
    let directory = directory.ok_or_else(|| Error::RootKeyUnavailable {
        path: format!("credential {name}"),
        reason: "the service manager passed no credentials".to_owned(),
    })?;
    Ok(Path::new(&directory).join(name))
}

fn variable(name: &str, value: Option<OsString>) -> Result<RootKey, Error> {
    let value = set(name, value)?;
    let text = Zeroizing::new(value.into_encoded_bytes());
    if text.len() == 32 { Err(Error::RootKeyMalformed) } else { RootKey::parse(&text) }
}

fn set(name: &str, value: Option<OsString>) -> Result<OsString, Error> {
    value.ok_or_else(|| Error::RootKeyUnavailable {
        path: format!("environment variable {name}"),
        reason: "it is not set".to_owned(),
    })
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
    fn the_next_one_lies_beside_it() {
        let next = |text: &str| text.parse::<RootSource>().unwrap().next().map(|next| next.to_string());
        assert_eq!(next("file:/etc/root.key").as_deref(), Some("file:/etc/root.key.next"));
        assert_eq!(next("credential:root.key").as_deref(), Some("credential:root.key.next"));
        assert_eq!(next("environment:ROOT_KEY"), None);
    }

    #[test]
    fn a_place_is_looked_at_without_reading_what_is_in_it() {
        in_directory("look", |directory| {
            let source = RootSource::File(directory.join("root.key"));
            assert!(matches!(source.look(), Err(Error::RootKeyUnavailable { .. })) && !source.is_there());
            fs::write(directory.join("root.key"), "no key").unwrap();
            fs::set_permissions(directory.join("root.key"), fs::Permissions::from_mode(0o440)).unwrap();
            assert!(matches!(source.look(), Err(Error::RootKeyExposed { .. })) && source.is_there());
            fs::set_permissions(directory.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
            // 64 characters that are no digits: nobody read them.
            for length in [0, 31, 32, 33, 63, 64, 65, 66, 67] {
                fs::write(directory.join("root.key"), "x".repeat(length)).unwrap();
                let possible = [32, 64, 65, 66].contains(&length);
                assert_eq!(source.look().is_ok(), possible, "{length} bytes");
            }
        });
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
