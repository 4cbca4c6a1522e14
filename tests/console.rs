//! The console in a real browser, and what can be said of it without one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use apollo_compiler::{ExecutableDocument, Schema};
use linkspan::domain::requester::Role;
use linkspan::mail::TransportKind;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::environment;
use crate::harness::pair::PASSWORD;
use crate::harness::saboteur::Saboteur;
use crate::harness::{Database, Pair, Stage};

fn console() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("api").join("console")
}

/// A tagged template of a module: its name there, what stands between the placeholders, and the names in these.
struct Template {
    name: String,
    text: String,
    fragments: Vec<String>,
}

impl Template {
    fn is_fragment(&self) -> bool {
        self.text.trim_start().starts_with("fragment ")
    }
}

/// A module's templates, and from which module each name comes that it imports.
struct Module {
    templates: Vec<Template>,
    imports: HashMap<String, PathBuf>,
}

fn modules(folder: &Path, found: &mut BTreeMap<PathBuf, Module>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        if path.is_dir() && !path.ends_with("vendor") {
            modules(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "js") {
            let text = std::fs::read_to_string(&path).unwrap();
            let module = Module { templates: templates(&text), imports: imports(folder, &text) };
            found.insert(path, module);
        }
    }
}

fn templates(module: &str) -> Vec<Template> {
    let unnamed = |at: usize| format!("template {at}");
    let pieces: Vec<&str> = module.split("gql`").collect();
    let template = |(at, pair): (usize, &[&str])| {
        let declared =
            pair[0].trim_end().strip_suffix('=').and_then(|before| before.split_whitespace().last());
        let mut parts = pair[1].split('`').next().unwrap_or_default().split("${");
        let mut text = parts.next().unwrap_or_default().to_owned();
        let mut fragments = Vec::new();
        for part in parts {
            // A placeholder that does not end here has the next template in it.
            let (name, rest) =
                part.split_once('}').map_or((unnamed(at + 1), ""), |it| (it.0.to_owned(), it.1));
            fragments.push(name);
            text += rest;
        }
        Template { name: declared.map_or_else(|| unnamed(at), str::to_owned), text, fragments }
    };
    pieces.windows(2).enumerate().map(template).collect()
}

fn imports(folder: &Path, module: &str) -> HashMap<String, PathBuf> {
    let mut found = HashMap::new();
    for import in module.split("import {").skip(1) {
        let Some((names, rest)) = import.split_once("} from '") else { continue };
        let from = folder.join(rest.split('\'').next().unwrap_or_default());
        let from = from.canonicalize().unwrap_or_else(|_| panic!("{} is not there", from.display()));
        found.extend(names.split(',').map(|name| (name.trim().to_owned(), from.clone())));
    }
    found
}

/// Collects what is sent with a template, as the console does: itself and what its placeholders put in, each once.
fn collect<'a>(
    modules: &'a BTreeMap<PathBuf, Module>,
    (path, name): (&Path, &str),
    sent: &mut Vec<&'a Template>,
) {
    let module = &modules[path];
    if let Some(from) = module.imports.get(name) {
        return collect(modules, (from, name), sent);
    }
    let template = module.templates.iter().find(|it| it.name == name);
    let template = template.unwrap_or_else(|| panic!("{name} in {} is no template", path.display()));
    if !sent.iter().any(|it| std::ptr::eq(*it, template)) {
        sent.push(template);
        template.fragments.iter().for_each(|fragment| collect(modules, (path, fragment), sent));
    }
}

#[test]
fn every_operation_of_the_console_is_valid_as_it_is_sent() {
    let sdl = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("schema.graphql"))
        .unwrap();
    let schema = Schema::parse_and_validate(sdl, "schema.graphql").unwrap();
    let mut modules_found = BTreeMap::new();
    modules(&console(), &mut modules_found);
    let (mut operations, mut put_in) = (0, Vec::new());
    for (path, module) in &modules_found {
        for operation in module.templates.iter().filter(|it| !it.is_fragment()) {
            let mut sent = Vec::new();
            collect(&modules_found, (path, &operation.name), &mut sent);
            let text: Vec<_> = sent.iter().map(|template| template.text.as_str()).collect();
            let text = text.join("\n");
            // A fragment that is sent and not used is an error, too.
            if let Err(errors) = ExecutableDocument::parse_and_validate(&schema, &text, path) {
                panic!("{}:\n{text}\n{errors}", path.display());
            }
            operations += 1;
            put_in.extend(sent.into_iter().skip(1));
        }
    }
    let fragments: Vec<_> =
        modules_found.values().flat_map(|it| &it.templates).filter(|it| it.is_fragment()).collect();
    assert!(operations > 10 && fragments.len() > 3, "the modules were not found");
    let idle = fragments.into_iter().filter(|it| !put_in.iter().any(|used| std::ptr::eq(*used, *it)));
    let idle: Vec<_> = idle.map(|fragment| &fragment.name).collect();
    assert!(idle.is_empty(), "nothing is sent with {idle:?}");
}

#[test]
fn the_view_layer_is_what_its_authors_published() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/node_modules/lit-html");
    if !environment::node() {
        return;
    }
    let vendored = console().join("vendor/lit-html");
    let mut compared = 0;
    for file in files(&vendored) {
        let name = file.strip_prefix(&vendored).unwrap();
        let plain = |path: &Path| {
            let text = std::fs::read_to_string(path)
                .unwrap_or_else(|_| panic!("{} is of no package", path.display()));
            text.lines()
                .filter(|line| !line.starts_with("//# sourceMappingURL"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(plain(&file), plain(&published.join(name)), "{}", name.display());
        compared += 1;
    }
    assert!(compared > 4, "the files were not found");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_the_console_is_served_and_every_other_is_a_page_that_says_so() {
    let pair = Pair::start(Database::Sqlite).await;
    let admin = pair.provider_admin().await;
    let app = std::fs::read_to_string(console().join("app.js")).unwrap();
    let routes = app.split("const ROUTES = [").nth(1).unwrap().split("];").next().unwrap();
    let paths: Vec<&str> =
        routes.lines().filter_map(|line| line.trim().strip_prefix("['")?.split('\'').next()).collect();
    assert!(paths.len() > 10, "the routes were not found");
    for path in paths {
        let page = admin.get(&path.replace(':', "")).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("id=\"announcer\""), "{path} is not the console");
    }
    let ask = |accept: &'static str| {
        let url = format!("{}/nothing/here", pair.provider.origin);
        admin.http().get(url).header("accept", accept).send()
    };
    let page = ask("text/html,application/xhtml+xml,*/*;q=0.8").await.unwrap();
    assert_eq!(page.status(), 404);
    let text = page.text().await.unwrap();
    assert!(text.contains("No such page") && text.contains("href=\"/\""), "{text}");
    for form in ["/sign-in/code", "/sign-in/code/verify", "/sign-out"] {
        let answer = admin.get(form).await;
        assert_eq!((answer.status, answer.location.as_deref()), (303, Some("/sign-in")), "{form}");
    }
    let plain = ask("application/json").await.unwrap();
    assert_eq!((plain.status().as_u16(), plain.text().await.unwrap().as_str()), (404, ""));
}

/// What is there when the browser opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A registration is open, its letter is there.
    Invited,
    /// Both instances are connected.
    Onboarded,
    /// The consumer has ten thousand connections and twenty issues, the provider ten thousand registrations.
    Crowded,
    /// Nothing is registered, and the provider's mail is off.
    WithoutMail,
}

/// Copies of the one connection, each to another origin.
const CROWD: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
    insert into connection (id, part, company_id, registration_id, link_id, origin, fingerprint, instance_id, public_key,
        peer_name, peer_version, state, scan_id, then_start, attempt_id, validated_at, onboarded_at, suspended_at, ended_at,
        attempts, link_secret, channel_id, message_seq, created_at, updated_at, revision, suspend_reason)
    select randomblob(16), part, company_id, null, randomblob(16),
        'https://partner-' || i || '.example.org', fingerprint, instance_id, public_key, 'Partner ' || i,
        peer_version, state, scan_id, then_start, attempt_id, validated_at, onboarded_at, suspended_at, ended_at,
        attempts, link_secret, null, message_seq, created_at, updated_at, revision, suspend_reason
    from (select * from connection limit 1), n";

/// Copies of the one registration, each of another instance.
const CROWD_OF_REGISTRATIONS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
    insert into registration select randomblob(16), number + i, company_id, contact_id,
        'https://partner-' || i || '.example.org', environment, state, null, banner, null, null, null, null, null, null, connection_id,
        ended_at, reason, last_attempt, created_by, created_at, updated_at, revision
    from (select * from registration limit 1), n";

/// An issue of each of twenty of them.
const BURDEN: &str = r#"insert into issue (id, check_code, subject_kind, subject_id, scan_id, state, blocking, message,
        evidence, remedy, seen_count, first_seen_at, last_seen_at, revision, severity_rank)
    select randomblob(16), 'DIRECTIONS_UP', 'CONNECTION', id, randomblob(16), 'OPEN', false, peer_name || ' is down.',
        '', '{"human": "Ask them."}', 1, created_at, created_at, 1, 3 from connection where peer_name like 'Partner%' limit 20"#;

async fn without_mail() -> Stage {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.set_to_now();
    pair.provider.config.mail.transport = TransportKind::Off;
    pair.run().await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    Stage { pair, provider, ready, registration: String::new(), link: String::new() }
}

/// Runs a script of `tests/node/browser` for two instances. Time runs meanwhile. The script may ask for what only the
/// host can do: it writes `@stop provider`, `@start provider`, `@later SECONDS`, or what breaks on the consumer (`@hang` or
/// `@throw` a check, `@break` a part of its key service, `@mend` all), and goes on when it is answered.
async fn browser(script: &str, scene: Scene) {
    let Some(chromium) = environment::chromium() else { return };
    let saboteur = Saboteur::new();
    let mut stage = match scene {
        Scene::WithoutMail => without_mail().await,
        Scene::Invited | Scene::Onboarded | Scene::Crowded => {
            Stage::open_now(Database::Sqlite, saboteur.clone()).await
        }
    };
    let colleague = "colleague@consumer.example.com";
    stage.pair.make_contact(&stage.provider, &stage.ready.company, colleague).await;
    for (name, role) in
        [("auditor", Role::KeyAuditor), ("manager", Role::KeyManager), ("second-manager", Role::KeyManager)]
    {
        let email = format!("{name}@consumer.example.com");
        stage.pair.consumer.user(&email, PASSWORD, &[Role::Viewer, role]).await;
    }
    for (name, role) in [("operator", Role::Operator), ("viewer", Role::Viewer), ("granter", Role::KeyAdmin)]
    {
        stage.pair.consumer.user(&format!("{name}@consumer.example.com"), PASSWORD, &[role]).await;
    }
    if matches!(scene, Scene::Onboarded | Scene::Crowded) {
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        stage.finishes(&consumer, &connection).await;
    }
    if scene == Scene::Crowded {
        stage.pair.consumer.tamper(CROWD).await;
        stage.pair.consumer.tamper(BURDEN).await;
        stage.pair.provider.tamper(CROWD_OF_REGISTRATIONS).await;
    }
    let _running = stage.pair.let_time_run();
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    std::fs::create_dir_all(&shots).unwrap();
    let mut command = tokio::process::Command::new("node");
    command
        .args(["--require", "../localhost.cjs", script])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/node/browser"))
        .env("CHROMIUM", chromium)
        .env("PROVIDER", &stage.pair.provider.origin)
        .env("CONSUMER", &stage.pair.consumer.origin)
        .env("PROVIDER_MAIL", &stage.pair.provider.config.mail.directory)
        .env("PASSWORD", PASSWORD)
        .env("COMPANY_ID", &stage.ready.company)
        .env("CONTACT_ID", &stage.ready.contact)
        .env("REGISTRATION_ID", &stage.registration)
        .env("SHOTS", shots)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("@stop", "provider") => stage.pair.provider.kill().await,
            ("@start", "provider") => stage.pair.provider.start(None).await,
            ("@later", seconds) => stage.pair.clock.advance(seconds.parse::<i64>().unwrap() * 1_000),
            ("@hang", check) => saboteur.hang(check),
            ("@throw", check) => saboteur.throw(check),
            ("@break", part) => saboteur.break_part(part),
            ("@mend", "") => saboteur.mend(),
            _ => {
                eprintln!("{line}");
                last = line;
                continue;
            }
        }
        answers.write_all(b"done\n").await.unwrap();
    }
    assert!(child.wait().await.unwrap().success() && last.ends_with(" passed, 0 failed"), "{script}: {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_goes_from_the_letter_to_onboarded() {
    browser("wizard.mjs", Scene::Invited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_shares_the_link_by_hand_and_connects_with_the_classic_form_and_the_guided_set_up() {
    browser("form.mjs", Scene::WithoutMail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_registers_a_consumer_in_the_provider_centre() {
    browser("provider.mjs", Scene::Invited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_is_told_of_what_fails_what_is_slow_and_what_is_over() {
    browser("frame.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_offers_each_person_what_they_may_do() {
    browser("rights.mjs", Scene::Invited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_shows_every_page_to_everybody() {
    browser("pages.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_lets_people_do_what_the_pages_are_for() {
    browser("daily.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_shows_every_page_that_works_without_script_and_every_refusal_on_one() {
    browser("doors.mjs", Scene::Invited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_says_what_goes_on_in_states_that_are_seldom_seen() {
    browser("states.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_looks_after_keys_with_their_policies_and_approvals() {
    browser("keys.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_lets_keys_in_and_out_when_two_people_agree() {
    browser("transfer.mjs", Scene::WithoutMail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_reads_every_letter() {
    browser("letters.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_follows_a_connection_down_and_up() {
    browser("live.mjs", Scene::Onboarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_finds_one_of_ten_thousand_connections() {
    browser("list.mjs", Scene::Crowded).await;
}
