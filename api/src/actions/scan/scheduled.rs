//! Suites that run by themselves. A look that finds nothing new leaves nothing behind: a scan is stored only when it
//! changes what is known.

use chrono::TimeDelta;
use keyservice::Right;
use serde_json::json;
use uuid::Uuid;

use crate::actions::key_rights::require_right;
use crate::actions::scan::{STANDING, ScanPlan, stands, unwaived};
use crate::actions::{Actions, Call, Done};
use crate::domain::check::{Answer, CheckCode, Suite};
use crate::domain::connection::{Connection, State};
use crate::domain::effect::Work;
use crate::domain::id::{ConnectionId, ScanId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::scan::{Scan, ScanState, StandingFacts, Subject};
use crate::domain::schedule::Schedule;
use crate::store::{NewJob, Tx};

/// How long after onboarding its suite runs: the other side has come to rest by then.
const SETTLED: TimeDelta = TimeDelta::seconds(1);
/// How long before its end a service account is renewed.
const RENEW_BEFORE: TimeDelta = TimeDelta::days(30);
/// What is looked at again when no schedule says so: whether there is one now.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(5);
/// How long a status has to last before a connection is looked at because of it; and how long it takes at most until all
/// are looked at that changed together.
const BLIP: TimeDelta = TimeDelta::seconds(60);

impl Actions {
    /// Changes how often a suite runs by itself, or whether it does. The next run is the first to follow it: none is
    /// further away than the new interval.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`, for the key service's suite without the role key manager; `NOT_FOUND` for a suite that has no schedule; `INVALID_INPUT`; `CONFLICT`.
    pub async fn update_check_schedule(
        &self,
        call: &Call,
        suite: Suite,
        interval: Option<TimeDelta>,
        enabled: Option<bool>,
        expected: Option<i64>,
    ) -> Done<Schedule> {
        let user = match suite {
            // Who looks after the application does not decide whether its keys are looked after.
            Suite::KeyService => {
                UserId(Uuid::from_bytes(self.require_role(call, "", Right::ManageModules).await?))
            }
            _ => call.requester.administrator()?.user(),
        };
        let mut tx = self.begin("schedule.update", call).await?;
        let schedule = tx.schedule(suite).await?.ok_or_else(|| Refusal::not_found("schedule"))?;
        if expected.is_some_and(|expected| expected != schedule.revision) {
            return Err(Refusal::conflict("schedule").into());
        }
        let before = pause(Some(&schedule));
        let mut schedule = schedule.change(interval, enabled)?;
        schedule.updated_by = Some(user);
        let schedule = tx.save_schedule(schedule).await?;
        let details = json!({ "seconds": schedule.interval.num_seconds(), "enabled": schedule.enabled });
        tx.audit("schedule.update", "SCHEDULE", suite.as_str(), "OK", details);
        let kind = match suite {
            Suite::KeyService => Work::KeyServiceHealth.kind(),
            _ => Work::CONNECTION_HEALTH,
        };
        let now = tx.now();
        tx.bring_forward(kind, None, now, (before, pause(Some(&schedule)))).await?;
        tx.commit().await?;
        Ok(schedule)
    }

    /// Whether the caller may change the schedule of a suite; the answer with which the mutation would begin.
    ///
    /// # Errors
    /// Why not.
    pub fn may_change_schedule(&self, call: &Call, suite: Suite) -> Result<(), Refusal> {
        match suite {
            Suite::KeyService => require_right(call, Right::ManageModules).map(|_| ()),
            _ => call.requester.administrator().map(|_| ()),
        }
    }

    /// Schedules what runs for the whole instance, once per database.
    pub(crate) async fn schedule_checks(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin_keyless("schedule.begin", call).await?;
        let day = TimeDelta::days(1);
        let every = pause(tx.schedule(Suite::KeyService).await?.as_ref());
        let mut changed = false;
        for (work, pause) in [(Work::KeyServiceHealth, every), (Work::IssueDigest, day)] {
            if !tx.has_work(std::slice::from_ref(&work)).await? {
                let run_at = tx.now() + pause;
                tx.enqueue(NewJob { work, run_at, sealed: None }).await?;
                changed = true;
            }
        }
        if changed {
            tx.commit().await?;
        }
        Ok(())
    }

    /// A connection stands from now on: its suites run by themselves. What only those before onboarding asked is over: no
    /// scan would resolve it.
    pub(in crate::actions) async fn look_after(&self, tx: &mut Tx, connection: &Connection) -> Done<()> {
        let subject = Subject::Connection(connection.id);
        tx.cancel_scans(subject, connection.company).await?;
        tx.close_issues(subject, connection.company, &STANDING.map(Suite::checks).concat()).await?;
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suites: vec![Suite::PostOnboarding],
            only: None,
            subject,
            requested_by: None,
            requested_by_admin: false,
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
        };
        tx.insert_scan(&scan, connection.company).await?;
        let run_at = tx.now() + SETTLED;
        tx.enqueue(NewJob { work: Work::Scan(scan.id), run_at, sealed: None }).await?;
        let run_at = tx.now() + pause(tx.schedule(Suite::ConnectionHealth).await?.as_ref());
        tx.enqueue(NewJob { work: Work::ConnectionHealth(connection.id), run_at, sealed: None }).await?;
        Ok(())
    }

    /// The status of these connections changed: they are looked at soon, so that their issues follow it. Not at once: what
    /// is over within a minute raises nothing.
    pub(in crate::actions) async fn look_soon(&self, tx: &mut Tx, connections: &[ConnectionId]) -> Done<()> {
        if connections.is_empty() {
            return Ok(());
        }
        let pause = pause(tx.schedule(Suite::ConnectionHealth).await?.as_ref());
        let (ids, from) = (connections.iter().map(|id| id.0).collect::<Vec<_>>(), tx.now() + BLIP);
        tx.bring_forward(Work::CONNECTION_HEALTH, Some(&ids), from, (pause, BLIP)).await?;
        Ok(())
    }

    /// What a run by schedule asks; none when there is nothing to ask. The next run is written first, so that a run
    /// that breaks does not end the schedule.
    pub(crate) async fn scheduled_plan(
        &self,
        call: &Call,
        suite: Suite,
        subject: Subject,
    ) -> Done<Option<ScanPlan>> {
        let mut tx = self.begin("schedule.plan", call).await?;
        let work = match subject {
            Subject::Connection(id) => {
                let connection = tx.connection(id).await?;
                // Taken down: nobody looks at it any more. Standing again, it is looked after anew.
                let Some(connection) = connection.filter(stands) else { return Ok(None) };
                self.renew_in_time(&mut tx, &connection).await?;
                Work::ConnectionHealth(id)
            }
            _ => Work::KeyServiceHealth,
        };
        let schedule = tx.schedule(suite).await?;
        let spread = i64::from(u16::from_le_bytes(self.world.bytes()?));
        let pause = pause(schedule.as_ref());
        // Many connections that came to stand together do not stay in step.
        let spread = TimeDelta::milliseconds(spread * pause.num_milliseconds() / 10 / 65_536);
        let run_at = tx.now() + pause - spread;
        tx.enqueue(NewJob { work, run_at, sealed: None }).await?;
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suites: vec![suite],
            only: None,
            subject,
            requested_by: None,
            requested_by_admin: false,
            requested_at: tx.now(),
            started_at: Some(tx.now()),
            finished_at: None,
            state: ScanState::Running,
        };
        let plan = match schedule.is_some_and(|schedule| schedule.enabled) {
            true => self.plan(&tx, scan).await?,
            false => None,
        };
        tx.commit().await?;
        let silent = |plan: &ScanPlan| plan.standing.as_ref().is_some_and(StandingFacts::is_silent);
        Ok(plan.map(|plan| match silent(&plan) {
            true => ScanPlan { spared: Some(CheckCode::DirectionsUp), ..plan },
            false => plan,
        }))
    }

    async fn renew_in_time(&self, tx: &mut Tx, connection: &Connection) -> Done<()> {
        let account = tx.service_account(connection.id).await?;
        let ends_soon = account.is_none_or(|account| account.expires_at - tx.now() < RENEW_BEFORE);
        if ends_soon && matches!(connection.state, State::Onboarded { .. }) {
            let work = Work::RenewCredentials(connection.id);
            tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
        }
        Ok(())
    }

    /// What a run by schedule answered. It is stored as a scan when something is to be raised or resolved; what was
    /// known already is only counted.
    pub(crate) async fn scheduled_answers(
        &self,
        call: &Call,
        plan: &ScanPlan,
        answers: &[(CheckCode, Answer)],
    ) -> Done<()> {
        let mut tx = self.begin("schedule.answers", call).await?;
        let scan = &plan.scan;
        let open = tx.open_issues(scan.subject).await?;
        let known = |code: CheckCode| open.iter().find(|issue| issue.code == code);
        let is_new = |(code, answer): &&(CheckCode, Answer)| match answer {
            Answer::Pass => known(*code).is_some(),
            Answer::Skipped(_) => false,
            Answer::Finding(finding) => known(*code).is_none_or(|issue| {
                (&issue.message, &issue.remedy, issue.blocking)
                    != (&finding.message, &finding.remedy, finding.blocking)
            }),
            Answer::Error(why) => known(*code).is_none_or(|issue| issue.evidence != *why),
        };
        if answers.iter().filter(is_new).count() == 0 {
            // What was skipped was not seen.
            let seen = answers.iter().filter(|(_, answer)| !matches!(answer, Answer::Skipped(_)));
            let again: Vec<_> = seen.map(|(code, _)| *code).filter(|c| known(*c).is_some()).collect();
            if !again.is_empty() {
                tx.count_issues(scan.subject, &again).await?;
                for (code, answer) in answers {
                    if let Answer::Finding(finding) = answer {
                        tx.seen_as(scan.subject, *code, &finding.evidence).await?;
                    }
                }
                self.tell_raised(&mut tx, scan.subject).await?;
                tx.commit().await?;
            }
            return Ok(());
        }
        let company = self.company_of(&tx, scan.subject).await?;
        // Beside whatever runs: what a person waits for goes on.
        tx.add_scan(scan, company).await?;
        self.keep_answers(&mut tx, scan, answers).await?;
        let blocks = !unwaived(answers, &open, tx.now()).is_empty();
        let state = if blocks { ScanState::Failed } else { ScanState::Passed };
        let ended = Scan { state, finished_at: Some(tx.now()), ..scan.clone() };
        tx.save_scan(&ended, company).await?;
        self.tell_raised(&mut tx, scan.subject).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Has the credentials of a connection renewed, or its other side asked who it is; or has work tried again that was
    /// given up.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE` unless onboarded.
    pub async fn mend_connection(&self, call: &Call, id: ConnectionId, how: Mending) -> Done<Connection> {
        call.requester.operator()?;
        let mut tx = self.begin("connection.mend", call).await?;
        let connection = self.connection(&tx, id).await?;
        if !stands(&connection) {
            let allowed = [crate::domain::connection::ConnectionState::Onboarded.label()];
            return Err(Refusal::wrong_state("connection", connection.state.name().label(), &allowed).into());
        }
        let (work, operation) = match how {
            Mending::RenewCredentials => (Some(Work::RenewCredentials(id)), "connection.renew_credentials"),
            Mending::RefreshPeer => (Some(Work::RefreshPeer(id)), "connection.refresh_peer"),
            Mending::RetryWork => (None, "connection.retry_work"),
        };
        match work {
            Some(work) => {
                tx.enqueue(NewJob { work, run_at: tx.now(), sealed: None }).await?;
            }
            None => tx.retry_work(id.0).await?,
        }
        tx.audit(operation, "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(connection)
    }
}

/// How long after one run of a suite the next one comes, or after which time it is looked whether there is to be one.
fn pause(schedule: Option<&Schedule>) -> TimeDelta {
    schedule.filter(|schedule| schedule.enabled).map_or(LOOK_AGAIN, |schedule| schedule.interval)
}

/// What can be done about a connection that stands, in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    /// The service accounts of both sides are renewed.
    RenewCredentials,
    /// The other side is asked again who it is.
    RefreshPeer,
    /// Work that was given up is tried again.
    RetryWork,
}
