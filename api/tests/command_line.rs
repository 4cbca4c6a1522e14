//! The command line as an operator uses it: the real program, in real processes, beside a server that runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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
        Self { directory, port }
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
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"ready\""));
        assert!(ready.is_some(), "it did not start");
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.count());
        Server(child)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A server that runs, until this is dropped.
struct Server(Child);

impl Server {
    /// How many files it may have open: as the system began it, and at most.
    fn open_files(&self) -> (u64, u64) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.0.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
        (words.next().unwrap(), words.next().unwrap())
    }

    /// Kills the process of its key service.
    fn kill_key_service(&self) {
        let parent = self.0.id().to_string();
        let killed = Command::new("pkill").args(["-KILL", "-P", &parent]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
    write("kept.jsonl", &host.run(&["audit", "witnessed"]).ended(0).out);
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

#[tokio::test]
async fn keys_are_rotated_beside_a_server_by_whoever_has_the_role_and_on_record() {
    let host = Host::new();
    host.person("manager", &["key-manager"]);
    host.person("auditor", &["key-auditor"]);
    host.person("other", &["admin"]);
    let server = host.serve();
    let (now, most) = server.open_files();
    assert_eq!(now, most, "as many files as the system allows");
    let client = Client::sign_in(&host, "manager").await;

    let make = [
        "create-module",
        "papers",
        "--purpose",
        "signing",
        "--algorithm",
        "ed25519",
        "--rotate-every",
        "90d",
    ];
    let draft = host.key("manager", &make).ended(0);
    assert!(draft.out.contains("papers is draft"), "{draft:?}");
    let early = host.key("manager", &["rotate", "papers"]).ended(3);
    assert!(
        early.err.contains("refused (WRONG_STATE)") && early.err.contains("publish it first"),
        "{early:?}"
    );
    host.key("manager", &["publish", "papers"]).ended(0);
    host.key("manager", &["rotate", "papers"]).ended(0);
    let rotated = host.key("manager", &["rotate", "papers", "--json"]).ended(0).json();
    assert_eq!(rotated["versions"][0]["version"], 2, "{rotated:#}");
    let query = "{ keyModule(name: \"papers\") { rotationPeriod versions { version state } } }";
    let seen = client.query(query).await["keyModule"].clone();
    let versions = json!([{ "version": 2, "state": "ACTIVE" }, { "version": 1, "state": "DEACTIVATED" }]);
    assert_eq!((&seen["versions"], &seen["rotationPeriod"]), (&versions, &json!(7_776_000)));

    for verb in [&["rotate", "papers"][..], &["suspend", "papers", "2", "--reason", "Why not"]] {
        let refused = host.key("other", verb).ended(3);
        assert!(refused.err.contains("refused (NOT_AN_ADMINISTRATOR)"), "{refused:?}");
        assert!(refused.err.contains("key manager"), "it names the role: {refused:?}");
    }
    let json = host.key("other", &["rotate", "papers", "--json"]).ended(3).json();
    assert_eq!(json["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{json:#}");
    let nobody = host.run(&["key", "rotate", "papers"]).ended(1);
    assert!(nobody.err.contains("--as EMAIL"), "{nobody:?}");
    host.key("stranger", &["list"]).ended(1);
    let named = host.command(&["key", "modules"]).env("LINKSPAN_AS", email("auditor")).output().unwrap();
    assert!(Ran::of(named).ended(0).out.contains("papers"));
    let ours = host.command(&["user", "list"]).env("LINKSPAN_AS", email("auditor")).output().unwrap();
    Ran::of(ours).ended(0);

    let suspended =
        host.key("manager", &["suspend", "papers", "2", "--reason", "A laptop was lost"]).ended(0);
    assert_eq!(suspended.out, "Version 2 of papers is suspended: A laptop was lost\n");
    host.key("manager", &["resume", "papers", "2"]).ended(0);
    let until = ["renew", "papers", "2", "--until", "2099-01-01T00:00:00Z", "--json"];
    let renewed = host.key("manager", &until).ended(0).json()["expiresAt"].clone();
    assert!(renewed.as_str().unwrap().starts_with("2099-01-01T00:00:00"), "{renewed}");
    host.key("manager", &["revoke", "papers", "2", "--reason", "It was found"]).ended(0);
    let listed = host.key("auditor", &["list", "papers"]).ended(0);
    assert!(listed.out.contains("Revoked") && listed.out.contains("It was found"), "{listed:?}");
    let modules = host.key("auditor", &["modules"]).ended(0);
    assert!(modules.out.contains("papers") && modules.out.contains("90d"), "{modules:?}");
    let policies = host.key("auditor", &["policies", "papers"]).ended(0);
    assert!(policies.out.contains("TRACK"), "{policies:?}");
    let health = host.key("auditor", &["health"]).ended(0);
    assert!(health.out.starts_with("The key service is operational"), "{health:?}");
    assert!(health.out.contains("✓ ROOT_KEY"), "{health:?}");

    trail_is_verified_as_the_help_says(&host);
    let trail = host.run(&["audit", "export"]).ended(0);
    let entry = trail.out.lines().rfind(|line| line.contains("\"key.rotate\"")).unwrap();
    assert!(entry.contains("user:") && entry.contains("origin") && entry.contains("host"), "{entry}");
}

#[tokio::test]
async fn keys_come_leave_and_are_used_on_the_host_as_well() {
    let host = Host::new();
    host.person("manager", &["key-manager"]);
    host.person("second", &["key-manager"]);
    host.person("user", &[]);
    for (name, purpose, algorithm) in
        [("moves", "SEALING", "A256GCM"), ("arrives", "SEALING", "A256GCM"), ("deeds", "SIGNING", "Ed25519")]
    {
        let make = ["create-module", name, "--purpose", purpose, "--algorithm", algorithm, "--exportable"];
        host.key("manager", &make).ended(0);
        host.key("manager", &["publish", name]).ended(0);
    }
    host.key("manager", &["rotate", "moves"]).ended(0);
    let approved = |request: &[&str]| {
        let id =
            host.key("manager", &[&["request"], request, &["--reason", "To move it", "--json"]].concat());
        let id = id.ended(0).json()["id"].as_str().unwrap().to_owned();
        let approve = ["key", "approve", &id, "--password-stdin", "--as", &email("second")];
        host.run_with(&approve, PASSWORD).ended(0);
        id
    };
    let id = approved(&["import", "arrives"]);
    let import = ["key", "--as", &email("manager"), "import", "arrives", "--approval", &id, "--json"];
    let mut import = host.command(&import).spawn().unwrap();
    let mut lines = BufReader::new(import.stdout.take().unwrap());
    let mut offer = String::new();
    lines.read_line(&mut offer).unwrap();
    let offer: Value = serde_json::from_str(&offer).unwrap();
    let told = |name: &str| offer[name].as_str().unwrap().to_owned();
    let (public, aad) = (told("publicKey"), told("associatedData"));
    let to = ["--public-key", &public, "--associated-data", &aad];
    let id = approved(&[&["export", "moves", "--version", "1"][..], &to].concat());
    let elsewhere = ["export", "moves", "1", "--public-key", &public, "--approval", &id];
    let refused = host.key("manager", &elsewhere).ended(3);
    assert!(refused.err.contains("WRONG_STATE"), "approved for another receiver: {refused:?}");
    let package = host.key("manager", &[&["export", "moves", "1"][..], &to, &["--approval", &id]].concat());
    import.stdin.take().unwrap().write_all(package.ended(0).out.as_bytes()).unwrap();
    let mut taken = String::new();
    lines.read_to_string(&mut taken).unwrap();
    assert!(import.wait().unwrap().success(), "{taken}");
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["version"], &taken["state"]), (&1.into(), &"PRE_ACTIVE".into()), "{taken:#}");
    host.key("manager", &["activate", "arrives", "1"]).ended(0);
    host.key("manager", &["generate", "deeds"]).ended(0);
    host.key("manager", &["activate", "deeds", "1"]).ended(0);

    // Whoever may use the keys is for their access policies to say.
    let use_as = |arguments: &[&str], input: &str| {
        host.run_with(&[&["key", "--as", &email("user")], arguments].concat(), input)
    };
    let denied = use_as(&["seal", "arrives"], "secret").ended(3);
    assert!(denied.err.contains("linkspan key explain"), "{denied:?}");
    for (module, operations) in [("arrives", "seal,open"), ("deeds", "sign,verify")] {
        let add =
            ["add-policy", module, "--effect", "track", "--who", "every-person", "--operations", operations];
        host.key("manager", &add).ended(0);
    }
    let rights = host.key("manager", &["rights", "arrives"]).ended(0);
    assert!(rights.out.contains("SEAL"), "{rights:?}");
    let sealed = use_as(&["seal", "arrives", "--about", "field=note"], "secret\n").ended(0).out;
    let opened = use_as(&["open", "arrives", "--about", "field=note"], &sealed).ended(0);
    assert_eq!(opened.out, "secret\n", "as it was");
    use_as(&["open", "arrives", "--about", "field=other"], &sealed).ended(3);
    let signed = use_as(&["sign", "deeds"], "I sell the house").ended(0).out;
    let (version, proof) = signed.trim().split_once(' ').unwrap();
    let verify = ["verify", "deeds", "--version", version, "--proof", proof];
    use_as(&verify, "I sell the house").ended(0);
    use_as(&verify, "I sell the boat").ended(3);
    let health = host.key("manager", &["health", "--recheck"]).ended(0);
    assert!(health.out.starts_with("The key service is operational"), "{health:?}");
}

#[tokio::test]
async fn on_the_host_too_two_people_are_two_and_the_server_goes_on_under_another_root_key() {
    let host = Host::new();
    host.person("manager", &["key-manager"]);
    host.person("second", &["key-manager"]);
    let server = host.serve();
    let client = Client::sign_in(&host, "manager").await;
    for verb in [
        &["create-module", "papers", "--purpose", "SIGNING", "--algorithm", "Ed25519"][..],
        &["publish", "papers"],
        &["rotate", "papers"],
        &["compromised", "papers", "1", "--reason", "It was published"],
    ] {
        host.key("manager", verb).ended(0);
    }
    let request = ["request", "destroy", "papers", "--version", "1", "--reason", "Nobody needs it", "--json"];
    let id = host.key("manager", &request).ended(0).json()["id"].as_str().unwrap().to_owned();
    let destroy = ["destroy", "papers", "1", "--approval", &id];
    let early = host.key("manager", &destroy).ended(3);
    assert!(early.err.contains("Waiting for approval"), "{early:?}");
    let own =
        host.run_with(&["key", "approve", &id, "--password-stdin", "--as", &email("manager")], PASSWORD);
    assert!(own.ended(3).err.contains("Nobody answers their own request"));
    // Whoever is on the host may name anybody, but does not know their password.
    let named = host.key("second", &["approve", &id]).ended(3);
    assert!(named.err.contains("STEP_UP_REQUIRED") && named.err.contains("--password-stdin"), "{named:?}");
    let approve = ["key", "approve", &id, "--password-stdin", "--as", &email("second")];
    host.run_with(&approve, "not the password").ended(1);
    host.run_with(&approve, PASSWORD).ended(0);
    let waits = host.key("manager", &destroy).ended(3);
    assert!(waits.err.contains("The waiting period ends at"), "{waits:?}");
    let listed = host.key("manager", &["approvals", "--state", "approved"]).ended(0);
    assert!(listed.out.contains(&id), "{listed:?}");
    host.key("manager", &["withdraw", &id]).ended(0);

    let rotated = host.key("manager", &["rotate-key-encryption-key"]).ended(0);
    assert!(rotated.out.starts_with("Key encryption key 2: "), "{rotated:?}");
    let status = host.key("manager", &["rotate-key-encryption-key", "--status", "--json"]).ended(0).json();
    assert_eq!(status["version"], 2, "{status:#}");

    let request = ["request", "rotate-root", "--reason", "A year is over", "--json"];
    let id = host.key("manager", &request).ended(0).json()["id"].as_str().unwrap().to_owned();
    host.run_with(&["key", "approve", &id, "--password-stdin", "--as", &email("second")], PASSWORD).ended(0);
    let before = std::fs::read(host.directory.join("data/root.key")).unwrap();
    host.key("manager", &["rotate-root", "--approval", &id]).ended(0);
    assert_ne!(std::fs::read(host.directory.join("data/root.key")).unwrap(), before);
    // The server's own process opens what was stored meanwhile when it is started again.
    server.kill_key_service();
    for _ in 0..400 {
        let health = client.query("{ keyHealth { status components { name status } } }").await;
        if health["keyHealth"]["components"].as_array().is_some_and(|all| all.len() > 1)
            && health["keyHealth"]["status"] == "OPERATIONAL"
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key service of the server does not come back");
}
