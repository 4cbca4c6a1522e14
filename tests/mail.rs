//! Letters over a real mail server: STARTTLS with a private authority, authentication, and coming back later.

use std::process::Stdio;

use linkspan::mail::{SmtpTls, TransportKind};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::environment;
use crate::harness::pair::unfold;
use crate::harness::{Database, Pair};

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
    assert_eq!(taken["to"][0], crate::harness::pair::CONTACT);
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
    assert_eq!(taken["to"][0], crate::harness::pair::CONTACT);
    // Nothing waits to be sent again.
    let (_, given_up) = pair.provider.app().actions().job_counts().await.unwrap();
    assert_eq!(given_up, 0);
}
