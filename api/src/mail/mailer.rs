use std::error::Error;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;

use super::config::{MailConfig, SmtpConfig, SmtpTls, TransportKind};
use super::error::{MailConfigError, MailError};
use super::letter::{Letter, Recipient};
use super::message::{Composed, Sender};
use crate::domain::person::{EmailAddress, PersonName};

/// Carries letters, one connection each: cheap to clone, holds no connection open.
#[derive(Clone)]
pub struct Mailer {
    from: Sender,
    transport: Transport,
}

#[derive(Clone)]
enum Transport {
    Off,
    File(PathBuf),
    Smtp { client: AsyncSmtpTransport<Tokio1Executor>, limit: Duration },
}

impl Mailer {
    /// Reads the configuration and the files it names; connects to nothing.
    ///
    /// # Errors
    /// Names the setting that cannot work and what to change.
    pub fn new(config: &MailConfig) -> Result<Self, MailConfigError> {
        let name = PersonName::parse(&config.from_name)?;
        let address = EmailAddress::parse(&config.from_address)?;
        let transport = match config.transport {
            TransportKind::Off => Transport::Off,
            TransportKind::File => Transport::File(config.directory.clone()),
            TransportKind::Smtp => smtp_transport(&config.smtp)?,
        };
        Ok(Self { from: Sender(Recipient { name, address }), transport })
    }

    /// Whether letters leave at all; when not, the administrator shares a registration link in person.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !matches!(self.transport, Transport::Off)
    }

    /// Sends one letter. `message_id` is the outbox job's id (letters, digits, dashes); the same letter under the
    /// same id is the same message, so that a receiver can tell a repetition.
    ///
    /// # Errors
    /// [`MailError::retry`] says whether sending it again makes sense.
    pub async fn send(&self, letter: &Letter, message_id: &str) -> Result<(), MailError> {
        caught(self.carry(letter, message_id)).await
    }

    /// Goes as far as sending a letter would, without one: connects, greets, secures, signs in; or makes sure that
    /// the directory takes files.
    ///
    /// # Errors
    /// What sending would answer; [`MailError::remedy`] says what to change.
    pub async fn check(&self) -> Result<(), MailError> {
        match &self.transport {
            Transport::Off => Err(MailError::Off),
            Transport::File(directory) => {
                let probe = directory.join(".writable");
                write_file(directory, &probe, b"").await?;
                tokio::fs::remove_file(&probe).await.map_err(|error| unwritable(directory, &error))
            }
            Transport::Smtp { client, limit } => {
                let connected = tokio::time::timeout(*limit, client.test_connection()).await;
                let answered =
                    connected.map_err(|_| timed_out(*limit))?.map_err(|error| smtp_error(&error))?;
                let silent = || MailError::Unreachable("it does not answer after signing in".to_owned());
                answered.then_some(()).ok_or_else(silent)
            }
        }
    }

    async fn carry(&self, letter: &Letter, message_id: &str) -> Result<(), MailError> {
        match &self.transport {
            Transport::Off => Err(MailError::Off),
            Transport::File(directory) => {
                let Composed { bytes, .. } = self.from.compose(letter, message_id)?;
                // Same letter, same name: sending it again replaces the file instead of adding one.
                let name = format!("{}-{message_id}.eml", letter.written_at.format("%Y%m%dT%H%M%SZ"));
                write_file(directory, &directory.join(name), &bytes).await
            }
            Transport::Smtp { client, limit } => {
                let Composed { envelope, bytes } = self.from.compose(letter, message_id)?;
                // The client's own limit ends with the connection's set-up.
                let sent = tokio::time::timeout(*limit, client.send_raw(&envelope, &bytes)).await;
                sent.map_err(|_| timed_out(*limit))?.map(|_| ()).map_err(|error| smtp_error(&error))
            }
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: its Debug shows the credentials it holds.
        let transport: &dyn fmt::Debug = match &self.transport {
            Transport::Off => &"off",
            Transport::File(directory) => directory,
            Transport::Smtp { .. } => &"smtp",
        };
        f.debug_struct("Mailer").field("from", &self.from).field("transport", transport).finish()
    }
}

/// One letter must not stop the others: the message builder has panicked on input before. Nothing is shared that a
/// panic could leave half done.
pub(super) async fn caught(work: impl Future<Output = Result<(), MailError>>) -> Result<(), MailError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(MailError::Panicked))
}

fn smtp_transport(config: &SmtpConfig) -> Result<Transport, MailConfigError> {
    if config.timeout_seconds == 0 {
        return Err(MailConfigError::Timeout);
    }
    let limit = Duration::from_secs(config.timeout_seconds);
    let tls = match config.tls {
        SmtpTls::StartTls => Tls::Required(tls_parameters(config)?),
        SmtpTls::Tls => Tls::Wrapper(tls_parameters(config)?),
        SmtpTls::None if config.is_loopback() => Tls::None,
        SmtpTls::None => return Err(MailConfigError::ClearText { host: config.host.clone() }),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port())
        .timeout(Some(limit))
        .tls(tls);
    if let Some(credentials) = credentials(config)? {
        builder = builder.credentials(credentials);
    }
    Ok(Transport::Smtp { client: builder.build(), limit })
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, MailConfigError> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let setting = "mail.smtp.ca_file";
        let refused = |problem: String| MailConfigError::File { setting, path: path.clone(), problem };
        let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| refused(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| MailConfigError::Tls(error.to_string()))
}

fn credentials(config: &SmtpConfig) -> Result<Option<Credentials>, MailConfigError> {
    let password = match (&config.password, &config.password_file) {
        (Some(_), Some(_)) => return Err(MailConfigError::TwoPasswords),
        (Some(password), None) => Some(password.clone()),
        (None, Some(path)) => Some(first_line(path)?),
        (None, None) => None,
    };
    match (&config.username, password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            Ok(Some(Credentials::new(user.clone(), password.expose_secret().to_owned())))
        }
        (Some(_), None) | (None, Some(_)) => Err(MailConfigError::Credentials),
    }
}

fn first_line(path: &Path) -> Result<SecretString, MailConfigError> {
    let setting = "mail.smtp.password_file";
    let refused = |problem: String| MailConfigError::File { setting, path: path.to_owned(), problem };
    let text = SecretString::from(std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?);
    match text.expose_secret().lines().next() {
        Some(line) if !line.is_empty() => Ok(SecretString::from(line)),
        _ => Err(refused("its first line is empty".to_owned())),
    }
}

/// Writes beside the name and then renames, so that whoever watches the directory never sees half a letter.
async fn write_file(directory: &Path, path: &Path, bytes: &[u8]) -> Result<(), MailError> {
    let write = async {
        tokio::fs::create_dir_all(directory).await?;
        let partial = path.with_extension("partial");
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&partial).await?;
        file.write_all(bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&partial, path).await
    };
    write.await.map_err(|error| unwritable(directory, &error))
}

fn unwritable(directory: &Path, error: &io::Error) -> MailError {
    MailError::File { path: directory.to_owned(), problem: error.to_string() }
}

fn timed_out(limit: Duration) -> MailError {
    MailError::TimedOut { seconds: limit.as_secs() }
}

/// The client says which kind of reply it was, not which command it answered: a 5xx to the greeting counts as a
/// refusal of the letter, too.
fn smtp_error(error: &smtp::Error) -> MailError {
    let words = words(error);
    match error.status().map(u16::from) {
        // RFC 4954, 4 and 6: 432, 454 and 53x speak of the account.
        Some(code @ (432 | 454 | 530..=538)) => MailError::Account { code },
        Some(code @ 400..=499) => MailError::Deferred { code, answer: words },
        Some(code) => MailError::Refused { code, answer: words },
        // What a client error means here: STARTTLS, or a way to sign in, is not offered.
        None if error.is_tls() || error.is_client() || is_about_tls(error) => MailError::NotPrivate(words),
        None => MailError::Unreachable(words),
    }
}

/// Whether TLS is the cause, below the layers of I/O errors that it comes wrapped in.
fn is_about_tls(error: &smtp::Error) -> bool {
    causes(error).any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        inner.or(cause.downcast_ref()).is_some()
    })
}

/// The innermost cause in one short line: a server's words are theirs, so no control characters and no essays.
fn words(error: &smtp::Error) -> String {
    let text = match causes(error).last() {
        Some(cause) if is_broken_off(cause) => "the connection broke off".to_owned(),
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

fn is_broken_off(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

fn causes(error: &smtp::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
