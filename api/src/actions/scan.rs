//! Scans: asked for, carried out by the worker answer by answer, ended. What a scan that decides causes is here, too.

mod dry_run;
mod facts;
mod scheduled;

pub use dry_run::{Answers, DryRun, Examine};
pub use scheduled::Mending;

use serde_json::json;

use super::limits::Limit;
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::check::{Answer, CheckCode, Finding, Suite};
use crate::domain::connection::{Connection, ConnectionState, State as Standing};
use crate::domain::effect::Work;
use crate::domain::id::{CompanyId, ConnectionId, RegistrationId, ScanId, UserId};
use crate::domain::issue::Issue;
use crate::domain::origin::Origin;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::State as RegistrationState;
use crate::domain::scan::{CALLED_OFF, LocalFacts, Scan, ScanState, StandingFacts, Subject, blocking};
use crate::store::{NewJob, ScanResult, StoreError, Tx};

/// The suites about a connection that stands.
pub(super) const STANDING: [Suite; 2] = [Suite::PostOnboarding, Suite::ConnectionHealth];

/// How often a scan's end is tried when somebody else changes its subject at the same time.
const TRIES: usize = 5;

/// What the worker needs to run a scan.
#[derive(Clone, Debug)]
pub struct ScanPlan {
    /// The scan.
    pub scan: Scan,
    /// What we know ourselves before onboarding.
    pub local: Option<LocalFacts>,
    /// What we know ourselves of a connection that stands.
    pub standing: Option<StandingFacts>,
    /// Where to look.
    pub target: Option<Origin>,
    /// The fingerprint that the other instance's key must have, where a link pins it.
    pub pin: Option<[u8; 32]>,
    /// The check that finds that nobody answers there, where that is known: those that would ask are spared.
    pub spared: Option<CheckCode>,
}

impl Actions {
    /// Runs suites about something, all of them in one scan: those that are named, or those that fit its state. The
    /// same scan asked for again before it began is the same scan.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE`; `INVALID_INPUT` for a suite that is not about such a thing; `RATE_LIMITED`.
    pub async fn run_scan(&self, call: &Call, subject: Option<Subject>, suites: &[Suite]) -> Done<ScanId> {
        call.requester.operator()?;
        let subject = subject.unwrap_or(Subject::Instance(self.profile.instance));
        let fits = |allowed: &[Suite]| -> Done<()> {
            if suites.iter().all(|suite| allowed.contains(suite)) {
                return Ok(());
            }
            let names: Vec<_> = allowed.iter().map(|suite| suite.as_str()).collect();
            let message = format!("About this, as it stands, can be run: {}.", names.join(", "));
            Err(Refusal::invalid("suites", message).into())
        };
        match subject {
            Subject::Registration(id) => {
                fits(&[Suite::PreOnboardingProvider])?;
                let registration = self.revalidate_registration(call, id).await?;
                match registration.state {
                    RegistrationState::AwaitingValidation { scan: Some(scan) } => Ok(scan),
                    _ => Err(Failure::Bug("a scan was to begin")),
                }
            }
            Subject::Connection(id) => {
                let tx = self.begin("connection.read", call).await?;
                let connection = self.connection(&tx, id).await?;
                drop(tx);
                if stands(&connection) {
                    fits(&STANDING)?;
                    let suites =
                        STANDING.into_iter().filter(|suite| suites.is_empty() || suites.contains(suite));
                    return Ok(self
                        .queue_alone(call, suites.collect(), subject, connection.company)
                        .await?
                        .id);
                }
                fits(&[Suite::PreOnboardingConsumer])?;
                match self.run_pre_onboarding_checks(call, id).await?.state {
                    Standing::AwaitingValidation { scan, .. } => Ok(scan),
                    _ => Err(Failure::Bug("a scan was to begin")),
                }
            }
            Subject::Instance(_) => {
                fits(&[Suite::KeyService])?;
                Ok(self.queue_alone(call, vec![Suite::KeyService], subject, None).await?.id)
            }
        }
    }

    async fn queue_alone(
        &self,
        call: &Call,
        suites: Vec<Suite>,
        subject: Subject,
        company: Option<CompanyId>,
    ) -> Done<Scan> {
        let mut tx = self.begin("scan.queue", call).await?;
        let scan = self.queue_scan(&mut tx, call, suites, None, subject, company).await?;
        tx.commit().await?;
        Ok(scan)
    }

    /// Calls off a scan that has not ended. What waited for it has not passed.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE` when it has ended.
    pub async fn cancel_scan(&self, call: &Call, id: ScanId) -> Done<Scan> {
        call.requester.operator()?;
        let mut tx = self.begin("scan.cancel", call).await?;
        let scan = tx.scan(id).await?.ok_or_else(|| Refusal::not_found("scan"))?;
        let company = self.company_of(&tx, scan.subject).await?;
        let ended = Scan { state: ScanState::Cancelled, finished_at: Some(tx.now()), ..scan.clone() };
        if !tx.save_scan(&ended, company).await? {
            let allowed = [ScanState::Queued.label(), ScanState::Running.label()];
            return Err(Refusal::wrong_state("scan", scan.state.label(), &allowed).into());
        }
        if scan.decides() && scan.only.is_none() {
            let banner = CALLED_OFF.to_owned();
            self.decide(&mut tx, call, &scan, Err(banner), false).await?;
        }
        self.tell_raised(&mut tx, scan.subject).await?;
        tx.audit("scan.cancel", "SCAN", id, "OK", json!({}));
        tx.commit().await?;
        Ok(ended)
    }

    /// Whether a requester could call a scan off now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_cancel_scan(&self, call: &Call, scan: &Scan) -> Result<(), Refusal> {
        call.requester.operator()?;
        if matches!(scan.state, ScanState::Queued | ScanState::Running) {
            return Ok(());
        }
        let allowed = [ScanState::Queued.label(), ScanState::Running.label()];
        Err(Refusal::wrong_state("scan", scan.state.label(), &allowed))
    }

    pub(super) async fn queue_scan(
        &self,
        tx: &mut Tx,
        call: &Call,
        suites: Vec<Suite>,
        only: Option<CheckCode>,
        subject: Subject,
        company: Option<CompanyId>,
    ) -> Done<Scan> {
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suites,
            only,
            subject,
            requested_by: call.requester.person().map(|person| person.user),
            requested_by_admin: call.requester.administrator().is_ok(),
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
        };
        if let Some(queued) = tx.queued_scan(&scan).await? {
            return Ok(queued);
        }
        if let Some(target) = self.looks_at(tx, &scan).await? {
            self.limits.take(Limit::Look, target.as_str(), tx.now())?;
            self.limits.take(Limit::LookDay, target.as_str(), tx.now())?;
        }
        tx.insert_scan(&scan, company).await?;
        tx.enqueue(NewJob { work: Work::Scan(scan.id), run_at: tx.now(), sealed: None }).await?;
        Ok(scan)
    }

    /// When a scan may run that is not refused: what looks at another instance waits for its turn, and what begins by
    /// itself again and again waits longer each time.
    pub(super) fn turn_towards(
        &self,
        target: &Origin,
        subject: Subject,
        again: bool,
        now: Timestamp,
    ) -> Timestamp {
        let look = self.limits.reserve(Limit::Look, target.as_str(), now);
        let mut wait = look.max(self.limits.reserve(Limit::LookDay, target.as_str(), now));
        if again {
            wait += self.limits.reserve(Limit::Resume, &subject.id().to_string(), now);
        }
        now + wait
    }

    /// The other instance that a scan looks at, if it looks at one.
    async fn looks_at(&self, tx: &Tx, scan: &Scan) -> Done<Option<Origin>> {
        if !scan.checks().into_iter().any(is_remote) {
            return Ok(None);
        }
        Ok(match scan.subject {
            Subject::Registration(id) => tx.registration(id).await?.map(|registration| registration.origin),
            Subject::Connection(id) => tx.connection(id).await?.map(|connection| connection.peer.origin),
            Subject::Instance(_) => None,
        })
    }

    /// Begins a scan; none when it has ended or was cancelled.
    pub(crate) async fn begin_scan(&self, call: &Call, id: ScanId) -> Done<Option<ScanPlan>> {
        let mut tx = self.begin("scan.begin", call).await?;
        let Some(mut scan) = tx.scan(id).await? else { return Ok(None) };
        scan.started_at = scan.started_at.or(Some(tx.now()));
        scan.state = ScanState::Running;
        let company = self.company_of(&tx, scan.subject).await?;
        let plan = self.plan(&tx, scan.clone()).await?;
        if plan.is_none() {
            // The subject is gone meanwhile.
            scan.state = ScanState::Cancelled;
            scan.finished_at = Some(tx.now());
        }
        if !tx.save_scan(&scan, company).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(plan)
    }

    /// Whether a scan goes on; not when it was called off, or overtaken by another.
    pub(crate) async fn is_running(&self, call: &Call, id: ScanId) -> Done<bool> {
        let tx = self.begin_reading("scan.read", call).await?;
        Ok(tx.scan(id).await?.is_some_and(|scan| scan.state == ScanState::Running))
    }

    /// Records answers as they come; answers whether the scan still goes on.
    pub(crate) async fn record_answers(
        &self,
        call: &Call,
        scan: &Scan,
        answers: &[(CheckCode, Answer)],
    ) -> Done<bool> {
        let mut tx = self.begin("scan.answers", call).await?;
        if tx.scan(scan.id).await?.is_none_or(|now| now.state != ScanState::Running) {
            return Ok(false);
        }
        self.keep_answers(&mut tx, scan, answers).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn keep_answers(&self, tx: &mut Tx, scan: &Scan, answers: &[(CheckCode, Answer)]) -> Done<()> {
        let company = self.company_of(tx, scan.subject).await?;
        let ended = self.has_ended(tx, scan.subject).await?;
        let order = scan.checks();
        for (code, answer) in answers {
            let position = order.iter().position(|one| one == code).unwrap_or(0);
            let position = i64::try_from(position).unwrap_or(0);
            let finished_at = tx.now();
            let result =
                ScanResult { scan: scan.id, code: *code, position, answer: answer.clone(), finished_at };
            tx.save_result(scan, &result, company).await?;
            match answer {
                Answer::Pass => {
                    if let Some(resolved) = tx.resolve_issue(scan.subject, *code, company).await? {
                        self.tell_resolved(tx, &resolved).await?;
                    }
                }
                // Nobody has to do anything any more.
                Answer::Finding(_) | Answer::Error(_) if ended => {}
                Answer::Finding(finding) => self.raise(tx, scan, (*code, finding), company).await?,
                Answer::Error(why) => {
                    self.raise(tx, scan, (*code, &Finding::broken(*code, why)), company).await?;
                }
                Answer::Skipped(_) => {}
            }
        }
        Ok(())
    }

    async fn raise(
        &self,
        tx: &mut Tx,
        scan: &Scan,
        (code, finding): (CheckCode, &Finding),
        company: Option<CompanyId>,
    ) -> Done<()> {
        match tx.raise_issue(scan, code, finding, company).await? {
            Some(worse) => self.tell_worse(tx, &worse).await,
            None => Ok(()),
        }
    }

    /// Ends a scan that could not be carried out: what was not answered is an error, and so no pass.
    pub(crate) async fn break_scan(&self, call: &Call, id: ScanId, why: &str) -> Done<()> {
        let mut tx = self.begin("scan.break", call).await?;
        let Some(mut scan) = tx.scan(id).await? else { return Ok(()) };
        scan.started_at = scan.started_at.or(Some(tx.now()));
        scan.state = ScanState::Running;
        let company = self.company_of(&tx, scan.subject).await?;
        if !tx.save_scan(&scan, company).await? {
            return Ok(());
        }
        let known = tx.scan_results(id).await?;
        tx.commit().await?;
        let missing = scan.checks().into_iter().filter(|code| known.iter().all(|it| it.code != *code));
        let missing: Vec<_> = missing.map(|code| (code, Answer::Error(why.to_owned()))).collect();
        self.record_answers(call, &scan, &missing).await?;
        let answers = known.into_iter().map(|result| (result.code, result.answer)).chain(missing);
        self.end_scan(call, &scan, &answers.collect::<Vec<_>>()).await
    }

    /// Ends a scan and lets its subject go on, or not.
    pub(crate) async fn end_scan(
        &self,
        call: &Call,
        scan: &Scan,
        answers: &[(CheckCode, Answer)],
    ) -> Done<()> {
        let mut tries = 0;
        loop {
            match self.try_end_scan(call, scan, answers).await {
                Err(Failure::Refused(refusal)) if refusal.code == RefusalCode::Conflict && tries < TRIES => {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_end_scan(&self, call: &Call, scan: &Scan, answers: &[(CheckCode, Answer)]) -> Done<()> {
        let mut tx = self.begin("scan.end", call).await?;
        let now = tx.now();
        let open = tx.open_issues(scan.subject).await?;
        let blocking = unwaived(answers, &open, now);
        let passed = blocking.is_empty();
        let company = self.company_of(&tx, scan.subject).await?;
        let state = if passed { ScanState::Passed } else { ScanState::Failed };
        let ended = Scan { state, finished_at: Some(now), ..scan.clone() };
        if !tx.save_scan(&ended, company).await? {
            return Ok(());
        }
        let outcome = if passed { Ok(()) } else { Err(banner(&blocking)) };
        // A suite that failed on what was resolved meanwhile has nothing to wait for: it runs again.
        let clear = (scan.only.is_some() || !passed) && tx.blocking_issues(scan.subject).await? == 0;
        self.decide(&mut tx, call, scan, outcome, clear).await?;
        self.tell_raised(&mut tx, scan.subject).await?;
        let details = json!({ "suites": scan.suites_text(), "blocking": blocking.len() });
        tx.audit("scan.end", "SCAN", scan.id, state.as_str(), details);
        tx.commit().await?;
        Ok(())
    }

    /// What the outcome of a scan does to its subject. `clear` says that nothing blocks any more.
    async fn decide(
        &self,
        tx: &mut Tx,
        call: &Call,
        scan: &Scan,
        outcome: Result<(), String>,
        clear: bool,
    ) -> Done<()> {
        if !scan.decides() {
            return Ok(());
        }
        match scan.subject {
            Subject::Registration(id) if scan.only.is_some() => {
                if clear {
                    self.unblock_registration(tx, call, id).await?;
                }
            }
            Subject::Registration(id) => {
                let Some(registration) = tx.registration(id).await? else { return Ok(()) };
                let before = registration.clone();
                let failed = outcome.is_err();
                let step = registration.scanned(scan.id, outcome);
                let step = if failed && clear { step.next.unblocked(false) } else { step };
                if step.next != before || !step.effects.is_empty() {
                    self.settle(tx, call, &before, step).await?;
                }
            }
            Subject::Connection(id) if scan.only.is_some() => {
                if clear {
                    let administrator = scan.requested_by.filter(|_| scan.requested_by_admin);
                    self.unblock_connection(tx, id, administrator).await?;
                }
            }
            Subject::Connection(id) => {
                let Some(connection) = tx.connection(id).await? else { return Ok(()) };
                let before = connection.clone();
                let (next, start) = match connection.scanned(scan.id, outcome.is_ok(), tx.now()) {
                    (failed, None) if clear => (self.unblock(tx, failed, false, None).await?, None),
                    next => next,
                };
                if next != before {
                    let next = tx.save_connection(next).await?;
                    if let Some(user) = start {
                        self.begin_attempt(tx, next, Some(user)).await?;
                    }
                }
            }
            Subject::Instance(_) => {}
        }
        Ok(())
    }

    /// Nothing blocks a registration any more: it goes on by itself, if it waited for that.
    pub(super) async fn unblock_registration(
        &self,
        tx: &mut Tx,
        call: &Call,
        id: RegistrationId,
    ) -> Done<()> {
        let Some(registration) = tx.registration(id).await? else { return Ok(()) };
        let before = registration.clone();
        let all_asked = match &registration.state {
            RegistrationState::ValidationFailed { scan, .. } => tx.asked_everything(*scan).await?,
            _ => true,
        };
        let step = registration.unblocked(all_asked);
        if step.next != before || !step.effects.is_empty() {
            self.settle(tx, call, &before, step).await?;
        }
        Ok(())
    }

    /// Nothing blocks a connection any more: it goes on by itself, if it waited for that. `administrator` is who resolved
    /// the last issue, if they are one.
    pub(super) async fn unblock_connection(
        &self,
        tx: &mut Tx,
        id: ConnectionId,
        administrator: Option<UserId>,
    ) -> Done<()> {
        let Some(connection) = tx.connection(id).await? else { return Ok(()) };
        let before = connection.clone();
        let next = self.unblock(tx, connection, true, administrator).await?;
        if next != before {
            tx.save_connection(next).await?;
        }
        Ok(())
    }

    /// The last blocking issue of a connection was resolved. What the deciding scan skipped was never asked, so then
    /// all checks run once more; so they do where its answers are not to be trusted. They run for the administrator who
    /// resolved it, or else for whoever ran them: one of them asks whether that is an administrator.
    async fn unblock(
        &self,
        tx: &mut Tx,
        connection: Connection,
        trust: bool,
        administrator: Option<UserId>,
    ) -> Done<Connection> {
        let decided = match connection.state {
            Standing::ValidationFailed { scan } if !(trust && tx.asked_everything(scan).await?) => {
                tx.scan(scan).await?
            }
            _ => None,
        };
        let Some(decided) = decided else { return Ok(connection.unblocked(tx.now())) };
        let again = Scan {
            id: ScanId(tx.uuid()?),
            requested_by: administrator.or(decided.requested_by),
            requested_by_admin: administrator.is_some() || decided.requested_by_admin,
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
            ..decided
        };
        tx.insert_scan(&again, connection.company).await?;
        let run_at = self.turn_towards(&connection.peer.origin, again.subject, true, tx.now());
        tx.enqueue(NewJob { work: Work::Scan(again.id), run_at, sealed: None }).await?;
        Ok(connection.run_checks(again.id)?.next)
    }

    /// Whether the subject of a scan came to its end, or is gone.
    async fn has_ended(&self, tx: &Tx, subject: Subject) -> Done<bool> {
        Ok(match subject {
            Subject::Registration(id) => tx.registration(id).await?.is_none_or(|it| it.has_ended()),
            Subject::Connection(id) => tx.connection(id).await?.is_none_or(|it| it.ending().is_some()),
            Subject::Instance(_) => false,
        })
    }

    pub(super) async fn company_of(
        &self,
        tx: &Tx,
        subject: Subject,
    ) -> Result<Option<CompanyId>, StoreError> {
        Ok(match subject {
            Subject::Registration(id) => tx.registration(id).await?.map(|registration| registration.company),
            Subject::Connection(id) => tx.connection(id).await?.and_then(|connection| connection.company),
            Subject::Instance(_) => None,
        })
    }
}

/// The checks whose answers block, but for those whose open issue was waived.
fn unwaived(answers: &[(CheckCode, Answer)], open: &[Issue], now: Timestamp) -> Vec<CheckCode> {
    let waived = |code: &CheckCode| {
        open.iter().any(|it| it.code == *code && it.waiver.as_ref().is_some_and(|waiver| waiver.holds(now)))
    };
    blocking(answers).into_iter().filter(|code| !waived(code)).collect()
}

/// Whether a connection was onboarded and not taken down.
pub(super) fn stands(connection: &Connection) -> bool {
    matches!(connection.state.name(), ConnectionState::Onboarded | ConnectionState::Suspended)
}

/// Whether a check needs the other instance.
#[must_use]
pub fn is_remote(code: CheckCode) -> bool {
    use CheckCode as C;
    matches!(
        code,
        C::PeerUrlSafe
            | C::PeerDns
            | C::PeerTls
            | C::PeerIsLinkspan
            | C::PeerVersion
            | C::PeerIsNotUs
            | C::ClockSkew
            | C::CertificateAge
            | C::RegistrationMatches
            | C::CallBack
            | C::EchoOutbound
            | C::EchoInbound
            | C::KeysAgree
            | C::SettingsAgree
            | C::VersionsKnown
    )
}

fn banner(blocking: &[CheckCode]) -> String {
    let names: Vec<_> = blocking.iter().map(|code| format!("“{}”", code.label())).collect();
    format!(
        "One or more pre-onboarding checks did not pass: {}. The registration link is made when all issues are \
         resolved or waived.",
        names.join(", ")
    )
}
