//! The command line as an operator uses it: the real program, in real processes, beside a server that runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod keys;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// A host with a directory of its own, where `linkspan` is run.
struct Host {
    directory: PathBuf,
    port: u16,
    environment: Vec<(&'static str, String)>,
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl Host {
    /// One with a database.
    fn new() -> Self {
        let host = Self::bare();
        host.run(&["migrate"]).ended(0);
        host
    }

    /// One on which nothing was done yet.
    fn bare() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("linkspan-host-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { directory, port, environment: Vec::new() }
    }

    /// One whose root key is in a variable of the environment, as developers may have it.
    fn of_a_developer() -> Self {
        let mut host = Self::bare();
        host.environment.push(("LINKSPAN_ROOT_KEY_VARIABLE", "DEVELOPMENT_ROOT_KEY".to_owned()));
        host.environment.push(("DEVELOPMENT_ROOT_KEY", "0123456789abcdef".repeat(4)));
        host.run(&["migrate"]).ended(0);
        host
    }

    /// Puts a root key among the credentials that the service manager passes, as systemd does.
    #[cfg(unix)]
    fn credential(&self, name: &str, key: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;

        let path = self.directory.join("credentials").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
    }

    /// A line of the help, as a shell runs it here.
    fn shell(&self, line: &str) -> Ran {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_linkspan"));
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let mut command = Command::new("/bin/sh");
        let output = command.args(["-c", line]).current_dir(&self.directory).env_clear().env("PATH", path);
        Ran::of(output.output().unwrap())
    }

    /// What `linkspan check` finds about this subject, and of which verdict it is.
    fn checked(&self, subject: &str) -> Value {
        let ran = self.run(&["check", "--json"]);
        let mut answers = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        answers.find(|answer| answer["subject"] == subject).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.prepared(env!("CARGO_BIN_EXE_linkspan"));
        command.args(arguments);
        command
    }

    fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("LINKSPAN_SERVER__LISTEN", format!("127.0.0.1:{}", self.port))
            // A busy machine is no fault of the key service's.
            .env("LINKSPAN_KEYSERVICE__DEADLINE_MS", "20000")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// `linkspan key`, as somebody.
    fn key(&self, who: &str, arguments: &[&str]) -> Ran {
        self.run(&[&["key", "--as", &email(who)], arguments].concat())
    }

    /// Somebody with a password and these roles.
    fn person(&self, name: &str, roles: &[&str]) {
        let create = ["user", "create", "--email", &email(name), "--name", "A Person", "--password-stdin"];
        self.run_with(&create, PASSWORD).ended(0);
        for role in roles {
            self.run(&["role", "grant", "--email", &email(name), "--role", role]).ended(0);
        }
    }

    fn serve(&self) -> Server {
        // As few open files as a shell or a service begins with on many systems.
        let mut command = self.prepared("/bin/sh");
        command.args(["-c", "ulimit -Sn 256; exec \"$0\" serve", env!("CARGO_BIN_EXE_linkspan")]);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let is_ready = |line: &String| line.contains("\"ready\"");
        let mut said = Vec::new();
        while !said.last().is_some_and(is_ready) {
            said.push(lines.next().unwrap_or_else(|| panic!("it did not start: {said:#?}")));
        }
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.count());
        Server { child, said }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A server that runs, until this is dropped.
struct Server {
    child: Child,
    /// What it said until it was ready.
    said: Vec<String>,
}

impl Server {
    /// How many files it may have open: as the system began it, and at most.
    fn open_files(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
        (words.next().unwrap(), words.next().unwrap())
    }

    /// Kills the process of its key service.
    fn kill_key_service(&self) {
        let parent = self.child.id().to_string();
        let killed = Command::new("pkill").args(["-KILL", "-P", &parent]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn email(name: &str) -> String {
    format!("{name}@provider.example.com")
}

/// Somebody who is signed in to the server.
struct Client {
    http: reqwest::Client,
    origin: String,
    cookie: String,
}

impl Client {
    async fn sign_in(host: &Host, name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let origin = format!("http://linkspan.localhost:{}", host.port);
        let http = reqwest::Client::builder()
            .resolve("linkspan.localhost", ([127, 0, 0, 1], host.port).into())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("email", email(name).as_str()), ("password", PASSWORD)])
            .finish();
        let answer = http
            .post(format!("{origin}/sign-in"))
            .header("origin", &origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { http, origin, cookie }
    }

    async fn query(&self, query: &str) -> Value {
        let answer = self
            .http
            .post(format!("{}/graphql", self.origin))
            .header("origin", &self.origin)
            .header("cookie", &self.cookie)
            .json(&json!({ "query": query }))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].clone()
    }
}

#[test]
fn accounts_and_roles_are_made_listed_and_changed_on_the_host() {
    let host = Host::new();
    let admin = ["user", "create", "--email", "admin@provider.example.com", "--name", "Ada", "--admin"];
    let made = host.run(&admin).ended(0);
    assert!(made.out.contains(", admin.") && made.out.contains("Password (shown this once): "), "{made:?}");
    let again = host.run(&admin).ended(1);
    assert!(again.err.contains("exists already"), "{again:?}");
    let listed = host.run(&["user", "list"]).ended(0);
    assert!(listed.out.contains("admin@provider.example.com"), "{listed:?}");
    let changed = host.run(&["user", "password", "--email", &email("admin")]).ended(0);
    assert!(changed.out.contains("its sessions have ended"), "{changed:?}");

    host.person("keys", &[]);
    let granted = host.run(&["role", "grant", "--email", &email("keys"), "--role", "key-admin"]).ended(0);
    assert!(granted.out.contains("key_admin"), "{granted:?}");
    let taken = host.run(&["role", "revoke", "--email", &email("keys"), "--role", "key-admin"]).ended(0);
    assert!(!taken.out.contains("key_admin"), "{taken:?}");
    let unknown = host.run(&["role", "grant", "--email", &email("keys"), "--role", "root"]).ended(2);
    assert!(unknown.err.contains("key_manager"), "it names the roles: {unknown:?}");
    let nobody = host.run(&["role", "grant", "--email", "nobody@provider.example.com", "--role", "admin"]);
    nobody.ended(1);
    let last = host.run(&["role", "revoke", "--email", &email("admin"), "--role", "admin"]).ended(1);
    assert!(last.err.contains("last administrator"), "{last:?}");
}

/// Runs the examples of `linkspan audit verify --help`, and what must not pass for a verified trail.
fn trail_is_verified_as_the_help_says(host: &Host) {
    let write = |name: &str, text: &str| std::fs::write(host.directory.join(name), text).unwrap();
    host.run(&["audit", "export", "--out", "audit.jsonl"]).ended(0);
    let keys = host.run(&["audit", "keys"]).ended(0).out;
    assert!(keys.lines().count() > 1, "{keys}");
    write("provider.key", &keys);
    write("consumer.key", &keys);
    // As another instance would print them: nobody is connected to this one.
    let checkpoints = |host: &Host| {
        let export = host.run(&["audit", "export"]).ended(0).out;
        export.lines().filter(|line| line.contains("{\"checkpoint\"")).collect::<Vec<_>>().join("\n")
    };
    write("kept.jsonl", &checkpoints(host));
    let help = host.run(&["audit", "verify", "--help"]).ended(0).out;
    let examples: Vec<&str> =
        help.lines().filter(|line| line.starts_with("  linkspan audit verify")).collect();
    assert_eq!(examples.len(), 2, "{help}");
    for example in examples {
        let verified = host.shell(example).ended(0);
        assert!(verified.out.contains("so as it was written: up to entry"), "{verified:?}");
    }

    let export = std::fs::read_to_string(host.directory.join("audit.jsonl")).unwrap();
    let chain: Vec<&str> = export.lines().filter(|line| !line.contains("{\"checkpoint\"")).collect();
    write("chain.jsonl", &chain.join("\n"));
    write("header.jsonl", chain[0]);
    for name in ["chain.jsonl", "header.jsonl"] {
        let refused = host.run(&["audit", "verify", name, "--key", "provider.key"]).ended(1);
        assert!(refused.err.contains("nothing of it is signed with a key that was given"), "{refused:?}");
    }
    write("empty.jsonl", &host.run(&["audit", "witnessed"]).ended(0).out);
    write("foreign.jsonl", &checkpoints(&Host::new()));
    let against = |arguments: &[&str]| host.run(&[&["audit", "verify"], arguments].concat()).ended(1).err;
    for (kept, said) in
        [("empty.jsonl", "is no checkpoint in it"), ("foreign.jsonl", "no checkpoint of the trail linkspan/")]
    {
        let arguments =
            ["audit.jsonl", "--key", "provider.key", "--witness", "kept.jsonl", "--witness", kept];
        let refused = against(&arguments);
        assert!(refused.contains(said) && refused.contains(kept), "{refused}");
    }
    let nobody = against(&["chain.jsonl", "--unsigned", "--witness", "kept.jsonl"]);
    assert!(nobody.contains("in it is signed with a key that was given"), "{nobody}");
    let looked = host.run(&["audit", "verify", "chain.jsonl", "--unsigned"]).ended(0);
    assert!(looked.out.contains("as it was written: none of them"), "{looked:?}");
    let witness_only = keys.lines().last().unwrap();
    let other = host.run(&["audit", "verify", "audit.jsonl", "--key", witness_only]).ended(1);
    assert!(other.err.contains("is not signed with a key that was given"), "{other:?}");
    let unknown = host.run(&["audit", "verify", "audit.jsonl", "--key", "no.key"]).ended(2);
    assert!(unknown.err.contains("nor a file that can be read"), "{unknown:?}");

    // A reader who has seen enough is no failure.
    let mut child = host.command(&["audit", "export"]).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ran::of(child.wait_with_output().unwrap()).ended(0);
    assert_eq!(ended.err, "");
}

#[cfg(unix)]
#[tokio::test]
async fn a_start_that_cannot_succeed_names_the_file_and_what_to_do_and_looking_makes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;

    let host = Host::bare();
    let looked = host.run(&["check"]).ended(1);
    assert!(looked.out.contains("run: linkspan migrate"), "{looked:?}");
    assert_eq!(std::fs::read_dir(&host.directory).unwrap().count(), 0, "{looked:?}");
    for command in [&["serve"][..], &["user", "list"]] {
        let failed = host.run(command).ended(1);
        assert!(failed.err.contains("data/linkspan.db is not there"), "{failed:?}");
        assert!(failed.err.contains("linkspan serve --migrate"), "{failed:?}");
    }

    // The directory was there before, as packages make it.
    let data = host.directory.join("data");
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.run(&["migrate"]).ended(0);
    let file = data.join("linkspan.db");
    assert_eq!(mode(&file), 0o600);
    host.run(&["user", "list"]).ended(0);
    let open = host.checked("privacy");
    assert!(
        open["found"].as_str().unwrap().contains("data is open to others on this host (mode 755)"),
        "{open}"
    );
    assert!(!data.join("mail").exists(), "looking made it");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(host.checked("privacy").is_null());

    // A mistake elsewhere is not the root key's.
    std::fs::write(host.directory.join("linkspan.toml"), "[mail]\nfrom_address = \"foo\"\n").unwrap();
    assert_eq!(host.checked("key service")["verdict"], "GOOD");
    assert_eq!(host.checked("mail")["verdict"], "WRONG");
    let root_key = data.join("root.key");
    std::fs::set_permissions(&root_key, std::fs::Permissions::from_mode(0o440)).unwrap();
    let shown = host.checked("root key");
    assert_eq!(shown["verdict"], "WRONG", "{shown}");
    assert!(shown["remedy"].as_str().unwrap().contains("chmod 400"), "{shown}");
    std::fs::set_permissions(&root_key, std::fs::Permissions::from_mode(0o400)).unwrap();
    std::fs::remove_file(host.directory.join("linkspan.toml")).unwrap();

    let database = sea_orm::Database::connect(format!("sqlite:{}", file.display())).await.unwrap();
    let later = "insert into seaql_migrations (version, applied_at) values ('m9999_later', 0)";
    sea_orm::ConnectionTrait::execute_unprepared(&database, later).await.unwrap();
    database.close().await.unwrap();
    for command in [&["serve"][..], &["migrate"]] {
        let newer = host.run(command).ended(1);
        assert!(newer.err.contains("by a newer Linkspan (this one does not know m9999_later)"), "{newer:?}");
    }
    let newer = host.checked("database");
    assert!(newer["remedy"].as_str().unwrap().contains("run that version"), "{newer}");

    for beside in ["linkspan.db-wal", "linkspan.db-shm"] {
        let _ = std::fs::remove_file(data.join(beside));
    }
    std::fs::write(&file, "This is no database. ".repeat(400)).unwrap();
    let corrupt = host.run(&["serve"]).ended(1);
    assert!(corrupt.err.contains("data/linkspan.db cannot be opened"), "{corrupt:?}");
    let corrupt = host.checked("database");
    assert!(corrupt["found"].as_str().unwrap().contains("not a database"), "{corrupt}");
}

#[test]
fn an_address_at_which_browsers_sign_nobody_in_is_named() {
    let mut host = Host::bare();
    for (url, verdict) in [("http://linkspan.example.org", "NOTE"), ("http://linkspan.localhost", "GOOD")] {
        host.environment =
            vec![("LINKSPAN_BASE_URL", url.to_owned()), ("LINKSPAN_OUTBOUND__ALLOW_HTTP", "true".to_owned())];
        let found = host.checked("base URL");
        assert_eq!(found["verdict"], verdict, "{found}");
    }
}
