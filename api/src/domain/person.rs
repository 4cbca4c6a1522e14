//! How people are named and reached.
//!
//! Both types refuse what other software turns into harm: a line break in a name ends up in a mail header,
//! a look-alike domain in a person's trust.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// The most characters a person's name may have.
pub const NAME_MAX_CHARS: usize = 64;
/// The most octets an address may have (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const ADDRESS_MAX_OCTETS: usize = 254;
/// The most octets the part before the `@` may have (RFC 5321, 4.5.3.1.1).
pub const LOCAL_PART_MAX_OCTETS: usize = 64;

words! {
    /// What is done to an account.
    AccountVerb {
        /// Rename a contact, or switch the account off or on.
        UpdateContact = "updateContact", "Change";
        /// Rename one of our own people, or switch the account off or on.
        UpdateUser = "updateUser", "Change";
        /// Choose a password.
        SetPassword = "setPassword", "Set a password";
    }
}

impl AccountVerb {
    /// How the account of a contact, or of one of our own people, is changed.
    #[must_use]
    pub const fn update(contact: bool) -> Self {
        if contact { Self::UpdateContact } else { Self::UpdateUser }
    }
}

/// A person's display name: 1 to 64 printable characters on one line, trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PersonName(String);

/// Why a text is not a person's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonNameError {
    /// No letter or digit in it.
    #[error("a name needs at least one letter or digit")]
    Empty,
    /// Longer than [`NAME_MAX_CHARS`].
    #[error("a name has at most {NAME_MAX_CHARS} characters")]
    TooLong,
    /// Holds a control, line-breaking or direction-changing character.
    #[error("a name is one line of printable characters")]
    Unprintable,
}

impl PersonName {
    /// Reads a name as a person typed it; spaces around it are dropped.
    ///
    /// # Errors
    /// When it is empty, longer than [`NAME_MAX_CHARS`], or holds a character that does not print.
    pub fn parse(text: &str) -> Result<Self, PersonNameError> {
        // Before trimming, because trimming would quietly drop a line break at the end.
        if text.chars().any(is_unprintable) {
            return Err(PersonNameError::Unprintable);
        }
        let name = text.trim();
        if name.chars().count() > NAME_MAX_CHARS {
            return Err(PersonNameError::TooLong);
        }
        if !name.chars().any(char::is_alphanumeric) {
            return Err(PersonNameError::Empty);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PersonName {
    type Err = PersonNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Whether a character breaks lines, changes direction, or shows nothing.
///
/// The joiners U+200C and U+200D are let through: names in Persian and several Indian scripts need them.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' | '\u{e000}'..='\u{f8ff}')
}

/// A mail address that one person can be reached at: an ASCII dot-atom, `@`, and a domain name after IDNA.
///
/// Stricter than RFC 5321: no quoted local part, no address literal, no single-label domain but `localhost`.
/// The domain is lower case, and in its `xn--` form, so that a look-alike shows itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

/// Why a text is not a mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailAddressError {
    /// Not exactly one `@` with something on both sides.
    #[error("an address is a name, an @ and a domain")]
    Shape,
    /// Longer than [`ADDRESS_MAX_OCTETS`], or its local part than [`LOCAL_PART_MAX_OCTETS`].
    #[error(
        "an address has at most {ADDRESS_MAX_OCTETS} characters, {LOCAL_PART_MAX_OCTETS} of them before the @"
    )]
    TooLong,
    /// A character that a dot-atom does not have (RFC 5322, 3.2.3), or a misplaced dot.
    #[error("the part before the @ may hold letters, digits, single dots inside and !#$%&'*+-/=?^_`{{|}}~")]
    LocalPart,
    /// Not a domain name: an IP literal, a single label, a trailing dot, or no host name after IDNA.
    #[error("the part after the @ must be a domain name such as example.com")]
    Domain,
}

impl EmailAddress {
    /// Reads an address as a person typed it; spaces around it are dropped.
    ///
    /// # Errors
    /// Says which part is not acceptable.
    pub fn parse(text: &str) -> Result<Self, EmailAddressError> {
        if text.chars().any(is_unprintable) {
            return Err(EmailAddressError::Shape);
        }
        let (local, domain) = text.trim().split_once('@').ok_or(EmailAddressError::Shape)?;
        if local.is_empty() || domain.is_empty() || domain.contains('@') {
            return Err(EmailAddressError::Shape);
        }
        if local.len() > LOCAL_PART_MAX_OCTETS {
            return Err(EmailAddressError::TooLong);
        }
        if !is_dot_atom(local) {
            return Err(EmailAddressError::LocalPart);
        }
        let domain = domain_name(domain).ok_or(EmailAddressError::Domain)?;
        let text = format!("{local}@{domain}");
        if text.len() > ADDRESS_MAX_OCTETS {
            return Err(EmailAddressError::TooLong);
        }
        Ok(Self { at: local.len(), text })
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`, as it was typed.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// The part after the `@`: ASCII, lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// What two addresses of one mailbox have in common: the address in lower case.
    ///
    /// RFC 5321 lets the receiver tell cases apart; no receiver of note does, and people do not type them alike.
    #[must_use]
    pub fn key(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The address for someone who may know that it is expected but not what it is.
    #[must_use]
    pub fn masked(&self) -> MaskedEmail<'_> {
        MaskedEmail(self)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EmailAddress {
    type Err = EmailAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// An address shown as its first character, three dots and its domain: `a•••@example.com`.
///
/// Always three dots, so that the length is not told either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedEmail<'a>(&'a EmailAddress);

impl fmt::Display for MaskedEmail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.local_part().chars().next().unwrap_or('•');
        write!(f, "{first}•••@{}", self.0.domain())
    }
}

fn is_dot_atom(text: &str) -> bool {
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext))
}

/// The domain in ASCII and lower case, if it is a host name (RFC 1123, 2.1) that mail can be sent to.
fn domain_name(text: &str) -> Option<String> {
    // The URL parser decodes `%61`, which no mail server does.
    if text.contains('%') {
        return None;
    }
    let Ok(Host::Domain(domain)) = Host::parse(text) else { return None };
    let host_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let reachable = domain == "localhost" || domain.contains('.');
    (reachable && domain.len() <= 253 && domain.split('.').all(host_label)).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_keeps_every_script() {
        for name in ["Ada Lovelace", "Åsa Öberg-Nuñez", "山田 太郎", "محمد", "می\u{200c}نا", "O’Brien, Jr."]
        {
            assert_eq!(PersonName::parse(&format!("  {name} ")).unwrap().as_str(), name);
        }
        assert_eq!(PersonName::parse(&"x".repeat(64)).unwrap().as_str().len(), 64);
    }

    #[test]
    fn a_name_that_could_break_a_header_is_refused() {
        for text in [
            "Ada\r\nBcc: x@y.example",
            "Ada\n",
            "Ada\t",
            "Ada\0",
            "Ada\u{2028}",
            "\u{202e}adA",
            "A\u{200b}da",
        ] {
            assert_eq!(PersonName::parse(text), Err(PersonNameError::Unprintable), "{text:?}");
        }
        assert_eq!(PersonName::parse(&"x".repeat(65)), Err(PersonNameError::TooLong));
        for text in ["", "   ", "--", "\u{200d}"] {
            assert_eq!(PersonName::parse(text), Err(PersonNameError::Empty), "{text:?}");
        }
    }

    #[test]
    fn an_address_has_a_lower_case_ascii_domain() {
        for (typed, read) in [
            ("Ada.L+x@Example.COM", "Ada.L+x@example.com"),
            (" a@consumer.localhost ", "a@consumer.localhost"),
            ("root@localhost", "root@localhost"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("a@еxample.com", "a@xn--xample-2of.com"),
        ] {
            assert_eq!(EmailAddress::parse(typed).unwrap().as_str(), read);
        }
    }

    #[test]
    fn an_address_that_names_no_domain_is_refused() {
        for domain in [
            "[127.0.0.1]",
            "127.0.0.1",
            "127.1",
            "[::1]",
            "2130706433",
            "intranet",
            "example.com.",
            "-a.example",
            "a_b.example",
            "ex%61mple.com",
            "a..example",
            ".example",
            "a b.example",
            "exa mple.com",
            "a/b.example",
        ] {
            assert!(EmailAddress::parse(&format!("a@{domain}")).is_err(), "{domain}");
        }
    }

    #[test]
    fn an_address_that_could_break_a_command_is_refused() {
        for text in [
            "",
            "a",
            "@example.com",
            "a@",
            "a@b@example.com",
            "a\r\n@example.com",
            "a@example.com\r\nRCPT TO:<b@c.de>",
            "\"a b\"@example.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "ä@example.com",
            "a<b@example.com",
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            EmailAddress::parse(&format!("{}@example.com", "x".repeat(65))),
            Err(EmailAddressError::TooLong)
        );
    }

    #[test]
    fn a_mask_tells_neither_name_nor_length() {
        for (address, shown) in [
            ("ada.lovelace@example.com", "a•••@example.com"),
            ("x@consumer.localhost", "x•••@consumer.localhost"),
        ] {
            assert_eq!(EmailAddress::parse(address).unwrap().masked().to_string(), shown);
        }
    }
}
