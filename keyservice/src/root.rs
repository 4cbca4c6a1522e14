//! The root key: the one secret that is never in a database, and opens everything that is.

mod source;

pub use source::{RootProvider, RootSource};

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use secrecy::ExposeSecret;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{Secret, expand, random_secret, secret_from};
use crate::error::Error;
use crate::ports::{Entropy, random};

/// The root key of an instance. It unwraps the instance root key and derives nothing else, apart from the value by
/// which a hierarchy recognises it. Wiped on drop, never printed.
pub struct RootKey(Secret);

impl RootKey {
    /// The root key with these bytes, for embedding and tests.
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let key = Self(Secret::init_with_mut(|secret: &mut [u8; 32]| secret.copy_from_slice(&bytes)));
        bytes.zeroize();
        key
    }

    /// A new root key.
    ///
    /// # Errors
    /// [`Error::Entropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, Error> {
        random_secret(entropy).map(Self)
    }

    /// The root key in 32 raw bytes or 64 hexadecimal digits (which may end in a line break).
    ///
    /// # Errors
    /// [`Error::RootKeyMalformed`] for anything else, and for a key of 32 zero bytes.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let bytes = if text.len() == 32 {
            Zeroizing::new(text.to_vec())
        } else {
            let digits = text.strip_suffix(b"\n").unwrap_or(text);
            let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
            Zeroizing::new(HEXLOWER_PERMISSIVE.decode(digits).map_err(|_| Error::RootKeyMalformed)?)
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Error::RootKeyMalformed);
        }
        secret_from(&bytes, "root key").map(Self).map_err(|_| Error::RootKeyMalformed)
    }

    /// The root key in a file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::RootKeyUnavailable`], [`Error::RootKeyExposed`] when group or others have any access to it,
    /// [`Error::RootKeyMalformed`] as for [`Self::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read_guarded(path.as_ref(), Exposure::Owner)
    }

    fn read_guarded(path: &Path, exposure: Exposure) -> Result<Self, Error> {
        let file = open_guarded(path, exposure)?;
        // Longer than any valid file, so that a longer one is noticed, and never reallocated while it holds the key.
        let mut text = Zeroizing::new(Vec::with_capacity(128));
        file.take(100).read_to_end(&mut text).map_err(|error| unavailable(path, &error))?;
        Self::parse(&text)
    }

    /// Makes a new root key and writes it to a new file with mode 0400, which is on the disk, by its name, when this
    /// returns: what is sealed under it may be stored next, and outlive a loss of power. The name is there with the whole
    /// key or not at all, whenever this is killed.
    ///
    /// # Errors
    /// [`Error::RootKeyUnavailable`], also when the file exists: a root key is never overwritten. [`Error::Entropy`].
    pub fn create(path: impl AsRef<Path>, entropy: &dyn Entropy) -> Result<Self, Error> {
        let path = path.as_ref();
        let key = Self::generate(entropy)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o400);
        // What a kill leaves behind under this name is a key that nothing was ever sealed under.
        let unused: [u8; 8] = random(entropy)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", HEXLOWER.encode(&unused)));
        let written = options
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(key.0.expose_secret())?;
                file.sync_all()
            })
            // Unlike a renaming, this replaces nothing.
            .and_then(|()| std::fs::hard_link(&draft, path));
        let removed = std::fs::remove_file(&draft);
        written
            .and(removed)
            .and_then(|()| sync_directory_of(path))
            .map_err(|error| unavailable(path, &error))?;
        Ok(key)
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    /// What a hierarchy of this instance stores to recognise the key, so that a wrong key and a damaged hierarchy are
    /// told apart.
    pub(crate) fn recognition(&self, instance: &[u8; 16]) -> Result<[u8; 32], Error> {
        expand(&self.0, &[b"ks1 root recognition", instance]).map(|value| *value.expose_secret())
    }

    /// A second copy, for the service to keep.
    pub(crate) fn duplicate(&self) -> Self {
        Self(Secret::init_with_mut(|bytes: &mut [u8; 32]| bytes.copy_from_slice(self.0.expose_secret())))
    }
}

/// Flushes the directory that a file is in to the disk: a new name of the file survives a loss of power only then.
///
/// # Errors
/// When the system refuses.
pub fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    #[cfg(unix)]
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// Who may read a file with a root key.
#[derive(Clone, Copy)]
enum Exposure {
    /// Its owner alone.
    Owner,
    /// Its group as well.
    Group,
}

/// The file, which can be opened by those alone who may read a root key. The permissions are those of the opened file, so
/// that it cannot be exchanged between check and use.
fn open_guarded(path: &Path, exposure: Exposure) -> Result<File, Error> {
    let file = File::open(path).map_err(|error| unavailable(path, &error))?;
    refuse_exposed(path, &file, exposure)?;
    Ok(file)
}

/// Refuses what [`RootKey::parse`] refuses by its length alone.
fn refuse_length(path: &Path, file: &File) -> Result<(), Error> {
    let about = file.metadata().map_err(|error| unavailable(path, &error))?;
    let possible = matches!(about.len(), 32 | 64..=66);
    // What is no plain file tells no length.
    if possible || !about.is_file() { Ok(()) } else { Err(Error::RootKeyMalformed) }
}

fn unavailable(path: &Path, error: &std::io::Error) -> Error {
    Error::RootKeyUnavailable { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, file: &File, exposure: Exposure) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;

    let mode = file.metadata().map_err(|error| unavailable(path, &error))?.mode() & 0o777;
    let refused = match exposure {
        Exposure::Owner => 0o077,
        Exposure::Group => 0o037,
    };
    if mode & refused == 0 {
        Ok(())
    } else {
        Err(Error::RootKeyExposed { path: path.display().to_string(), mode })
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path, _file: &File, _exposure: Exposure) -> Result<(), Error> {
    Ok(())
}

#[cfg(all(test, unix))]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::ports::SystemEntropy;

    /// A directory of the test's own, removed when it passes.
    pub(crate) fn in_directory(name: &str, test: impl FnOnce(PathBuf)) {
        let directory = std::env::temp_dir().join(format!("keyservice-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        test(directory.clone());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_created_key_is_read_back_and_never_overwritten() {
        in_directory("create", |directory| {
            let path = directory.join("root.key");
            let key = RootKey::create(&path, &SystemEntropy).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
            let read = RootKey::read(&path).unwrap();
            assert_eq!(read.recognition(&[1; 16]), key.recognition(&[1; 16]));
            assert!(matches!(RootKey::create(&path, &SystemEntropy), Err(Error::RootKeyUnavailable { .. })));
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no draft stays");
            assert!(matches!(RootKey::read(directory.join("no")), Err(Error::RootKeyUnavailable { .. })));
        });
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        in_directory("exposed", |directory| {
            let path = directory.join("root.key");
            fs::write(&path, [7; 32]).unwrap();
            for mode in [0o440, 0o404, 0o644, 0o420] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let refused = RootKey::read(&path).err();
                assert_eq!(refused, Some(Error::RootKeyExposed { path: path.display().to_string(), mode }));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(RootKey::read(&path).is_ok());
        });
    }

    #[test]
    fn a_key_is_32_bytes_or_64_digits() {
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        for text in [digits.to_owned(), format!("{digits}\n"), format!("{digits}\r\n"), "r".repeat(32)] {
            assert!(RootKey::parse(text.as_bytes()).is_ok(), "{text:?}");
        }
        for text in [
            String::new(),
            "r".repeat(31),
            "r".repeat(33),
            "g".repeat(64),
            "0".repeat(64),
            format!("{digits}00"),
        ] {
            assert_eq!(RootKey::parse(text.as_bytes()).err(), Some(Error::RootKeyMalformed), "{text:?}");
        }
    }
}
