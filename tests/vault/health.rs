//! The health of the key service as it is announced: what ails, and that it does no more.

use linkspan::domain::requester::Role;
use linkspan::vault::Form;
use serde_json::{Value, json};

use super::{DEADLINE, signal};
use crate::harness::events::Events;
use crate::harness::pair::{CONTACT, PASSWORD};
use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Pair};

const LIVE: &str = "subscription($after: String) { keyHealthChanged(after: $after) {
    cursor kind state stateLabel keyHealth { status reason components { name code } } } }";

async fn listen(client: &Client, after: Option<&Value>) -> Events {
    client.subscribe(LIVE, json!({ "after": after })).await
}

fn told(event: &Value) -> (&str, &str) {
    (event["kind"].as_str().unwrap(), event["state"].as_str().unwrap())
}

/// A pair whose provider's key service is a process that is asked with a short deadline.
async fn start(database: Database) -> Pair {
    let mut pair = Pair::prepare(database).await;
    pair.provider.config.keyservice.form = Form::Process;
    pair.provider.config.keyservice.deadline_ms = DEADLINE.as_millis() as u64;
    pair.provider.config.keyservice.hang_ms = 120_000;
    pair.run().await;
    pair
}

fn process(pair: &Pair) -> u32 {
    pair.provider.app().actions().keys().process().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_ask_for_the_health_hears_that_the_process_ended_and_that_it_is_back() {
    for database in Database::available() {
        let pair = start(database).await;
        // Key roles alone, and no role at all: neither sees anything else in the log of changes.
        let manager = pair.provider.person("manager", &[Role::KeyManager]).await;
        let other = pair.provider.person("other", &[]).await;
        let (mut heard, mut by_other) = (listen(&manager, None).await, listen(&other, None).await);
        let present = heard.expect().await;
        assert_eq!(told(&present), ("PRESENT", "OPERATIONAL"), "{present:#}");
        assert_eq!(told(&by_other.expect().await), ("PRESENT", "OPERATIONAL"));

        signal("-KILL", process(&pair));
        let fell = heard.expect().await;
        assert_eq!(told(&fell), ("UPDATED", "MALFUNCTION"), "{fell:#}");
        assert!(
            fell["keyHealth"]["components"].is_array(),
            "each part, to whoever looks after keys: {fell:#}"
        );
        let back = heard.expect().await;
        assert_eq!(told(&back), ("UPDATED", "OPERATIONAL"), "{back:#}");
        assert_eq!(back["keyHealth"]["status"], "OPERATIONAL", "{back:#}");
        for expected in ["MALFUNCTION", "OPERATIONAL"] {
            let event = by_other.expect().await;
            assert_eq!(told(&event), ("UPDATED", expected), "{event:#}");
            assert!(event["keyHealth"]["components"].is_null(), "status and reason alone: {event:#}");
        }

        // Whoever comes back with the last cursor missed nothing.
        let mut resumed = listen(&other, Some(&present["cursor"])).await;
        assert_eq!(resumed.expect().await["cursor"], fell["cursor"]);
        assert_eq!(resumed.expect().await["cursor"], back["cursor"]);

        let admin = pair.provider_admin().await;
        pair.make_ready(&admin).await;
        let contact = pair.provider.client();
        contact.sign_in(CONTACT, PASSWORD).await;
        let refused = listen(&contact, None).await.next().await.unwrap();
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_ails_is_announced_once_by_the_measurement_that_finds_it() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let saboteur = Saboteur::new();
        pair.provider.start(Some(saboteur.clone())).await;
        let auditor = pair.provider.person("auditor", &[Role::KeyAuditor]).await;
        let mut heard = listen(&auditor, None).await;
        assert_eq!(told(&heard.expect().await), ("PRESENT", "OPERATIONAL"));
        let announced = "change where subject_kind = 'KEY_HEALTH'";
        saboteur.break_part("CLOCK");
        pair.advance(20).await;
        let clock = heard.expect().await;
        pair.advance(20).await;
        assert_eq!(pair.provider.rows(announced).await, 1, "as long as it stays so");
        // The whole stays as it is; another part ails.
        saboteur.break_part("ENTROPY");
        pair.advance(20).await;
        let entropy = heard.expect().await;
        assert_eq!((told(&clock), told(&entropy)), (("UPDATED", "MALFUNCTION"), ("UPDATED", "MALFUNCTION")));
        saboteur.mend();
        pair.advance(20).await;
        assert_eq!(told(&heard.expect().await), ("UPDATED", "OPERATIONAL"));
        assert_eq!(pair.provider.rows(announced).await, 3);

        // It broke before the instance was stopped, and works when it is started again.
        saboteur.break_part("CLOCK");
        pair.advance(20).await;
        let last = heard.expect().await["cursor"].clone();
        pair.provider.kill().await;
        pair.provider.start(None).await;
        pair.advance(20).await;
        let mut again = listen(&auditor, Some(&last)).await;
        assert_eq!(told(&again.expect().await), ("UPDATED", "OPERATIONAL"), "what changed meanwhile is told");
    }
}
