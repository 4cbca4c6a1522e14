//! Watching goes on: whatever becomes of the database, the clock, or the node that probes, and however many change at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use linkspan::domain::effect::{Lane, Work};
use linkspan::domain::id::{ConnectionId, TraceId};
use linkspan::domain::requester::Requester;
use linkspan::store::{Cause, NewJob, Store};
use linkspan::world::{Clock as _, World};
use serde_json::{Value, json};

use super::outages;
use super::stage::{Side, Watched};
use crate::harness::log::Log;
use crate::harness::saboteur::Saboteur;
use crate::harness::{Client, Database, Instance, Pair, Stage, let_pass};

/// Copies of the one connection of a consumer, each to another origin, which the consumer has no keys for.
fn crowd(database: Database, count: usize) -> String {
    let (uuid, series) = match database {
        Database::Sqlite => (
            "randomblob(16)",
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})",
        ),
        Database::Postgres => ("gen_random_uuid()", "with n as (select generate_series(1, {count}) as i)"),
    };
    let series = series.replace("{count}", &count.to_string());
    let connections = format!(
        "{series} insert into connection (id, part, company_id, link_id, origin, fingerprint, instance_id, public_key,
            state, onboarded_at, attempts, channel_id, message_seq, created_at, updated_at, revision)
        select {uuid}, part, company_id, {uuid}, 'https://partner-' || i || '.example.org', fingerprint, instance_id,
            public_key, state, onboarded_at, attempts, {uuid}, message_seq, created_at, updated_at, revision
        from (select * from connection limit 1) as one, n"
    );
    let directions = "insert into direction (connection_id, way, activated_at, last_proof_at, seen_at, misses, answers,
            was_down, own, own_at, shown, shown_at)
        select c.id, d.way, d.activated_at, d.last_proof_at, d.seen_at, 0, 1, d.was_down, 'UP', d.last_proof_at, 'UP',
            d.last_proof_at
        from connection c, direction d where c.origin like 'https://partner-%'
            and d.connection_id not in (select id from connection where origin like 'https://partner-%')";
    format!("{connections}; {directions}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connections_that_fall_at_once_are_all_written() {
    for database in Database::available() {
        let watched = Watched::onboarded(database).await;
        watched.calm().await;
        watched.pair.consumer.tamper(&crowd(database, 5_000)).await;
        let query = "{ healthOverview { statuses { way status count } } }";
        let (mut last, mut all) = (Value::Null, false);
        // It ends when all are down; a machine that is busy takes longer to write them.
        for _ in 0..160 {
            watched.pair.clock.advance(5_000);
            let_pass(Duration::from_millis(500)).await;
            last = watched.consumer.query(query, json!({})).await["healthOverview"]["statuses"].clone();
            let down = |way: &str| {
                let counts = last.as_array().unwrap();
                let found = counts.iter().find(|one| one["way"] == way && one["status"] == "DOWN");
                found.map_or(0, |one| one["count"].as_i64().unwrap())
            };
            all = down("OUTBOUND") == 5_000 && down("INBOUND") == 5_000;
            if all {
                break;
            }
        }
        assert!(all, "{database:?}: not all are down: {last:#}");
        let told = watched.pair.consumer.rows("direction_history where status = 'DOWN'").await;
        assert!(told >= 10_000, "{database:?}: {told} transitions");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_recurs_goes_on_though_a_run_of_it_fails_for_good() {
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.start(None).await;
        pair.provider.kill().await;
        let store = Store::open(&pair.provider.config.database, World::real()).await.unwrap();
        let now = World::real().now();
        let id = ConnectionId(uuid::Uuid::nil());
        let recurring = [
            Work::ConnectionHealth(id),
            Work::KeyServiceHealth,
            Work::IssueDigest,
            Work::Sweep,
            Work::Checkpoint,
        ];
        pair.provider.tamper("delete from job").await;
        for work in recurring {
            assert!(work.recurs());
            for _ in 0..2 {
                let cause = Cause { requester: Requester::System, trace: TraceId(1), now, once: None };
                let mut tx = store.begin("test", &cause).await.unwrap();
                tx.enqueue(NewJob { work: work.clone(), run_at: now, sealed: None }).await.unwrap();
                tx.commit().await.unwrap();
                // The next run is written while this one is under way, which then fails.
                let job = store.claim_job(now, &[work.kind()]).await.unwrap().unwrap();
                let mut tx = store.begin("test", &cause).await.unwrap();
                tx.enqueue(NewJob { work: work.clone(), run_at: now, sealed: None }).await.unwrap();
                tx.commit().await.unwrap();
                store.fail_job(&job, "broken", None).await.unwrap();
                let waits = format!("job where kind = '{}' and state = 'PENDING'", work.kind());
                assert_eq!(pair.provider.rows(&waits).await, 1, "{database:?}: {}", work.kind());
            }
            pair.provider.tamper("delete from job").await;
        }
        // What a letter said is not kept once it is given up.
        let cause = Cause { requester: Requester::System, trace: TraceId(1), now, once: None };
        let mut tx = store.begin("test", &cause).await.unwrap();
        let sealed = Some(b"a code".to_vec());
        tx.enqueue(NewJob { work: Work::Letter, run_at: now, sealed }).await.unwrap();
        tx.commit().await.unwrap();
        let job = store.claim_job(now, Lane::Mail.kinds()).await.unwrap().unwrap();
        store.fail_job(&job, "refused", None).await.unwrap();
        assert_eq!(pair.provider.rows("job where state = 'DEAD' and sealed is null").await, 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_waits_for_is_done_though_all_that_runs_by_schedule_hangs() {
    for database in Database::available() {
        let (mut stage, _, _) = Stage::onboarded(database).await;
        let consumer = &mut stage.pair.consumer;
        let saboteur = Saboteur::new();
        saboteur.hang("SETTINGS_AGREE");
        consumer.kill().await;
        consumer.tamper(&crowd(database, 24)).await;
        consumer.tamper("delete from job").await;
        let due = "insert into job (id, kind, subject_id, trace, state, run_at, tries, woken, fence, created_at)
            select id, 'CONNECTION_HEALTH', id, '00000000000000000000000000000001', 'PENDING', 0, 0, false, 0, 0 from connection
            where origin like 'https://partner-%'";
        consumer.tamper(due).await;
        consumer.start(Some(saboteur)).await;
        let hanging = "job where kind = 'CONNECTION_HEALTH' and lease_until is not null and fence = 1";
        let admin = stage.pair.consumer_admin().await;
        let places = Lane::Schedule.places() as i64;
        while stage.pair.consumer.rows(hanging).await < places {
            let_pass(Duration::from_millis(20)).await;
        }
        let pressed = admin.mutate("runScan", json!({ "suites": ["KEY_SERVICE"] }), "scan { id }").await;
        let query = format!("{{ scan(id: {}) {{ state }} }}", pressed["scan"]["id"]);
        admin.query_until(&query, |found| found["scan"]["state"] == "PASSED").await;
        let waiting = "job where kind = 'CONNECTION_HEALTH' and fence = 0 and run_at = 0";
        let consumer = &stage.pair.consumer;
        assert_eq!(
            (consumer.rows(hanging).await, consumer.rows(waiting).await),
            (places, 24 - places),
            "{database:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_hangs_is_given_up_in_time() {
    if !Database::available().contains(&Database::Postgres) {
        return;
    }
    let mut pair = Pair::prepare(Database::Postgres).await;
    pair.provider.config.database.statement_timeout_ms = 300;
    pair.provider.start(None).await;
    pair.provider.kill().await;
    let store = Store::open(&pair.provider.config.database, World::real()).await.unwrap();
    let held = pair.provider.hold_database(Database::Postgres).await;
    let limit = Duration::from_secs(20);
    let given_up = tokio::time::timeout(limit, store.watched(None)).await;
    held.let_go().await;
    assert!(given_up.expect("it hangs with the database").is_err());
    store.close().await.unwrap();
}

/// When the direction from the peer was proven last, by the clock of the instances.
async fn proven_ms(client: &Client, id: &str) -> i64 {
    let query = "query($id: ID!) { connection(id: $id) { inbound { lastProofAt } } }";
    let at = client.query(query, json!({ "id": id })).await["connection"]["inbound"]["lastProofAt"].clone();
    chrono::DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap().timestamp_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_go_on_while_the_database_hangs() {
    for database in Database::available() {
        let watched = Watched::onboarded(database).await;
        watched.calm().await;
        let held = watched.pair.consumer.hold_database(database).await;
        // Long enough for everything that is written or read from time to time; each step takes as long as its probe.
        let unproven = async || {
            let now = linkspan::world::Clock::now_ms(watched.pair.clock.as_ref());
            now - proven_ms(&watched.provider, &watched.at_provider).await
        };
        for _ in 0..8 {
            watched.pair.clock.advance(5_000);
            for _ in 0..100 {
                let_pass(Duration::from_millis(50)).await;
                if unproven().await <= 6_000 {
                    break;
                }
            }
        }
        let unproven = unproven().await;
        // Whoever only answers from memory says so, once it has waited for long enough.
        let mut there = Value::Null;
        for _ in 0..60 {
            // Not as fast as before: a minute and a half without an entry ends the use of keys.
            watched.pair.clock.advance(500);
            let_pass(Duration::from_millis(300)).await;
            there = watched.look(Side::Provider).await["outbound"].clone();
            if there["cause"]["reason"] == "DATABASE" && there["status"] == "DOWN" {
                break;
            }
        }
        held.let_go().await;
        assert_eq!(
            (&there["status"], &there["cause"]["code"], &there["cause"]["reason"]),
            (&json!("DOWN"), &json!("PEER_UNAVAILABLE"), &json!("DATABASE")),
            "{database:?}"
        );
        assert!(unproven <= 6_000, "{database:?}: no probe came for {unproven} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_is_said_once_and_so_is_its_return() {
    let log = Log::start();
    for database in Database::available() {
        let mut pair = Pair::prepare(database).await;
        pair.provider.start(None).await;
        let said = |text: &str| {
            let log = log.peek();
            log.lines().filter(|line| line.contains("linkspan::worker") && line.contains(text)).count()
        };
        log.take();
        pair.provider.tamper("alter table job rename to job_away").await;
        let_pass(Duration::from_secs(4)).await;
        assert_eq!(said("the database does not answer"), 1, "{database:?}");
        assert_eq!((said(" WARN ") + said(" ERROR ")), 1, "{database:?}: {}", log.take());
        pair.provider.tamper("alter table job_away rename to job").await;
        // The longest pause between two looks, and a little.
        let_pass(Duration::from_millis(1_500)).await;
        assert_eq!(said("the database answers again"), 1, "{database:?}");
        let_pass(Duration::from_secs(1)).await;
        assert_eq!((said("the database does not answer"), said("the database answers again")), (1, 1));
        pair.provider.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_peer_is_noticed_in_time_also_after_the_clock_was_set_back() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    watched.calm().await;
    watched.pair.clock.advance(-3_600_000);
    watched.seconds(6).await;
    let outage = outages::named("LINE_CLOSED");
    outage.begin(&mut watched).await;
    let noticed = watched.until(Side::Consumer, 60, |look| look["outbound"]["status"] == "DOWN").await;
    assert!(noticed.is_some_and(|seconds| seconds <= 15), "noticed after {noticed:?} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_were_paused_know_nothing_of_the_time_between_and_tell_of_no_outage() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        for side in [&watched.pair.provider, &watched.pair.consumer] {
            side.tamper("delete from direction_history").await;
        }
        watched.pair.clock.advance(600_000);
        watched.seconds(6).await;
        for (side, instance) in
            [(Side::Provider, &watched.pair.provider), (Side::Consumer, &watched.pair.consumer)]
        {
            let look = watched.look(side).await;
            assert_eq!(
                (&look["outbound"]["status"], &look["inbound"]["status"]),
                (&json!("UP"), &json!("UP"))
            );
            for (status, both_ways) in [("status is null", 2), ("status = 'UP'", 2), ("status = 'DOWN'", 0)] {
                let told = instance.rows(&format!("direction_history where {status}")).await;
                assert_eq!(told, both_ways, "{database:?}, {side:?}: {status}: {look:#}");
            }
        }
        assert_eq!(falls_and_returns(&watched).await, [0, 0], "{database:?}: nothing became anything else");
        // Down when the host is paused, and still so afterwards: one fall, and one return.
        let outage = outages::named("LINE_CLOSED");
        outage.begin(&mut watched).await;
        let shows = |wanted: &'static str| move |look: &Value| look["outbound"]["status"] == wanted;
        watched.until(Side::Consumer, 20, shows("DOWN")).await.expect("it falls");
        // Until the other side noticed, too: it would be a dispute.
        watched.intervals(4).await;
        watched.pair.clock.advance(600_000);
        watched.seconds(6).await;
        let gaps = "direction_history where way = 'OUTBOUND' and status is null";
        assert_eq!(watched.pair.consumer.rows(gaps).await, 2, "{database:?}");
        outage.end(&mut watched).await;
        watched.until(Side::Consumer, 40, shows("UP")).await.expect("it returns");
        assert_eq!(falls_and_returns(&watched).await, [1, 1], "{database:?}");
    }
}

/// How often a direction of the consumer's went down, and came up, within a day.
async fn falls_and_returns(watched: &Watched) -> [i64; 2] {
    let health =
        watched.consumer.query("{ healthOverview { lastDay { wentDown cameUp } } }", json!({})).await;
    let day = &health["healthOverview"]["lastDay"];
    ["wentDown", "cameUp"].map(|what| day[what].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_breaks_off_is_a_miss_of_ours_and_the_next_one_is_sent() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    let saboteur = Saboteur::new();
    watched.pair.consumer.kill().await;
    watched.pair.consumer.start(Some(saboteur.clone())).await;
    watched.calm().await;
    saboteur.throw("PROBE");
    let down = |look: &Value| look["outbound"]["status"] == "DOWN" && look["outbound"]["misses"] == 3;
    let noticed = watched.until(Side::Consumer, 20, down).await;
    let look = watched.look(Side::Consumer).await;
    assert!(noticed.is_some(), "{look:#}");
    let cause = &look["outbound"]["cause"];
    assert_eq!(
        (&cause["code"], &cause["reason"]),
        (&json!("PEER_UNAVAILABLE"), &json!("OUR_FAULT")),
        "{look:#}"
    );
    assert_eq!(look["explanation"]["fault"]["dependency"], "OUR_INSTANCE", "{look:#}");
    saboteur.mend();
    let recovered = watched.until(Side::Consumer, 20, |look| look["outbound"]["status"] == "UP").await;
    assert!(recovered.is_some_and(|seconds| seconds <= 5), "recovered after {recovered:?} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_and_a_clock_that_is_a_little_off_show_within_one_probe() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    watched.calm().await;
    let skew = &watched.pair.provider.outage().skew_ms;
    skew.store(40_000, Ordering::SeqCst);
    watched.seconds(6).await;
    let outbound = watched.look(Side::Consumer).await["outbound"].clone();
    let ahead = outbound["clockSkewMs"].as_i64().unwrap();
    assert!((38_000..=45_000).contains(&ahead), "{outbound:#}");
    assert_eq!(outbound["status"], "UP", "it is not yet so much that messages are too old: {outbound:#}");
    let input = json!({ "subjectId": watched.at_consumer, "suites": ["CONNECTION_HEALTH"] });
    let scan = watched.consumer.mutate("runScan", input, "scan { id }").await["scan"]["id"].clone();
    watched.pair.settle().await;
    let query = "query($id: ID!) { scan(id: $id) { state results { check answer blocking evidence } } }";
    let scan = watched.consumer.query(query, json!({ "id": scan })).await["scan"].clone();
    assert_eq!(scan["state"], "PASSED", "a warning stops nothing: {scan:#}");
    let results = scan["results"].as_array().unwrap();
    let found: Vec<_> = results.iter().filter(|it| it["answer"] != "PASS").collect();
    assert_eq!((found.len(), &found[0]["check"]), (1, &json!("CLOCK_SKEW")), "{scan:#}");
    assert_eq!((&found[0]["answer"], &found[0]["blocking"]), (&json!("FINDING"), &json!(false)), "{scan:#}");
    skew.store(0, Ordering::SeqCst);
    watched.calm().await;
    // Probes leave no row; messages with an effect do, such as those that sync settings.
    let before = watched.pair.provider.rows("message").await;
    let outage = outages::named("LINE_LATE");
    outage.begin(&mut watched).await;
    let noticed = watched.until(Side::Consumer, 30, |look| look["outbound"]["status"] == "SLOW").await;
    assert!(noticed.is_some_and(|seconds| seconds <= 5), "noticed after {noticed:?} s");
    outage.end(&mut watched).await;
    watched
        .until(Side::Consumer, 30, |look| look["outbound"]["status"] == "UP")
        .await
        .expect("it is quick again");
    watched.pair.settle().await;
    let after = watched.pair.provider.rows("message").await;
    assert_eq!(after, before, "nothing is synced: whoever was slow was not away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_long_history_the_newest_transitions_are_shown() {
    for database in Database::available() {
        let watched = Watched::onboarded(database).await;
        let before = watched.pair.clock.now_ms() - 3_600_000;
        let many = format!(
            "insert into direction_history (connection_id, way, at, status)
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
            select c.id, 'OUTBOUND', {before} + n.i, 'SLOW' from connection c, n"
        );
        watched.pair.consumer.tamper(&many).await;
        let query = "query($id: ID!) { connection(id: $id) { outbound { status history(days: 1) {
            transitions { status } } } } }";
        let shown = watched.consumer.query(query, json!({ "id": watched.at_consumer })).await;
        let outbound = &shown["connection"]["outbound"];
        let told = outbound["history"]["transitions"].as_array().unwrap();
        assert_eq!((told.len(), &told[499]["status"]), (500, &outbound["status"]), "{database:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direction_that_keeps_falling_is_up_only_after_four_answers() {
    let mut watched = Watched::onboarded(Database::Sqlite).await;
    watched.calm().await;
    let outage = outages::named("LINE_CLOSED");
    let shows = |wanted: &'static str| move |look: &Value| look["outbound"]["status"] == wanted;
    let mut took = Vec::new();
    // After a long calm it is the first one again.
    for fall in 1..=4 {
        if fall == 4 {
            watched.calm().await;
        }
        outage.begin(&mut watched).await;
        watched.until(Side::Consumer, 20, shows("DOWN")).await.expect("it falls");
        outage.end(&mut watched).await;
        took.extend(watched.until(Side::Consumer, 60, shows("UP")).await);
    }
    let steady = |seconds: i64| (12..=21).contains(&seconds);
    assert!(
        matches!(took[..], [first, second, third, calm] if first.max(second) <= 5 && steady(third) && calm <= 5),
        "up again after {took:?} s"
    );
}

/// When each connection is probed next by a node, in milliseconds.
async fn next_probes(node: &Instance, crowd: &[ConnectionId]) -> Vec<i64> {
    let actions = node.app().actions();
    crowd.iter().filter_map(|id| actions.next_probe_at(*id)).map(|at| at.timestamp_millis()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_over_spreads_its_probes() {
    if !Database::available().contains(&Database::Postgres) {
        return;
    }
    let mut watched = Watched::onboarded(Database::Postgres).await;
    watched.calm().await;
    watched.pair.consumer.tamper(&crowd(Database::Postgres, 300)).await;
    let mut second = watched.pair.consumer.second_node();
    second.start(None).await;
    for _ in 0..10 {
        watched.pair.clock.advance(5_000);
        let_pass(Duration::from_millis(200)).await;
    }
    let ids = watched.pair.consumer.ids("connection where origin like 'https://partner-%'").await;
    assert_eq!(ids.len(), 300);
    watched.pair.consumer.kill().await;
    for _ in 0..8 {
        watched.pair.clock.advance(2_000);
        let_pass(Duration::from_millis(200)).await;
    }
    let due = next_probes(&second, &ids).await;
    assert_eq!(due.len(), 300, "the second node probes");
    let spread = due.iter().max().unwrap() - due.iter().min().unwrap();
    second.kill().await;
    assert!(spread >= 3_500, "300 probes within {spread} ms");
}
