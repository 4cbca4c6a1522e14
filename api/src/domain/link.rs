//! The registration link: its parts, its text, and how it is read back.

use std::fmt;

use uuid::Uuid;

use super::Timestamp;
use super::id::LinkId;
use super::origin::{Origin, OriginPolicy};
use super::refusal::{Refusal, RefusalCode};

/// Length of a link's secret in bytes.
pub const SECRET_LENGTH: usize = 32;

words! {
    /// How a link gets to the contact.
    Delivery {
        /// A letter was written to the contact.
        SentToContact = "SENT_TO_CONTACT", "Sent to the contact";
        /// The letter did not go out, the last time that it was tried.
        Failed = "FAILED", "The letter did not go out";
        /// Mail is off: an administrator copies the link and passes it on.
        ShareItYourself = "SHARE_IT_YOURSELF", "Share it yourself";
    }
}

/// What is stored of a link: never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The public part, which names the registration.
    pub id: LinkId,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// How it gets to the contact.
    pub delivery: Delivery,
    /// When a second instance proved a claim to it, which stops everybody.
    pub contested_at: Option<Timestamp>,
}

impl Link {
    /// Whether the link can still be claimed.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.contested_at.is_none() && now < self.expires_at
    }
}

/// A link as the contact holds it. The secret has no `Debug` and leaves only through [`OpenLink::url`].
#[derive(Clone)]
pub struct OpenLink {
    /// The provider's origin.
    pub provider: Origin,
    /// SHA-256 fingerprint of the provider's identity key.
    pub fingerprint: [u8; 32],
    /// The public part.
    pub id: LinkId,
    /// The secret part.
    pub secret: [u8; SECRET_LENGTH],
}

impl fmt::Debug for OpenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenLink")
            .field("provider", &self.provider)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl OpenLink {
    /// The URL on the consumer's instance; everything that matters is in the fragment, which no browser sends.
    #[must_use]
    pub fn url(&self, consumer: &Origin) -> String {
        format!(
            "{}/connect#v=1&p={}&fp={}&r={}&t={}",
            consumer,
            self.provider,
            hex(&self.fingerprint),
            self.id.0.simple(),
            hex(&self.secret)
        )
    }

    /// Reads a whole link, or only its fragment.
    ///
    /// # Errors
    /// `LINK_INVALID` with the part that is missing or damaged in `reason`.
    pub fn parse(text: &str, policy: &OriginPolicy) -> Result<Self, Refusal> {
        let text = text.trim();
        let fragment = text.split_once('#').map_or(text, |(_, fragment)| fragment);
        let part = |name: &str| {
            fragment
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| invalid(name))
        };
        if part("v")? != "1" {
            return Err(invalid("v"));
        }
        let provider =
            part("p")?.replace("%3A", ":").replace("%2F", "/").replace("%3a", ":").replace("%2f", "/");
        Ok(Self {
            provider: Origin::parse(&provider, policy).map_err(|_| invalid("p"))?,
            fingerprint: unhex(part("fp")?).ok_or_else(|| invalid("fp"))?,
            id: LinkId(Uuid::try_parse(part("r")?).map_err(|_| invalid("r"))?),
            secret: unhex(part("t")?).ok_or_else(|| invalid("t"))?,
        })
    }
}

fn invalid(part: &str) -> Refusal {
    Refusal::new(RefusalCode::LinkInvalid, "This is not a whole registration link.")
        .field("link")
        .reason(part)
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes from hexadecimal.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
