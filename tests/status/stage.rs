//! Two onboarded instances, each behind a line of the test's.

use std::time::Duration;

use linkspan::domain::Timestamp;
use linkspan::vault::{Form, VaultConfig};
use linkspan::world::Clock as _;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Instance, Pair, let_pass};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Consumer,
    Provider,
}

pub(super) struct Watched {
    pub(super) pair: Pair,
    pub(super) provider: Client,
    pub(super) consumer: Client,
    /// The connection on the provider.
    pub(super) at_provider: String,
    /// The connection on the consumer.
    pub(super) at_consumer: String,
    /// Another instance that may answer at the provider's address.
    pub(super) stranger: Option<Instance>,
    /// Copies of either that go on beside it.
    pub(super) copies: Vec<(Side, Instance)>,
    /// The process of the provider's key service while it is stopped.
    pub(super) stopped: Option<u32>,
    pub(super) database: Database,
}

const LOOK: &str = "query($id: ID!) { connection(id: $id) { state
    outbound { status misses roundTripMs clockSkewMs ourView peerView peerViewFresh cause { code reason detail } }
    inbound { status ourView peerView peerViewFresh cause { code reason detail } peerCause { code reason } }
    explanation { healthy summary fault { dependency code reason evidence } nextAction { what at } } } }";

impl Watched {
    pub(super) async fn onboarded(database: Database) -> Self {
        Self::over(Pair::prepare(database).await, database, Form::InProcess).await
    }

    /// The same, with a key service of the provider's that can be stopped: in a process, as in the product.
    pub(super) async fn with_key_process(database: Database) -> Self {
        Self::over(Pair::prepare(database).await, database, Form::Process).await
    }

    async fn over(mut pair: Pair, database: Database, keys_of_provider: Form) -> Self {
        for instance in [&mut pair.provider, &mut pair.consumer] {
            instance.fragile().await;
            instance.config.probe_timeout_ms = 800;
            instance.config.slow_ms = 400;
        }
        if keys_of_provider == Form::Process {
            let keys = &mut pair.provider.config.keyservice;
            // Stopped for as long as the test likes.
            *keys = VaultConfig { form: Form::Process, hang_ms: 600_000, ..VaultConfig::default() };
        }
        pair.run().await;
        let (provider, consumer) = (pair.provider_admin().await, pair.consumer_admin().await);
        let ready = pair.make_ready(&provider).await;
        let registration = pair.register(&provider, &ready).await;
        let at_consumer = pair.open_link(&consumer, &pair.link_in_letter()).await;
        pair.get_started(&consumer, &at_consumer).await;
        let done = pair.onboard(&consumer, &at_consumer).await;
        assert_eq!(done["state"], "ONBOARDED", "{done:#}");
        let registration = pair.registration(&provider, &registration).await;
        let at_provider = registration["connection"]["id"].as_str().unwrap().to_owned();
        Self {
            pair,
            provider,
            consumer,
            at_provider,
            at_consumer,
            stranger: None,
            stopped: None,
            copies: Vec::new(),
            database,
        }
    }

    /// The time, by the clock of the instances.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_millis(self.pair.clock.now_ms()).unwrap()
    }

    pub(super) async fn look(&self, side: Side) -> Value {
        let (client, id) = match side {
            Side::Consumer => (&self.consumer, &self.at_consumer),
            Side::Provider => (&self.provider, &self.at_provider),
        };
        client.query(LOOK, json!({ "id": id })).await["connection"].clone()
    }

    /// Lets time pass, a second at a time, each with all that is due then.
    pub(super) async fn seconds(&self, seconds: i64) {
        for _ in 0..seconds {
            self.pair.clock.advance(1_000);
            self.quiet().await;
        }
    }

    /// Lets time pass, an interval at a time: for waiting, where nobody looks at the clock.
    pub(super) async fn intervals(&self, intervals: i64) {
        for _ in 0..intervals {
            self.pair.clock.advance(5_000);
            self.quiet().await;
        }
    }

    /// Lets time pass until a side looks like this; answers after how many seconds.
    pub(super) async fn until(&self, side: Side, most: i64, wanted: impl Fn(&Value) -> bool) -> Option<i64> {
        for passed in 0..=most {
            self.quiet().await;
            if wanted(&self.look(side).await) {
                return Some(passed);
            }
            self.pair.clock.advance(1_000);
        }
        None
    }

    /// Waits until no probe is on its way, and none is due.
    async fn quiet(&self) {
        let mut quiet = 0;
        for _ in 0..3_000 {
            let_pass(Duration::from_millis(10)).await;
            let two = [(Side::Provider, &self.pair.provider), (Side::Consumer, &self.pair.consumer)];
            let copies = self.copies.iter().map(|(side, copy)| (*side, copy));
            let rest = two.into_iter().chain(copies).all(|(side, instance)| {
                let id = if side == Side::Provider { &self.at_provider } else { &self.at_consumer };
                instance.busy() == 0 && instance.has_probed(id)
            });
            quiet = if rest { quiet + 1 } else { 0 };
            // What was learned is written, and read by the others, a little later.
            if quiet == 8 {
                return;
            }
        }
        panic!("the probes do not end");
    }

    /// Lets so much time pass that earlier falls do not count as flapping, and both sides see both directions up.
    pub(super) async fn calm(&self) {
        self.pair.clock.advance(400_000);
        let up = |look: &Value| {
            let up = |way: &str| look[way]["status"] == "UP" && look[way]["peerView"] == "UP";
            up("outbound") && up("inbound")
        };
        for side in [Side::Consumer, Side::Provider] {
            let calm = self.until(side, 60, up).await;
            assert!(calm.is_some(), "{side:?} is not calm: {:#}", self.look(side).await);
        }
        // What was due in that time is done: nobody is killed in the midst of it.
        self.pair.settle().await;
    }
}
