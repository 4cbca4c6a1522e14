//! `linkspan check`: each thing that has to be right, looked at; a remedy for each that is not.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use keyservice::RootSource;
use serde::Serialize;

use super::out;
use crate::app;
use crate::config::{Config, Sources};
use crate::domain::causes::causes;
use crate::domain::registration::Environment;
use crate::http::server::{Certificate, CertificateFault};
use crate::mail::{MailError, Mailer};
use crate::outbound::Outbound;
use crate::store::{Store, StoreError};
use crate::world::World;

/// How much is written to see whether there is room, in bytes.
const PROBE: usize = 64 * 1024;
/// How long before its end a certificate is remarked upon.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What was found out about one thing.
#[derive(Debug, Serialize)]
struct Answer {
    /// What was looked at.
    subject: &'static str,
    verdict: Verdict,
    /// What was seen.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Good,
    Note,
    Wrong,
}

fn good(subject: &'static str, found: impl Into<String>) -> Answer {
    Answer { subject, verdict: Verdict::Good, found: found.into(), remedy: None }
}

fn note(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Answer {
    Answer { subject, verdict: Verdict::Note, found: found.into(), remedy: Some(remedy.into()) }
}

fn wrong(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Answer {
    Answer { subject, verdict: Verdict::Wrong, found: found.into(), remedy: Some(remedy.into()) }
}

impl Answer {
    fn say(&self, json: bool) {
        if json {
            out(&serde_json::to_string(self).unwrap_or_default());
            return;
        }
        let mark = match self.verdict {
            Verdict::Good => '✓',
            Verdict::Note => '!',
            Verdict::Wrong => '✗',
        };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!(": {remedy}"));
        out(&format!("{mark} {:<14} {}{remedy}", self.subject, self.found));
    }
}

/// Looks at everything; code 1 if anything is wrong.
pub(super) async fn run(file: Option<&Path>, json: bool) -> ExitCode {
    let mut bad = false;
    let mut answer = |answer: Answer| {
        bad |= answer.verdict == Verdict::Wrong;
        answer.say(json);
    };
    let world = World::real();
    match Sources::find(file).and_then(|sources| Ok((Config::read(&sources)?, sources))) {
        Err(error) => {
            answer(wrong("configuration", error.to_string(), "correct it; the rest was not looked at"));
        }
        Ok((config, sources)) => {
            answer(configuration(&sources));
            answer(base_url(&config));
            answer(data_directory(&config));
            let files = [Some(config.data_dir.clone()), config.database.file()];
            files.into_iter().flatten().filter_map(|path| exposed(&path)).for_each(&mut answer);
            let (store, database) = database(&config, &world).await;
            answer(database);
            let root = config.root_source();
            let root_key = root_key(&root, store.is_some());
            let usable = root_key.verdict != Verdict::Wrong && root.is_there();
            answer(root_key);
            next_root_key(&root).into_iter().for_each(&mut answer);
            if let Some(store) = store.filter(|_| usable) {
                answer(key_service(&config, &store, &world).await);
            }
            answer(mail(&config).await);
            answer(certificate(&config, &world));
            answer(outbound(&config));
            answer(clock(&world));
            answer(open_files(&config));
        }
    }
    if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn open_files(config: &Config) -> Answer {
    match super::open_files::too_few(config) {
        None => good("open files", "as many as server.max_connections asks for"),
        Some((most, needed)) => note(
            "open files",
            format!("at most {most}, of {needed} that server.max_connections asks for"),
            format!("set LimitNOFILE={needed} in the service's unit, or ulimit -Hn {needed}"),
        ),
    }
}

fn configuration(sources: &Sources) -> Answer {
    match &sources.file {
        Some(file) => good("configuration", format!("{} and the environment", file.display())),
        None => good("configuration", "defaults and the environment; no file"),
    }
}

fn base_url(config: &Config) -> Answer {
    match (config.origin(), &config.base_url) {
        (Ok(origin), Some(_)) if !origin.is_trustworthy() => note(
            "base URL",
            format!("{origin}, where browsers sign nobody in"),
            "use https:// (or, on this machine alone, a name under .localhost)",
        ),
        (Ok(origin), Some(_)) => good("base URL", origin.as_str()),
        (Ok(_), None) => note(
            "base URL",
            "not set, so other instances cannot find this one",
            "set base_url to the address that others reach, such as \"https://linkspan.example.org\"",
        ),
        (Err(error), _) => wrong("base URL", error.to_string(), "correct base_url"),
    }
}

fn data_directory(config: &Config) -> Answer {
    let path = config.data_dir.display();
    let marker = config.data_dir.join(".writable");
    if !config.data_dir.exists() {
        return note("data directory", format!("{path} is not there yet"), "linkspan migrate makes it");
    }
    // Room is only proven by what has reached the disk.
    let written =
        File::create(&marker).and_then(|mut file| file.write_all(&[0; PROBE]).and_then(|()| file.sync_all()));
    let removed = std::fs::remove_file(&marker);
    match written.and(removed) {
        Ok(()) => good("data directory", format!("{path} can be written")),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            wrong("data directory", format!("{path}: {error}"), "make room on its disk")
        }
        Err(error) => {
            wrong("data directory", format!("{path}: {error}"), "give it to the user who runs linkspan")
        }
    }
}

/// Remarks on a path that others on this host may read.
#[cfg(unix)]
fn exposed(path: &Path) -> Option<Answer> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let path = path.display();
    (mode & 0o077 != 0).then(|| {
        let found = format!("{path} is open to others on this host (mode {:o})", mode & 0o777);
        note("privacy", found, format!("chmod go= {path}"))
    })
}

#[cfg(not(unix))]
fn exposed(_: &Path) -> Option<Answer> {
    None
}

/// The database, if it holds an instance, and what is to be said about it.
async fn database(config: &Config, world: &World) -> (Option<Store>, Answer) {
    let subject = "database";
    let store = match Store::open(&config.database, world.clone()).await {
        Ok(store) => store,
        Err(StoreError::NoFile(path)) => {
            return (
                None,
                wrong(subject, format!("{} is not there", path.display()), "run: linkspan migrate"),
            );
        }
        Err(error) => {
            let remedy = match &error {
                StoreError::File { .. } => "look at its owner and mode",
                _ if config.database.file().is_some() => "put back a copy, or correct database.url",
                _ => "check database.url and database.password_file, and that it runs",
            };
            return (None, wrong(subject, causes(&error), remedy));
        }
    };
    let answer = match (store.ping().await, store.require_migrated().await) {
        (Err(error), _) => wrong(subject, causes(&error), "check database.url, and that the server runs"),
        (Ok(()), Err(StoreError::Pending(n))) => {
            wrong(subject, format!("{n} migrations are pending"), "run: linkspan migrate")
        }
        (Ok(()), Err(StoreError::Newer(step))) => wrong(
            subject,
            format!("a newer Linkspan brought it up to date: this one does not know {step}"),
            "run that version, or put back the copy from before the upgrade",
        ),
        (Ok(()), Err(error)) => {
            wrong(subject, causes(&error), "the user of database.url needs to own its tables")
        }
        (Ok(()), Ok(())) => {
            let kind = if config.database.file().is_some() { "SQLite" } else { "PostgreSQL" };
            good(subject, format!("{kind}, up to date"))
        }
    };
    let holds = answer.verdict == Verdict::Good && store.instance().await.is_ok_and(|found| found.is_some());
    (holds.then_some(store), answer)
}

/// Where the root key is and who can read it; the key itself is read by the key service alone.
fn root_key(root: &RootSource, initialised: bool) -> Answer {
    let subject = "root key";
    match (root.look(), root) {
        (Ok(()), RootSource::File(path)) => {
            good(subject, format!("{} can be read by its owner only", path.display()))
        }
        (Ok(()), RootSource::Credential(name)) => good(subject, format!("the credential {name} is passed")),
        (Ok(()), RootSource::Environment(name)) => note(
            subject,
            format!("in the variable {name}, where others can see it"),
            "for development only: use a file, or a systemd credential",
        ),
        (Err(_), RootSource::File(path)) if !path.exists() && !initialised => note(
            subject,
            format!("{} is not there yet", path.display()),
            "it is made at the first start; keep a copy",
        ),
        (Err(_), RootSource::File(path)) if !path.exists() => wrong(
            subject,
            format!("{} is not there, but the database was sealed under it", path.display()),
            "put the copy back; without it the keys in the database are lost",
        ),
        (Err(error @ keyservice::Error::RootKeyExposed { .. }), RootSource::File(path)) => {
            wrong(subject, error.to_string(), format!("chmod 400 {}", path.display()))
        }
        (Err(error @ keyservice::Error::RootKeyMalformed), _) => wrong(
            subject,
            format!("{root}: {error}"),
            "put the copy back; for a new instance, 32 random bytes or their digits, and nothing else",
        ),
        (Err(error), RootSource::File(_)) => {
            wrong(subject, error.to_string(), "put the copy back, or correct root_key_file")
        }
        (Err(error), RootSource::Credential(_)) => {
            wrong(subject, error.to_string(), "have the service manager pass it to linkspan's user alone")
        }
        (Err(error), RootSource::Environment(_)) => {
            wrong(subject, error.to_string(), "set it, or correct root_key_variable")
        }
    }
}

/// The root key to rotate to, where there is one: or the one in use, after a rotation.
fn next_root_key(root: &RootSource) -> Option<Answer> {
    let next = root.next().filter(RootSource::is_there)?;
    let subject = "next root key";
    Some(match (next.look(), root) {
        (Err(error), _) => wrong(
            subject,
            format!("{next}: {error}"),
            "it is for linkspan's user alone, and 32 bytes or 64 hexadecimal digits; keep it if it is in use",
        ),
        (Ok(()), RootSource::Credential(name)) => note(
            subject,
            format!("the credential {name}.next is passed, too"),
            format!(
                "once rotateRootKey is done it is the one in use: pass it as {name}, and none as {name}.next"
            ),
        ),
        (Ok(()), _) => note(
            subject,
            format!("{next} is there: a rotation was cut off"),
            "keep it until rotateRootKey, which goes on with it, is done",
        ),
    })
}

/// Opens the keys, as starting would.
async fn key_service(config: &Config, store: &Store, world: &World) -> Answer {
    let subject = "key service";
    match app::try_keys(config, store, world).await {
        Ok(fingerprint) => good(subject, format!("opens; identity {fingerprint}")),
        Err(error) => {
            wrong(subject, causes(&error), "the root key has to be the one that this database began with")
        }
    }
}

async fn mail(config: &Config) -> Answer {
    let subject = "mail";
    let mailer = match Mailer::new(&config.mail) {
        Ok(mailer) => mailer,
        Err(error) => return wrong(subject, error.to_string(), "correct the section [mail]"),
    };
    let file = matches!(config.mail.transport, crate::mail::TransportKind::File);
    // Looking must not make it.
    if file && !config.mail.directory.exists() {
        let found = format!("{} is not there yet", config.mail.directory.display());
        return note(
            subject,
            found,
            "the first letter makes it; set mail.transport to \"smtp\" for real letters",
        );
    }
    match mailer.check().await {
        Ok(()) if file && config.environment == Environment::Production => note(
            subject,
            format!("letters are written to {}, nobody receives them", config.mail.directory.display()),
            "set mail.transport to \"smtp\"",
        ),
        Ok(()) if file => {
            good(subject, format!("letters are written to {}", config.mail.directory.display()))
        }
        Ok(()) => good(subject, format!("{} takes letters", config.mail.smtp.host)),
        Err(MailError::Off) => {
            note(subject, "off: share registration links yourself", MailError::Off.remedy())
        }
        Err(error) => wrong(subject, error.to_string(), error.remedy()),
    }
}

fn certificate(config: &Config, world: &World) -> Answer {
    let (subject, server) = ("TLS", &config.server);
    match (&server.tls_certificate_file, &server.tls_key_file) {
        (Some(path), Some(key)) => match Certificate::read(path.clone(), key.clone()) {
            Ok(certificate) => judged(config, world, &certificate, &path.display().to_string()),
            Err(error) => {
                wrong(subject, causes(&error), "both files have to be PEM, of one pair, and readable")
            }
        },
        (None, None) if server.listen.ip().is_loopback() => {
            good(subject, format!("none; {} is reachable on this machine only", server.listen))
        }
        (None, None) => note(
            subject,
            format!("none, and {} can be reached from outside", server.listen),
            "put a TLS-terminating proxy in front, or set server.tls_certificate_file and server.tls_key_file",
        ),
        _ => wrong(subject, "only one of certificate and key is set", "set both, or neither"),
    }
}

/// What whoever reaches this instance will think of a certificate that can be used.
fn judged(config: &Config, world: &World, certificate: &Certificate, path: &str) -> Answer {
    let subject = "TLS";
    let now = Duration::from_secs(u64::try_from(world.now().timestamp()).unwrap_or_default());
    let origin = config.origin().ok().filter(|_| config.origin_is_set());
    let host = origin.as_ref().map(crate::domain::origin::Origin::host);
    let renew = "renew it, then send the signal HUP";
    match (certificate.judge(host, now), certificate.judge(host, now + RENEW_WITHIN)) {
        (Err(fault @ CertificateFault::OtherName), _) => {
            let remedy = "get a certificate for the name in base_url";
            wrong(subject, format!("{path} {fault}"), remedy)
        }
        (Err(fault @ CertificateFault::Unreadable(_)), _) => {
            wrong(subject, format!("{path} {fault}"), "get another certificate")
        }
        (Err(fault @ CertificateFault::NotYet), _) => {
            wrong(subject, format!("{path} {fault}"), "set the clock, or get another certificate")
        }
        (Err(fault @ CertificateFault::Expired), _) => wrong(subject, format!("{path} {fault}"), renew),
        (Ok(()), Err(_)) => note(subject, format!("{path} expires within 14 days"), renew),
        (Ok(()), Ok(())) => good(subject, format!("{path} and its key can be used")),
    }
}

fn outbound(config: &Config) -> Answer {
    let subject = "requests out";
    match Outbound::new(config.outbound.clone()) {
        Ok(_) if config.outbound.allow_http && config.environment == Environment::Production => {
            note(subject, "plain http:// is allowed", "remove outbound.allow_http in production")
        }
        Ok(_) => good(subject, "authorities can be read"),
        Err(error) => wrong(subject, causes(&error), "correct the section [outbound]"),
    }
}

fn clock(world: &World) -> Answer {
    let (subject, now) = ("clock", world.now());
    // Before this program was written, or so far ahead that no certificate would be good.
    let plausible = (1_767_225_600..4_102_444_800).contains(&now.timestamp());
    let shown = now.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    if plausible {
        good(subject, shown)
    } else {
        wrong(subject, shown, "set the clock; a time service such as chrony keeps it right")
    }
}
