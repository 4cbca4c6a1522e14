//! A provider and a consumer that know nothing of each other yet, and the steps that people take.

use std::sync::Arc;
use std::time::Duration;

use linkspan::domain::requester::Role;
use linkspan::world::{Interruption, ManualClock};
use serde_json::{Value, json};

use super::browser::{Consent, authorize, decide};
use super::{Authority, Client, Database, Instance, START_MS, Scratch};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CONTACT: &str = "contact@consumer.example.com";

/// Two instances.
pub(crate) struct Pair {
    pub(crate) provider: Instance,
    pub(crate) consumer: Instance,
    pub(crate) clock: Arc<ManualClock>,
    authority: Authority,
    scratch: Arc<Scratch>,
}

/// Time that runs; it stops with this.
pub(crate) struct RunningTime(tokio::task::JoinHandle<()>);

impl Drop for RunningTime {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a provider's administrator made ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) company: String,
    pub(crate) contact: String,
}

impl Pair {
    /// Both instances prepared, with nothing running: the configuration may be changed first.
    pub(crate) async fn prepare(database: Database) -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new(&scratch);
        let clock = Arc::new(ManualClock::at(START_MS));
        let provider = Instance::prepare("provider", database, &scratch, &authority, &clock).await;
        let consumer = Instance::prepare("consumer", database, &scratch, &authority, &clock).await;
        Self { provider, consumer, clock, authority, scratch }
    }

    /// Certificate and key files for another server of the test, from the same authority.
    pub(crate) fn issue(&self, host: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        self.authority.issue(&self.scratch, host)
    }

    /// The same, with the end of the certificate in seconds since 1970-01-01 UTC.
    pub(crate) fn issue_until(&self, host: &str, until: i64) -> (std::path::PathBuf, std::path::PathBuf) {
        self.authority.issue_until(&self.scratch, host, Some(until))
    }

    /// Files for the provider that are good between two years only, or from an authority that nobody knows.
    pub(crate) fn issue_for(
        &self,
        host: &str,
        years: Option<(i32, i32)>,
        unknown: bool,
    ) -> (std::path::PathBuf, std::path::PathBuf) {
        if unknown {
            let elsewhere = Scratch::new();
            return Authority::new(&elsewhere).issue_for(&self.scratch, host, years);
        }
        self.authority.issue_for(&self.scratch, host, years)
    }

    /// Both running, each with an administrator.
    pub(crate) async fn start(database: Database) -> Self {
        let mut pair = Self::prepare(database).await;
        pair.run().await;
        pair
    }

    pub(crate) async fn run(&mut self) {
        self.run_with(None).await;
    }

    /// As [`Pair::run`], with somebody who breaks things on the consumer.
    pub(crate) async fn run_with(&mut self, saboteur: Option<Arc<dyn Interruption>>) {
        self.provider.start(None).await;
        self.consumer.start(saboteur).await;
        self.provider.user("admin@provider.example.com", PASSWORD, &[Role::Admin]).await;
        self.make_consumer_admin().await;
    }

    /// An administrator of the consumer is made on its host.
    pub(crate) async fn make_consumer_admin(&self) {
        self.consumer.user("admin@consumer.example.com", PASSWORD, &[Role::Admin]).await;
    }

    pub(crate) async fn provider_admin(&self) -> Client {
        let client = self.provider.client();
        client.sign_in("admin@provider.example.com", PASSWORD).await;
        client
    }

    pub(crate) async fn consumer_admin(&self) -> Client {
        let client = self.consumer.client();
        client.sign_in("admin@consumer.example.com", PASSWORD).await;
        client
    }

    /// Waits until neither instance has anything to do now. Short waits of the protocol are skipped by moving the
    /// clock to where they end.
    pub(crate) async fn settle(&self) {
        self.settle_within(2_000).await;
    }

    /// Sets the clock to the time that it is.
    pub(crate) fn set_to_now(&self) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
        self.clock.advance(now - linkspan::world::Clock::now_ms(self.clock.as_ref()));
    }

    /// Lets the clock run as the world's does, until the guard is dropped: for people at browsers.
    pub(crate) fn let_time_run(&self) -> RunningTime {
        const TICK_MS: u64 = 20;
        let clock = self.clock.clone();
        RunningTime(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
            loop {
                ticks.tick().await;
                clock.advance(TICK_MS as i64);
            }
        }))
    }

    async fn settle_within(&self, patience_ms: i64) {
        let mut quiet = 0;
        for _ in 0..6_000 {
            let due = [self.provider.next_due_ms().await, self.consumer.next_due_ms().await];
            let now = linkspan::world::Clock::now_ms(self.clock.as_ref());
            match due.into_iter().flatten().min() {
                _ if self.provider.busy() + self.consumer.busy() > 0 => quiet = 0,
                Some(at) if at <= now => quiet = 0,
                Some(at) if at - now <= patience_ms => {
                    self.clock.advance(at - now);
                    quiet = 0;
                }
                _ => quiet += 1,
            }
            // Work that was just taken is not counted yet: quiet must last.
            if quiet > 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the instances do not come to rest");
    }

    /// Moves time on, and waits for what that causes.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.clock.advance(seconds * 1_000);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        self.settle().await;
    }

    /// Provider record, company and contact (who can sign in).
    pub(crate) async fn make_ready(&self, admin: &Client) -> Ready {
        admin
            .mutate(
                "saveProviderRecord",
                json!({ "name": "acme-exchange", "description": "Ours" }),
                "providerRecord { name }",
            )
            .await;
        let company =
            admin.mutate("createCompany", json!({ "name": "Consumer Ltd" }), "company { id }").await;
        let company = company["company"]["id"].as_str().unwrap().to_owned();
        let contact = self.make_contact(admin, &company, CONTACT).await;
        Ready { company, contact }
    }

    /// A contact with a password; set on the host, as their administrator would pass it on.
    pub(crate) async fn make_contact(&self, admin: &Client, company: &str, email: &str) -> String {
        let input = json!({ "companyId": company, "email": email, "name": "Named Contact" });
        let contact = admin.mutate("createContact", input, "contact { id }").await;
        let actions = self.provider.app().actions();
        let call = linkspan::actions::Call::system(actions.fresh_trace());
        let account = actions.account_by_email(&call, email).await.unwrap();
        actions.set_password(&call, account.id, PASSWORD.to_owned().into()).await.unwrap();
        contact["contact"]["id"].as_str().unwrap().to_owned()
    }

    /// Saves the registration of the consumer; its checks have run when this returns.
    pub(crate) async fn register(&self, admin: &Client, ready: &Ready) -> String {
        let input = json!({
            "companyId": ready.company, "contactId": ready.contact,
            "url": self.consumer.origin, "environment": "NON_PRODUCTION",
        });
        let made = admin.mutate("createRegistration", input, "registration { id state }").await;
        assert_eq!(made["registration"]["state"], "AWAITING_VALIDATION");
        self.settle().await;
        made["registration"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn registration(&self, admin: &Client, id: &str) -> Value {
        let query = "query($id: ID!) { registration(id: $id) { state number banner { text } link { publicId delivery contestedAt }
            connection { id state outbound { status } inbound { status } }
            issues { id check message blocking } } }";
        admin.query(query, json!({ "id": id })).await["registration"].clone()
    }

    pub(crate) async fn connection(&self, admin: &Client, id: &str) -> Value {
        let query = "query($id: ID!) { connection(id: $id) { id state outbound { status } inbound { status }
            onboarding { number state authorizationUrl phases { name state failure { code reason message } } }
            issues { id check message }
            actions { name allowed } } }";
        admin.query(query, json!({ "id": id })).await["connection"].clone()
    }

    /// The registration link in the latest letter.
    pub(crate) fn link_in_letter(&self) -> String {
        let letters = self.provider.letters();
        let link = format!("{}/connect#", self.consumer.origin);
        let mut texts = letters.iter().rev().map(|letter| unfold(letter));
        let text = texts.find(|text| text.contains(&link)).expect("a letter with a link");
        let start = text.find(&link).expect("a link");
        text[start..].split(|c: char| c.is_whitespace() || c == '"' || c == '<').next().unwrap().to_owned()
    }

    /// Opens the link and runs the checks; answers the connection.
    pub(crate) async fn open_link(&self, admin: &Client, link: &str) -> String {
        let opened =
            admin.mutate("openRegistrationLink", json!({ "link": link }), "connection { id state }").await;
        assert_eq!(opened["connection"]["state"], "PENDING");
        opened["connection"]["id"].as_str().unwrap().to_owned()
    }

    /// Chooses the provider company and gets started; the checks have run when this returns.
    pub(crate) async fn get_started(&self, admin: &Client, connection: &str) -> Value {
        let name = format!("Provider Inc {}", linkspan::world::Clock::now_ms(self.clock.as_ref()));
        let company = admin.mutate("createCompany", json!({ "name": name }), "company { id }").await;
        let input = json!({ "connectionId": connection, "companyId": company["company"]["id"] });
        admin.mutate("chooseProviderCompany", input, "connection { state }").await;
        admin
            .mutate("runPreOnboardingChecks", json!({ "connectionId": connection }), "connection { state }")
            .await;
        self.settle().await;
        self.connection(admin, connection).await
    }

    /// Starts, and approves as this person; everything has come to rest when this returns.
    pub(crate) async fn onboard(&self, admin: &Client, connection: &str) -> Value {
        admin.mutate("startOnboarding", json!({ "connectionId": connection }), "connection { state }").await;
        self.settle().await;
        self.approve(admin, connection).await;
        self.connection(admin, connection).await
    }

    /// The named contact approves on the provider, and the consumer hears of it.
    pub(crate) async fn approve(&self, admin: &Client, connection: &str) {
        let now = self.connection(admin, connection).await;
        let url = now["onboarding"]["authorizationUrl"].as_str().unwrap_or_else(|| panic!("{now:#}"));
        let browser = self.provider.client();
        let Consent::Asked(page) = authorize(&browser, url, CONTACT, PASSWORD).await else {
            panic!("the contact was not asked")
        };
        let back = decide(&browser, &page, "allow").await;
        let page = admin.get(&back).await;
        assert_eq!(page.status, 303, "{}", page.body);
        self.settle().await;
    }
}

/// A letter's text, out of its quoted-printable form (RFC 2045, 6.7) in one pass: `=3D26` is `=26`, not `&`.
pub(crate) fn unfold(letter: &str) -> String {
    let coding = letter.split("Content-Transfer-Encoding: ").nth(1).unwrap_or_default();
    if !coding.starts_with("quoted-printable") {
        return letter.replace("&amp;", "&");
    }
    let letter = letter.replace("=\r\n", "").replace("=\n", "");
    let mut parts = letter.split('=');
    let mut text = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                text.push(byte);
                text.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => text.extend([b"=", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&text).replace("&amp;", "&")
}
