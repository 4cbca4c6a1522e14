//! Letters and how they leave: a hand, moved by the worker only.
//!
//! A [`Letter`] is written for one person and knows nothing of transport; a [`Mailer`] carries it once and says,
//! when it could not, whether trying again makes sense. The outbox decides when.

mod config;
mod error;
mod letter;
mod letters;
mod mailer;
mod message;

pub use config::{MailConfig, SmtpConfig, SmtpTls, TransportKind};
pub use error::{MailConfigError, MailError, Retry};
pub use letter::{BadLink, Letter, Line, Link, Recipient};
pub use letters::{IssueNews, OnboardingComplete, RegistrationLink, SignInCode};
pub use mailer::Mailer;

#[cfg(test)]
mod tests;
