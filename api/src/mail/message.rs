//! A letter as a message in the mail format (RFC 5322, 2045).

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, MultiPartKind, SinglePart};
use lettre::{Address, Message};
use secrecy::ExposeSecret;

use super::error::MailError;
use super::letter::{Letter, Recipient};

/// The parsed sender of all our letters.
#[derive(Clone, Debug)]
pub(super) struct Sender(pub(super) Recipient);

/// What goes over the wire, and to whom.
pub(super) struct Composed {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

impl Sender {
    /// Puts a letter into a message. `message_id` is the outbox job's id: sending again gives the same message.
    pub(super) fn compose(&self, letter: &Letter, message_id: &str) -> Result<Composed, MailError> {
        if message_id.is_empty() || !message_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(MailError::Unsendable("the message id is not letters, digits and dashes".to_owned()));
        }
        let from = mailbox(&self.0)?;
        let parts = MultiPart::builder()
            .kind(MultiPartKind::Alternative)
            .boundary(format!("=_{message_id}"))
            .singlepart(SinglePart::plain(letter.text.expose_secret().to_owned()))
            .singlepart(SinglePart::html(letter.html.expose_secret().to_owned()));
        let message = Message::builder()
            .message_id(Some(format!("<{message_id}@{}>", self.0.address.domain())))
            .date(SystemTime::from(letter.written_at))
            .from(from)
            .to(mailbox(&letter.to)?)
            .subject(letter.subject.clone())
            // RFC 3834: keeps vacation notes and other robots from answering.
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .multipart(parts)
            .map_err(|error| MailError::Unsendable(error.to_string()))?;
        Ok(Composed { envelope: message.envelope().clone(), bytes: message.formatted() })
    }
}

fn mailbox(person: &Recipient) -> Result<Mailbox, MailError> {
    let address: Address =
        person.address.as_str().parse().map_err(|_| MailError::Unsendable("the address".to_owned()))?;
    Ok(Mailbox::new(Some(person.name.as_str().to_owned()), address))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
