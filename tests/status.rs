//! The status of a connection tells the truth: over two instances with lines between them that can be cut, whatever
//! breaks between them or in one of them.

mod clones;
mod notices;
mod outages;
mod robust;
mod stage;

use chrono::{DateTime, TimeDelta};
use linkspan::domain::Timestamp;
use linkspan::domain::check::CheckCode;
use linkspan::domain::outage::{FarSide, OUTAGES, Outage as Documented, RECOVERED_WITHIN, Seen, Shown};
use linkspan::domain::refusal::RefusalCode;
use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::pair::{CONTACT, PASSWORD};
use crate::harness::{Database, Pair};
use outages::{ALL, Outage};
use stage::{Side, Watched};

/// How much later a node that was started again on a shared database probes: it may not know that the one before died.
const LEASE: i64 = 6;

/// Breaks it, and answers what was not as documented.
async fn hold(watched: &mut Watched, documented: &Documented) -> Vec<String> {
    let name = documented.name;
    let outage = outages::named(name);
    watched.calm().await;
    outage.begin(watched).await;
    let far = match documented.far {
        FarSide::Shows(shown) => Some(shown),
        FarSide::Unavailable | FarSide::Absent => None,
    };
    let mut sides = vec![(Side::Consumer, documented.near)];
    sides.extend(far.map(|shown| (Side::Provider, shown)));
    // A provider that was started again on a shared database watches a little later.
    let late = if watched.database == Database::Postgres && outage.restarts() { LEASE } else { 0 };
    let mut wrong = noticed(watched, name, &sides, late).await;
    // Long enough for a dispute, and for views to grow old.
    watched.intervals(7).await;
    for (side, shown) in &sides {
        let look = watched.look(*side).await;
        for (way, seen) in [("outbound", shown.outbound), ("inbound", shown.inbound)] {
            wrong.extend(differs(&format!("{name}, {side:?} {way}"), &seen, &look[way]));
        }
        if *side == Side::Consumer && look["explanation"]["fault"]["dependency"] != documented.first.as_str()
        {
            wrong.push(format!("{name}: explained {:#}", look["explanation"]));
        }
    }
    if let Err(what) = without_a_view(watched, &documented.far).await {
        wrong.push(format!("{name}: {what}"));
    }
    outage.end(watched).await;
    let most = RECOVERED_WITHIN.num_seconds() + late;
    for side in [Side::Consumer, Side::Provider] {
        let recovered = watched.until(side, 40, is_up).await;
        if recovered.is_none_or(|seconds| seconds > most) {
            let look = watched.look(side).await;
            wrong.push(format!("{name}: {side:?} recovered after {recovered:?} s\n{look:#}"));
        }
    }
    wrong
}

fn is_up(look: &Value) -> bool {
    look["outbound"]["status"] == "UP" && look["inbound"]["status"] == "UP"
}

/// Waits until every side shows that something is wrong; which of them did so too late.
async fn noticed(watched: &Watched, name: &str, sides: &[(Side, Shown)], late: i64) -> Vec<String> {
    let mut at = vec![None; sides.len()];
    for second in 0..=60 {
        for (at, (side, _)) in at.iter_mut().zip(sides) {
            if at.is_none() && !is_up(&watched.look(*side).await) {
                *at = Some(second);
            }
        }
        if at.iter().all(Option::is_some) {
            break;
        }
        watched.seconds(1).await;
    }
    println!(
        "{name}: noticed after {at:?} s by {:?}",
        sides.iter().map(|(side, _)| side).collect::<Vec<_>>()
    );
    let most =
        |side: Side, shown: &Shown| shown.within_seconds + if side == Side::Provider { late } else { 0 };
    let slow = at.iter().zip(sides).filter(|(at, (side, shown))| at.is_none_or(|at| at > most(*side, shown)));
    slow.map(|(at, (side, _))| format!("{name}: {side:?} noticed after {at:?} s")).collect()
}

/// What becomes of the provider where it cannot show anything.
async fn without_a_view(watched: &Watched, far: &FarSide) -> Result<(), String> {
    match far {
        FarSide::Shows(_) => Ok(()),
        FarSide::Unavailable => {
            let answer = watched.provider.raw("{ connections { edges { node { id } } } }", json!({})).await;
            let ready = watched.pair.provider.client().get("/readyz").await.status;
            let live = watched.pair.provider.client().get("/livez").await.status;
            let code = answer["errors"][0]["extensions"]["code"].clone();
            let as_documented = (code.as_str(), ready, live) == (Some("UNAVAILABLE"), 503, 200);
            if as_documented { Ok(()) } else { Err(format!("{answer}, ready {ready}, live {live}")) }
        }
        FarSide::Absent => {
            let stranger = watched.stranger.as_ref().ok_or("nobody answers in its place")?;
            let admin = stranger.person("stranger", &[Role::Admin]).await;
            let known = admin.query("{ connections { edges { node { id } } } }", json!({})).await;
            let known = &known["connections"]["edges"];
            if known == &json!([]) { Ok(()) } else { Err(format!("the stranger knows {known}")) }
        }
    }
}

async fn hold_table(database: Database) {
    let mut watched = Watched::with_key_process(database).await;
    let mut wrong = Vec::new();
    for documented in OUTAGES {
        wrong.extend(hold(&mut watched, documented).await);
    }
    assert!(
        OUTAGES.len() >= 10 && wrong.is_empty(),
        "{database:?}, {} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn differs(place: &str, documented: &Seen, direction: &Value) -> Option<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let cause = match &direction["cause"] {
        Value::Null => "-".to_owned(),
        cause => format!("{}/{}", word(&cause["code"]), word(&cause["reason"])),
    };
    let fresh = !direction["peerViewFresh"].is_boolean() || direction["peerViewFresh"] == true;
    let theirs = if fresh { word(&direction["peerView"]) } else { "-".to_owned() };
    let seen =
        format!("{} {cause} we {} they {theirs}", word(&direction["status"]), word(&direction["ourView"]));
    let cause = documented.cause.map(|(code, reason)| format!("{}/{reason}", code.as_str()));
    let expected = format!(
        "{} {} we {} they {}",
        documented.status.as_str(),
        cause.as_deref().unwrap_or("-"),
        documented.ours.as_str(),
        documented.theirs.map_or("-", |theirs| theirs.as_str())
    );
    (seen != expected).then(|| format!("{place}:\n  expected {expected}\n  seen     {seen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_outage_shows_on_both_sides_as_documented_and_so_does_its_end() {
    for database in Database::available() {
        hold_table(database).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_read_what_both_sides_show_of_each_outage() {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.provider.start(None).await;
    let page = pair.provider.client().get("/docs/outages").await;
    assert_eq!(page.status, 200);
    for outage in OUTAGES {
        let start = page.body.find(&format!("<h2 id=\"{}\"", outage.name)).expect(outage.name);
        let part = &page.body[start..];
        let part = part.split("</section>").next().unwrap();
        let within = format!("It shows within {} seconds.", outage.near.within_seconds);
        assert!(part.contains(outage.first.fails().split('\'').next().unwrap()), "{part}");
        assert!(part.contains(&within), "{part}");
        if let Some((code, reason)) = outage.near.outbound.cause {
            assert!(part.contains(&format!("{} ({reason})", code.as_str())), "{part}");
        }
        assert!(part.contains("The other side"), "{part}");
    }
    let index = pair.provider.client().get("/docs").await;
    assert_eq!(index.status, 200);
    let links: Vec<&str> =
        index.body.split("href=\"/docs/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 1 + CheckCode::ALL.len() + RefusalCode::ALL.len(), "{links:?}");
    for link in [links[0], links[1], links[links.len() - 1]] {
        assert_eq!(pair.provider.client().get(&format!("/docs/{link}")).await.status, 200, "{link}");
    }
}

/// How many of the outages `explain` may name wrongly.
const FORGIVEN: usize = 2;

/// Those that are tried on a shared database, too: one for each part that an outage can be in, and every one that goes
/// through the database.
const SAMPLE: &[&str] = &[
    "LINE_HELD",
    "LINE_BACK_CLOSED",
    "ANSWERS_LOST",
    "ANSWER_500",
    "CERTIFICATE_OTHER_NAME",
    "NAME_GONE",
    "ADDRESS_REFUSED",
    "PEER_CLOCK_BEHIND",
    "PEER_DATABASE_STOPPED",
    "OUR_KEYS_STOPPED",
    "PEER_GONE",
    "SUSPENDED_THERE",
    "RIGHTS_TAKEN",
    "RIGHTS_EXPIRED",
    "PEER_LOST_KEYS",
];

async fn explained(watched: &mut Watched, outage: &Outage) -> Result<(), String> {
    watched.calm().await;
    outage.begin(watched).await;
    let noticed = watched.until(Side::Consumer, 60, |look| look["explanation"]["healthy"] == false).await;
    watched.intervals(if outage.takes_dispute { 7 } else { 3 }).await;
    let look = watched.look(Side::Consumer).await;
    let (fault, summary) = (&look["explanation"]["fault"], &look["explanation"]["summary"]);
    outage.end(watched).await;
    let recovered = watched.until(Side::Consumer, 60, is_up).await;
    if recovered.is_none() {
        let look = watched.look(Side::Consumer).await;
        return Err(format!("{}: never recovered: {look:#}", outage.name));
    }
    println!("{}: {}", outage.name, summary.as_str().unwrap_or_default());
    for text in [summary, &fault["evidence"]] {
        if !reads_well(text.as_str().unwrap_or_default()) {
            return Err(format!("{}: a person would not write {text}", outage.name));
        }
    }
    if fault["dependency"] == outage.first_cause && noticed.is_some() {
        return Ok(());
    }
    Err(format!("{}: expected {}, noticed {noticed:?}, explained {fault:#}", outage.name, outage.first_cause))
}

/// Whether it is made of sentences: no code, no question, none said twice.
fn reads_well(text: &str) -> bool {
    let mut sentences: Vec<_> = text.split_inclusive(". ").map(str::trim).collect();
    let whole = sentences
        .iter()
        .all(|one| one.ends_with('.') && one.chars().next().is_some_and(char::is_uppercase) && one.len() > 8);
    let count = sentences.len();
    sentences.dedup();
    whole && sentences.len() == count && !text.contains(['?', '(', '_'])
}

async fn explain_each(database: Database, outages: &[&Outage]) {
    let mut watched = Watched::with_key_process(database).await;
    let mut wrong = Vec::new();
    for outage in outages {
        wrong.extend(explained(&mut watched, outage).await.err());
    }
    println!("{database:?}: {} of {} named rightly", outages.len() - wrong.len(), outages.len());
    assert!(wrong.len() <= FORGIVEN, "{database:?}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_cause_of_single_outages_is_named() {
    assert!(ALL.len() >= 30, "only {} outages", ALL.len());
    explain_each(Database::Sqlite, &ALL.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_cause_is_named_on_a_shared_database_too() {
    if Database::available().contains(&Database::Postgres) {
        let sample: Vec<_> = SAMPLE.iter().map(|name| outages::named(name)).collect();
        explain_each(Database::Postgres, &sample).await;
    }
}

/// Since when it fails, what changed just before, and what happens next by itself.
async fn explains_what_came_before_and_what_comes_next(watched: &Watched, began: Timestamp) {
    let query =
        "query($id: ID!) { explain(connectionId: $id) { fault { dependency since } nextAction { what at }
        changedBefore { at kind subject state node { id } } } }";
    let answer = watched.consumer.query(query, json!({ "id": watched.at_consumer })).await;
    let explained = &answer["explain"];
    let at = |value: &Value| DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().to_utc();
    assert_eq!(explained["fault"]["dependency"], "PEER_ADDRESS", "{explained:#}");
    let since = at(&explained["fault"]["since"]);
    let interval = TimeDelta::seconds(6);
    assert!(since <= began && since > began - interval, "since {since}, and it began {began}");
    let now = watched.now();
    assert_eq!(explained["nextAction"]["what"], "The other side is asked again.");
    let next = at(&explained["nextAction"]["at"]);
    assert!(next > now && next <= now + interval, "next at {next}, and it is {now}");

    let changes = explained["changedBefore"].as_array().unwrap();
    let noticed = since + interval * 3;
    assert!(changes.iter().all(|change| at(&change["at"]) <= noticed), "{changes:#?}");
    assert!(changes.windows(2).all(|pair| at(&pair[0]["at"]) >= at(&pair[1]["at"])), "{changes:#?}");
    let states = changes.iter().filter(|change| change["node"]["id"] == watched.at_consumer);
    let states: Vec<_> = states.filter_map(|change| change["state"].as_str()).collect();
    let resumed = states.iter().position(|state| *state == "ONBOARDED");
    let suspended = states.iter().position(|state| *state == "SUSPENDED");
    assert!(resumed.is_some() && resumed < suspended, "{changes:#?}");
}

/// A bundle names no person, and every long word in it that no person could read is one that both sides know anyway.
fn assert_nothing_secret(watched: &Watched, bundle: &str) {
    for word in ["@", "Named Contact", "A Person", "lsp_", "BEGIN", "wrapped", "secret", "scopes"] {
        assert!(!bundle.contains(word), "{word}: {bundle}");
    }
    let link = watched.pair.link_in_letter();
    let secret = link.split("&t=").nth(1).unwrap();
    assert!(secret.len() == 64 && !bundle.contains(secret), "{bundle}");
    let parsed: Value = serde_json::from_str(bundle).unwrap();
    let known = [&parsed["instance"]["fingerprint"], &parsed["peer"]["fingerprint"]];
    let known = known.map(|fingerprint| fingerprint.as_str().unwrap());
    let opaque = |word: &&str| word.len() > 36 && !word.contains("://");
    let words = bundle.split([' ', '"', '\n', ',']).filter(opaque);
    let unknown: Vec<_> = words.filter(|word| !known.contains(word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The named contact belongs to the other organisation, and reads what this one reads; a third one's reads nothing.
async fn read_by_the_other_organisation_alone(watched: &Watched) {
    let query =
        "query($id: ID!) { connection(id: $id) { supportBundle } explain(connectionId: $id) { healthy } }";
    let read = async |email: &str| {
        let client = watched.pair.provider.client();
        client.sign_in(email, PASSWORD).await;
        client.query(query, json!({ "id": watched.at_provider })).await
    };
    let theirs = read(CONTACT).await;
    let bundle = theirs["connection"]["supportBundle"].as_str().unwrap_or_else(|| panic!("{theirs:#}"));
    assert_eq!(theirs["explain"]["healthy"], true, "{theirs:#}");
    assert_nothing_secret(watched, bundle);
    let admin = watched.pair.provider_admin().await;
    let third = admin.mutate("createCompany", json!({ "name": "Third Ltd" }), "company { id }").await;
    let third = third["company"]["id"].as_str().unwrap();
    watched.pair.make_contact(&admin, third, "contact@third.example.com").await;
    let nothing = read("contact@third.example.com").await;
    assert_eq!(nothing, json!({ "connection": null, "explain": null }));
}

/// All that a dashboard shows, by one query.
async fn overview(watched: &Watched) -> Value {
    let query = "{ healthOverview { score formula parts { name weight value counted } states { state count }
        issues { severity count } attention { id }
        lastDay { wentDown cameUp becameDisputed issuesRaised issuesResolved onboarded }
        connections { id peer { version } issues { check } outbound { status roundTripMs } inbound { status roundTripMs }
            traffic { sentLastDay receivedLastDay lastSentAt lastReceivedAt } } } }";
    watched.consumer.query(query, json!({})).await["healthOverview"].clone()
}

/// A part of the score.
fn part(name: &str, weight: i64, value: i64, counted: &str) -> Value {
    json!({ "name": name, "weight": weight, "value": value, "counted": counted })
}

/// A connection that works, as its card shows it after a verification; `before` is its traffic before that.
fn assert_card(watched: &Watched, card: &Value, before: &Value) {
    assert_eq!(card["id"], watched.at_consumer, "{card:#}");
    assert_eq!(
        (&card["peer"]["version"], &card["issues"]),
        (&json!(linkspan::actions::SOFTWARE), &json!([]))
    );
    for way in ["outbound", "inbound"] {
        assert_eq!(card[way]["status"], "UP", "{card:#}");
        assert!(card[way]["roundTripMs"].is_i64(), "{card:#}");
    }
    let traffic = &card["traffic"];
    let more = |what: &str| traffic[what].as_i64().unwrap() - before[what].as_i64().unwrap();
    assert!(more("sentLastDay") >= 5, "an echo, a call back, and three comparisons: {before:#} {card:#}");
    assert!(more("receivedLastDay") >= 1, "it was called back: {before:#} {card:#}");
    for last in ["lastSentAt", "lastReceivedAt"] {
        let at = DateTime::parse_from_rfc3339(traffic[last].as_str().unwrap()).unwrap().to_utc();
        assert!(watched.now() - at <= TimeDelta::seconds(6), "probes count: {card:#}");
    }
}

/// Of two directions of one connection one is down, which is an issue, and nothing else is wrong.
fn assert_half_works(during: &Value) {
    assert_eq!(during["issues"], json!([{ "severity": "CRITICAL", "count": 1 }]), "{during:#}");
    assert_eq!(during["connections"][0]["issues"], json!([{ "check": "DIRECTIONS_UP" }]), "{during:#}");
    let parts = [
        part("DIRECTIONS", 60, 50, "1 of 2 directions works"),
        part("ISSUES", 25, 0, "1 of 1 connection has a critical or high issue"),
        part("KEYS", 15, 100, "the key service works"),
    ];
    assert_eq!(during["parts"], json!(parts), "{during:#}");
    assert_eq!(during["score"], (60 * 50 + 15 * 100) / 100, "{during:#}");
    for name in ["Directions (weight 60)", "Issues (weight 25)", "Keys (weight 15)"] {
        assert!(during["formula"].as_str().unwrap().contains(name), "{during:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_with_an_outage_has_its_up_time_its_log_and_a_bundle_without_secrets() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        // Somebody changes something, just before it fails.
        for verb in ["suspendConnection", "resumeConnection"] {
            let input = json!({ "connectionId": watched.at_consumer });
            watched.consumer.mutate(verb, input, "connection { state }").await;
        }
        watched.until(Side::Consumer, 20, is_up).await.expect("it goes on");
        let outage = outages::named("LINE_CLOSED");
        let began = watched.now();
        outage.begin(&mut watched).await;
        watched.intervals(12).await;
        explains_what_came_before_and_what_comes_next(&watched, began).await;
        // Its issue follows within two minutes.
        for _ in 0..24 {
            if watched.pair.consumer.rows("issue where state = 'OPEN'").await > 0 {
                break;
            }
            watched.intervals(1).await;
        }
        assert_half_works(&overview(&watched).await);
        let attention = "{ needing: connections(filter: { needsAttention: true }) { edges { node { id } } }
            others: connections(filter: { needsAttention: false }) { edges { node { id } } }
            healthOverview { upBothWays } }";
        let found = watched.consumer.query(attention, json!({})).await;
        assert_eq!(found["needing"]["edges"][0]["node"]["id"], watched.at_consumer);
        assert_eq!(
            (&found["others"]["edges"], &found["healthOverview"]["upBothWays"]),
            (&json!([]), &json!(0))
        );
        outage.end(&mut watched).await;
        watched.until(Side::Consumer, 20, is_up).await.expect("it recovers");

        let query = "query($id: ID!) { connection(id: $id) { supportBundle
            traffic { sentLastDay receivedLastDay lastSentAt lastReceivedAt }
            outbound { history(days: 1, bucket: HOUR) { transitions { status code reason }
                buckets { from upMs downMs unknownMs uptimePermille } } } }
            errorLog(subjectId: $id) { edges { node { operation code reason count traceId remedy { kind text } } } } }";
        let answer = watched.consumer.query(query, json!({ "id": watched.at_consumer })).await;
        let connection = &answer["connection"];
        let history = &connection["outbound"]["history"];
        let last: Vec<_> = history["transitions"].as_array().unwrap().iter().rev().take(2).collect();
        assert_eq!((&last[1]["status"], &last[0]["status"]), (&json!("DOWN"), &json!("UP")), "{history:#}");
        assert_eq!(last[1]["reason"], "TCP");
        let down: i64 =
            history["buckets"].as_array().unwrap().iter().map(|b| b["downMs"].as_i64().unwrap()).sum();
        assert!((40_000..240_000).contains(&down), "{down} ms down: {history:#}");

        // Other messages may have failed as well.
        let edges = answer["errorLog"]["edges"].as_array().unwrap();
        let entry = edges.iter().map(|edge| &edge["node"]).find(|entry| entry["operation"] == "PROBE");
        let entry = entry.unwrap_or_else(|| panic!("{answer:#}"));
        assert_eq!(entry["code"], "PEER_UNREACHABLE", "{answer:#}");
        assert_eq!(entry["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(entry["remedy"]["kind"], "HUMAN");

        let bundle = connection["supportBundle"].as_str().unwrap();
        let parsed: Value = serde_json::from_str(bundle).unwrap();
        assert_eq!(parsed["format"], "linkspan support bundle 1");
        assert_eq!(parsed["connection"]["state"], "ONBOARDED");
        assert!(parsed["failures"].as_array().unwrap().iter().any(|f| f["reason"] == "TCP"), "{parsed:#}");
        assert_nothing_secret(&watched, bundle);
        read_by_the_other_organisation_alone(&watched).await;
        assert!(connection["traffic"]["lastSentAt"].is_string(), "{connection:#}");

        // The next look resolves what it raised, and what a verification says is counted within a minute.
        let traffic = &overview(&watched).await["connections"][0]["traffic"];
        let input = json!({ "connectionId": watched.at_consumer });
        watched.consumer.mutate("verifyConnection", input, "verification { state }").await;
        watched.pair.settle().await;
        watched.intervals(25).await;
        let health = overview(&watched).await;
        assert_eq!(health["score"], 100, "{health:#}");
        assert_eq!(health["states"], json!([{ "state": "ONBOARDED", "count": 1 }]));
        let day = &health["lastDay"];
        let times = |what: &str| day[what].as_i64().unwrap();
        assert!(times("wentDown") >= 1 && times("cameUp") >= 1, "{health:#}");
        assert_eq!((times("onboarded"), times("becameDisputed")), (1, 0), "{health:#}");
        assert_eq!((times("issuesRaised"), times("issuesResolved")), (1, 1), "{health:#}");
        assert_eq!((&health["attention"], &health["issues"]), (&json!([]), &json!([])), "{health:#}");
        assert_card(&watched, &health["connections"][0], traffic);
        let found = watched.consumer.query(attention, json!({})).await;
        assert_eq!(found["others"]["edges"][0]["node"]["id"], watched.at_consumer);
        assert_eq!(
            (&found["needing"]["edges"], &found["healthOverview"]["upBothWays"]),
            (&json!([]), &json!(1))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dashboard_that_listens_hears_of_an_outage() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    watched.calm().await;
    let live = "subscription { healthChanged(refreshSeconds: 5) { cursor kind health { score attention { id }
        connections { id outbound { status roundTripMs } } } } }";
    let mut events = watched.consumer.subscribe(live, json!({})).await;
    let first = events.expect().await;
    assert_eq!(
        (&first["kind"], &first["health"]["connections"][0]["id"]),
        (&json!("PRESENT"), &json!(watched.at_consumer))
    );

    // Much that happens at once is told at once.
    let input = json!({ "connectionId": watched.at_consumer });
    for _ in 0..6 {
        for verb in ["suspendConnection", "resumeConnection"] {
            watched.consumer.mutate(verb, input.clone(), "connection { state }").await;
        }
    }
    let log = "query($after: String) { changes(after: $after, subjects: [CONNECTION, ISSUE]) { events { cursor } } }";
    let mut told = 0;
    loop {
        told += 1;
        let after = json!({ "after": events.expect().await["cursor"] });
        if watched.consumer.query(log, after).await["changes"]["events"] == json!([]) {
            break;
        }
    }
    assert!(told <= 4, "{told} events for what happened within a second");
    watched.calm().await;

    let outage = outages::named("LINE_CLOSED");
    outage.begin(&mut watched).await;
    watched.seconds(15).await;
    loop {
        let event = events.expect().await;
        if event["health"]["attention"] != json!([]) {
            assert_eq!(event["health"]["attention"][0]["id"], watched.at_consumer);
            assert_eq!(event["health"]["connections"][0]["outbound"]["status"], "DOWN", "{event:#}");
            assert!(event["health"]["score"].as_i64().unwrap() < 100, "{event:#}");
            break;
        }
    }
    outage.end(&mut watched).await;
    watched.calm().await;
    // What is only measured is told when it is time.
    loop {
        watched.seconds(1).await;
        let event = events.expect().await;
        if event["kind"] == "PRESENT" {
            assert!(event["health"]["connections"][0]["outbound"]["roundTripMs"].is_i64(), "{event:#}");
            break;
        }
    }
    let wrong =
        watched.consumer.subscribe(&live.replace(": 5", ": 1"), json!({})).await.next().await.unwrap();
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{wrong:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_lasts_is_an_issue_within_two_minutes_and_a_short_one_is_none() {
    let database = Database::available().pop().unwrap();
    let mut watched = Watched::onboarded(database).await;
    watched.calm().await;
    let outage = outages::named("LINE_CLOSED");
    let shows = |wanted: &'static str| move |look: &Value| look["outbound"]["status"] == wanted;
    let issues = "issue where check_code = 'DIRECTIONS_UP'";
    outage.begin(&mut watched).await;
    assert!(watched.until(Side::Consumer, 15, shows("DOWN")).await.is_some());
    outage.end(&mut watched).await;
    assert!(watched.until(Side::Consumer, 30, shows("UP")).await.is_some());
    watched.intervals(25).await;
    assert_eq!(watched.pair.consumer.rows(issues).await, 0, "it was over within a minute");

    outage.begin(&mut watched).await;
    assert!(watched.until(Side::Consumer, 15, shows("DOWN")).await.is_some());
    watched.intervals(25).await;
    let open = format!("{issues} and state = 'OPEN'");
    assert_eq!(watched.pair.consumer.rows(&open).await, 1, "it lasted for two minutes");
    let spared = "scan_result where answer = 'SKIPPED' and message like '%Directions%comes first'
        and check_code in ('SETTINGS_AGREE', 'CLOCK_SKEW', 'CERTIFICATE_AGE')";
    assert_eq!(
        watched.pair.consumer.rows(spared).await,
        3,
        "nobody answers: it is not asked again and again"
    );
    // And so it is not seen again, either.
    let unasked = format!(
        "insert into issue (id, check_code, subject_kind, subject_id, scan_id, state, blocking, message, evidence, remedy,
            seen_count, first_seen_at, last_seen_at, revision)
         select scan_id, 'SETTINGS_AGREE', subject_kind, subject_id, scan_id, state, blocking, message, evidence, remedy, 1,
            first_seen_at, last_seen_at, revision from {open}"
    );
    watched.pair.consumer.tamper(&unasked).await;
    for _ in 0..2 {
        let looked_at = "update job set run_at = 0 where kind = 'CONNECTION_HEALTH'";
        watched.pair.consumer.tamper(looked_at).await;
        watched.pair.advance(1).await;
    }
    let seen_once = "issue where check_code = 'SETTINGS_AGREE' and seen_count = 1 and state = 'OPEN'";
    assert_eq!(watched.pair.consumer.rows(seen_once).await, 1);
    assert_eq!(watched.pair.consumer.rows(&format!("{open} and seen_count > 1")).await, 1);

    outage.end(&mut watched).await;
    assert!(watched.until(Side::Consumer, 60, shows("UP")).await.is_some());
    watched.intervals(25).await;
    assert_eq!((watched.pair.consumer.rows(&open).await, watched.pair.consumer.rows(issues).await), (0, 1));
}
