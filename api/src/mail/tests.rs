use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::domain::person::{EmailAddress, PersonName};

const ID: &str = "0199a7c4-1111-7000-8000-000000000001";
const CANARY: &str = "canary-t0ken";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap()
}

fn reader() -> Recipient {
    Recipient {
        name: PersonName::parse("A Person").unwrap(),
        address: EmailAddress::parse("person@consumer.example").unwrap(),
    }
}

fn link(text: &str) -> Link {
    Link::parse(SecretString::from(text)).unwrap()
}

fn registration_link() -> RegistrationLink {
    RegistrationLink {
        provider_name: "Northwind-IT".into(),
        provider_origin: "https://provider.example".into(),
        company_name: "Lovelace & Söhne <b>".into(),
        consumer_origin: "https://consumer.example".into(),
        link: link(&format!(
            "https://consumer.example/connect#v=1&p=https://provider.example&r=r1&t={CANARY}"
        )),
        expires_at: now() + TimeDelta::days(7),
        registration_number: "REG-000001".into(),
        fingerprint: "12345 67890 12345 67890".into(),
    }
}

fn letters() -> Vec<Letter> {
    let code = SignInCode {
        instance_name: "Northwind-IT".into(),
        instance_origin: "https://provider.example".into(),
        code: SecretString::from("4711 0815"),
        minutes: 10,
        confirms: false,
    };
    let confirmation = SignInCode { confirms: true, ..code.clone() };
    let issues = IssueNews {
        instance_name: "Northwind-IT".into(),
        about: "REG-000001 (https://consumer.example)".into(),
        intro: "The checks found something about REG-000001 (https://consumer.example):".into(),
        issues: vec![
            ("The other instance's name has no address.".into(), "Correct the consumer URL.".into()),
            (
                "The account of A Person <person@consumer.example> is switched off, so nobody can approve."
                    .into(),
                "Activate the contact, or choose another.".into(),
            ),
        ],
        more: 12,
        url: link("https://provider.example/health?registration=1"),
        account_url: Some(link("https://provider.example/account")),
    };
    let complete = OnboardingComplete {
        instance_name: "Northwind-IT".into(),
        peer_name: "Lovelace".into(),
        peer_origin: "https://consumer.example".into(),
        fingerprint: "12345 67890 12345 67890".into(),
        established_at: now(),
        connection_url: link("https://provider.example/connections/1"),
    };
    vec![
        registration_link().letter(reader(), now()).unwrap(),
        code.letter(reader(), now()).unwrap(),
        issues.letter(reader(), now()).unwrap(),
        complete.letter(reader(), now()).unwrap(),
        confirmation.letter(reader(), now()).unwrap(),
    ]
}

/// A directory of this test's own, removed when it passes.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("linkspan-mail-{name}-{}", std::process::id())))
    }

    fn mailer(&self) -> Mailer {
        let config = MailConfig {
            directory: self.0.clone(),
            from_address: "linkspan@Provider.example".to_owned(),
            ..MailConfig::default()
        };
        Mailer::new(&config).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_letter_file_is_a_whole_message_that_only_we_can_read() {
    let directory = Directory::new("file");
    let mailer = directory.mailer();
    mailer.check().await.unwrap();
    let letter = registration_link().letter(reader(), now()).unwrap();
    mailer.send(&letter, ID).await.unwrap();
    mailer.send(&letter, ID).await.unwrap();

    let files: Vec<_> = std::fs::read_dir(&directory.0).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files, [directory.0.join(format!("20261118T110640Z-{ID}.eml"))]);
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let message = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(message.matches('\n').count(), message.matches("\r\n").count());
    let head = message.split("\r\n\r\n").next().unwrap();
    for line in [
        &format!("Message-ID: <{ID}@provider.example>"),
        "Date: Wed, 18 Nov 2026 11:06:40 +0000",
        "From: Linkspan <linkspan@provider.example>",
        "To: \"A Person\" <person@consumer.example>",
        "Subject: Connect your instance to Northwind-IT (REG-000001)",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.lines().any(|found| found == line), "{line} is not in\n{head}");
    }
}

#[test]
fn the_link_is_the_same_in_both_parts_and_nowhere_else() {
    let letter = registration_link().letter(reader(), now()).unwrap();
    let (text, html) = (expose(&letter.text), expose(&letter.html));
    let href = html.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    assert!(href.ends_with(CANARY));
    assert!(text.lines().any(|line| line.trim() == href), "{text}");
    assert_eq!((text.matches(CANARY).count(), html.matches(CANARY).count()), (1, 1));
    assert!(!letter.subject().contains(CANARY));
}

#[test]
fn what_people_typed_stays_text_on_one_line() {
    let mut it = registration_link();
    it.company_name = "Evil\r\nBcc: all@example.com\u{2028}<script>".into();
    let letter = it.letter(reader(), now()).unwrap();
    assert!(expose(&letter.text).contains("invites Evil  Bcc: all@example.com <script> to connect"));
    assert!(!expose(&letter.html).contains("<script>"));
}

#[test]
fn a_link_that_could_leave_its_attribute_is_refused() {
    for text in [
        "javascript:alert(1)",
        "https://a.example/\"x",
        "https://a.example/ x",
        "https://a.example/\r\nx",
        "/connect",
    ] {
        assert!(Link::parse(SecretString::from(text)).is_err(), "{text:?}");
    }
}

#[test]
fn no_secret_shows_when_printed() {
    let it = registration_link();
    let config = MailConfig {
        transport: TransportKind::Smtp,
        smtp: SmtpConfig {
            username: Some("user".to_owned()),
            password: Some(SecretString::from(CANARY)),
            ..SmtpConfig::default()
        },
        ..MailConfig::default()
    };
    let mailer = Mailer::new(&config).unwrap();
    let letter = it.letter(reader(), now()).unwrap();
    let printed = format!("{it:?} {letter:?} {config:?} {mailer:?}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[test]
fn every_letter_says_who_sent_it_and_that_replies_are_not_read() {
    for letter in letters() {
        let text = expose(&letter.text);
        assert!(text.starts_with("Hello A Person,\n"), "{text}");
        assert!(text.contains("\n--\nSent automatically by "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 78 || line.contains("https://")), "{text}");
        assert!(expose(&letter.html).contains("<html lang=\"en\">"));
    }
}

#[test]
fn a_long_line_goes_on_under_its_own_text() {
    let letters = letters();
    let text = expose(&letters[2].text);
    let lines = "- The account of A Person <person@consumer.example> is switched off, so nobody
  can approve.
  What to do: Activate the contact, or choose another.
";
    assert!(text.contains(lines), "{text}");
}

#[test]
fn a_configuration_that_would_send_in_clear_is_refused() {
    let config = |host: &str| MailConfig {
        transport: TransportKind::Smtp,
        smtp: SmtpConfig { host: host.to_owned(), tls: SmtpTls::None, ..SmtpConfig::default() },
        ..MailConfig::default()
    };
    for host in ["mail.example", "10.0.0.1", "localhost.example"] {
        assert!(matches!(Mailer::new(&config(host)), Err(MailConfigError::ClearText { .. })), "{host}");
    }
    for host in ["localhost", "127.0.0.1", "::1"] {
        assert!(Mailer::new(&config(host)).is_ok(), "{host}");
    }
}

#[test]
fn every_name_that_we_accept_makes_a_header_in_ascii() {
    let from = message::Sender(reader());
    let long = "漢".repeat(64);
    for name in [
        "O’Brien, Jr.",
        "\"A Person\" \\ <x@y.example>",
        "=?utf-8?b?QQ==?=",
        "a;b:c@d(e)",
        "می\u{200c}نا",
        &long,
    ] {
        let to = Recipient { name: PersonName::parse(name).unwrap(), ..reader() };
        let letter = registration_link().letter(to, now()).unwrap();
        let message = from.compose(&letter, ID).unwrap();
        let head = String::from_utf8(message.bytes).unwrap().split("\r\n\r\n").next().unwrap().to_owned();
        assert!(head.is_ascii() && head.lines().all(|line| line.len() <= 78), "{head}");
        assert_eq!(head.matches("\nTo: ").count(), 1, "{head}");
        assert_eq!(message.envelope.to().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_panic_ends_one_letter_and_not_the_worker() {
    let error = mailer::caught(async { panic!("as the builder once did") }).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.retry()), ("sending the letter panicked", Retry::Never));
}

#[test]
fn a_configuration_with_an_unknown_or_contradictory_field_is_refused() {
    let read = |json: serde_json::Value| serde_json::from_value::<MailConfig>(json);
    assert_eq!(read(serde_json::json!({})).unwrap().transport, TransportKind::File);
    let whole = serde_json::json!({"transport": "smtp", "smtp": {"tls": "starttls", "username": "u", "password": "p"}});
    assert!(Mailer::new(&read(whole).unwrap()).is_ok());
    for json in [
        serde_json::json!({"transprot": "smtp"}),
        serde_json::json!({"smtp": {"hots": "mail.example"}}),
        serde_json::json!({"smtp": {"tls": "opportunistic"}}),
    ] {
        assert!(read(json.clone()).is_err(), "{json}");
    }
    for smtp in [
        serde_json::json!({"username": "u"}),
        serde_json::json!({"password": "p"}),
        serde_json::json!({"username": "u", "password": "p", "password_file": "/dev/null"}),
        serde_json::json!({"username": "u", "password_file": "/dev/null"}),
        serde_json::json!({"ca_file": "/nonexistent"}),
        serde_json::json!({"timeout_seconds": 0}),
    ] {
        let config = read(serde_json::json!({"transport": "smtp", "smtp": smtp.clone()})).unwrap();
        assert!(Mailer::new(&config).is_err(), "{smtp}");
    }
}

#[tokio::test]
async fn a_message_id_that_could_break_a_header_is_refused() {
    let directory = Directory::new("id");
    let letter = registration_link().letter(reader(), now()).unwrap();
    for id in ["", "a\r\nBcc: x@y.example", "../../etc", "a@b>"] {
        let error = directory.mailer().send(&letter, id).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{id:?}");
    }
}

#[tokio::test]
async fn without_starttls_neither_account_nor_letter_leaves() {
    let (port, said) = server("250-plain.example\r\n250 AUTH PLAIN LOGIN\r\n").await;
    let error =
        smtp_mailer(port).send(&registration_link().letter(reader(), now()).unwrap(), ID).await.unwrap_err();
    assert!(matches!(error, MailError::NotPrivate(_)), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
    let said = said.await.unwrap();
    assert!(said.iter().all(|line| line.starts_with("EHLO") || line.starts_with("QUIT")), "{said:?}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_on_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mailer = smtp_mailer(listener.local_addr().unwrap().port());
    let error = mailer.check().await.unwrap_err();
    assert!(matches!(error, MailError::TimedOut { seconds: 1 } | MailError::Unreachable(_)), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
}

/// A server for one connection that answers EHLO with `capabilities`, and tells what it was told.
async fn server(capabilities: &'static str) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.split();
        write.write_all(b"220 plain.example\r\n").await.unwrap();
        let (mut lines, mut said) = (BufReader::new(read).lines(), Vec::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = if line.starts_with("EHLO") { capabilities } else { "250 ok\r\n" };
            said.push(line);
            if write.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
        said
    });
    (port, said)
}

fn smtp_mailer(port: u16) -> Mailer {
    let config = MailConfig {
        transport: TransportKind::Smtp,
        smtp: SmtpConfig {
            host: "127.0.0.1".to_owned(),
            port: Some(port),
            username: Some("user".to_owned()),
            password: Some(SecretString::from(CANARY)),
            timeout_seconds: 1,
            ..SmtpConfig::default()
        },
        ..MailConfig::default()
    };
    Mailer::new(&config).unwrap()
}

fn expose(text: &SecretString) -> &str {
    secrecy::ExposeSecret::expose_secret(text)
}
