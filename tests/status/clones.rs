//! A backup that is older than what the peer saw is noticed and held. How soon, and what else is noticed, the chain's own
//! tests say: here the clock is moved faster than a busy machine takes steps.

use serde_json::{Value, json};

use super::stage::{Side, Watched};
use crate::harness::{Client, Database, Instance};

impl Watched {
    fn instance(&mut self, side: Side) -> &mut Instance {
        match side {
            Side::Consumer => &mut self.pair.consumer,
            Side::Provider => &mut self.pair.provider,
        }
    }

    fn person(&self, side: Side) -> (&Client, &str) {
        match side {
            Side::Consumer => (&self.consumer, &self.at_consumer),
            Side::Provider => (&self.provider, &self.at_provider),
        }
    }

    /// What comes of a verb; the refusal where there is one.
    async fn press(&self, side: Side, verb: &str) -> Value {
        let (client, id) = self.person(side);
        let input = json!({ "connectionId": id });
        let query = format!(
            "mutation($input: {}Input!) {{ done: {verb}(input: $input) {{ connection {{ state }} \
             refusal {{ code reason message }} }} }}",
            verb[..1].to_uppercase() + &verb[1..]
        );
        client.query(&query, json!({ "input": input })).await["done"].clone()
    }

    /// Both sides see both directions up, and after so many intervals still do.
    async fn stays_up(&self, intervals: i64) {
        let up = |look: &Value| {
            look["state"] == "ONBOARDED"
                && look["outbound"]["status"] == "UP"
                && look["inbound"]["status"] == "UP"
        };
        for side in [Side::Consumer, Side::Provider] {
            assert!(self.until(side, 20, up).await.is_some(), "{side:?}: {:#}", self.look(side).await);
        }
        self.intervals(intervals).await;
        for side in [Side::Consumer, Side::Provider] {
            let look = self.look(side).await;
            assert!(up(&look), "{side:?}: {look:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_noticed_and_held() {
    // On a shared database the chain is told of only under a lease of seconds, which this clock outruns.
    let database = Database::Sqlite;
    let mut watched = Watched::onboarded(database).await;
    watched.calm().await;
    watched.instance(Side::Provider).kill().await;
    let backup = watched.instance(Side::Provider).copy(database).await;
    watched.instance(Side::Provider).start(None).await;
    watched.stays_up(3).await;
    watched.instance(Side::Provider).kill().await;
    watched.instance(Side::Provider).config.database.url = backup.config.database.url.clone();
    watched.instance(Side::Provider).start(None).await;
    let held = |look: &Value| look["state"] == "SUSPENDED";
    let noticed = watched.until(Side::Consumer, 120, held).await;
    assert!(noticed.is_some(), "{:#}", watched.look(Side::Consumer).await);
    let early = watched.press(Side::Consumer, "resumeConnection").await;
    assert_eq!(early["refusal"]["reason"], "CLONE_SUSPECTED", "{early:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_at_home_on_its_host_does_nothing_until_its_operator_says_that_it_goes_on() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        let provider = watched.instance(Side::Provider);
        provider.kill().await;
        let file = provider.config.install_file();
        let at_home = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{}\n", uuid::Uuid::max())).unwrap();
        provider.start(None).await;
        let ready = watched.pair.provider.client().get("/readyz").await;
        assert_eq!(ready.status, 200);
        assert!(ready.body.contains("linkspan survivor"), "{}", ready.body);
        let copied = async |watched: &Watched| {
            watched.provider.query("{ instance { copied } }", json!({})).await["instance"]["copied"].clone()
        };
        assert_eq!(copied(&watched).await, true);
        let refused = |look: &Value| {
            look["outbound"]["status"] == "DOWN"
                && look["outbound"]["cause"]["reason"] == "CLONE_SUSPECTED"
                && look["inbound"]["status"] == "DOWN"
        };
        let noticed = watched.until(Side::Consumer, 20, refused).await;
        assert!(noticed.is_some(), "{:#}", watched.look(Side::Consumer).await);

        let provider = watched.instance(Side::Provider);
        provider.kill().await;
        provider.goes_on_here().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), at_home);
        provider.start(None).await;
        assert_eq!(copied(&watched).await, false);
        watched.stays_up(2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_on_either_side_and_silences_between_them_are_no_copies() {
    for database in Database::available() {
        let mut watched = Watched::onboarded(database).await;
        watched.calm().await;
        for side in [Side::Provider, Side::Consumer] {
            for seconds in [0, 1, 7] {
                watched.instance(side).kill().await;
                watched.pair.clock.advance(seconds * 1_000);
                watched.instance(side).start(None).await;
                watched.seconds(2).await;
            }
        }
        for name in ["ANSWERS_LOST", "LINE_BACK_CLOSED"] {
            let outage = super::outages::named(name);
            outage.begin(&mut watched).await;
            watched.intervals(4).await;
            watched.instance(Side::Consumer).kill().await;
            watched.instance(Side::Consumer).start(None).await;
            watched.intervals(2).await;
            outage.end(&mut watched).await;
        }
        watched.stays_up(4).await;
        for side in [Side::Provider, Side::Consumer] {
            let suspicions =
                watched.instance(side).rows("audit where operation = 'connection.clone_suspected'").await;
            assert_eq!(suspicions, 0, "{database:?}, {side:?}");
        }
    }
}
