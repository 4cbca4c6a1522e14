//! A link: opened as often as anybody likes, redeemed once, and refused with the reason when it is not good.

use futures_util::future::join_all;
use linkspan::actions::Call;
use linkspan::peer::wire;
use serde_json::{Value, json};

use crate::harness::instance::connection_id;
use crate::harness::stage::failure;
use crate::harness::{Client, Database, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_opened_fifty_times_is_not_redeemed() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let consumer = stage.pair.consumer_admin().await;
        let scanner = stage.pair.consumer.client();
        let mut opened = Vec::new();
        for _ in 0..50 {
            assert_eq!(scanner.get("/connect").await.status, 200);
            opened.push(stage.pair.open_link(&consumer, &stage.link).await);
        }
        opened.dedup();
        assert_eq!(opened.len(), 1, "one connection, however often");
        stage.pair.settle().await;
        assert_eq!(stage.pair.consumer.rows("connection").await, 1);
        assert_eq!(stage.pair.provider.rows("claim").await, 0);
        assert_eq!(stage.now().await["state"], "OPEN");

        let valid = stage.pair.get_started(&consumer, &opened[0]).await;
        assert_eq!(valid["state"], "VALIDATED", "{valid:#}");
        stage.start(&consumer, &opened[0]).await;
        stage.finishes(&consumer, &opened[0]).await;
    }
}

/// The consumer's claim to its connection, as it would send it.
async fn claim_of(stage: &Stage, connection: &str) -> wire::Claim {
    let id = connection_id(connection);
    let actions = stage.pair.consumer.app().actions();
    actions.make_claim(&Call::system(actions.fresh_trace()), id, false).await.unwrap()
}

async fn redeem(stage: &Stage, claim: &wire::Claim) -> (u16, Value) {
    stage.pair.provider.client().post_json(wire::CLAIM, &serde_json::to_value(claim).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_claims_at_once_are_one_attempt() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let claims = join_all((0..200).map(|_| claim_of(&stage, &connection))).await;
        let sender = stage.pair.provider.client();
        let bodies: Vec<Value> = claims.iter().map(|claim| serde_json::to_value(claim).unwrap()).collect();
        let answers = join_all(bodies.iter().map(|body| sender.post_json(wire::CLAIM, body))).await;
        for (status, answer) in &answers {
            assert_eq!(*status, 200, "{answer}");
        }
        stage.pair.settle().await;
        let (status, bound) = redeem(&stage, &claims[0]).await;
        assert_eq!(status, 200, "{bound}");
        let (_, other) = redeem(&stage, &claims[199]).await;
        assert_eq!(bound, other, "all are the same claim");
        for rows in ["connection", "attempt", "claim where state = 'BOUND'", "claim where rehearsal = false"]
        {
            assert_eq!(stage.pair.provider.rows(rows).await, 1, "{rows}");
        }
        stage.start(&consumer, &connection).await;
        stage.finishes(&consumer, &connection).await;
        assert_eq!(stage.pair.provider.rows("connection").await, 1);
        assert_eq!(stage.pair.provider.rows("attempt").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_two_instances_prove_is_contested_until_it_is_made_anew() {
    for database in Database::available() {
        let mut stage = Stage::open(database).await;
        let (first, _) = stage.validated().await;
        // At the same address, another instance gets hold of the link, and of its administrator.
        let mut stranger = stage.pair.consumer.stranger(database).await;
        stage.pair.consumer.kill().await;
        std::mem::swap(&mut stage.pair.consumer, &mut stranger);
        stage.pair.consumer.start(None).await;
        stage.pair.make_consumer_admin().await;
        let (second, theirs) = stage.validated().await;
        let asked = stage.start(&second, &theirs).await;
        assert!(asked["onboarding"]["authorizationUrl"].is_string(), "{asked:#}");
        assert_eq!(stage.now().await["state"], "WORK_IN_PROGRESS");

        // The first one comes back and redeems the same link with its own key.
        stage.pair.consumer.kill().await;
        std::mem::swap(&mut stage.pair.consumer, &mut stranger);
        stage.pair.consumer.start(None).await;
        drop(first);
        let first = stage.pair.consumer_admin().await;
        let ours = only_connection(&first).await;
        let refused = stage.start(&first, &ours).await;
        assert_eq!(failure(&refused).0, "LINK_CONTESTED", "{refused:#}");
        let frozen = stage.now().await;
        assert_eq!(frozen["state"], "OPEN");
        assert!(frozen["link"]["contestedAt"].is_string(), "{frozen:#}");
        assert!(frozen["connection"].is_null(), "nobody goes on");
        assert_eq!(
            stage
                .pair
                .provider
                .rows("audit where operation = 'registration.contested' and result = 'ALERT'")
                .await,
            1
        );

        // The other is refused as well.
        stage.pair.consumer.kill().await;
        std::mem::swap(&mut stage.pair.consumer, &mut stranger);
        stage.pair.consumer.start(None).await;
        let second = stage.pair.consumer_admin().await;
        second.mutate("startOver", json!({ "connectionId": theirs }), "connection { state }").await;
        stage.pair.settle().await;
        assert_eq!(failure(&stage.pair.connection(&second, &theirs).await).0, "LINK_CONTESTED");

        // A new link, and only it, works again.
        let link = stage.reissue().await;
        assert!(stage.now().await["link"]["contestedAt"].is_null());
        second.mutate("cancelOnboarding", json!({ "connectionId": theirs }), "connection { state }").await;
        stage.link = link;
        let (second, theirs) = stage.validated().await;
        stage.start(&second, &theirs).await;
        stage.finishes(&second, &theirs).await;
    }
}

async fn only_connection(client: &Client) -> String {
    let found = client.query("{ connections { edges { node { id } } } }", json!({})).await;
    found["connections"]["edges"][0]["node"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_and_a_reissued_link_are_refused_with_their_reason() {
    for database in Database::available() {
        for (verb, reason) in [("cancelRegistration", "CANCELLED"), ("reissueRegistrationLink", "REISSUED")] {
            let stage = Stage::open(database).await;
            let (consumer, connection) = stage.validated().await;
            stage.with_registration(verb).await;
            let (status, answer) = redeem(&stage, &claim_of(&stage, &connection).await).await;
            assert_eq!(
                (status, answer["code"].as_str()),
                (404, Some("NO_MATCHING_REGISTRATION")),
                "{answer}"
            );
            assert_eq!(answer["reason"], reason);
            let now = stage.start(&consumer, &connection).await;
            assert_eq!(failure(&now), ("NO_MATCHING_REGISTRATION".to_owned(), reason.to_owned()), "{now:#}");
            assert_eq!(stage.pair.provider.rows("connection").await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_link_is_refused_before_onboarding_starts_and_a_new_one_works() {
    for database in Database::available() {
        let mut stage = Stage::open(database).await;
        let (_, connection) = stage.validated().await;
        stage.pair.advance(7 * 24 * 3_600 + 1).await;
        stage.provider = stage.pair.provider_admin().await;
        let consumer = stage.pair.consumer_admin().await;
        let expired = stage.now().await;
        assert_eq!(expired["state"], "EXPIRED", "{expired:#}");
        assert!(expired["link"].is_null());
        let (_, answer) = redeem(&stage, &claim_of(&stage, &connection).await).await;
        assert_eq!(
            (&answer["code"], &answer["reason"]),
            (&json!("NO_MATCHING_REGISTRATION"), &json!("EXPIRED"))
        );

        // The checks passed too long ago: they run again, and find it.
        let now = stage.start(&consumer, &connection).await;
        assert_eq!(now["state"], "VALIDATION_FAILED", "{now:#}");
        assert_eq!(now["issues"][0]["check"], "REGISTRATION_MATCHES", "{now:#}");

        stage.with_registration("reissueRegistrationLink").await;
        assert_eq!(stage.now().await["state"], "OPEN", "checked again, and open by itself");
        assert_ne!(stage.pair.link_in_letter(), stage.link);
        stage.link = stage.pair.link_in_letter();
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        stage.finishes(&consumer, &connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_contact_of_an_open_registration_gets_a_new_link_and_the_old_one_is_void() {
    for database in Database::available() {
        let mut stage = Stage::open(database).await;
        let (consumer, connection) = stage.validated().await;
        let successor = "successor@consumer.example.com";
        let contact = stage.pair.make_contact(&stage.provider, &stage.ready.company, successor).await;
        let input = json!({ "registrationId": stage.registration, "contactId": contact });
        stage.pair.clock.advance(1_000);
        let changed = stage
            .provider
            .mutate("updateRegistration", input, "registration { state contact { email } }")
            .await;
        assert_eq!(changed["registration"], json!({ "state": "OPEN", "contact": { "email": successor } }));
        stage.pair.settle().await;

        let letters = stage.pair.provider.letters();
        let to_successor = letters.iter().filter(|letter| {
            letter.contains(&format!("To: {successor}")) || letter.contains(&format!("<{successor}>"))
        });
        assert_eq!(to_successor.count(), 1, "one letter to the new contact: {letters:#?}");
        let (_, answer) = redeem(&stage, &claim_of(&stage, &connection).await).await;
        assert_eq!(answer["reason"], "REISSUED", "{answer}");

        assert_ne!(stage.pair.link_in_letter(), stage.link);
        stage.link = stage.pair.link_in_letter();
        drop((consumer, connection));
        let (consumer, connection) = stage.validated().await;
        let now = stage.start(&consumer, &connection).await;
        let browser = stage.pair.provider.client();
        let old = stage.consent(&browser, &now, crate::harness::pair::CONTACT).await;
        assert!(matches!(old, crate::harness::browser::Consent::Refused(page) if page.status == 403));
        let new = stage.consent(&stage.pair.provider.client(), &now, successor).await;
        assert!(matches!(new, crate::harness::browser::Consent::Asked(_)));
    }
}
