//! The settings in words: what the example file says of each. A test holds it against the types.

use serde_json::Value;

use super::{Config, ranges};

/// One setting, as the example file explains it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its sections and name, divided by dots.
    pub path: &'static str,
    /// What it does, units included.
    pub about: &'static str,
    /// What a value looks like, where the default is none.
    pub unset: Option<&'static str>,
}

/// Every setting, section by section, in the order of the example file.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    Setting { path: "name", about: "This instance's name, as people on both sides read it; at most 64 characters.", unset: None },
    Setting { path: "base_url", about: "Where others reach this instance: scheme, host and port. Needed before the first registration. Pages and the API are answered under this host name only (and under those of `graphql.allowed_origins`); `/livez` and `/readyz` under any.", unset: Some("\"https://linkspan.example.org\"") },
    Setting { path: "environment", about: "What this instance is for: `PRODUCTION` or `NON_PRODUCTION`.", unset: None },
    Setting { path: "data_dir", about: "Where the embedded database, the root key and letters are kept; from this file's directory.", unset: None },
    Setting { path: "root_key_file", about: "The file with the root key, if not `root.key` in `data_dir`: 32 bytes or 64 hexadecimal digits that only its owner can read. Made at the first start. A systemd credential named `root.key` wins, and is rotated to one named `root.key.next`. Keep a copy apart from the database's.", unset: Some("\"/etc/linkspan/root.key\"") },
    Setting { path: "root_key_variable", about: "A variable of the environment with the root key as 64 hexadecimal digits, instead of a file. For development: the environment of a process is inherited, logged and shown.", unset: Some("\"DEVELOPMENT_ROOT_KEY\"") },
    Setting { path: "link_lifetime_days", about: "How long a registration link is good, in days.", unset: None },
    Setting { path: "probe_interval_seconds", about: "The time between two probes of a connection, in seconds. Two misses make a direction Down.", unset: None },
    Setting { path: "probe_timeout_ms", about: "How long a probe may take before it counts as missed, in milliseconds. Less than the interval, so that a dead peer shows within 15 seconds.", unset: None },
    Setting { path: "slow_ms", about: "From which round trip on a direction is Slow, in milliseconds.", unset: None },
    Setting { path: "console_folder", about: "Serve the web console from the files in this folder instead of those in the binary: for whoever works on it.", unset: Some("\"api/console\"") },
    Setting { path: "log.format", about: "`human` lines, `json` lines, or `auto`: human on a terminal, JSON otherwise.", unset: None },
    Setting { path: "log.filter", about: "Which events are logged, such as `info` or `info,linkspan::worker=debug`. The variable `RUST_LOG` wins.", unset: None },
    Setting { path: "server.listen", about: "The address and port to listen on; port 0 takes a free one. `0.0.0.0:8080` listens on every network.", unset: None },
    Setting { path: "server.tls_certificate_file", about: "The certificate chain (PEM, own certificate first). With `tls_key_file`, the server speaks TLS itself; without either, put a TLS-terminating proxy in front.", unset: Some("\"tls/certificate.pem\"") },
    Setting { path: "server.tls_key_file", about: "The certificate's private key (PEM: PKCS #8, SEC1 or PKCS #1).", unset: Some("\"tls/key.pem\"") },
    Setting { path: "server.tls_handshake_timeout_ms", about: "The longest time from connecting to the TLS handshake's end, in milliseconds.", unset: None },
    Setting { path: "server.header_timeout_ms", about: "The longest time from connecting (over TLS: from the handshake) to the end of the first request's headers, in milliseconds.", unset: None },
    Setting { path: "server.body_idle_timeout_ms", about: "The longest pause while a request body is received, in milliseconds.", unset: None },
    Setting { path: "server.body_timeout_ms", about: "The longest time for a whole request body, in milliseconds, as long as less than `body_bytes_per_second` comes; then the answer is 408.", unset: None },
    Setting { path: "server.body_bytes_per_second", about: "How much of a request body must come in a second once `body_timeout_ms` is over, in bytes on average.", unset: None },
    Setting { path: "server.write_timeout_ms", about: "The longest time during which the other side takes nothing of what we send, in milliseconds.", unset: None },
    Setting { path: "server.keep_alive_ms", about: "The longest time between requests on a connection, the next request's headers included, in milliseconds.", unset: None },
    Setting { path: "server.max_connections", about: "The most connections at a time. More wait in the system's queue until one ends.", unset: None },
    Setting { path: "server.shutdown_grace_ms", about: "How long connections may finish what they are doing when the server stops, in milliseconds.", unset: None },
    Setting { path: "server.max_header_bytes", about: "The largest size of request headers, in bytes.", unset: None },
    Setting { path: "server.max_concurrent_streams", about: "The most requests at a time on one HTTP/2 connection.", unset: None },
    Setting { path: "server.trusted_proxies", about: "The networks of your own proxies, as `[\"10.0.0.0/8\"]`. Where a request comes from one, its client is the right-most address of `X-Forwarded-For` that is none of theirs. Without it, everybody behind a proxy shares the limits for one address.", unset: None },
    Setting { path: "database.url", about: "`sqlite:PATH` for the embedded database (from `data_dir`), or `postgres://user@host/name`. A password in the URL works, but `password_file` keeps it out of the environment.", unset: None },
    Setting { path: "database.password_file", about: "A file whose content is the database password.", unset: Some("\"database.password\"") },
    Setting { path: "database.max_connections", about: "The most connections held open (PostgreSQL), or the most readers (SQLite).", unset: None },
    Setting { path: "database.statement_timeout_ms", about: "How long one statement may take before PostgreSQL gives it up, in milliseconds; 0 for as long as it likes. Migrations may always. SQLite has no such limit.", unset: None },
    Setting { path: "keyservice.form", about: "Where the key service is: `process` (of its own, the only one to read the root key) or `in_process` (inside the gateway, for development).", unset: None },
    Setting { path: "keyservice.deadline_ms", about: "The longest time that one call of the key service may take, in milliseconds; then the request is refused.", unset: None },
    Setting { path: "keyservice.hang_ms", about: "How long the key service's process may be silent before it is killed and started again, in milliseconds.", unset: None },
    Setting { path: "graphql.body_limit", about: "Largest request body, and largest query string of a GET, in bytes; more is refused with 413.", unset: None },
    Setting { path: "graphql.max_nesting", about: "Deepest nesting of brackets of any kind in a document. Checked on the bytes, before any parser runs.", unset: None },
    Setting { path: "graphql.max_tokens", about: "Most lexical tokens in a document. Checked on the bytes, before any parser runs.", unset: None },
    Setting { path: "graphql.max_nodes", about: "Most selections in a document once every fragment spread is written out.", unset: None },
    Setting { path: "graphql.depth", about: "Deepest nesting of fields. The standard introspection query needs 15.", unset: None },
    Setting { path: "graphql.complexity", about: "Highest complexity, as the schema computes it (lists count for the items asked for).", unset: None },
    Setting { path: "graphql.directives", about: "Most directives at one place of a document.", unset: None },
    Setting { path: "graphql.aliases", about: "Most aliases in a document once every fragment spread is written out.", unset: None },
    Setting { path: "graphql.operation_timeout_ms", about: "How long a query or mutation may take, waiting for its turn included, in milliseconds.", unset: None },
    Setting { path: "graphql.body_timeout_ms", about: "How long a client may take to send the body of a request, in milliseconds.", unset: None },
    Setting { path: "graphql.document_cache_entries", about: "How many parsed and validated documents are kept (weighed by length: one entry is 2 KiB of text).", unset: None },
    Setting { path: "graphql.allowed_origins", about: "Origins beside our own that a browser may call from, as `https://host[:port]`. They get no CORS headers: the list is for pages that a proxy serves under another name.", unset: None },
    Setting { path: "graphql.introspection", about: "Who may ask for the schema: `on` (everybody), `signed-in` or `off` (nobody).", unset: None },
    Setting { path: "graphql.max_operations", about: "Most operations that run at one time, over all callers.", unset: None },
    Setting { path: "graphql.max_operations_per_caller", about: "Most operations of one caller that run at one time; more wait for their turn.", unset: None },
    Setting { path: "graphql.max_connections", about: "Most open sockets and event streams, over all callers.", unset: None },
    Setting { path: "graphql.max_connections_per_caller", about: "Most open sockets and event streams of one caller.", unset: None },
    Setting { path: "graphql.reauthorise_ms", about: "How often an open socket or event stream checks that its caller may still be served, in milliseconds.", unset: None },
    Setting { path: "graphql.sse_keepalive_ms", about: "Pause between the comment lines that keep an event stream alive, in milliseconds.", unset: None },
    Setting { path: "graphql.websocket.init_timeout_ms", about: "How long a client may take to send `connection_init`, in milliseconds; then close 4408.", unset: None },
    Setting { path: "graphql.websocket.max_subscriptions", about: "Most operations on one socket; one more is answered with `error`.", unset: None },
    Setting { path: "graphql.websocket.max_frame", about: "Largest frame and largest message from a client, in bytes; more closes with 1009.", unset: None },
    Setting { path: "graphql.websocket.messages_per_second", about: "Messages a second that a client may send for as long as it likes; more closes with 4429.", unset: None },
    Setting { path: "graphql.websocket.message_burst", about: "Messages that a client may send at once after a quiet time.", unset: None },
    Setting { path: "graphql.websocket.keepalive_ms", about: "Pause between our WebSocket pings, in milliseconds. A client that is silent for three of them is gone.", unset: None },
    Setting { path: "graphql.websocket.send_timeout_ms", about: "How long one message may take to leave, in milliseconds; a slower reader is dropped.", unset: None },
    Setting { path: "outbound.connect_timeout_ms", about: "The longest time for each of resolving, connecting and the TLS handshake, in milliseconds.", unset: None },
    Setting { path: "outbound.total_timeout_ms", about: "The longest time for a whole request, waiting for its turn included, in milliseconds.", unset: None },
    Setting { path: "outbound.body_limit", about: "The largest response body, in bytes.", unset: None },
    Setting { path: "outbound.allow_networks", about: "Networks that may be reached although they are not public, such as `10.20.0.0/16` for a partner behind a VPN. An IP address in place of a name is only acceptable within these.", unset: None },
    Setting { path: "outbound.allow_http", about: "Whether `http://` is acceptable. For development only.", unset: None },
    Setting { path: "outbound.allowed_ports", about: "Acceptable ports besides 443: a list, or `\"any\"`.", unset: None },
    Setting { path: "outbound.extra_ca_files", about: "Files with certificates (PEM) of authorities to trust besides the system's.", unset: None },
    Setting { path: "outbound.trust_system_authorities", about: "Whether to trust the authorities the operating system trusts.", unset: None },
    Setting { path: "outbound.per_target_concurrency", about: "The most requests at a time to one target.", unset: None },
    Setting { path: "mail.transport", about: "`file` writes each letter into `directory`, `smtp` hands it to a mail server, `off` sends none and leaves sharing a registration link to the administrator.", unset: None },
    Setting { path: "mail.directory", about: "Where `file` puts its letters, one `.eml` each; from `data_dir`.", unset: None },
    Setting { path: "mail.from_address", about: "The address that letters come from.", unset: None },
    Setting { path: "mail.from_name", about: "The name that letters come from.", unset: None },
    Setting { path: "mail.smtp.host", about: "The mail server's name, as in its certificate. Used with `transport = \"smtp\"`.", unset: None },
    Setting { path: "mail.smtp.port", about: "The mail server's port, if not 587 for `starttls`, 465 for `tls`, 25 for `none`.", unset: Some("2525") },
    Setting { path: "mail.smtp.tls", about: "How the connection is kept private: `starttls`, `tls`, or `none` (a server on this machine only).", unset: None },
    Setting { path: "mail.smtp.username", about: "The account to sign in to the mail server with; none by default.", unset: Some("\"linkspan\"") },
    Setting { path: "mail.smtp.password", about: "The account's password. Better in a file: `password_file`.", unset: Some("\"…\"") },
    Setting { path: "mail.smtp.password_file", about: "A file with the account's password on its first line, used instead of `password`.", unset: Some("\"smtp.password\"") },
    Setting { path: "mail.smtp.ca_file", about: "A PEM file of certificate authorities to trust besides those of the operating system.", unset: Some("\"mail-ca.pem\"") },
    Setting { path: "mail.smtp.timeout_seconds", about: "The longest a letter may take, from connecting to its acceptance, in seconds.", unset: None },
];

/// The comments are folded here.
const WIDTH: usize = 100;

impl Setting {
    /// The section it stands in, and its name there.
    #[must_use]
    pub fn place(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// Whether its value is text, also where it looks like something else.
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self.unset {
            Some(example) => example.starts_with('"'),
            None => matches!(value(&defaults(), self.path), Value::String(_)),
        }
    }
}

/// The example file: every setting with its explanation and, commented out, its default.
#[must_use]
pub fn commented() -> String {
    let defaults = defaults();
    let mut text = folded(
        "Linkspan's configuration. Every setting is shown with its default; remove the # to change one. Any of them \
         can be set in the environment as well, which wins: LINKSPAN_SERVER__LISTEN=0.0.0.0:8080. What Linkspan \
         writes is kept under data_dir; other relative paths start at this file's directory.",
    );
    by_section(
        |setting, text| {
            let value = value(&defaults, setting.path);
            text.push('\n');
            let range = match value {
                Value::Number(_) => format!(" Range: {}.", ranges::in_words(setting.path)),
                _ => String::new(),
            };
            text.push_str(&folded(&format!("{}{range}", setting.about)));
            let shown = match (value, setting.unset) {
                (Value::Null, Some(example)) => example.to_owned(),
                (value, _) => toml(value),
            };
            text.push_str(&format!("#{} = {shown}\n", setting.place().1));
        },
        &mut text,
    );
    text
}

/// The configuration in effect, without its secrets, in the form of the file.
#[must_use]
pub fn effective(config: &Config) -> String {
    let values = serde_json::to_value(config).unwrap_or_default();
    let mut text = String::new();
    by_section(
        |setting, text| {
            let name = setting.place().1;
            match value(&values, setting.path) {
                Value::Null => text.push_str(&format!("# {name} is not set\n")),
                value => text.push_str(&format!("{name} = {}\n", toml(value))),
            }
        },
        &mut text,
    );
    text
}

fn by_section(mut write: impl FnMut(&Setting, &mut String), text: &mut String) {
    let mut section = "";
    for setting in SETTINGS {
        if setting.place().0 != section {
            section = setting.place().0;
            text.push_str(&format!("\n[{section}]\n"));
        }
        write(setting, text);
    }
}

fn defaults() -> Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

pub(super) fn value<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, name| &value[name])
}

/// What a setting can hold is written alike in JSON and TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

fn folded(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}
