//! What an operator sets: defaults, then the file, then the environment; each room has its own part.
//!
//! A setting that nobody knows is refused with its source, because a limit that is misspelt is a limit that is off.

mod ranges;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use keyservice::RootSource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use settings::{SETTINGS, Setting, commented, effective};

use crate::domain::direction::Measure;
use crate::domain::origin::{Origin, OriginError, OriginPolicy, Ports};
use crate::domain::registration::Environment;
use crate::http::graphql::GraphqlConfig;
use crate::http::server::ServerConfig;
use crate::mail::MailConfig;
use crate::outbound::OutboundConfig;
use crate::store;
use crate::vault::VaultConfig;

/// What the variables of the environment begin with; `__` divides a section from a setting.
pub const PREFIX: &str = "LINKSPAN_";
/// Variables that stand for an argument of the command line, not for a setting.
const ARGUMENTS: [&str; 2] = ["LINKSPAN_CONFIG", "LINKSPAN_AS"];
/// The file that is read when none is named and it is there.
const FILE: &str = "linkspan.toml";
/// The name of the file that says which installation is at home.
const INSTALL_ID: &str = "install.id";
/// The root key's name, in the data directory and among systemd's credentials.
const ROOT_KEY: &str = "root.key";

/// Everything that can be set. The table [`SETTINGS`] says the same in the words of the example file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This instance's name, as people on both sides read it.
    pub name: String,
    /// Where others reach this instance: scheme, host and port.
    pub base_url: Option<String>,
    /// What this instance is for.
    #[serde(deserialize_with = "environment", serialize_with = "environment_word")]
    pub environment: Environment,
    /// Where the embedded database, the root key and letters are kept.
    pub data_dir: PathBuf,
    /// The root key, if not `root.key` in `data_dir`.
    pub root_key_file: Option<PathBuf>,
    /// The variable of the environment with the root key, for development.
    pub root_key_variable: Option<String>,
    /// Whether systemd passes the root key. Not a setting: it is found.
    #[serde(skip)]
    pub root_key_is_credential: bool,
    /// How long a registration link is good, in days.
    pub link_lifetime_days: u32,
    /// The time between two probes of a connection, in seconds.
    pub probe_interval_seconds: u32,
    /// How long a probe may take before it counts as missed, in milliseconds.
    pub probe_timeout_ms: u32,
    /// From which round trip on a direction is *Slow*, in milliseconds.
    pub slow_ms: u32,
    /// Where the web console's files are, if not in the binary.
    pub console_folder: Option<PathBuf>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where we listen.
    pub server: ServerConfig,
    /// Where the database is.
    pub database: store::Config,
    /// How the key service is reached.
    pub keyservice: VaultConfig,
    /// Limits of the GraphQL endpoint.
    pub graphql: GraphqlConfig,
    /// Requests to other instances.
    pub outbound: OutboundConfig,
    /// How letters leave.
    pub mail: MailConfig,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// For people or for programs.
    pub format: LogFormat,
    /// Which events, such as `info` or `info,linkspan::worker=debug`. `RUST_LOG` wins.
    pub filter: String,
}

/// The form of the log, which goes to the standard error output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` on a terminal, `json` otherwise.
    #[default]
    Auto,
    /// A line for people.
    Human,
    /// A JSON object a line.
    Json,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file is not there.
    #[error(
        "{path}: {problem}; name another file with --config, or leave the option out to use the defaults"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// The data directory cannot be made.
    #[error("data_dir: {path} cannot be made: {problem}; make it, and give it to the user who runs linkspan")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// Settings are unknown or hold what they cannot.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// The base URL is not an origin.
    #[error("base_url: {0}")]
    BaseUrl(#[from] OriginError),
}

/// Where settings come from besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The variables of the environment.
    pub variables: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "Linkspan".to_owned(),
            base_url: None,
            environment: Environment::NonProduction,
            data_dir: PathBuf::from("data"),
            root_key_file: None,
            root_key_variable: None,
            root_key_is_credential: false,
            link_lifetime_days: 7,
            probe_interval_seconds: 5,
            probe_timeout_ms: 4_000,
            slow_ms: 2_000,
            console_folder: None,
            log: LogConfig::default(),
            server: ServerConfig::default(),
            database: store::Config::default(),
            keyservice: VaultConfig::default(),
            graphql: GraphqlConfig::default(),
            outbound: OutboundConfig::default(),
            mail: MailConfig::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

impl Sources {
    /// The named file (or that in `LINKSPAN_CONFIG`, or `linkspan.toml` if it is there) and the environment.
    ///
    /// # Errors
    /// When a file was named that is not there.
    pub fn find(file: Option<&Path>) -> Result<Self, ConfigError> {
        // Variables that are not text cannot be ours; `vars` would end the program over them.
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = file.map(Path::to_owned).or_else(|| variables.get("LINKSPAN_CONFIG").map(PathBuf::from));
        let file = match named {
            Some(path) if path.is_dir() => {
                return Err(ConfigError::File { path, problem: "this is a directory".to_owned() });
            }
            Some(path) => match std::fs::File::open(&path) {
                Ok(_) => Some(path),
                Err(error) => return Err(ConfigError::File { path, problem: error.to_string() }),
            },
            None => Some(PathBuf::from(FILE)).filter(|path| path.exists()),
        };
        Ok(Self { file, variables })
    }
}

impl Config {
    /// Reads the configuration, with every path resolved: what Linkspan writes (database, root key, letters) is
    /// relative to `data_dir`, the rest (`data_dir` itself, certificates, password files) to the configuration file.
    ///
    /// # Errors
    /// Names each setting that is unknown or wrong, and where it stands.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::read(&Sources::find(file)?)
    }

    /// As [`Config::load`], from these sources.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = &sources.file {
            figment = figment.merge(Toml::file_exact(file));
        }
        let own = |name: &&String| name.starts_with(PREFIX) && !ARGUMENTS.contains(&name.as_str());
        for name in sources.variables.keys().filter(own) {
            figment = figment.merge(Variable { name, text: &sources.variables[name] });
        }
        let mut config: Self = figment.extract().map_err(refused)?;
        if config.data_dir.as_os_str().is_empty() {
            let problem = "data_dir: name a directory; `.` is that of the configuration file".to_owned();
            return Err(ConfigError::Settings(vec![problem]));
        }
        config.resolve(sources);
        config.judge()?;
        Ok(config)
    }

    /// The address by which others know this instance, and by which it is known to be itself.
    ///
    /// # Errors
    /// When `base_url` is not an origin.
    pub fn origin(&self) -> Result<Origin, ConfigError> {
        let tls = self.server.tls_certificate_file.is_some();
        let text = match &self.base_url {
            Some(url) => url.clone(),
            None => format!(
                "{}://linkspan.localhost:{}",
                if tls { "https" } else { "http" },
                self.server.listen.port().max(1)
            ),
        };
        Ok(Origin::parse(&text, &OriginPolicy { ports: Ports::Any, ..self.own_policy() })?)
    }

    /// Whether the operator said where others reach this instance.
    #[must_use]
    pub const fn origin_is_set(&self) -> bool {
        self.base_url.is_some()
    }

    /// The host names under which pages and the API are answered; none where every name will do, as the operator said
    /// none.
    ///
    /// # Errors
    /// When `base_url` is not an origin.
    pub fn hosts(&self) -> Result<Vec<String>, ConfigError> {
        if !self.origin_is_set() {
            return Ok(Vec::new());
        }
        let also = self.graphql.allowed_origins.iter().filter_map(|origin| url::Url::parse(origin).ok());
        let also = also.filter_map(|origin| origin.host_str().map(str::to_owned));
        Ok(std::iter::once(self.origin()?.host().to_owned()).chain(also).collect())
    }

    /// Which URLs of other instances are acceptable.
    #[must_use]
    pub fn origin_policy(&self) -> OriginPolicy {
        self.outbound.origin_policy()
    }

    /// The root key's file. [`Config::read`] has put in the default, or systemd's credential if there is one.
    #[must_use]
    pub fn root_key_file(&self) -> PathBuf {
        self.root_key_file.clone().unwrap_or_else(|| self.data_dir.join(ROOT_KEY))
    }

    /// Where the root key comes from: systemd's credential if there is one, else the variable that is named, else the
    /// file.
    #[must_use]
    pub fn root_source(&self) -> RootSource {
        match &self.root_key_variable {
            _ if self.root_key_is_credential => RootSource::Credential(ROOT_KEY.to_owned()),
            Some(name) => RootSource::Environment(name.clone()),
            None => RootSource::File(self.root_key_file()),
        }
    }

    /// Where it is written down which installation is at home here: beside the root key and named after it, as another
    /// instance's may be there, or in the data directory where the root key is no file of ours. Apart from the database, so
    /// that a copy of that alone is noticed.
    #[must_use]
    pub fn install_file(&self) -> PathBuf {
        match self.root_source() {
            RootSource::File(path) => path.with_extension(INSTALL_ID),
            RootSource::Credential(_) | RootSource::Environment(_) => self.data_dir.join(INSTALL_ID),
        }
    }

    /// Makes the data directory, for its owner only, unless it is there.
    ///
    /// # Errors
    /// When the system refuses; names the directory.
    pub fn make_data_dir(&self) -> Result<(), ConfigError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.data_dir)
            .map_err(|error| ConfigError::DataDir { path: self.data_dir.clone(), problem: error.to_string() })
    }

    /// How long a registration link is good.
    #[must_use]
    pub fn link_lifetime(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.link_lifetime_days))
    }

    /// How directions are judged.
    #[must_use]
    pub fn measure(&self) -> Measure {
        Measure {
            interval: TimeDelta::seconds(i64::from(self.probe_interval_seconds)),
            slow_ms: i64::from(self.slow_ms),
            ..Measure::default()
        }
    }

    /// How long a probe may take.
    #[must_use]
    pub fn probe_limit(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::from(self.probe_timeout_ms))
    }

    /// A name under `.localhost` never leaves the machine, so plain HTTP is no risk there.
    fn own_policy(&self) -> OriginPolicy {
        let local = self.base_url.as_deref().is_none_or(|url| {
            url::Url::parse(url)
                .is_ok_and(|url| url.host_str().is_some_and(|host| host.ends_with(".localhost")))
        });
        OriginPolicy { allow_http: local || self.outbound.allow_http, ..self.outbound.origin_policy() }
    }

    fn resolve(&mut self, sources: &Sources) {
        let base = sources.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let under = |base: &Path, path: &mut PathBuf| *path = base.join(&*path);
        under(&base, &mut self.data_dir);
        for path in [
            &mut self.console_folder,
            &mut self.server.tls_certificate_file,
            &mut self.server.tls_key_file,
            &mut self.database.password_file,
            &mut self.mail.smtp.password_file,
            &mut self.mail.smtp.ca_file,
        ] {
            path.iter_mut().for_each(|path| under(&base, path));
        }
        self.outbound.extra_ca_files.iter_mut().for_each(|path| under(&base, path));
        under(&self.data_dir, &mut self.mail.directory);
        self.database.url = beside(&self.database.url, &self.data_dir);
        let credential =
            sources.variables.get("CREDENTIALS_DIRECTORY").map(|dir| Path::new(dir).join(ROOT_KEY));
        let named = self.root_key_file.take().unwrap_or_else(|| PathBuf::from(ROOT_KEY));
        let credential = credential.filter(|path| path.exists());
        self.root_key_is_credential = credential.is_some();
        self.root_key_file = Some(credential.unwrap_or_else(|| self.data_dir.join(named)));
    }

    /// What a type cannot refuse.
    fn judge(&self) -> Result<(), ConfigError> {
        let mut problems = ranges::outside(self);
        if let Some(name) = &self.root_key_variable
            && (name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        {
            problems.push("root_key_variable: the name of a variable has letters, digits and _".to_owned());
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 64 {
            problems.push("name: give this instance a name of at most 64 characters".to_owned());
        }
        if let Some(folder) = self.console_folder.as_ref().filter(|folder| !folder.is_dir()) {
            problems.push(format!("console_folder: there is no folder {}", folder.display()));
        }
        for origin in &self.graphql.allowed_origins {
            if !url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin) {
                let expected = "scheme, host and port, such as https://console.example.org";
                problems.push(format!("graphql.allowed_origins: {origin} is no origin; give {expected}"));
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Settings(problems));
        }
        self.origin()?;
        Ok(())
    }
}

/// The URL of an embedded database, its path taken from `base`.
fn beside(url: &str, base: &Path) -> String {
    let Some(rest) = url.strip_prefix("sqlite:") else { return url.to_owned() };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.starts_with(":memory:") || Path::new(path).is_absolute() {
        return url.to_owned();
    }
    // The database's library reads the path as part of a URL.
    let base = base.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("sqlite:{}", Path::new(&base).join(path).display())
}

/// One variable of the environment, as a source of its own so that a problem can name it.
struct Variable<'a> {
    name: &'a str,
    text: &'a str,
}

impl Provider for Variable<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("the environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let path = self.name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        // Text stays text: a password or a name may look like a number.
        let is_text = SETTINGS.iter().any(|setting| setting.path == path && setting.is_text());
        let value = if is_text {
            Value::from(self.text)
        } else {
            self.text.parse().unwrap_or_else(|_| self.text.into())
        };
        let dict = figment::util::nest(&path, value).into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// Every problem as a line: the setting, what is wrong with it, where it stands.
fn refused(errors: figment::Error) -> ConfigError {
    ConfigError::Settings(errors.into_iter().map(|error| problem(&error)).collect())
}

fn problem(error: &figment::Error) -> String {
    use figment::error::Kind;

    let source = error.metadata.as_ref().map_or_else(String::new, |metadata| match &metadata.source {
        Some(source) => format!(" (in {source})"),
        None => format!(" (in {})", metadata.name),
    });
    let mut path = error.path.clone();
    let what = match &error.kind {
        Kind::UnknownField(field, known) => {
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            let near =
                nearest(field, known).map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
            format!("there is no such setting{near} `linkspan config --defaults` lists them all")
        }
        // The value itself is left out: it may be a password.
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => not(expected),
        Kind::Message(said) if said.contains("socket address") => {
            "this is not an address and port, such as 127.0.0.1:8080 (names are not resolved)".to_owned()
        }
        Kind::Message(said) if said.contains("untagged enum AllowedPorts") => {
            "this is neither a list of ports, such as [8443], nor \"any\"".to_owned()
        }
        other => other.to_string(),
    };
    let path = path.join(".");
    if path.is_empty() { format!("{what}{source}") } else { format!("{path}: {what}{source}") }
}

/// What was expected, in words of the file instead of the program's.
fn not(expected: &str) -> String {
    if expected.starts_with("struct ") {
        return "this is a section: write its name in brackets, and its settings in the lines below"
            .to_owned();
    }
    let number = ["u8", "u16", "u32", "u64", "usize"].contains(&expected);
    format!("this is not {}", if number { "a whole number, written without a unit" } else { expected })
}

/// The known word that differs least, if it is close enough to be meant.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.chars().count()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut corner = i;
            row[0] = i + 1;
            for (j, b) in other.chars().enumerate() {
                let above = row[j + 1];
                row[j + 1] = (corner + usize::from(a != b)).min(above + 1).min(row[j] + 1);
                corner = above;
            }
        }
        row.last().copied().unwrap_or(0)
    };
    known
        .iter()
        .map(|other| (distance(other), *other))
        .min()
        .filter(|(far, _)| *far <= 3)
        .map(|(_, near)| near)
}

fn environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Environment, D::Error> {
    let text = String::deserialize(deserializer)?;
    Environment::parse(&text)
        .ok_or_else(|| serde::de::Error::custom("this is neither \"PRODUCTION\" nor \"NON_PRODUCTION\""))
}

fn environment_word<S: Serializer>(environment: &Environment, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(environment.as_str())
}
