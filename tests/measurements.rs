//! What watching costs, and how soon a dead peer is noticed. Small, these are tests that it works in real time; large,
//! the cost is printed to be read, while everything must be up, and a dead peer noticed within three intervals:
//!
//! `LINKSPAN_MEASURE=1000 cargo nextest run --release -p tests --no-capture -E 'test(measurements)'`. It says how many
//! connections two instances in one process have to each other, so that the process does what one does that has twice as
//! many; each takes four file descriptors, so raise `ulimit -n` for many. What it printed is in the README.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyservice::{Floor, KeyService, LinkSpec, RegistrationContext, RootKey, SealedHierarchy, SealedKey};
use linkspan::domain::Timestamp;
use linkspan::domain::connection::{Connection, Part, Peer, State};
use linkspan::domain::direction::{DirectionStatus, Evidence, Measure, Way};
use linkspan::domain::id::{ChannelId, ConnectionId, LinkId, TraceId};
use linkspan::domain::origin::{Origin, OriginPolicy};
use linkspan::domain::requester::Requester;
use linkspan::store::{Cause, ServiceAccount, Store};
use linkspan::world::World;
use uuid::Uuid;

use crate::harness::proxy::Line;
use crate::harness::{Database, Instance, Pair, let_pass};

/// How much memory a connection may take, in KiB, whatever the machine: half as much again as it took when this was written.
const MOST_MEMORY: u64 = 200;

/// How large a measurement is.
struct Size {
    /// How many connections are probed.
    connections: usize,
    /// How many peers die.
    dying: usize,
    /// The time between probes, in seconds.
    interval: u32,
    /// For how many intervals the cost is measured.
    measured: u32,
    /// How much later than promised a machine with other work may be.
    grace: Duration,
}

impl Size {
    fn wanted() -> Self {
        match std::env::var("LINKSPAN_MEASURE") {
            Ok(count) => Self {
                connections: count.parse().unwrap(),
                dying: 100,
                interval: 5,
                measured: 12,
                grace: Duration::ZERO,
            },
            Err(_) => {
                Self { connections: 10, dying: 10, interval: 1, measured: 2, grace: Duration::from_secs(1) }
            }
        }
    }

    fn intervals(&self, count: u32) -> Duration {
        Duration::from_secs((self.interval * count).into())
    }
}

/// One instance from inside: its memory and its keys.
struct Inside {
    store: Store,
    keys: KeyService,
    identity: SealedKey,
    instance: [u8; 16],
    port: String,
    host: String,
}

impl Inside {
    async fn of(instance: &Instance) -> Self {
        let store = Store::open(&instance.config.database, World::real()).await.unwrap();
        let record = store.instance().await.unwrap().unwrap();
        let root = RootKey::read(instance.config.root_key_file()).unwrap();
        let hierarchy = SealedHierarchy { bytes: record.hierarchy };
        let entropy = Arc::new(keyservice::SystemEntropy);
        let keys = KeyService::open(&root, record.id.bytes(), &hierarchy, entropy).unwrap();
        let identity = store.keys("identity").await.unwrap().remove(0);
        let url = url::Url::parse(&instance.origin).unwrap();
        let (host, port) = (url.host_str().unwrap().to_owned(), url.port().unwrap().to_string());
        Self { store, keys, identity, instance: record.id.bytes(), port, host }
    }

    fn origin(&self, n: usize) -> String {
        format!("https://n{n}.{}:{}", self.host, self.port)
    }

    async fn add(&self, rows: Vec<(Connection, SealedKey)>, now: Timestamp) {
        let cause = Cause { requester: Requester::System, trace: TraceId(1), now, once: None };
        for rows in rows.chunks(200) {
            let mut tx = self.store.begin("measure", &cause).await.unwrap();
            for (connection, key) in rows {
                tx.insert_connection(connection, None).await.unwrap();
                tx.insert_key(key).await.unwrap();
                let account = ServiceAccount {
                    id: tx.uuid().unwrap(),
                    peer: None,
                    scopes: vec!["probe".to_owned()],
                    expires_at: now + chrono::TimeDelta::days(1),
                };
                tx.save_service_account(connection.id, &account).await.unwrap();
                let mut evidence = Evidence::default();
                evidence.proven(now, None, Measure::default());
                let both = [Way::Outbound, Way::Inbound].map(|way| (connection.id, way, evidence.clone()));
                tx.save_evidence(&both).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    }
}

/// Two instances with so many connections to each other, as if each were to another organisation.
async fn connected(count: usize, size: &Size, fragile: bool) -> Pair {
    let mut pair = Pair::prepare(Database::Sqlite).await;
    for instance in [&mut pair.provider, &mut pair.consumer] {
        // What breaks lines takes memory and processor time of its own.
        if fragile {
            instance.fragile().await;
        }
        instance.real_time = true;
        instance.config.probe_interval_seconds = size.interval;
        instance.config.probe_timeout_ms = size.interval * 800;
    }
    pair.provider.start(None).await;
    pair.consumer.start(None).await;
    pair.provider.kill().await;
    pair.consumer.kill().await;
    let (provider, consumer) = (Inside::of(&pair.provider).await, Inside::of(&pair.consumer).await);
    let now = World::real().now();
    let (mut there, mut here) = (Vec::new(), Vec::new());
    for n in 0..count {
        let (mut at_provider, mut at_consumer, keys) = link(&provider, &consumer, n, now);
        at_provider.part = Part::Provider;
        at_consumer.part = Part::Consumer;
        there.push((at_provider, keys.0));
        here.push((at_consumer, keys.1));
    }
    provider.add(there, now).await;
    consumer.add(here, now).await;
    pair
}

fn link(
    provider: &Inside,
    consumer: &Inside,
    n: usize,
    now: Timestamp,
) -> (Connection, Connection, (SealedKey, SealedKey)) {
    let (to_provider, to_consumer) = (provider.origin(n), consumer.origin(n));
    let seed = |what: u8| seed(what, n);
    let context = RegistrationContext {
        registration: n.to_string(),
        provider_origin: to_provider.clone(),
        provider_instance: provider.instance,
        provider_key: provider.identity.public_key().unwrap(),
        consumer_origin: to_consumer.clone(),
        consumer_instance: consumer.instance,
        consumer_key: consumer.identity.public_key().unwrap(),
        company: [0; 16],
        contact: [0; 16],
        link_digest: [0; 32],
        claim: seed(1),
        auth_event: seed(2),
        token_digest: [0; 32],
    };
    let ms = now.timestamp_millis();
    let channel = keyservice::exchange::link_id(&context);
    let spec = |id| LinkSpec { key_id: id, link: channel, epoch: 1 };
    let (exchange, m1) = consumer.keys.initiate(&consumer.identity, &context, 1, ms).unwrap();
    let (m2, pending) =
        provider.keys.respond(&provider.identity, &context, &m1, Floor::default(), ms).unwrap();
    let (m3, key, waiting) =
        consumer.keys.conclude(exchange, &consumer.identity, &m2, spec(seed(3)), ms).unwrap();
    let (m4, provider_key) = provider.keys.confirm(&pending, &m3, 1, spec(seed(4)), ms).unwrap();
    let consumer_key = consumer.keys.finish(&waiting, &key, &m4, ms).unwrap();
    let connection = |id: [u8; 16], origin: &str, peer: &Inside| Connection {
        id: ConnectionId(Uuid::from_bytes(id)),
        part: Part::Consumer,
        company: None,
        registration: None,
        link: LinkId(Uuid::from_bytes(seed(7))),
        peer: Peer {
            origin: Origin::parse(origin, &OriginPolicy::ANY).unwrap(),
            fingerprint: [0; 32],
            instance: None,
            public_key: Some(*peer.identity.public_key().unwrap().as_bytes()),
            name: None,
            version: None,
            identity_seq: 0,
        },
        state: State::Onboarded { at: now },
        created_at: now,
        updated_at: now,
        revision: 1,
        attempts: 0,
        channel: Some(ChannelId(Uuid::from_bytes(channel))),
        agreements: 0,
        survivor: None,
    };
    let at_provider = connection(seed(5), &to_consumer, consumer);
    let at_consumer = connection(seed(6), &to_provider, provider);
    (at_provider, at_consumer, (provider_key, consumer_key))
}

/// An id of this kind for the n-th connection.
fn seed(what: u8, n: usize) -> [u8; 16] {
    let mut bytes = [what; 16];
    bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
    bytes
}

/// Processor time in milliseconds and memory in KiB, of this process and of the key services that it started.
fn used() -> (u64, u64) {
    let (mut processor, mut memory) = (0, 0);
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        // Others come and go meanwhile.
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let own = std::process::id().to_string();
        if fields[1] != own && process.file_name() != *own {
            continue;
        }
        let Ok(statm) = std::fs::read_to_string(process.path().join("statm")) else { continue };
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (processor, memory) = (processor + ticks * 10, memory + pages * 4);
    }
    (processor, memory)
}

/// How many directions of an instance have each status, as they were last written.
async fn shown(inside: &Inside) -> BTreeMap<String, usize> {
    let rows = inside.store.watched(None).await.unwrap();
    let mut counts = BTreeMap::new();
    for (_, evidence) in rows.into_iter().flat_map(|row| row.directions) {
        let status = evidence.shown.map_or("none", |(status, _)| status.as_str());
        *counts.entry(status.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probing_many_connections_keeps_all_of_them_up() {
    let size = Size::wanted();
    let count = size.connections;
    let mut pair = connected(count, &size, false).await;
    pair.provider.start(None).await;
    pair.consumer.start(None).await;
    let idle = used();
    // Every connection has been made, and probed both ways.
    let_pass(size.intervals(4)).await;
    let before = used();
    let_pass(size.intervals(size.measured)).await;
    let after = used();
    let inside = Inside::of(&pair.provider).await;
    let time = size.intervals(size.measured);
    let share = |ms: u64| ms as f64 / time.as_millis() as f64 * 100.0 / 2.0 * 1_000.0 / count as f64;
    let memory = after.1.saturating_sub(idle.1) / 2 / count as u64;
    println!("{count} connections, probed both ways every {} s for {} s:", size.interval, time.as_secs());
    println!("  processor, a side and 1,000 connections: {:.1} % of one core", share(after.0 - before.0));
    println!("  memory, a side and 1,000 connections: {} MiB more than idle", memory * 1_000 / 1_024);
    // Few share what is there once.
    assert!(count < 1_000 || memory < MOST_MEMORY, "{memory} KiB for each");
    assert_eq!(shown(&inside).await, BTreeMap::from([("UP".to_owned(), 2 * count)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_peers_are_noticed_within_three_intervals() {
    let size = Size::wanted();
    for line in [Line::Closed, Line::Held] {
        let mut pair = connected(size.dying, &size, true).await;
        pair.provider.start(None).await;
        pair.consumer.start(None).await;
        let_pass(size.intervals(3)).await;
        let inside = Inside::of(&pair.consumer).await;
        let died = World::real().now();
        pair.provider.outage().line.set(line);
        let mut noticed = Vec::new();
        let_pass(size.intervals(4)).await;
        for row in inside.store.watched(None).await.unwrap() {
            for (way, evidence) in row.directions {
                if let (Way::Outbound, Some((DirectionStatus::Down, since))) = (way, evidence.shown) {
                    noticed.push((since - died).num_milliseconds());
                }
            }
        }
        noticed.sort_unstable();
        let (median, worst) = (noticed.get(noticed.len() / 2), noticed.last());
        println!(
            "{line:?}: {} of {} noticed; median {median:?} ms, worst {worst:?} ms",
            noticed.len(),
            size.dying
        );
        let most = (size.intervals(3) + size.grace).as_millis() as i64;
        assert!(noticed.len() == size.dying && noticed.iter().all(|took| *took <= most), "{noticed:?}");
    }
}
