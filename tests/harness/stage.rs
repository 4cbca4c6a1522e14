//! The journey up to a point, with everybody who has a part in it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::browser::{Consent, authorize};
use super::faults::Wire;
use super::pair::{PASSWORD, Ready};
use super::saboteur::Saboteur;
use super::{Client, Database, Pair};

/// An open registration, and its link on the way.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) provider: Client,
    pub(crate) ready: Ready,
    pub(crate) registration: String,
    pub(crate) link: String,
}

impl Stage {
    /// The registration is open and its letter arrived.
    pub(crate) async fn open(database: Database) -> Self {
        Self::open_over(Pair::start(database).await).await
    }

    /// As [`Stage::open`], at the time that it is: for people whose own clocks are right; `saboteur` breaks things on the
    /// consumer.
    pub(crate) async fn open_now(database: Database, saboteur: Arc<Saboteur>) -> Self {
        let mut pair = Pair::prepare(database).await;
        pair.set_to_now();
        // Whoever waits at a screen should not wait long for what cannot be reached.
        pair.consumer.config.outbound.connect_timeout_ms = 500;
        pair.run_with(Some(saboteur)).await;
        Self::open_over(pair).await
    }

    /// As [`Stage::open`], with a wire that the messages to the provider pass through.
    pub(crate) async fn open_wired(database: Database) -> (Self, Arc<Wire>) {
        let mut pair = Pair::prepare(database).await;
        let wire = Wire::breaking(&pair.clock, None);
        pair.provider.wire = Some(wire.clone());
        pair.run().await;
        (Self::open_over(pair).await, wire)
    }

    /// The same over instances that run already.
    pub(crate) async fn open_over(pair: Pair) -> Self {
        let provider = pair.provider_admin().await;
        let ready = pair.make_ready(&provider).await;
        let registration = pair.register(&provider, &ready).await;
        let link = pair.link_in_letter();
        Self { pair, provider, ready, registration, link }
    }

    /// Both sides stand: the consumer's administrator, and the connection there.
    pub(crate) async fn onboarded(database: Database) -> (Self, Client, String) {
        let stage = Self::open(database).await;
        let (consumer, connection) = stage.onboard().await;
        (stage, consumer, connection)
    }

    /// From the letter to both sides standing: the consumer's administrator, and the connection there.
    pub(crate) async fn onboard(&self) -> (Client, String) {
        let (consumer, connection) = self.validated().await;
        self.start(&consumer, &connection).await;
        self.finishes(&consumer, &connection).await;
        (consumer, connection)
    }

    /// The connection as the provider knows it.
    pub(crate) async fn providers_connection(&self) -> String {
        self.now().await["connection"]["id"].as_str().unwrap().to_owned()
    }

    /// The link is opened on the consumer and its checks passed: its administrator, and the connection.
    pub(crate) async fn validated(&self) -> (Client, String) {
        let consumer = self.pair.consumer_admin().await;
        let connection = self.pair.open_link(&consumer, &self.link).await;
        let now = self.pair.get_started(&consumer, &connection).await;
        assert_eq!(now["state"], "VALIDATED", "{now:#}");
        (consumer, connection)
    }

    /// Starts; the contact is asked when this returns, or something failed.
    pub(crate) async fn start(&self, consumer: &Client, connection: &str) -> Value {
        consumer
            .mutate("startOnboarding", json!({ "connectionId": connection }), "connection { state }")
            .await;
        self.pair.settle().await;
        self.pair.connection(consumer, connection).await
    }

    /// The page that the contact is shown.
    pub(crate) async fn consent(&self, browser: &Client, now: &Value, email: &str) -> Consent {
        let url = now["onboarding"]["authorizationUrl"].as_str().unwrap_or_else(|| panic!("{now:#}"));
        authorize(browser, url, email, PASSWORD).await
    }

    /// The registration as its administrator sees it.
    pub(crate) async fn now(&self) -> Value {
        self.pair.registration(&self.provider, &self.registration).await
    }

    /// Does something with the registration.
    pub(crate) async fn with_registration(&self, verb: &str) -> Value {
        let input = json!({ "registrationId": self.registration });
        let fields = if verb == "reissueRegistrationLink" {
            "link registration { state }"
        } else {
            "registration { state }"
        };
        let payload = self.provider.mutate(verb, input, fields).await;
        self.pair.settle().await;
        payload
    }

    /// A new link, as its administrator is shown it.
    pub(crate) async fn reissue(&self) -> String {
        let payload = self.with_registration("reissueRegistrationLink").await;
        payload["link"].as_str().unwrap_or_else(|| panic!("{payload:#}")).to_owned()
    }

    /// The contact approves, and both sides end connected.
    pub(crate) async fn finishes(&self, consumer: &Client, connection: &str) {
        self.pair.approve(consumer, connection).await;
        let done = self.pair.connection(consumer, connection).await;
        assert_eq!(done["state"], "ONBOARDED", "{done:#}");
        let closed = self.now().await;
        assert_eq!(closed["state"], "CLOSED_COMPLETE", "{closed:#}");
        assert_eq!(closed["connection"]["state"], "ONBOARDED");
    }
}

/// What stopped the attempt under way: code and reason.
pub(crate) fn failure(connection: &Value) -> (String, String) {
    let phases = connection["onboarding"]["phases"].as_array().unwrap_or_else(|| panic!("{connection:#}"));
    let failed = phases.iter().find(|phase| !phase["failure"].is_null());
    let failure = &failed.unwrap_or_else(|| panic!("{connection:#}"))["failure"];
    let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("reason"))
}
