use std::path::PathBuf;

use crate::domain::person::{EmailAddressError, PersonNameError};

/// A mail configuration that cannot work, with what to change.
#[derive(Debug, thiserror::Error)]
pub enum MailConfigError {
    /// `from_address` is not an address.
    #[error("mail.from_address: {0}")]
    FromAddress(#[from] EmailAddressError),
    /// `from_name` is not a name.
    #[error("mail.from_name: {0}")]
    FromName(#[from] PersonNameError),
    /// Letters would cross a network in clear.
    #[error(
        "mail.smtp.tls: \"none\" is for a mail server on this machine; use \"starttls\" or \"tls\" for {host}"
    )]
    ClearText {
        /// The host that is not this machine.
        host: String,
    },
    /// A user name without a password, or the other way round.
    #[error("mail.smtp: set username and either password or password_file, or none of them")]
    Credentials,
    /// Both ways to give the password are used.
    #[error("mail.smtp: set password or password_file, not both")]
    TwoPasswords,
    /// A file of the configuration cannot be used.
    #[error("{setting}: {path}: {problem}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The time limit is zero.
    #[error("mail.smtp.timeout_seconds: at least 1")]
    Timeout,
    /// The TLS client cannot be set up.
    #[error("mail.smtp: TLS cannot be set up: {0}")]
    Tls(String),
}

/// What the outbox should do with a letter that did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again later: the cause is outside the letter.
    Later,
    /// Give up: this letter will be refused again.
    Never,
}

/// Why a letter did not leave. Holds no text of the letter and no credentials.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Mail is switched off; nobody should have written a letter.
    #[error("mail is switched off (mail.transport)")]
    Off,
    /// The mail server, or the directory, cannot be reached or broke off.
    #[error("the mail server cannot be reached: {0}")]
    Unreachable(String),
    /// No end within the time limit.
    #[error("the mail server took longer than {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// The certificate is not acceptable, or STARTTLS is not offered.
    #[error("no private connection to the mail server: {0}")]
    NotPrivate(String),
    /// The server wants other credentials, or any. The answer is left out: some servers repeat what was sent.
    #[error("the mail server refused our account ({code}): check mail.smtp.username and password")]
    Account {
        /// The SMTP reply code (RFC 4954, 6).
        code: u16,
    },
    /// The server said: not now.
    #[error("the mail server asks to try later ({code}): {answer}")]
    Deferred {
        /// The SMTP reply code, 4xx.
        code: u16,
        /// The server's words.
        answer: String,
    },
    /// The server refused this letter.
    #[error("the mail server refused the letter ({code}): {answer}")]
    Refused {
        /// The SMTP reply code, 5xx.
        code: u16,
        /// The server's words.
        answer: String,
    },
    /// The letter file cannot be written.
    #[error("the letter cannot be written to {path}: {problem}")]
    File {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        problem: String,
    },
    /// The letter cannot be put into a message.
    #[error("the letter cannot be put into a message: {0}")]
    Unsendable(String),
    /// Composing or sending it panicked; the worker lives on.
    #[error("sending the letter panicked")]
    Panicked,
}

impl MailError {
    /// Whether sending the same letter again can succeed.
    ///
    /// A wrong account is for later: it is our configuration that must change, not the letter.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable(_)
            | Self::TimedOut { .. }
            | Self::NotPrivate(_)
            | Self::Account { .. }
            | Self::Deferred { .. }
            | Self::File { .. } => Retry::Later,
            Self::Off | Self::Refused { .. } | Self::Unsendable(_) | Self::Panicked => Retry::Never,
        }
    }

    /// A stable word for what went wrong.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Unreachable(_) => "UNREACHABLE",
            Self::TimedOut { .. } => "TIMED_OUT",
            Self::NotPrivate(_) => "NOT_PRIVATE",
            Self::Account { .. } => "ACCOUNT",
            Self::Deferred { .. } => "DEFERRED",
            Self::Refused { .. } => "REFUSED",
            Self::File { .. } => "FILE",
            Self::Unsendable(_) | Self::Panicked => "UNSENDABLE",
        }
    }

    /// What to change, for the `check` command and the administrator.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Off => "set mail.transport to \"file\" or \"smtp\", or share the link yourself",
            Self::Unreachable(_) => {
                "check mail.smtp.host and mail.smtp.port, and that a firewall lets us out"
            }
            Self::TimedOut { .. } => {
                "check mail.smtp.host, port and tls (a TLS port stays silent for STARTTLS)"
            }
            Self::NotPrivate(_) => {
                "check mail.smtp.tls, that host is the name in its certificate, and ca_file"
            }
            Self::Account { .. } => "check mail.smtp.username and mail.smtp.password_file",
            Self::Deferred { .. } => "nothing; it is tried again",
            Self::Refused { .. } => {
                "check the recipient's address, and that the server lets from_address send"
            }
            Self::File { .. } => "make mail.directory writable for the user who runs linkspan",
            Self::Unsendable(_) | Self::Panicked => "report this with the trace id",
        }
    }
}
