//! The key service as a process of its own: what happens when it is killed, hung or slow, whom it listens to, and that
//! the gateway never holds a key.

mod child;
mod health;
mod memory;
mod socket;
mod unwrap;

use std::process::Command;
use std::time::Duration;

use linkspan::domain::requester::Role;
use linkspan::vault::{Form, Launcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Scratch};

use child::gated_launcher;
pub(crate) use child::launcher;

const HEALTH: &str = "{ keyHealth { status reason components { name status code message } } }";
const DEADLINE: Duration = Duration::from_millis(1_000);

/// Sends a signal as `kill` does.
pub(crate) fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// A pair whose provider asks its key service with a deadline, and somebody who looks after keys there.
async fn start() -> (Pair, Client) {
    start_by(launcher()).await
}

async fn start_by(launcher: Launcher) -> (Pair, Client) {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.provider.launcher = launcher;
    pair.provider.config.keyservice.form = Form::Process;
    pair.provider.config.keyservice.deadline_ms = DEADLINE.as_millis() as u64;
    pair.provider.config.keyservice.hang_ms = 120_000;
    pair.run().await;
    pair.provider.user("keys@provider.example.com", PASSWORD, &[Role::Admin, Role::KeyAuditor]).await;
    let client = pair.provider.client();
    client.sign_in("keys@provider.example.com", PASSWORD).await;
    (pair, client)
}

/// Makes an account with a password, which needs the key service.
async fn make(client: &Client, email: &str) -> Value {
    let input = json!({ "email": email, "name": "A Person", "password": PASSWORD, "roles": [] });
    client.try_mutate("createUser", input, "user { id }").await
}

async fn process(client: &Client) -> Value {
    let health = client.query(HEALTH, json!({})).await["keyHealth"].clone();
    let parts = health["components"].as_array().unwrap();
    let part = parts.iter().find(|part| part["name"] == "PROCESS").unwrap().clone();
    json!({ "whole": health["status"], "status": part["status"], "message": part["message"] })
}

async fn until_operational(client: &Client) {
    until(client, |process| process["whole"] == "OPERATIONAL").await;
}

async fn until(client: &Client, holds: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    for _ in 0..400 {
        last = process(client).await;
        if holds(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key service does not come to that: {last}");
}

/// Of a process that ends whenever it is started: the second start comes 0.1 s behind the first at the earliest, then
/// 0.2 s, then 0.4 s.
async fn each_start_waits_twice_as_long(starts: &std::path::Path) {
    let mut at: Vec<u64> = Vec::new();
    for _ in 0..400 {
        let lines = std::fs::read_to_string(starts).unwrap();
        // The first one lived.
        at = lines.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        if at.len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let pauses: Vec<u64> = at.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).take(3).collect();
    assert_eq!(pauses.len(), 3, "{at:?}");
    for (pause, least) in pauses.iter().zip([100, 200, 400]) {
        assert!(*pause >= least, "{pauses:?} ms");
    }
}

fn assert_refused(payload: &Value) {
    let refusal = &payload["refusal"];
    assert_eq!(refusal["code"], "KEY_SERVICE_UNHEALTHY", "{payload}");
    assert_eq!(refusal["reason"], "PROCESS", "{payload}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_service_that_is_killed_is_named_by_the_health_and_comes_back() {
    let scratch = Scratch::new();
    let (gate, starts) = (scratch.0.join("gate"), scratch.0.join("starts"));
    std::fs::write(&gate, "").unwrap();
    let (pair, client) = start_by(gated_launcher(&gate, &starts)).await;
    let before = pair.provider.app().actions().keys().process().unwrap();
    assert!(make(&client, "first@provider.example.com").await["refusal"].is_null());
    // Nothing takes its place until there is a gate again.
    std::fs::remove_file(&gate).unwrap();
    signal("-KILL", before);
    let ended = "The key service ended and is being started again.";
    until(&client, |process| process["message"] == ended).await;
    let health = process(&client).await;
    assert_eq!(health["whole"], "MALFUNCTION", "{health}");
    assert_eq!(health["status"], "MALFUNCTION", "{health}");
    let began = Instant::now();
    assert_refused(&make(&client, "second@provider.example.com").await);
    assert!(began.elapsed() < DEADLINE * 4, "{:?}", began.elapsed());
    each_start_waits_twice_as_long(&starts).await;
    std::fs::write(&gate, "").unwrap();
    until_operational(&client).await;
    let after = pair.provider.app().actions().keys().process().unwrap();
    assert_ne!(before, after);
    let made = make(&client, "second@provider.example.com").await;
    assert!(made["refusal"].is_null(), "{made}");
    // The password that was hashed under the pepper of the first process is right for the second.
    pair.provider.client().sign_in("first@provider.example.com", PASSWORD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_service_that_hangs_costs_one_deadline_and_answers_again_when_it_goes_on() {
    let (pair, client) = start().await;
    let pid = pair.provider.app().actions().keys().process().unwrap();
    signal("-STOP", pid);
    let began = Instant::now();
    assert_refused(&make(&client, "first@provider.example.com").await);
    let took = began.elapsed();
    assert!(took >= DEADLINE && took < DEADLINE * 4, "{took:?}");
    // Nobody waits for it any more.
    for _ in 0..5 {
        let began = Instant::now();
        assert_refused(&make(&client, "first@provider.example.com").await);
        assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    }
    let health = process(&client).await;
    assert_eq!(health["whole"], "MALFUNCTION", "{health}");
    assert_eq!(health["message"], "The key service did not answer in time.");
    signal("-CONT", pid);
    until_operational(&client).await;
    assert_eq!(pair.provider.app().actions().keys().process(), Some(pid));
    let made = make(&client, "first@provider.example.com").await;
    assert!(made["refusal"].is_null(), "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_service_that_is_slow_answers_within_the_deadline() {
    let (pair, client) = start().await;
    let pid = pair.provider.app().actions().keys().process().unwrap();
    signal("-STOP", pid);
    let later = tokio::spawn(async move {
        tokio::time::sleep(DEADLINE / 4).await;
        signal("-CONT", pid);
    });
    let made = make(&client, "slow@provider.example.com").await;
    assert!(made["refusal"].is_null(), "{made}");
    later.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_service_that_hangs_for_too_long_is_killed_and_started_again() {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    pair.provider.config.keyservice.form = Form::Process;
    pair.provider.config.keyservice.deadline_ms = 500;
    pair.provider.config.keyservice.hang_ms = 1_000;
    pair.run().await;
    pair.provider.user("keys@provider.example.com", PASSWORD, &[Role::Admin, Role::KeyAuditor]).await;
    let client = pair.provider.client();
    client.sign_in("keys@provider.example.com", PASSWORD).await;
    let pid = pair.provider.app().actions().keys().process().unwrap();
    signal("-STOP", pid);
    assert_refused(&make(&client, "first@provider.example.com").await);
    until_operational(&client).await;
    assert_ne!(pair.provider.app().actions().keys().process(), Some(pid));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the one that hung is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_protects_the_process_is_in_force_and_said_in_the_health() {
    let (pair, client) = start().await;
    let pid = pair.provider.app().actions().keys().process().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let said = process(&client).await["message"].as_str().unwrap().to_owned();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let core: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
    let (in_force, _) = said.split_once(" Not in this kernel:").unwrap_or((&said, ""));
    for name in ["no core dumps", "memory closed to other processes", "no new privileges"] {
        assert!(in_force.contains(name), "{said}");
    }
    assert_eq!(in_force.contains("seccomp"), status.contains("Seccomp:\t2"), "{said}\n{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_ends_with_its_instance() {
    let (mut pair, client) = start().await;
    let pid = pair.provider.app().actions().keys().process().unwrap();
    drop(client);
    pair.provider.kill().await;
    for _ in 0..200 {
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the key service outlived its instance");
}
