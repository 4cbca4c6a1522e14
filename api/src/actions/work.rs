//! Work for the worker, taken and given back.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::connection::Part;
use crate::domain::direction::{DirectionStatus, Way};
use crate::domain::effect::{Lane, Work};
use crate::domain::id::{ConnectionId, TraceId};
use crate::store::{Job, NewJob, Reader};

/// How often a failing job is tried before it is left for a person to see.
pub(crate) const TRIES: i64 = 12;

impl Actions {
    /// The next piece of work of these kinds that is due.
    pub(crate) async fn claim_job(&self, kinds: &[&str]) -> Done<Option<Job>> {
        Ok(self.store.claim_job(self.world.now(), kinds).await?)
    }

    /// The job is done.
    pub(crate) async fn settle_job(&self, job: &Job) -> Done<()> {
        Ok(self.store.settle_job(job).await?)
    }

    /// The job did not succeed: again later, doubling from one second to five minutes, or never.
    pub(crate) async fn fail_job(&self, job: &Job, error: &str, again: bool) -> Done<()> {
        let exponent = u32::try_from(job.tries.clamp(1, 9) - 1).unwrap_or(0);
        let pause = TimeDelta::seconds((1_i64 << exponent).min(300));
        let again = job.work.recurs() || (again && job.tries < TRIES);
        let run_at = again.then(|| self.world.now() + pause);
        Ok(self.store.fail_job(job, error, run_at).await?)
    }

    /// When the next piece of work is due.
    pub async fn next_job_at(&self) -> Done<Option<Timestamp>> {
        let kinds: Vec<_> = Lane::ALL.iter().flat_map(|lane| lane.kinds()).copied().collect();
        self.next_job_of(&kinds).await
    }

    /// When the next piece of work of these kinds is due.
    pub(crate) async fn next_job_of(&self, kinds: &[&str]) -> Done<Option<Timestamp>> {
        Ok(self.store.next_job_at(kinds).await?)
    }

    /// Waits for a time, see [`World::wait_until`](crate::world::World::wait_until).
    pub(crate) async fn wait_until(&self, at: Option<Timestamp>, least: Duration, most: Duration) {
        self.world.wait_until(at, least, most).await;
    }

    /// How many pieces of work wait, and how many were given up.
    pub async fn job_counts(&self) -> Done<(u64, u64)> {
        Ok(self.store.job_counts().await?)
    }

    /// A number by chance, to spread what would else happen in step; 0 when the machine has no entropy to give.
    pub(crate) fn chance(&self) -> u16 {
        self.world.bytes().map_or(0, u16::from_le_bytes)
    }

    /// Wakes when work was committed.
    pub(crate) fn work_committed(&self) -> std::sync::Arc<tokio::sync::Notify> {
        self.store.work()
    }

    /// Looks whether another node committed something.
    pub(crate) async fn poll(&self) -> Done<()> {
        let polled = self.store.poll().await;
        self.watch.lock().unread = polled.is_err();
        Ok(polled?)
    }

    /// Hears of what other nodes commit, for as long as it runs.
    pub async fn listen(&self) {
        self.store.listen().await;
    }

    /// Whether the database answers, and takes what is written: a full disk is still read.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn is_ready(&self) -> Done<bool> {
        self.store.ping().await?;
        let watch = self.watch.lock();
        Ok(!watch.unread && !watch.unwritten)
    }

    /// How many directions of the connections that this node watches have each status, by what was last announced.
    #[must_use]
    pub fn directions(&self) -> Vec<(Way, DirectionStatus, usize)> {
        self.watch.lock().tally()
    }

    /// Schedules the sweep, once per database.
    pub(crate) async fn schedule_sweep(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin_keyless("sweep.schedule", call).await?;
        if !tx.has_work(&[Work::Sweep]).await? {
            let run_at = tx.now() + TimeDelta::hours(1);
            tx.enqueue(NewJob { work: Work::Sweep, run_at, sealed: None }).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Random text, as long as so many bytes are in base64.
    pub(crate) fn random_text<const N: usize>(&self) -> Done<String> {
        Ok(data_encoding::BASE64.encode(&self.world.bytes::<N>()?))
    }

    /// A trace id for a request that brought none.
    #[must_use]
    pub fn fresh_trace(&self) -> TraceId {
        // Without entropy nothing else works either; a trace id is the last thing to fail over.
        self.world.trace().unwrap_or(TraceId(1))
    }

    /// What we are in a connection, if it exists.
    pub(crate) async fn part(&self, call: &Call, id: ConnectionId) -> Done<Option<Part>> {
        let tx = self.begin("connection.read", call).await?;
        Ok(tx.connection(id).await?.map(|connection| connection.part))
    }

    /// Gives up a handshake whose second message did not come.
    pub(crate) async fn drop_exchange(&self, exchange: keyservice::ExchangeId) {
        // It would be forgotten by itself: a key service that cannot be told is no trouble of the caller's.
        if let Err(error) = self.keys.onboarding().abandon(exchange).await {
            tracing::warn!(error = causes(&error), "an exchange could not be abandoned");
        }
    }

    /// Reads on behalf of whoever calls.
    #[must_use]
    pub fn reader(&self, call: &Call) -> Reader {
        self.store.reader(&call.requester.viewer())
    }

    /// Moves whenever a change was committed.
    #[must_use]
    pub fn watch(&self) -> tokio::sync::watch::Receiver<i64> {
        self.store.watch()
    }

    /// Moves whenever an entry of the audit trail was committed.
    #[must_use]
    pub fn watch_audit(&self) -> tokio::sync::watch::Receiver<i64> {
        self.store.watch_audit()
    }
}
