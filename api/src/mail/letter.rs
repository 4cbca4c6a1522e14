use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::domain::person::{EmailAddress, PersonName, is_unprintable};

/// One letter to one person, written and not yet sent.
///
/// Its texts may hold a registration link or a code, so they neither print nor stay in memory after use.
#[derive(Clone)]
pub struct Letter {
    pub(super) to: Recipient,
    pub(super) written_at: DateTime<Utc>,
    pub(super) subject: String,
    pub(super) text: SecretString,
    pub(super) html: SecretString,
}

/// Whom a letter is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The person's name.
    pub name: PersonName,
    /// The person's address.
    pub address: EmailAddress,
}

impl Letter {
    /// Whom it is for.
    #[must_use]
    pub fn to(&self) -> &Recipient {
        &self.to
    }

    /// Its subject: never holds a secret.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("to", &self.to)
            .field("written_at", &self.written_at)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Text for one line of a letter: what would break the line or turn it around has become a space.
///
/// Names of companies and the like come from people; a line of theirs must not look like one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(String);

/// The most characters of a [`Line`].
const LINE_MAX_CHARS: usize = 200;

impl Line {
    /// The line as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        let clean = |c: char| if is_unprintable(c) { ' ' } else { c };
        let mut line: String = text.chars().take(LINE_MAX_CHARS).map(clean).collect();
        if text.chars().nth(LINE_MAX_CHARS).is_some() {
            line.push('…');
        }
        Self(line)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address to open, as it stands in a letter; it may end in a secret, so it does not print.
#[derive(Clone)]
pub struct Link(SecretString);

/// The text is not an `http` or `https` address, or has characters that an address does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address that a letter can carry")]
pub struct BadLink;

impl Link {
    /// Takes an address exactly as it will be shown and opened.
    ///
    /// # Errors
    /// [`BadLink`] when it is not an absolute `http` or `https` URL in printable ASCII without quotes or brackets.
    pub fn parse(text: SecretString) -> Result<Self, BadLink> {
        let exposed = text.expose_secret();
        let plain = exposed
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\'));
        let web =
            Url::parse(exposed).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        if plain && web { Ok(Self(text)) } else { Err(BadLink) }
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}
