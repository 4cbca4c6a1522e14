//! Live events: whoever listens hears everything they may, in order, once, whatever happens to the line.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::harness::events::Events;
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair};

const LIVE: &str = "subscription($after: String, $subjects: [ChangeSubject!]) {
    changes(after: $after, subjects: $subjects) { cursor kind state subject subjectId revision } }";

async fn listen(client: &Client, subjects: &[&str], after: Option<&str>) -> Events {
    client.subscribe(LIVE, json!({ "after": after, "subjects": subjects })).await
}

fn cursor(event: &Value) -> String {
    event["cursor"].as_str().unwrap().to_owned()
}

/// Everything that was committed after a cursor, as the log tells it.
async fn log(client: &Client, subjects: &[&str], after: &str) -> Vec<Value> {
    let query = "query($after: String, $subjects: [ChangeSubject!]) { changes(after: $after, subjects: $subjects, first: 40) {
        endCursor hasMore events { cursor kind state subject subjectId revision } } }";
    let (mut all, mut after) = (Vec::new(), after.to_owned());
    loop {
        let page =
            client.query(query, json!({ "after": after, "subjects": subjects })).await["changes"].clone();
        all.extend(page["events"].as_array().unwrap().iter().cloned());
        after = page["endCursor"].as_str().unwrap().to_owned();
        if page["hasMore"] == false {
            return all;
        }
    }
}

/// A line that is cut after so many events, again and again; whoever listens comes back with the last cursor.
struct Cut<'a> {
    client: &'a Client,
    subjects: &'a [&'a str],
    after: String,
    line: Option<Events>,
    left: u32,
    draw: u32,
}

impl<'a> Cut<'a> {
    fn new(client: &'a Client, subjects: &'a [&'a str], after: &str, draw: u32) -> Self {
        Self { client, subjects, after: after.to_owned(), line: None, left: 0, draw }
    }

    async fn next(&mut self) -> Value {
        if self.left == 0 {
            self.line = Some(listen(self.client, self.subjects, Some(&self.after)).await);
            // From where it is cut next looks like chance, and is the same in each run (Numerical Recipes' generator).
            self.draw = self.draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            self.left = 1 + (self.draw >> 24) % 12;
        }
        self.left -= 1;
        let event = self.line.as_mut().unwrap().expect().await;
        self.after = cursor(&event);
        event
    }
}

async fn states_in_order(database: Database) {
    let pair = Pair::start(database).await;
    let provider = pair.provider_admin().await;
    let subjects = ["REGISTRATION"];
    let mut whole = listen(&provider, &subjects, None).await;
    let present = whole.expect().await;
    assert_eq!(present["kind"], "PRESENT");
    let mut cut = Cut::new(&provider, &subjects, &cursor(&present), 1);

    let ready = pair.make_ready(&provider).await;
    let registration = pair.register(&provider, &ready).await;
    let mut named = provider
        .subscribe(
            "subscription($id: ID!) { registrationChanged(id: $id) { kind state registration { state } } }",
            json!({ "id": registration }),
        )
        .await;
    let first = named.expect().await;
    assert_eq!((&first["kind"], &first["state"]), (&json!("PRESENT"), &json!("OPEN")));

    let consumer = pair.consumer_admin().await;
    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    pair.get_started(&consumer, &connection).await;
    let done = pair.onboard(&consumer, &connection).await;
    assert_eq!(done["state"], "ONBOARDED", "{done:#}");

    let committed = log(&provider, &subjects, &cursor(&present)).await;
    let (mut heard, mut resumed) = (Vec::new(), Vec::new());
    for _ in &committed {
        heard.push(whole.expect().await);
        resumed.push(cut.next().await);
    }
    assert_eq!(heard, committed, "a line that holds");
    assert_eq!(resumed, committed, "a line that is cut and resumed");

    let mut states: Vec<_> = heard.iter().map(|event| event["state"].as_str().unwrap()).collect();
    states.dedup();
    assert_eq!(states, ["AWAITING_VALIDATION", "OPEN", "WORK_IN_PROGRESS", "CLOSED_COMPLETE"]);
    loop {
        let event = named.expect().await;
        if event["state"] == "CLOSED_COMPLETE" {
            assert_eq!(event["registration"]["state"], "CLOSED_COMPLETE");
            break;
        }
        assert_eq!(event["kind"], "UPDATED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_from_before_the_registration_sees_every_state_in_order_also_when_it_is_cut() {
    for database in Database::available() {
        states_in_order(database).await;
    }
}

const WRITERS: usize = 50;
const EACH: usize = 6;

async fn writers(database: Database) {
    let mut pair = Pair::prepare(database).await;
    // The writers come from one account, and wait for their turn on a busy machine.
    pair.provider.config.graphql.operation_timeout_ms = 60_000;
    pair.run().await;
    let admin = Arc::new(pair.provider_admin().await);
    let subjects = ["COMPANY"];
    let mut whole = listen(&admin, &subjects, None).await;
    let before = cursor(&whole.expect().await);

    let writing = (0..WRITERS).map(|writer| {
        let admin = admin.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let input = json!({ "name": format!("Company {writer}-{n}") });
                admin.mutate("createCompany", input, "company { id }").await;
            }
        })
    });
    let writing: Vec<_> = writing.collect();
    // They listen while all of it is written.
    let mut cuts: Vec<_> = (1..=3).map(|draw| Cut::new(&admin, &subjects, &before, draw)).collect();
    let mut resumed = vec![Vec::new(); cuts.len()];
    let mut heard = Vec::new();
    for _ in 0..WRITERS * EACH {
        heard.push(whole.expect().await);
        for (cut, resumed) in cuts.iter_mut().zip(&mut resumed) {
            resumed.push(cut.next().await);
        }
    }
    for writer in writing {
        writer.await.unwrap();
    }
    let committed = log(&admin, &subjects, &before).await;
    assert_eq!(committed.len(), WRITERS * EACH);
    let named: BTreeSet<_> = committed.iter().map(|event| event["subjectId"].as_str().unwrap()).collect();
    assert_eq!(named.len(), WRITERS * EACH);
    assert_eq!(heard, committed, "{database:?}: a line that holds");
    for resumed in resumed {
        assert_eq!(resumed, committed, "{database:?}: a line that is cut at random points");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_fifty_writers_every_change_arrives_once_and_in_order() {
    for database in Database::available() {
        writers(database).await;
    }
}

async fn too_old(database: Database) {
    let pair = Pair::start(database).await;
    let admin = pair.provider_admin().await;
    let mut events = listen(&admin, &[], None).await;
    let old = cursor(&events.expect().await);
    drop(events);
    admin.mutate("createCompany", json!({ "name": "Forgotten Ltd" }), "company { id }").await;

    pair.advance(8 * 24 * 3_600).await;
    let admin = pair.provider_admin().await;
    let mut events = listen(&admin, &[], Some(&old)).await;
    let refused = events.next().await.unwrap();
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "INVALID_INPUT", "{refused:#}");
    assert_eq!(extensions["reason"], "CURSOR_EXPIRED", "{refused:#}");
    assert!(events.next().await.is_none(), "it completes");
    let asked = "query($after: String) { changes(after: $after) { endCursor } }";
    let answer = admin.raw(asked, json!({ "after": old })).await;
    assert_eq!(answer["errors"][0]["extensions"]["reason"], "CURSOR_EXPIRED", "{answer:#}");

    // The answer says from where to go on, and from there nothing is missed.
    let mut events = listen(&admin, &["COMPANY"], extensions["oldest"].as_str()).await;
    let made = admin.mutate("createCompany", json!({ "name": "Remembered Ltd" }), "company { id }").await;
    assert_eq!(events.expect().await["subjectId"], made["company"]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_too_old_says_so_and_names_the_oldest() {
    for database in Database::available() {
        too_old(database).await;
    }
}

async fn foreign(database: Database) {
    let pair = Pair::start(database).await;
    let admin = pair.provider_admin().await;
    let ready = pair.make_ready(&admin).await;
    let other = admin.mutate("createCompany", json!({ "name": "Elsewhere Ltd" }), "company { id }").await;
    let other = other["company"]["id"].as_str().unwrap().to_owned();
    pair.make_contact(&admin, &other, "contact@elsewhere.example.com").await;
    let stranger = pair.provider.client();
    stranger.sign_in("contact@elsewhere.example.com", PASSWORD).await;
    let mut events = listen(&stranger, &[], None).await;
    let present = events.expect().await;
    assert_eq!(present["kind"], "PRESENT");

    let registration = pair.register(&admin, &ready).await;
    let named = "subscription($id: ID!) { registrationChanged(id: $id) { state } }";
    let seen = stranger.subscribe(named, json!({ "id": registration })).await.next().await.unwrap();
    let unknown = registration_of_nobody(&registration);
    let absent = stranger.subscribe(named, json!({ "id": unknown })).await.next().await.unwrap();
    assert_eq!(seen["errors"][0]["extensions"]["code"], "FORBIDDEN", "{seen:#}");
    assert_eq!(seen, absent, "what one may not see looks like what is not there");

    let contact = pair.make_contact(&admin, &other, "second@elsewhere.example.com").await;
    let first = events.expect().await;
    assert_eq!(
        first["subjectId"].as_str(),
        Some(contact.as_str()),
        "of all that happened, only this was theirs: {first:#}"
    );
    let own = log(&stranger, &[], &cursor(&present)).await;
    assert!(!own.is_empty() && own.iter().all(|event| event["subjectId"] == contact.as_str()), "{own:#?}");

    let nobody = pair.provider.client();
    let refused = listen(&nobody, &[], None).await.next().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{refused:#}");
}

/// A well-formed id of a registration that was never made.
fn registration_of_nobody(id: &str) -> String {
    let mut id = BASE64URL_NOPAD.decode(id.as_bytes()).unwrap();
    let last = id.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    BASE64URL_NOPAD.encode(&id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_of_another_company_hears_only_of_their_own() {
    for database in Database::available() {
        foreign(database).await;
    }
}
