//! How the house reaches its key service, and what it hears when the service cannot be reached.

/// Why the key service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It refused: the reason is its own.
    #[error(transparent)]
    Refused(#[from] keyservice::Error),
    /// It did not answer, or not in time. Nothing is known of what it did.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl VaultError {
    /// A stable code for logs and records.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }
}
