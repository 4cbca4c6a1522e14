//! No secret is anywhere but where it belongs: not in a log line, an answer, a table or a letter.
//!
//! Whatever the instances draw from their entropy is recorded. A draw whose digest one of the tables keeps is a secret:
//! a link, a code, a token, a cookie. So this holds for the kinds of secrets that are yet to come, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use keyservice::{Entropy, SystemEntropy};
use ring::digest::{SHA256, digest};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde_json::json;

use crate::harness::browser::{Consent, Form, authorize, decide, form};
use crate::harness::log::Log;
use crate::harness::pair::{CONTACT, PASSWORD, unfold};
use crate::harness::{Client, Database, Instance, Pair};

/// The machine's entropy, with everything that was drawn from it.
#[derive(Default)]
struct Recorded(Mutex<Vec<Vec<u8>>>);

impl Entropy for Recorded {
    fn fill(&self, out: &mut [u8]) -> Result<(), keyservice::Error> {
        SystemEntropy.fill(out)?;
        self.0.lock().unwrap().push(out.to_vec());
        Ok(())
    }
}

/// All rows of all tables, each as `table.column = value`; bytes as lower-case hexadecimal.
async fn dump(instance: &Instance) -> Vec<(String, String)> {
    let db = sea_orm::Database::connect(&instance.config.database.url).await.unwrap();
    let mut cells = Vec::new();
    for (table, column) in columns(&db).await {
        let cell = match db.get_database_backend() {
            DbBackend::Sqlite => format!("quote(\"{column}\")"),
            _ => format!("\"{column}\"::text"),
        };
        let query = format!("select {cell} as cell from \"{table}\" where \"{column}\" is not null");
        for row in db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await.unwrap() {
            cells.push((format!("{table}.{column}"), row.try_get::<String>("", "cell").unwrap()));
        }
    }
    db.close().await.unwrap();
    cells
}

async fn columns(db: &DatabaseConnection) -> Vec<(String, String)> {
    let query = match db.get_database_backend() {
        DbBackend::Sqlite => {
            "select t.name as t, c.name as c from sqlite_master t join pragma_table_info(t.name) c where t.type = 'table'"
        }
        _ => {
            "select table_name::text as t, column_name::text as c from information_schema.columns where table_schema = 'public'"
        }
    };
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "t").unwrap(), row.try_get("", "c").unwrap())).collect()
}

/// A secret, and each form in which it might be written.
struct Secret {
    what: String,
    forms: BTreeSet<String>,
}

impl Secret {
    fn bytes(what: impl Into<String>, bytes: &[u8]) -> Self {
        let mut forms = BTreeSet::new();
        for text in [BASE64URL_NOPAD.encode(bytes), BASE64.encode(bytes), HEXLOWER.encode(bytes)] {
            // The text may also have been kept as bytes.
            forms.insert(HEXLOWER.encode(text.as_bytes()));
            forms.insert(text);
        }
        forms.insert(format!("{bytes:?}"));
        Self { what: what.into(), forms }
    }

    fn text(what: impl Into<String>, text: &str) -> Self {
        let forms = [text.to_owned(), HEXLOWER.encode(text.as_bytes())];
        Self { what: what.into(), forms: forms.into() }
    }

    fn is_in(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.forms.iter().any(|form| text.contains(form) || lower.contains(&form.to_lowercase()))
    }
}

/// The draws of which the tables keep a digest, by the column that keeps it.
fn digested(draws: &[Vec<u8>], cells: &[(String, String)]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut kept: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let columns: Vec<_> = cells.iter().filter(|(column, _)| column.ends_with("digest")).collect();
    for draw in draws.iter().filter(|draw| draw.len() == 32) {
        let text = BASE64URL_NOPAD.encode(draw);
        let texts =
            [text.clone(), format!("lsp_{text}"), format!("urn:ietf:params:oauth:request_uri:{text}")];
        let mut digests: Vec<_> = texts.iter().map(|text| digest(&SHA256, text.as_bytes())).collect();
        digests.push(digest(&SHA256, draw));
        let digests: Vec<_> = digests.iter().map(|digest| HEXLOWER.encode(digest.as_ref())).collect();
        for (column, cell) in &columns {
            let cell = cell.to_lowercase();
            if digests.iter().any(|digest| cell.contains(digest)) {
                kept.entry(column.clone()).or_default().push(draw.clone());
            }
        }
    }
    kept
}

/// Everything in which no secret may be.
struct Haystack {
    log: String,
    cells: Vec<(String, String)>,
    heard: Vec<String>,
    letters: Vec<String>,
    files: Vec<Vec<u8>>,
}

impl Haystack {
    async fn of(instances: [&Instance; 2], clients: &[&Client], log: &Log) -> Self {
        let mut found = Self {
            log: log.take(),
            cells: Vec::new(),
            heard: Vec::new(),
            letters: Vec::new(),
            files: Vec::new(),
        };
        for instance in instances {
            found.cells.extend(dump(instance).await);
            found.letters.extend(instance.letters().iter().map(|letter| unfold(letter)));
            // What was overwritten may still lie in the file.
            for name in ["linkspan.db", "linkspan.db-wal"] {
                found.files.extend(std::fs::read(instance.config.data_dir.join(name)));
            }
        }
        found
            .heard
            .extend(clients.iter().flat_map(|client| std::mem::take(&mut *client.heard.lock().unwrap())));
        found
    }

    fn search_log(&self, secret: &Secret) {
        let line = self.log.lines().find(|line| secret.is_in(line));
        assert!(line.is_none(), "{} is in the log: {line:?}", secret.what);
    }

    /// Where a secret is: in how many letters and answers, and wherever it must never be.
    fn search(&self, secret: &Secret, letters: usize, answers: usize) {
        self.search_log(secret);
        let what = &secret.what;
        let cell = self.cells.iter().find(|(_, cell)| secret.is_in(cell));
        assert!(cell.is_none(), "{what} is in the database: {cell:?}");
        let in_files = self.files.iter().any(|file| {
            secret.forms.iter().any(|form| file.windows(form.len()).any(|window| window == form.as_bytes()))
        });
        assert!(!in_files, "{what} is in the file of the database");
        let found: Vec<_> = self.letters.iter().filter(|letter| secret.is_in(letter)).collect();
        assert_eq!(found.len(), letters, "{what} in letters: {found:?}");
        let found: Vec<_> = self.heard.iter().filter(|answer| secret.is_in(answer)).collect();
        assert_eq!(found.len(), answers, "{what} in answers: {found:?}");
    }
}

/// What the requests of people and programs put at risk, besides the journey itself.
async fn misuse(admin: &Client, consumer: &Client, link: &str) {
    let wrong = [
        (
            "mutation($input: OpenRegistrationLinkInput!) { openRegistrationLink(input: $input) { refusal { code } } }",
            json!({ "input": { "link": link, "linc": link } }),
        ),
        (
            "mutation($input: OpenRegistrationLinkInput!) { openRegistrationLink(input: $input) { refusal { code } } }",
            json!({ "input": { "link": [link], "idempotencyKey": 5 } }),
        ),
        (
            "query($link: String!) { registrationPreview(link: $link) { registrationNumber } }",
            json!({ "link": [link] }),
        ),
        (
            "query($link: Int!) { registrationPreview(link: $link) { registrationNumber } }",
            json!({ "link": link }),
        ),
        (
            "mutation($input: CreateUserInput!) { createUser(input: $input) { refusal { code message } } }",
            json!({ "input": { "email": "not-an-address", "name": "N", "password": PASSWORD, "roles": ["NONE"] } }),
        ),
        (
            "mutation($input: CreateUserInput!) { createUser(input: $input) { refusal { code message } } }",
            json!({ "input": { "email": "not-an-address", "name": "N", "password": PASSWORD, "roles": [] } }),
        ),
    ];
    for (query, variables) in wrong {
        for client in [admin, consumer] {
            client.raw(query, variables.clone()).await;
        }
    }
}

struct Found {
    link: String,
    code: String,
    token: String,
    cookies: Vec<String>,
    back: String,
}

/// The whole journey, with a sign-in by code, an access token, and mistakes on the way.
async fn journey(pair: &Pair, clients: &[&Client; 3]) -> Found {
    let [admin, consumer, contact] = clients;
    let token = admin
        .mutate(
            "createAccessToken",
            json!({ "name": "program", "days": 2, "idempotencyKey": "token" }),
            "secret",
        )
        .await;
    let token = token["secret"].as_str().unwrap().to_owned();
    let program = pair.provider.client().with_token(&token);
    program.query("{ viewer { email } }", json!({})).await;

    let ready = pair.make_ready(admin).await;
    pair.register(admin, &ready).await;
    let link = pair.link_in_letter();
    misuse(admin, consumer, &link).await;
    let page = consumer.get(link.split('#').next().unwrap()).await;
    assert_eq!(page.status, 200);
    let connection = pair.open_link(consumer, &link).await;
    pair.get_started(consumer, &connection).await;
    consumer.mutate("startOnboarding", json!({ "connectionId": connection }), "connection { state }").await;
    pair.settle().await;

    let code = sign_in_by_code(pair, contact).await;

    let now = pair.connection(consumer, &connection).await;
    let url = now["onboarding"]["authorizationUrl"].as_str().unwrap();
    let Consent::Asked(page) = authorize(contact, url, CONTACT, PASSWORD).await else { panic!("not asked") };
    let back = decide(contact, &page, "allow").await;
    assert_eq!(consumer.get(&back).await.status, 303);
    // Back again, as with the browser's button: the code is spent.
    consumer.get(&back).await;
    pair.settle().await;
    let done = pair.connection(consumer, &connection).await;
    assert_eq!(done["state"], "ONBOARDED", "{done:#}");
    let cookies = clients
        .iter()
        .flat_map(|client| client.cookies.lock().unwrap().values().cloned().collect::<Vec<_>>());
    Found { link, code, token, cookies: cookies.collect(), back }
}

/// Signs the contact in with a code from a letter, after a wrong password; answers the code.
async fn sign_in_by_code(pair: &Pair, contact: &Client) -> String {
    let page = contact.get("/sign-in").await;
    let wrong = form(&page, &["password", "email"]);
    let page = contact.submit(&page, wrong, &[("email", CONTACT), ("password", "not the password")]).await;
    assert_ne!(page.status, 303);
    let ask = Form { action: "/sign-in/code".to_owned(), ..form(&page, &["email"]) };
    let page = contact.submit(&page, ask, &[("email", CONTACT)]).await;
    pair.settle().await;
    let code = code_in(pair.provider.letters().last().unwrap());
    let page = contact.submit(&page, form(&page, &["code"]), &[("email", CONTACT), ("code", &code)]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    code
}

/// The eight digits of a letter with a code.
pub(crate) fn code_in(letter: &str) -> String {
    let text = unfold(letter);
    let mut words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() == 8);
    words.next().unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

async fn nowhere(database: Database, log: &Log) {
    let mut pair = Pair::prepare(database).await;
    let drawn: [Arc<Recorded>; 2] = Default::default();
    pair.provider.draw_from(drawn[0].clone());
    pair.consumer.draw_from(drawn[1].clone());
    pair.run().await;
    let (admin, consumer, contact) =
        (pair.provider_admin().await, pair.consumer_admin().await, pair.provider.client());
    let clients = [&admin, &consumer, &contact];
    let found = journey(&pair, &clients).await;
    let refused = "mutation { createCompany(input: { name: \"\" }) { refusal { traceId } } }";
    let refused = admin.query(refused, json!({})).await;
    let trace = refused["createCompany"]["refusal"]["traceId"].as_str().unwrap();
    assert!(log.peek().contains(trace), "a refusal leads to the log");

    let haystack = Haystack::of([&pair.provider, &pair.consumer], &clients, log).await;
    assert!(haystack.log.lines().count() > 20 && haystack.cells.len() > 200, "there is something to search");
    let secret = found.link.split("&t=").nth(1).unwrap();
    haystack.search(&Secret::text("the link's secret", secret), 1, 0);
    haystack.search(&Secret::bytes("the link's secret", &HEXLOWER.decode(secret.as_bytes()).unwrap()), 1, 0);
    haystack.search(&Secret::text("the one-time code", &found.code), 1, 0);
    haystack.search(&Secret::text("the password", PASSWORD), 0, 0);
    haystack.search(&Secret::text("the mistyped password", "not the password"), 0, 0);
    haystack.search(&Secret::text("the access token", &found.token), 0, 1);
    for cookie in &found.cookies {
        haystack.search(&Secret::text("a cookie", cookie), 0, 0);
    }
    let back = url::Url::parse(&found.back).unwrap();
    let given: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    haystack.search(&Secret::text("the authorization code", &given["code"]), 0, 0);
    for instance in [&pair.provider, &pair.consumer] {
        let root = std::fs::read(instance.config.root_key_file.as_ref().unwrap()).unwrap();
        haystack.search(&Secret::bytes("the root key", &root), 0, 0);
    }
    let mut kinds = BTreeSet::new();
    for draws in &drawn {
        let draws = draws.0.lock().unwrap().clone();
        for (column, draws) in digested(&draws, &haystack.cells) {
            for draw in draws {
                let secret = Secret::bytes(format!("what {column} is the digest of"), &draw);
                match column.as_str() {
                    // The handle of a pushed request stands in the browser's address by design (RFC 9126, 2.2).
                    "authorization_request.request_digest" => haystack.search_log(&secret),
                    "registration.link_digest" | "spent_link.digest" => haystack.search(&secret, 1, 0),
                    "access_token.digest" => haystack.search(&secret, 0, 1),
                    _ => haystack.search(&secret, 0, 0),
                }
            }
            kinds.insert(column);
        }
    }
    let expected = [
        "access_token.digest",
        "authorization_request.code_digest",
        "authorization_request.token_digest",
        "session.digest",
    ];
    assert!(expected.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_anywhere_but_where_it_belongs() {
    let log = Log::start();
    for database in Database::available() {
        nowhere(database, &log).await;
    }
}
