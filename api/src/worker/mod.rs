//! Carries committed work out, at least once, under a lease. The only one to move the hands.

mod examine;
mod letter;
mod onboarding;
mod patience;
mod prober;
mod scan;
#[cfg(test)]
mod tests;
mod verification;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::actions::work::TRIES;
use crate::actions::{Actions, Call, Failure};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::check::{Remedy, Suite};
use crate::domain::effect::{Lane, Work};
use crate::domain::failure::Operation;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scan::Subject;
use crate::mail::{Mailer, Retry};
use crate::outbound::Outbound;
use crate::peer::{Peer, PeerError, wire};
use crate::probe::Probe;
use crate::store::Job;
use patience::Patience;

/// How long the worker sleeps at most: a database has no other way to say that another node wrote work.
const NAP: Duration = Duration::from_secs(1);
/// The least time between two looks.
const BREATH: Duration = Duration::from_millis(5);
/// How long one piece of work may take, whatever it waits for; with [`END_LIMIT`] shorter than its lease.
const JOB_LIMIT: Duration = Duration::from_secs(55);
/// How long it may take to end what waits for work that is given up.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Takes work and carries it out.
#[derive(Clone)]
pub struct Worker {
    actions: Actions,
    peer: Peer,
    /// The same, with the time limit of probes.
    prober: Peer,
    /// The same, with a connection for each probe: for peers that may not be there any more.
    knocker: Peer,
    probe: Probe,
    mailer: Mailer,
    busy: Arc<AtomicUsize>,
    /// How many places of each lane are taken.
    taken: [Arc<AtomicUsize>; Lane::ALL.len()],
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Worker")
    }
}

/// Counts a piece of work out again, also when it is cut off.
struct Done(Arc<AtomicUsize>);

impl Done {
    fn counting(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why a piece of work did not succeed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// On our side.
    #[error(transparent)]
    Ours(#[from] Failure),
    /// On the peer's side, or on the way there.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A letter did not go out.
    #[error("{0}")]
    Mail(#[from] crate::mail::MailError),
    /// It was cut off.
    #[error("the work took longer than it may")]
    Late,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Ours(refusal.into())
    }
}

impl Trouble {
    /// What people read of it; none for what only the log of this instance explains.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Ours(Failure::Refused(refusal)) => Some((**refusal).clone()),
            Self::Ours(Failure::Keys(error)) => {
                Some(Refusal::new(RefusalCode::KeyServiceUnhealthy, error.to_string()).reason("OURS"))
            }
            Self::Ours(Failure::Store(_) | Failure::Bug(_)) | Self::Late => None,
            Self::Peer(error) => Some(error.refusal()),
            Self::Mail(error) => {
                let refusal = Refusal::new(RefusalCode::MailFailed, error.to_string()).reason(error.reason());
                Some(refusal.remedy(Remedy::human(error.remedy())))
            }
        }
    }

    /// Whether the same work may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Ours(Failure::Refused(refusal)) => {
                refusal.code == RefusalCode::Conflict || is_keys_away(refusal)
            }
            Self::Ours(Failure::Store(_) | Failure::Keys(_)) | Self::Late => true,
            Self::Ours(Failure::Bug(_)) => false,
            Self::Peer(error) => error.is_passing(),
            Self::Mail(error) => error.retry() == Retry::Later,
        }
    }
}

/// Whether the refusal says that our key service or the audit trail did not answer, which they will again.
fn is_keys_away(refusal: &Refusal) -> bool {
    let passing = [Failure::KEYS_AWAY, Failure::TRAIL_AWAY];
    refusal.code == RefusalCode::KeyServiceUnhealthy
        && refusal.reason.as_deref().is_some_and(|reason| passing.contains(&reason))
}

/// Whether the work is not begun again.
fn gives_up(work: &Work, tries: i64, trouble: &Trouble) -> bool {
    let most = if matches!(work, Work::Scan(_)) { scan::TRIES } else { TRIES };
    !trouble.is_passing() || tries >= most
}

impl Worker {
    /// A worker with these hands.
    #[must_use]
    pub fn new(actions: Actions, outbound: Outbound, mailer: Mailer) -> Self {
        let peer = Peer::new(outbound.clone());
        let limit = actions.profile().probe_limit.to_std().unwrap_or_default();
        // A peer that holds other messages up, because its database hangs or it is slow, is not unreachable for that.
        let prober = peer.within(limit).apart();
        Self {
            knocker: prober.afresh(),
            prober,
            actions,
            peer,
            probe: Probe::new(outbound),
            mailer,
            busy: Arc::default(),
            taken: Default::default(),
        }
    }

    /// Works and watches until told to stop; what is under way then is finished or left to its lease.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        if self.actions.profile().copied {
            // Whoever may be a copy does nothing, until somebody says that it is none.
            let _ = shutdown.wait_for(|stop| *stop).await;
            return;
        }
        let keys = self.watch_keys(shutdown.clone());
        tokio::join!(self.carry_on(shutdown.clone()), self.watch(shutdown), keys);
    }

    async fn watch_keys(&self, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            () = self.actions.watch_key_process() => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    async fn carry_on(&self, mut shutdown: watch::Receiver<bool>) {
        let committed = self.actions.work_committed();
        let mut running = JoinSet::new();
        let mut patience = Patience::default();
        while !*shutdown.borrow() {
            let due = match self.take_work(&mut running).await {
                Ok(due) => due,
                Err(failure) => {
                    let wait = patience.failed(&failure, self.actions.now(), self.actions.chance());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        _ = shutdown.changed() => {}
                    }
                    continue;
                }
            };
            patience.answered(self.actions.now());
            tokio::select! {
                () = committed.notified() => {}
                () = self.actions.wait_until(due, BREATH, NAP) => {}
                Some(_) = running.join_next() => {}
                _ = shutdown.changed() => {}
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(5), running.join_all()).await;
    }

    /// Begins as much of the work that is due as there is room for; answers when the next is due that there is room for.
    /// What other nodes committed is announced here, too.
    async fn take_work(&self, running: &mut JoinSet<()>) -> Result<Option<Timestamp>, Failure> {
        self.actions.poll().await?;
        loop {
            let has_room = |lane: &Lane| self.taken[*lane as usize].load(Ordering::SeqCst) < lane.places();
            let kinds: Vec<_> =
                Lane::ALL.into_iter().filter(has_room).flat_map(Lane::kinds).copied().collect();
            if kinds.is_empty() {
                // The end of one makes room.
                return Ok(None);
            }
            let Some(job) = self.actions.claim_job(&kinds).await? else {
                return self.actions.next_job_of(&kinds).await;
            };
            let worker = self.clone();
            let place = Done::counting(&self.taken[job.work.lane() as usize]);
            running.spawn(async move {
                worker.carry_out(job).await;
                drop(place);
            });
        }
    }

    /// How many pieces of work are being carried out just now.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    async fn carry_out(&self, job: Job) {
        let _done = Done::counting(&self.busy);
        let span = tracing::info_span!("work", kind = job.work.kind(), job = %job.id, trace_id = %job.trace);
        async {
            let work = AssertUnwindSafe(self.work(&job)).catch_unwind();
            let outcome = match tokio::time::timeout(JOB_LIMIT, work).await {
                Ok(Ok(outcome)) => outcome,
                // As if the process had ended: another try when the lease does, but not for ever.
                Ok(Err(_)) if job.tries < TRIES => {
                    tracing::error!(tries = job.tries, "work broke off in this instance; it is tried again");
                    return;
                }
                Ok(Err(_)) => Err(Trouble::Ours(Failure::Bug("The work broke off in this instance."))),
                Err(_) => Err(Trouble::Late),
            };
            if let Err(trouble) = &outcome {
                self.log(&job, trouble).await;
            }
            let outcome = match outcome {
                Err(trouble) if gives_up(&job.work, job.tries, &trouble) => self.end(&job, trouble).await,
                outcome => outcome,
            };
            let settled = match &outcome {
                Ok(()) => self.actions.settle_job(&job).await,
                Err(trouble) => {
                    let again = trouble.is_passing();
                    tracing::warn!(
                        trouble = causes(&trouble),
                        tries = job.tries,
                        again,
                        "work did not succeed"
                    );
                    self.actions.fail_job(&job, &trouble.to_string(), again).await
                }
            };
            if let Err(error) = settled {
                // The lease runs out, and the work is done again.
                tracing::error!(error = causes(&error), "work could not be settled");
            }
        }
        .instrument(span)
        .await;
    }

    /// Ends what waits for work that is given up: it must not wait for ever.
    async fn end(&self, job: &Job, trouble: Trouble) -> Result<(), Trouble> {
        let call = Call::system(job.trace);
        let why = "this instance could not carry it out; its log says why";
        let ended = async {
            match job.work {
                Work::Scan(id) => Some(self.actions.break_scan(&call, id, why).await),
                Work::Verify(id) => Some(self.actions.break_verification(&call, id).await),
                // The one side ends alone.
                Work::TellOffboarding(id) => Some(self.actions.end_offboarding(&call, id, false).await),
                _ => None,
            }
        };
        let Ok(ended) = tokio::time::timeout(END_LIMIT, ended).await else { return Err(Trouble::Late) };
        let Some(ended) = ended else { return Err(trouble) };
        tracing::error!(
            trouble = causes(&trouble),
            tries = job.tries,
            "work was given up, and what waited for it is ended"
        );
        Ok(ended?)
    }

    /// What people look after gets an entry in its error log. Phases, probes, settings, claims and the steps of a
    /// verification write their own; of a scan that could not be carried out, each check says so.
    async fn log(&self, job: &Job, trouble: &Trouble) {
        let about = match job.work {
            Work::Letter => {
                self.actions.letter_subject(job).await.ok().map(|about| (Operation::Letter, about))
            }
            Work::Abandon(id) | Work::TellPause(id) | Work::TellOffboarding(id) => {
                Some((Operation::Notice, Subject::Connection(id)))
            }
            Work::Withdraw(id) => Some((Operation::Notice, Subject::Registration(id))),
            Work::RenewCredentials(id) => Some((Operation::Credentials, Subject::Connection(id))),
            Work::RefreshPeer(id) => Some((Operation::Identity, Subject::Connection(id))),
            Work::ConnectionHealth(id) => Some((Operation::Checks, Subject::Connection(id))),
            Work::KeyServiceHealth => {
                Some((Operation::Checks, Subject::Instance(self.actions.profile().instance)))
            }
            _ => None,
        };
        if let (Some((operation, subject)), Some(refusal)) = (about, trouble.refusal())
            && let Err(failure) =
                self.actions.log_failure(&Call::system(job.trace), subject, operation, &refusal).await
        {
            tracing::warn!(failure = causes(&failure), "the error log could not be written");
        }
    }

    async fn work(&self, job: &Job) -> Result<(), Trouble> {
        let call = Call::system(job.trace);
        match job.work {
            Work::Scan(id) => self.scan(&call, id).await,
            Work::Letter => self.letter(&call, job).await,
            Work::ProveClaim(id) => self.prove_claim(&call, id).await,
            Work::Phase(id) => self.phase(&call, id).await,
            Work::Ping(question) => self.ping(&call, question).await,
            Work::Abandon(id) => self.abandon(&call, id, job).await,
            Work::Withdraw(_) => self.withdraw(&call, job).await,
            Work::TellPause(id) => self.tell_pause(&call, id).await,
            Work::TellOffboarding(id) => self.tell_offboarding(&call, id).await,
            Work::SyncSettings(id) => self.sync_settings(&call, id).await,
            Work::Verify(id) => self.verify(&call, id).await,
            Work::Publish => Ok(self.actions.publish(&call).await?),
            Work::RenewCredentials(id) => self.renew_credentials(&call, id).await,
            Work::RefreshPeer(id) => self.refresh_peer(&call, id).await,
            Work::ConnectionHealth(id) => self.scheduled(&call, Suite::ConnectionHealth, Some(id)).await,
            Work::KeyServiceHealth => self.scheduled(&call, Suite::KeyService, None).await,
            Work::IssueDigest => Ok(self.actions.send_digests(&call).await?),
            Work::IssueSummary => Ok(self.actions.send_summary(&call).await?),
            Work::ExpireRegistration(id) => Ok(self.actions.expire_registration(&call, id).await?),
            Work::ExpireAttempt(id) => Ok(self.actions.expire_attempt(&call, id).await?),
            Work::Sweep => {
                if let Err(error) = self.actions.rotate_due_keys(&call).await {
                    // The health of the key service names what is overdue; the next sweep tries again.
                    tracing::error!(
                        error = causes(&error),
                        "keys could not be rotated as their schedules say"
                    );
                }
                self.actions.schedule_rotation(&call).await?;
                Ok(self.actions.sweep(&call).await?)
            }
            Work::Checkpoint => Ok(self.actions.checkpoint(&call).await?),
            Work::RewrapKeys => Ok(self.actions.carry_rotation_on(&call).await?),
        }
    }

    /// Asks the registered origin, and nobody else, whether it holds the claiming key.
    async fn prove_claim(&self, call: &Call, id: crate::domain::id::ClaimId) -> Result<(), Trouble> {
        let Some(plan) = self.actions.proof_plan(call, id).await? else { return Ok(()) };
        let answer =
            self.peer.post::<wire::Proof>(&plan.origin, wire::PROVE, None, &plan.question, call.trace).await;
        let answer = answer.map(|answer| answer.body).map_err(|error| error.refusal());
        Ok(self.actions.claim_answered(call, id, &plan.question, answer).await?)
    }
}
