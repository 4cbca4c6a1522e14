use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Config, ConfigError, SETTINGS, Sources, commented, effective};
use crate::domain::registration::Environment;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(&Sources { file: None, variables: variables(pairs) })
}

/// A configuration file in a directory of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("linkspan-config-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("linkspan.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn from_file(name: &str, text: &str) -> Result<Config, ConfigError> {
    Config::read(&Sources { file: Some(file(name, text)), variables: BTreeMap::new() })
}

fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(value, &path, found);
            }
        }
        _ => assert!(found.insert(path.to_owned())),
    }
}

#[test]
fn every_setting_is_explained_and_every_explanation_is_of_a_setting() {
    let mut known = BTreeSet::new();
    leaves(&serde_json::to_value(Config::default()).unwrap(), "", &mut known);
    let explained: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.path.to_owned()).collect();
    assert_eq!(known, explained);
    assert_eq!(explained.len(), SETTINGS.len());
}

#[test]
fn the_example_file_with_its_comments_removed_is_the_defaults() {
    let text: String = commented()
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| {
            !SETTINGS.iter().any(|s| s.unset.is_some_and(|e| *line == format!("{} = {e}", s.place().1)))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let config =
        figment::Figment::from(<figment::providers::Toml as figment::providers::Format>::string(&text));
    let config: Config = config.extract().unwrap();
    assert_eq!(serde_json::to_value(config).unwrap(), serde_json::to_value(Config::default()).unwrap());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file =
        file("layers", "name = \"From the file\"\nslow_ms = 900\n[server]\nlisten = \"127.0.0.1:1\"\n");
    let variables = variables(&[("LINKSPAN_SERVER__LISTEN", "127.0.0.1:2"), ("LINKSPAN_NAME", "42")]);
    let config = Config::read(&Sources { file: Some(file), variables }).unwrap();
    assert_eq!((config.name.as_str(), config.slow_ms), ("42", 900));
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.link_lifetime_days, 7);
}

#[test]
fn lists_and_words_can_be_set_in_the_environment() {
    let config = from_environment(&[
        ("LINKSPAN_ENVIRONMENT", "PRODUCTION"),
        ("LINKSPAN_OUTBOUND__ALLOW_NETWORKS", "[\"10.0.0.0/8\", \"::1/128\"]"),
        ("LINKSPAN_OUTBOUND__ALLOWED_PORTS", "any"),
        ("LINKSPAN_OUTBOUND__ALLOW_HTTP", "true"),
        ("LINKSPAN_MAIL__SMTP__PORT", "2525"),
    ])
    .unwrap();
    assert_eq!(config.environment, Environment::Production);
    assert_eq!(config.outbound.allow_networks.len(), 2);
    assert!(config.outbound.allow_http);
    assert_eq!(config.mail.smtp.port(), 2525);
}

#[test]
fn an_unknown_setting_is_refused_with_its_place_and_the_likely_name() {
    let said = from_file("unknown", "[server]\nlissten = \"127.0.0.1:1\"\n").unwrap_err().to_string();
    assert!(said.starts_with("server.lissten: there is no such setting, did you mean `listen`?"), "{said}");
    assert!(said.contains("linkspan.toml"), "{said}");
    let said = from_environment(&[("LINKSPAN_SLOWMS", "1")]).unwrap_err().to_string();
    assert!(said.contains("slowms: there is no such setting, did you mean `slow_ms`?"), "{said}");
    assert!(said.contains("LINKSPAN_SLOWMS"), "{said}");
}

#[test]
fn a_wrong_value_is_refused_without_being_repeated() {
    let said = from_file("type", "[mail.smtp]\npassword = 8675309\n").unwrap_err().to_string();
    assert!(said.starts_with("mail.smtp.password: this is not"), "{said}");
    assert!(!said.contains("8675309"), "{said}");
    for (text, expected) in [
        ("slow_ms = 0", "slow_ms: 0 is not from 1 to 60000"),
        ("probe_timeout_ms = 6000", "probe_timeout_ms: 6000 is not less than probe_interval_seconds"),
        ("link_lifetime_days = -1", "link_lifetime_days: this is not a whole number"),
        ("data_dir = \"\"", "data_dir: name a directory"),
        ("console_folder = \"nope\"", "console_folder: there is no folder"),
        ("graphql = 1", "graphql: this is a section: write its name in brackets"),
        ("[server]\nlisten = \"localhost:8080\"", "server.listen: this is not an address and port, such as"),
        ("[server]\nmax_header_bytes = 10", "server.max_header_bytes: 10 is not from 8192 to"),
        ("[keyservice]\ndeadline_ms = 0", "keyservice.deadline_ms: 0 is not from 100 to"),
        ("[graphql]\ndepth = 0", "graphql.depth: 0 is not from 1 to"),
        ("[graphql]\nbody_limit = \"128KiB\"", "graphql.body_limit: this is not a whole number"),
        ("[graphql]\nallowed_origins = [\"foo\"]", "graphql.allowed_origins: foo is no origin"),
        ("[graphql.websocket]\nmax_frame = 0", "graphql.websocket.max_frame: 0 is not from 1024 to"),
        ("[mail.smtp]\ntimeout_seconds = 0", "mail.smtp.timeout_seconds: 0 is not from 1 to 600"),
        ("[outbound]\nallowed_ports = [\"x\"]", "outbound.allowed_ports: this is neither a list of ports"),
        ("base_url = \"https://a.example/x\"", "base_url: the address must end after the host name"),
        ("environment = \"TEST\"", "neither \"PRODUCTION\" nor"),
        ("base_url = \"http://a.example\"", "must start with https://"),
    ] {
        let said = from_file("values", text).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn the_defaults_are_within_their_ranges_and_every_range_is_of_a_setting() {
    assert!(from_environment(&[]).is_ok());
    for (path, least, most) in super::ranges::RANGES {
        assert!(SETTINGS.iter().any(|setting| setting.path == *path) && least < most, "{path}");
    }
}

#[test]
fn a_configuration_file_that_is_a_directory_is_named() {
    let directory = std::env::temp_dir();
    let said = Sources::find(Some(&directory)).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}: this is a directory", directory.display())), "{said}");
}

#[test]
fn what_we_write_is_under_the_data_directory_and_what_we_read_beside_the_file() {
    let path = file(
        "paths",
        "data_dir = \"d?ta\"\n[server]\ntls_certificate_file = \"c.pem\"\ntls_key_file = \"/etc/k.pem\"\n",
    );
    let base = path.parent().unwrap().to_owned();
    let config = Config::read(&Sources { file: Some(path), variables: BTreeMap::new() }).unwrap();
    assert_eq!(config.data_dir, base.join("d?ta"));
    assert_eq!(config.root_key_file(), base.join("d?ta/root.key"));
    assert_eq!(config.mail.directory, base.join("d?ta/mail"));
    assert_eq!(config.database.url, format!("sqlite:{}/d%3fta/linkspan.db", base.display()));
    assert_eq!(config.server.tls_certificate_file, Some(base.join("c.pem")));
    assert_eq!(config.server.tls_key_file.as_deref(), Some(Path::new("/etc/k.pem")));
}

#[test]
fn a_systemd_credential_is_the_root_key_if_it_is_there() {
    let directory = file("credential", "").parent().unwrap().to_owned();
    let pairs = [("CREDENTIALS_DIRECTORY", directory.to_str().unwrap())];
    assert_eq!(from_environment(&pairs).unwrap().root_key_file(), Path::new("data/root.key"));
    std::fs::write(directory.join("root.key"), "").unwrap();
    let config = from_environment(&pairs).unwrap();
    assert_eq!(config.root_key_file(), directory.join("root.key"));
    assert_eq!(config.root_source().to_string(), "credential:root.key");
    std::fs::remove_file(directory.join("root.key")).unwrap();
}

#[test]
fn the_root_key_is_in_a_file_unless_a_variable_is_named() {
    assert_eq!(from_environment(&[]).unwrap().root_source().to_string(), "file:data/root.key");
    let named = [("LINKSPAN_ROOT_KEY_VARIABLE", "DEVELOPMENT_ROOT_KEY")];
    let source = from_environment(&named).unwrap().root_source();
    assert_eq!(source.to_string(), "environment:DEVELOPMENT_ROOT_KEY");
    let wrong = from_environment(&[("LINKSPAN_ROOT_KEY_VARIABLE", "A KEY")]).unwrap_err().to_string();
    assert!(wrong.contains("root_key_variable: the name of a variable"), "{wrong}");
}

#[test]
fn secrets_are_not_shown() {
    let config = from_environment(&[
        ("LINKSPAN_MAIL__SMTP__PASSWORD", "canary-one"),
        ("LINKSPAN_DATABASE__URL", "postgres://u:canary-two@db.example/linkspan?password=canary-three"),
    ])
    .unwrap();
    let shown = format!("{}\n{config:?}", effective(&config));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("url = \"postgres://u:********@db.example/linkspan"), "{shown}");
}
