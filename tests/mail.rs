//! Letters over a real mail server: STARTTLS with a private authority, authentication, and coming back later.

use std::collections::BTreeSet;
use std::process::Stdio;

use linkspan::mail::{SmtpTls, TransportKind};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::environment;
use crate::harness::browser::{Form, form};
use crate::harness::pair::{CONTACT, unfold};
use crate::harness::{Database, Pair, Stage};

/// A mail server that runs beside the instances.
struct Server {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    async fn start(pair: &Pair, refuse: u32) -> Self {
        let (certificate, key) = pair.issue("localhost");
        let mut process = Command::new("node")
            .arg("smtp.mjs")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/node"))
            .env("CERT", certificate)
            .env("KEY", key)
            .env("SMTP_USER", "linkspan")
            .env("SMTP_PASS", "a mail password")
            .env("REFUSE", refuse.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        Self { _process: process, lines, port }
    }

    async fn letter(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }
}

/// The provider sends its letters through this server.
async fn mailing(refuse: u32) -> (Pair, Server) {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    let server = Server::start(&pair, refuse).await;
    let mail = &mut pair.provider.config.mail;
    mail.transport = TransportKind::Smtp;
    mail.from_address = "linkspan@provider.example.com".to_owned();
    mail.smtp.host = "localhost".to_owned();
    mail.smtp.port = Some(server.port);
    mail.smtp.tls = SmtpTls::StartTls;
    mail.smtp.username = Some("linkspan".to_owned());
    mail.smtp.password = Some("a mail password".to_owned().into());
    mail.smtp.ca_file = pair.provider.config.outbound.extra_ca_files.first().cloned();
    pair.run().await;
    (pair, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_mail_server_takes_the_letter_encrypted_and_its_link_onboards() {
    if !environment::node() {
        return;
    }
    let (pair, mut server) = mailing(0).await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    pair.register(&provider, &ready).await;
    let taken = server.letter().await;
    assert_eq!((&taken["secure"], &taken["user"]), (&true.into(), &"linkspan".into()));
    assert_eq!(taken["to"][0], CONTACT);
    let text = unfold(taken["letter"].as_str().unwrap());
    let start = text.find(&format!("{}/connect#", pair.consumer.origin)).unwrap();
    let link = text[start..].split(|c: char| c.is_whitespace() || c == '"').next().unwrap();

    let consumer = pair.consumer_admin().await;
    let connection = pair.open_link(&consumer, link).await;
    assert_eq!(pair.get_started(&consumer, &connection).await["state"], "VALIDATED");
    assert_eq!(pair.onboard(&consumer, &connection).await["state"], "ONBOARDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_mail_server_that_says_later_gets_the_letter_later_and_once() {
    if !environment::node() {
        return;
    }
    let (pair, mut server) = mailing(1).await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    let registration = pair.register(&provider, &ready).await;
    assert_eq!(pair.registration(&provider, &registration).await["state"], "OPEN");
    pair.advance(5).await;
    let taken = server.letter().await;
    assert_eq!(taken["to"][0], CONTACT);
    // Nothing waits to be sent again.
    let (_, given_up) = pair.provider.app().actions().job_counts().await.unwrap();
    assert_eq!(given_up, 0);
}

/// Every letter that an onboarding and its issues cause, as whoever reads text sees it.
async fn letters_of_a_life() -> (Stage, Vec<String>) {
    let pair = Pair::start(Database::Sqlite).await;
    let provider = pair.provider_admin().await;
    let ready = pair.make_ready(&provider).await;
    let switch = async |on: bool| {
        let input = json!({ "userId": ready.contact, "active": on });
        provider.mutate("updateContact", input, "contact { active }").await;
    };
    switch(false).await;
    let registration = pair.register(&provider, &ready).await;
    switch(true).await;
    let again = json!({ "registrationId": registration });
    provider.mutate("revalidateRegistration", again, "registration { state }").await;
    pair.settle().await;
    let link = pair.link_in_letter();
    let stage = Stage { pair, provider, ready, registration, link };
    stage.onboard().await;
    let visitor = stage.pair.provider.client();
    let page = visitor.get("/sign-in").await;
    let form = Form { action: "/sign-in/code".to_owned(), ..form(&page, &["email"]) };
    visitor.submit(&page, form, &[("email", CONTACT)]).await;
    stage.pair.settle().await;
    let letters = stage.pair.provider.letters().iter().map(|letter| unfold(letter)).collect();
    (stage, letters)
}

/// Every address in a letter, without its fragment; those within another address are not for readers.
fn addresses(letter: &str) -> BTreeSet<String> {
    let starts = letter.match_indices("https://").map(|(at, _)| at);
    let own = starts.filter(|at| !letter[..*at].ends_with('='));
    let whole = |at: usize| {
        let end = letter[at..].find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | ')' | '#'));
        letter[at..end.map_or(letter.len(), |end| at + end)].trim_end_matches(['.', ':', ',']).to_owned()
    };
    own.map(whole).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_address_in_every_letter_leads_to_a_page_that_is_there() {
    let (stage, letters) = letters_of_a_life().await;
    let admin = stage.pair.consumer_admin().await;
    let mut paths = BTreeSet::new();
    for letter in &letters {
        for address in addresses(letter) {
            let reader =
                if address.starts_with(&stage.pair.consumer.origin) { &admin } else { &stage.provider };
            let mut page = reader.get(&address).await;
            if let (303, Some(to)) = (page.status, page.location.clone()) {
                assert!(!to.starts_with("/sign-in"), "{address} wants a sign-in of whoever is signed in");
                page = reader.get(&to).await;
            }
            assert_eq!(page.status, 200, "{address} in\n{letter}");
            let url = url::Url::parse(&page.url).unwrap();
            paths.insert(format!("{}?{}", url.path(), url.query().unwrap_or_default()));
        }
    }
    let health = format!("/health?registration={}", stage.registration);
    for path in ["/connect?", "/account?", &health] {
        assert!(paths.contains(path), "{path} is not among {paths:#?}");
    }
    let subjects = ["Connect your instance", "issues about", "sign-in code", "Connected to"];
    for subject in subjects {
        assert!(letters.iter().any(|letter| letter.contains(subject)), "no letter about {subject}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issues_letter_says_what_its_remedy_does() {
    let (_stage, letters) = letters_of_a_life().await;
    let found = letters.iter().find(|letter| letter.contains("switched off")).unwrap();
    assert!(found.contains("What to do: Switch the contact's account on"), "{found}");
    assert!(found.contains("Choose it under Your account"), "{found}");
}
