use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How letters leave this instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// `file` writes each letter into `directory`, `smtp` hands it to a mail server, `off` sends none and leaves
    /// sharing a registration link to the administrator. Default `file`, so that a trial needs no server.
    pub transport: TransportKind,
    /// Where `file` puts its letters, one `.eml` each. Default `mail`, beside the database.
    pub directory: PathBuf,
    /// The address that letters come from. Default `linkspan@localhost`.
    pub from_address: String,
    /// The name that letters come from. Default `Linkspan`.
    pub from_name: String,
    /// The mail server, used with `transport = "smtp"`.
    pub smtp: SmtpConfig,
}

/// The ways for a letter to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// No letters.
    Off,
    /// A directory.
    #[default]
    File,
    /// A mail server.
    Smtp,
}

/// The mail server that takes our letters.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpConfig {
    /// Its name, as in its certificate. Default `localhost`.
    pub host: String,
    /// Its port. Default 587 for `starttls`, 465 for `tls`, 25 for `none`.
    pub port: Option<u16>,
    /// How the connection is kept private. Default `starttls`.
    pub tls: SmtpTls,
    /// The account to sign in to the mail server with; none by default.
    pub username: Option<String>,
    /// The account's password. Better in a file: `password_file`.
    #[serde(deserialize_with = "secret", serialize_with = "masked")]
    pub password: Option<SecretString>,
    /// A file with the account's password on its first line, used instead of `password`.
    pub password_file: Option<PathBuf>,
    /// A PEM file of certificate authorities to trust besides those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// The longest a letter may take, from connecting to its acceptance, in seconds. Default 20, at least 1.
    pub timeout_seconds: u64,
}

/// How the connection to the mail server is kept private. There is no "if offered": that sends the password in
/// clear to whoever leaves STARTTLS out of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// Required upgrade after the greeting (RFC 3207).
    #[default]
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None; accepted towards this machine only.
    None,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            transport: TransportKind::default(),
            directory: PathBuf::from("mail"),
            from_address: "linkspan@localhost".to_owned(),
            from_name: "Linkspan".to_owned(),
            smtp: SmtpConfig::default(),
        }
    }
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: None,
            tls: SmtpTls::default(),
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            timeout_seconds: 20,
        }
    }
}

impl SmtpConfig {
    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::StartTls => 587,
            SmtpTls::Tls => 465,
            SmtpTls::None => 25,
        })
    }

    /// Whether the server is this machine, by address or by a name that is reserved for it (RFC 6761, 6.3).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpConfig")
            .field("host", &self.host)
            .field("port", &self.port())
            .field("tls", &self.tls)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("timeout_seconds", &self.timeout_seconds)
            .finish()
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(SecretString::from))
}

fn masked<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "********").serialize(serializer)
}
