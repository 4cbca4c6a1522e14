//! Passwords at rest: argon2id over a keyed digest (the pepper), a bounded number at a time.
//!
//! The key of the pepper lives in the key service, so a stolen database alone cannot be searched. One argon2id
//! takes 19 MiB and tens of milliseconds: the limit keeps a burst of sign-ins from taking all processors and memory.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The fewest characters of a new password.
pub const MIN_CHARS: usize = 12;
/// The most characters of a password.
pub const MAX_CHARS: usize = 256;

/// Memory in KiB, passes, lanes: OWASP's first figure, and the crate's default.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A new password that is long enough to be kept.
pub struct Password(SecretString);

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_CHARS`].
    #[error("a password has at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_CHARS`].
    #[error("a password has at most {MAX_CHARS} characters")]
    TooLong,
    /// One character over and over.
    #[error("a password is more than one character repeated")]
    Repeated,
}

impl Password {
    /// Takes what a person chose, as it is: neither trimmed nor normalised.
    ///
    /// # Errors
    /// When it has fewer than [`MIN_CHARS`] or more than [`MAX_CHARS`] characters, or is one character repeated.
    pub fn parse(text: SecretString) -> Result<Self, WeakPassword> {
        let mut chars = text.expose_secret().chars();
        match text.expose_secret().chars().count() {
            ..MIN_CHARS => Err(WeakPassword::TooShort),
            count if count > MAX_CHARS => Err(WeakPassword::TooLong),
            _ if chars.next().is_some_and(|first| chars.all(|c| c == first)) => Err(WeakPassword::Repeated),
            _ => Ok(Self(text)),
        }
    }

    /// What the key service takes the HMAC over that [`Peppered`] wraps.
    #[must_use]
    pub fn for_pepper(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What someone typed to sign in: any text, because rules for new passwords may be younger than theirs.
pub struct Candidate(SecretString);

impl Candidate {
    /// Takes what was typed; `None` when it is longer than any password can be.
    #[must_use]
    pub fn new(text: SecretString) -> Option<Self> {
        (text.expose_secret().chars().count() <= MAX_CHARS).then_some(Self(text))
    }

    /// As [`Password::for_pepper`].
    #[must_use]
    pub fn for_pepper(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Candidate(…)")
    }
}

/// A password after the key service's HMAC: what argon2id is computed over.
pub struct Peppered(Zeroizing<[u8; 32]>);

impl Peppered {
    /// Wraps the digest the key service answered with.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(Zeroizing::new(digest))
    }
}

/// A password as it is stored: a PHC string, `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Reads a stored PHC string.
    ///
    /// # Errors
    /// [`PasswordError::Malformed`] when it is not an argon2id hash with salt and output.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::Malformed)?;
        let whole = hash.algorithm == argon2::ARGON2ID_IDENT && hash.salt.is_some() && hash.hash.is_some();
        whole.then(|| Self(text.to_owned())).ok_or(PasswordError::Malformed)
    }

    /// The PHC string, for the database only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was made with other parameters than a new one would be.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let Ok(hash) = phc::PasswordHash::new(&self.0) else { return true };
        let Ok(params) = Params::try_from(&hash) else { return true };
        hash.version != Some(Version::V0x13.into())
            || (params.m_cost(), params.t_cost(), params.p_cost()) != (MEMORY_KIB, PASSES, LANES)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Not the password, or nobody to have one.
    Wrong,
    /// The password.
    Right,
    /// The password, stored with parameters of yesterday: hash it again now that it is at hand.
    RightButOutdated,
}

/// Why no password could be hashed or compared: never the fault of who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The stored text is not an argon2id hash.
    #[error("the stored password is not an argon2id PHC string")]
    Malformed,
    /// argon2 refused its input, or found no memory.
    #[error("the password could not be hashed")]
    Hashing,
    /// The process is going down.
    #[error("password hashing was stopped")]
    Stopped,
}

/// Computes argon2id on blocking threads, at most so many at once.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    permits: Arc<Semaphore>,
}

impl PasswordHasher {
    /// A hasher that computes at most `at_once` hashes at the same time: the number of processors.
    #[must_use]
    pub fn new(at_once: NonZeroUsize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once.get())) }
    }

    /// Hashes a new password with 16 fresh random bytes as its salt.
    ///
    /// # Errors
    /// [`PasswordError::Hashing`] without memory for it, [`PasswordError::Stopped`] at shutdown.
    pub async fn hash(&self, password: Peppered, salt: [u8; 16]) -> Result<PasswordHash, PasswordError> {
        self.run(move || {
            let hash = argon2id()?.hash_password_with_salt(password.0.as_slice(), &salt);
            hash.map(|hash: phc::PasswordHash| PasswordHash(hash.to_string()))
                .map_err(|_| PasswordError::Hashing)
        })
        .await
    }

    /// Compares what was typed with what is stored for this user; `None` for a user who does not exist or has no
    /// password, which costs the same time, so that an answer's delay does not tell who has an account.
    ///
    /// # Errors
    /// [`PasswordError::Hashing`] without memory for it, [`PasswordError::Stopped`] at shutdown.
    pub async fn verify(
        &self,
        candidate: Peppered,
        stored: Option<&PasswordHash>,
    ) -> Result<Verification, PasswordError> {
        let Some(stored) = stored.cloned() else {
            self.hash(candidate, [0; 16]).await?;
            return Ok(Verification::Wrong);
        };
        self.run(move || {
            let hash = phc::PasswordHash::new(&stored.0).map_err(|_| PasswordError::Malformed)?;
            match argon2id()?.verify_password(candidate.0.as_slice(), &hash) {
                Ok(()) if stored.is_outdated() => Ok(Verification::RightButOutdated),
                Ok(()) => Ok(Verification::Right),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verification::Wrong),
                Err(_) => Err(PasswordError::Hashing),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| PasswordError::Stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the caller: one who gives up must not let another in while it computes.
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| PasswordError::Stopped)?
    }
}

fn argon2id() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Hashing)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests;
