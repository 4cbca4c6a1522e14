//! A registration link kept while its holder signs in: sealed, carried by the browser, good for minutes.

use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Actions, Done, Failure};
use crate::domain::link::OpenLink;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::vault::VaultError;

/// What the seal is over.
const WHAT: &str = "kept-link";
/// How long signing in may take.
const KEPT: TimeDelta = TimeDelta::minutes(15);
/// The most characters of a link.
const MAX_LENGTH: usize = 2_048;

impl Actions {
    /// Seals a link so that it can stand in an address of this instance without giving its secret away.
    ///
    /// # Errors
    /// `LINK_INVALID` when it is none.
    pub async fn keep_link(&self, link: &SecretString) -> Done<String> {
        if link.expose_secret().len() > MAX_LENGTH {
            return Err(lost().into());
        }
        OpenLink::parse(link.expose_secret(), &self.profile.policy)?;
        let now = self.world.now();
        let mut kept = (now + KEPT).timestamp_millis().to_be_bytes().to_vec();
        kept.extend_from_slice(link.expose_secret().as_bytes());
        Ok(BASE64URL_NOPAD.encode(&self.keys.sign_in().seal(WHAT, b"", &kept, now).await?))
    }

    /// The link that was kept.
    ///
    /// # Errors
    /// `LINK_INVALID` when this instance did not keep it, or too long ago.
    pub async fn kept_link(&self, kept: &str) -> Done<SecretString> {
        let now = self.world.now();
        let sealed = BASE64URL_NOPAD.decode(kept.as_bytes()).map_err(|_| lost())?;
        let opened =
            self.keys.sign_in().open(WHAT, b"", &sealed, now).await.map_err(|error| match error {
                VaultError::Refused(_) => lost().into(),
                VaultError::Unavailable(_) | VaultError::Unrecorded | VaultError::Denied { .. } => {
                    Failure::from(error)
                }
            })?;
        let (until, link) = opened.split_first_chunk().ok_or_else(lost)?;
        if i64::from_be_bytes(*until) < now.timestamp_millis() {
            return Err(lost().into());
        }
        Ok(std::str::from_utf8(link).map_err(|_| lost())?.to_owned().into())
    }
}

fn lost() -> Refusal {
    Refusal::new(RefusalCode::LinkInvalid, "The link is no longer at hand. Open it from the letter again.")
        .field("link")
}
