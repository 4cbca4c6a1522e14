//! Scans: their checks are asked all at once, each within its limit; answers are recorded as they come.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::examine::Examination;
use super::{Trouble, Worker};
use crate::actions::{Answers, Call, Examine, ScanPlan};
use crate::domain::causes::causes;
use crate::domain::check::{Answer, CheckCode, Suite};
use crate::domain::id::{ConnectionId, ScanId};
use crate::domain::scan::Subject;

/// How long a whole scan may take; shorter than the worker's limit for a piece of work.
const SCAN_LIMIT: Duration = Duration::from_secs(40);
/// How often a scan is begun before what it did not answer counts as broken.
pub(super) const TRIES: i64 = 4;
/// The most answers that are recorded together.
const TOGETHER: usize = 64;
/// How often a scan that is under way looks whether it was called off: checks that nobody waits for take no place.
const CALLED_OFF: Duration = Duration::from_secs(1);
/// How long a check waits for a remedy that is under way: so often, and each time so long.
const MENDING: (usize, Duration) = (50, Duration::from_millis(100));
/// How long it waits at most for the other side that is about to sync the settings.
const SYNCING: Duration = Duration::from_secs(5);

impl Worker {
    pub(super) async fn scan(&self, call: &Call, id: ScanId) -> Result<(), Trouble> {
        self.await_mending(call, id).await?;
        let Some(plan) = self.actions.begin_scan(call, id).await? else { return Ok(()) };
        let examination = Examination::new(self, call, &plan);
        let (sender, mut answered) = mpsc::unbounded_channel();
        // Both go on at the same time: a check that waits for the database must not wait for the one that records.
        let asking = async {
            let mut coming = ask_all(&examination, &plan, SCAN_LIMIT);
            while let Some(answer) = coming.next().await {
                if sender.send(answer).is_err() {
                    break;
                }
            }
            drop(sender);
            std::future::pending::<()>().await;
        };
        let recording = async {
            let (mut all, mut some) = (Vec::new(), Vec::new());
            while answered.recv_many(&mut some, TOGETHER).await > 0 {
                if !self.actions.record_answers(call, &plan.scan, &some).await? {
                    return Ok(());
                }
                all.append(&mut some);
            }
            Ok::<_, Trouble>(self.actions.end_scan(call, &plan.scan, &all).await?)
        };
        let called_off = async {
            loop {
                tokio::time::sleep(CALLED_OFF).await;
                match self.actions.is_running(call, id).await {
                    Ok(false) => break,
                    Ok(true) => {}
                    Err(error) => {
                        tracing::debug!(error = causes(&error), "whether the scan goes on could not be read");
                    }
                }
            }
        };
        tokio::select! {
            ended = recording => ended,
            () = asking => Ok(()),
            () = called_off => Ok(()),
        }
    }

    /// Runs a suite by its schedule.
    pub(super) async fn scheduled(
        &self,
        call: &Call,
        suite: Suite,
        connection: Option<ConnectionId>,
    ) -> Result<(), Trouble> {
        let ours = Subject::Instance(self.actions.profile().instance);
        let subject = connection.map_or(ours, Subject::Connection);
        let Some(plan) = self.actions.scheduled_plan(call, suite, subject).await? else { return Ok(()) };
        let answers = self.examine(call, &plan, SCAN_LIMIT).await;
        Ok(self.actions.scheduled_answers(call, &plan, &answers).await?)
    }

    async fn await_mending(&self, call: &Call, id: ScanId) -> Result<(), Trouble> {
        let (times, pause) = MENDING;
        for _ in 0..times {
            if !self.actions.is_being_mended(call, id).await? {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        // A provider asks its consumer to sync the settings, which does so in its own time.
        let Some(connection) = self.actions.settings_of_peer(call, id).await? else { return Ok(()) };
        let synced = async {
            loop {
                let asked = self.say(call, connection, "compare", &json!({})).await;
                // What it answers now, or why it does not, the check finds out itself.
                if !asked.is_ok_and(|(answer, _)| self.actions.is_syncing(answer)) {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        };
        // However long it takes: then it is asked all the same.
        let _ = timeout(SYNCING, synced).await;
        Ok(())
    }

    /// Renews the service accounts of both sides.
    pub(super) async fn renew_credentials(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        let offer = self.actions.offer_credentials(call, id).await?;
        let (answer, _) = self.say(call, id, "credentials.create", &offer).await?;
        Ok(self.actions.take_credentials(call, id, &answer).await?)
    }

    /// Asks the other side of a connection again who it is.
    pub(super) async fn refresh_peer(&self, call: &Call, id: ConnectionId) -> Result<(), Trouble> {
        let Some(origin) = self.actions.peer_origin(call, id).await? else { return Ok(()) };
        let identity = self.peer.identity(&origin, call.trace).await?;
        let verified = self.actions.verify_identity(&identity.body, origin.as_str())?;
        Ok(self.actions.learn_peer(call, id, &verified).await?)
    }
}

impl Examine for Worker {
    fn examine<'a>(&'a self, call: &'a Call, plan: &'a ScanPlan, limit: Duration) -> Answers<'a> {
        Box::pin(async move {
            let examination = Examination::new(self, call, plan);
            ask_all(&examination, plan, limit).collect().await
        })
    }
}

/// Asks every check of a plan at once. One that is not answered within the limit for all of them is an error.
fn ask_all<'a>(
    examination: &'a Examination<'a>,
    plan: &'a ScanPlan,
    limit: Duration,
) -> FuturesUnordered<impl Future<Output = (CheckCode, Answer)> + 'a> {
    let deadline = Instant::now() + limit;
    let ask = move |code: CheckCode| async move {
        let late = |_| Answer::Error(over(code, limit));
        (code, timeout_at(deadline, examination.answer(code)).await.unwrap_or_else(late))
    };
    plan.scan.checks().into_iter().map(ask).collect()
}

/// Why a check has no answer when the time for all of them is over. Only a dry run, for which somebody waits, has less
/// than each check may take.
fn over(code: CheckCode, limit: Duration) -> String {
    let alone = code.spec().time_limit.num_seconds();
    format!("no answer within the {} s of a dry run; a scan waits {alone} s for it", limit.as_secs())
}
