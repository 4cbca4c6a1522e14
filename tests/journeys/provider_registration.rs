//! A provider's administrator registers a consumer.

use linkspan::domain::requester::Role;
use linkspan::mail::TransportKind;
use serde_json::{Value, json};

use super::{activity, mark_complete};
use crate::checks::rogue::{Claim, identity};
use crate::harness::browser::Consent;
use crate::harness::faults::Wire;
use crate::harness::pair::{CONTACT, Ready};
use crate::harness::{Client, Database, Pair, START_MS, Stage};

const REGISTRATION: &str = "query($id: ID!) { registration(id: $id) { number state stateLabel url
    company { name } contact { name email } banner { text healthUrl } link { delivery deliveryLabel }
    issues { id check message blocking remedy { kind mutation variables { name value } text } }
    actions { name allowed } } }";

async fn registration(client: &Client, id: &str) -> Value {
    client.query(REGISTRATION, json!({ "id": id })).await["registration"].clone()
}

/// How many letters with a link went out; those about issues go to our own people.
fn invitations(pair: &Pair) -> usize {
    pair.provider.letters().iter().filter(|letter| letter.contains("/connect#")).count()
}

/// Before it begins: a provider record, a company with an active contact, and good key health.
async fn before(pair: &Pair, admin: &Client) -> Ready {
    let side = "PROVIDER";
    assert_eq!(activity(admin, side, "PROVIDER_RECORD").await["state"], "AVAILABLE");
    let locked = activity(admin, side, "REGISTER_CONSUMER").await;
    assert_eq!(locked["state"], "LOCKED", "the record comes first: {locked:#}");
    assert!(locked["lockedBecause"].as_str().unwrap().contains("Create the provider record"));
    let ready = pair.make_ready(admin).await;
    mark_complete(admin, side, "PROVIDER_RECORD").await;
    mark_complete(admin, side, "COMPANY_AND_CONTACT").await;
    assert_eq!(activity(admin, side, "REGISTER_CONSUMER").await["state"], "AVAILABLE");
    // Diagnostics of the keys: whether all is well, every administrator hears; each part, whoever was given a key role.
    let diagnose = async |client: &Client| {
        let health = client.mutate("recheckKeyHealth", json!({}), "keyHealth { status components { name } }");
        health.await["keyHealth"].clone()
    };
    assert_eq!(diagnose(admin).await, json!({ "status": "OPERATIONAL", "components": null }));
    let with_role = diagnose(&pair.provider.person("keys", &[Role::Admin, Role::KeyAuditor]).await).await;
    let parts = with_role["components"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["name"] == "IDENTITY_SIGNING_KEY"), "{with_role:#}");
    ready
}

/// A new record of the list: company, its contact, and the URL of the consumer's instance.
fn record(pair: &Pair, ready: &Ready) -> Value {
    json!({
        "companyId": ready.company, "contactId": ready.contact,
        "url": pair.consumer.origin, "environment": "PRODUCTION",
    })
}

/// It takes an administrator, or here an operator as well: who only reads saves nothing. And the contact is one of the
/// company that was selected.
async fn refused(pair: &Pair, admin: &Client, ready: &Ready) {
    let refusal = async |client: &Client, input: Value| {
        client.try_mutate("createRegistration", input, "registration { id }").await["refusal"]["code"].clone()
    };
    let viewer = pair.provider.person("viewer", &[Role::Viewer]).await;
    assert_eq!(refusal(&viewer, record(pair, ready)).await, "NOT_AN_ADMINISTRATOR");
    let other = admin.mutate("createCompany", json!({ "name": "Other Ltd" }), "company { id }").await;
    let company = other["company"]["id"].as_str().unwrap().to_owned();
    let strangers = record(pair, &Ready { company, contact: ready.contact.clone() });
    assert_eq!(refusal(admin, strangers).await, "CONTACT_NOT_IN_COMPANY");
}

/// Saving it starts the checks.
async fn save(pair: &Pair, admin: &Client, ready: &Ready) -> String {
    let input = record(pair, ready);
    let saved =
        admin.mutate("createRegistration", input, "registration { id stateLabel link { delivery } }").await;
    assert_eq!(saved["registration"]["stateLabel"], "Awaiting Validation");
    assert!(saved["registration"]["link"].is_null(), "no link while the checks run");
    pair.settle().await;
    saved["registration"]["id"].as_str().unwrap().to_owned()
}

/// All checks pass: the state becomes Open, and the letter goes to the contact with what to do and the link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_registers_a_consumer_and_the_contact_gets_the_letter() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let ready = before(&pair, &admin).await;
        refused(&pair, &admin, &ready).await;
        let id = save(&pair, &admin, &ready).await;
        let open = registration(&admin, &id).await;
        assert_eq!(open["stateLabel"], "Open", "{open:#}");
        assert_eq!(open["link"]["delivery"], "SENT_TO_CONTACT");
        let letters = pair.provider.letters();
        assert_eq!(letters.len(), 1);
        assert!(letters[0].contains(CONTACT), "to the contact");
        assert!(pair.link_in_letter().starts_with(&pair.consumer.origin), "and leads to the consumer");
        mark_complete(&admin, "PROVIDER", "REGISTER_CONSUMER").await;
        assert_eq!(activity(&admin, "PROVIDER", "CONNECT").await["state"], "AVAILABLE");
    }
}

/// Where letters are off, the administrator takes the link from the registration and passes it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_letters_are_off_the_administrator_passes_the_link_on() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.config.mail.transport = TransportKind::Off;
        pair.run().await;
        let admin = pair.provider_admin().await;
        let ready = before(&pair, &admin).await;
        let input = json!({
            "companyId": ready.company, "contactId": ready.contact,
            "url": pair.consumer.origin, "environment": "NON_PRODUCTION",
        });
        let saved = admin.mutate("createRegistration", input, "registration { id }").await;
        pair.settle().await;
        let id = saved["registration"]["id"].as_str().unwrap().to_owned();
        let open = registration(&admin, &id).await;
        assert_eq!(open["stateLabel"], "Open", "{open:#}");
        assert_eq!(open["link"]["delivery"], "SHARE_IT_YOURSELF");
        let shown = admin.mutate("reissueRegistrationLink", json!({ "registrationId": id }), "link").await;
        let consumer = pair.consumer_admin().await;
        pair.open_link(&consumer, shown["link"].as_str().unwrap()).await;
    }
}

/// Some checks fail: the state is Validation Failed, a banner says so and leads to the health dashboard, there is no link.
/// There each finding says what is wrong and how to mend it. When the last is resolved, it becomes Open by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_that_fails_leads_to_the_health_dashboard_and_goes_on_by_itself() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        let wire = Wire::breaking(&pair.clock, None);
        pair.consumer.wire = Some(wire.clone());
        pair.run().await;
        let admin = pair.provider_admin().await;
        let ready = before(&pair, &admin).await;
        // The contact is switched off; in production it needs an address that letters can be sent to; and the consumer's
        // instance must run a version that this one speaks with.
        let off = json!({ "userId": ready.contact, "active": false });
        admin.mutate("updateContact", off, "contact { active }").await;
        let address =
            |email: &str| format!("update account set email = '{email}' where company_id is not null");
        pair.provider.tamper(&address("nowhere")).await;
        let origin = &pair.consumer.origin;
        let claim = Claim { origin, instance: uuid::Uuid::max(), versions: vec![99], signed_at: START_MS };
        wire.answer("/.well-known/linkspan", 200, identity(&claim));
        let id = save(&pair, &admin, &ready).await;

        let failed = registration(&admin, &id).await;
        assert_eq!(failed["stateLabel"], "Validation Failed", "{failed:#}");
        let banner = &failed["banner"];
        assert!(banner["text"].as_str().unwrap().contains("link is made when all issues are resolved"));
        let url = format!("{}/health?registration={id}", pair.provider.origin);
        assert_eq!(banner["healthUrl"], url.as_str());
        assert_eq!(admin.get(&url).await.status, 200);
        assert!(failed["link"].is_null());
        assert_eq!(invitations(&pair), 0);

        let issues: Vec<_> =
            failed["issues"].as_array().unwrap().iter().filter(|issue| issue["blocking"] == true).collect();
        let of = |check: &str| issues.iter().find(|issue| issue["check"] == check).unwrap();
        let resolve = async |check: &str| {
            admin.mutate("validateIssue", json!({ "issueId": of(check)["id"] }), "scan { id }").await;
            pair.settle().await;
        };
        assert_eq!(issues.len(), 3, "{failed:#}");
        pair.provider.tamper(&address(CONTACT)).await;
        resolve("CONTACT_EMAIL").await;
        wire.mend();
        resolve("PEER_VERSION").await;
        assert_eq!(registration(&admin, &id).await["stateLabel"], "Validation Failed", "one is left");
        let remedy = &of("CONTACT_ACTIVE")["remedy"];
        assert_eq!(remedy["kind"], "CALL", "{remedy:#}");
        let on = json!({ "userId": ready.contact, "active": true });
        admin.mutate(remedy["mutation"].as_str().unwrap(), on, "contact { active }").await;
        resolve("CONTACT_ACTIVE").await;

        let open = registration(&admin, &id).await;
        assert_eq!(open["stateLabel"], "Open", "by itself: {open:#}");
        assert!(open["banner"].is_null());
        assert_eq!(invitations(&pair), 1, "registration goes on: the letter went out");
    }
}

/// The note on two instances at one desk: whoever is signed in at the provider must be the named contact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_approves_must_be_the_named_contact() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        stage.pair.make_contact(&stage.provider, &stage.ready.company, "other@consumer.example.com").await;
        let (consumer, connection) = stage.validated().await;
        let now = stage.start(&consumer, &connection).await;
        let browser = stage.pair.provider.client();
        let consent = stage.consent(&browser, &now, "other@consumer.example.com").await;
        assert!(matches!(consent, Consent::Refused(_)), "{consent:?}");
        let browser = stage.pair.provider.client();
        let consent = stage.consent(&browser, &now, CONTACT).await;
        assert!(matches!(consent, Consent::Asked(_)), "nothing is spoilt: {consent:?}");
    }
}
