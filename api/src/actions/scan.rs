//! Scans: what they need to know of us, what their answers cause.

use keyservice::HealthStatus;
use serde_json::json;
use uuid::Uuid;

use super::{Actions, Call, Done, Failure};
use crate::domain::check::{Answer, CheckCode, Finding, Remedy, Suite};
use crate::domain::connection::{Connection, Part, State as ConnectionState};
use crate::domain::effect::Work;
use crate::domain::id::{CompanyId, IssueId, ScanId, UserId};
use crate::domain::origin::Origin;
use crate::domain::person::EmailAddress;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{Environment, State as RegistrationState};
use crate::domain::requester::Role;
use crate::domain::scan::{ContactFacts, LocalFacts, Scan, ScanState, Subject};
use crate::store::{NewJob, ScanResult, StoreError, Tx};

/// How often a scan's end is tried when somebody else changes its subject at the same time.
const TRIES: usize = 5;

/// What the worker needs to run a scan.
#[derive(Clone, Debug)]
pub struct ScanPlan {
    /// The scan.
    pub scan: Scan,
    /// What we know ourselves.
    pub local: LocalFacts,
    /// Where to look.
    pub target: Origin,
    /// The fingerprint that the other instance's key must have, where a link pins it.
    pub pin: Option<[u8; 32]>,
}

impl Actions {
    /// Runs the pre-onboarding suite about something again.
    ///
    /// # Errors
    /// `NOT_FOUND`, `WRONG_STATE`.
    pub async fn run_scan(&self, call: &Call, subject: Subject) -> Done<Scan> {
        let scan = match subject {
            Subject::Registration(id) => {
                let registration = self.revalidate_registration(call, id).await?;
                match registration.state {
                    crate::domain::registration::State::AwaitingValidation { scan } => scan,
                    _ => None,
                }
            }
            Subject::Connection(id) => match self.run_pre_onboarding_checks(call, id).await?.state {
                crate::domain::connection::State::AwaitingValidation { scan, .. } => Some(scan),
                _ => None,
            },
        };
        let tx = self.begin("scan.read", call).await?;
        let scan = scan.ok_or(Failure::Bug("a scan was to begin"))?;
        tx.scan(scan).await?.ok_or(Failure::Bug("a scan began"))
    }

    /// *Validate and resolve*: runs just the check that raised an issue.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE` when the issue is resolved already.
    pub async fn validate_issue(&self, call: &Call, id: IssueId) -> Done<Scan> {
        call.requester.operator()?;
        let mut tx = self.begin("issue.validate", call).await?;
        let issue = tx.issue(id).await?.ok_or_else(|| Refusal::not_found("issue"))?;
        if issue.state == crate::store::IssueState::Resolved {
            return Err(Refusal::wrong_state("issue", issue.state.label(), &["Open"]).into());
        }
        let suite = match issue.subject {
            Subject::Registration(_) => Suite::PreOnboardingProvider,
            Subject::Connection(_) => Suite::PreOnboardingConsumer,
        };
        let company = self.company_of(&tx, issue.subject).await?;
        let scan = self.queue_scan(&mut tx, call, suite, Some(issue.code), issue.subject, company).await?;
        tx.audit("issue.validate", "ISSUE", id, "OK", json!({ "check": issue.code.as_str() }));
        tx.commit().await?;
        Ok(scan)
    }

    /// Removes what earlier attempts left behind about a connection.
    ///
    /// # Errors
    /// `NOT_FOUND`, `WRONG_STATE` while onboarding runs.
    pub async fn discard_stale_attempts(&self, call: &Call, subject: Uuid) -> Done<()> {
        call.requester.operator()?;
        let mut tx = self.begin("attempt.discard", call).await?;
        let id = crate::domain::id::ConnectionId(subject);
        let connection = tx.connection(id).await?.ok_or_else(|| Refusal::not_found("connection"))?;
        if let crate::domain::connection::State::Onboarding { .. } = connection.state {
            let allowed = ["Pending", "Validated", "Validation failed"];
            return Err(Refusal::wrong_state("connection", connection.state.name().label(), &allowed).into());
        }
        tx.discard_attempts(id).await?;
        tx.audit("attempt.discard", "CONNECTION", id, "OK", json!({}));
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn queue_scan(
        &self,
        tx: &mut Tx,
        call: &Call,
        suite: Suite,
        only: Option<CheckCode>,
        subject: Subject,
        company: Option<CompanyId>,
    ) -> Done<Scan> {
        let scan = Scan {
            id: ScanId(tx.uuid()?),
            suite,
            only,
            subject,
            requested_by: call.requester.person().map(|person| person.user),
            requested_by_admin: call.requester.administrator().is_ok(),
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
        };
        tx.insert_scan(&scan, company).await?;
        tx.enqueue(NewJob { work: Work::Scan(scan.id), run_at: tx.now(), sealed: None }).await?;
        Ok(scan)
    }

    /// Begins a scan; none when it has ended or was cancelled.
    pub(crate) async fn begin_scan(&self, call: &Call, id: ScanId) -> Done<Option<ScanPlan>> {
        let mut tx = self.begin("scan.begin", call).await?;
        let Some(mut scan) = tx.scan(id).await? else { return Ok(None) };
        scan.started_at = scan.started_at.or(Some(tx.now()));
        scan.state = ScanState::Running;
        let company = self.company_of(&tx, scan.subject).await?;
        let plan = match scan.subject {
            Subject::Registration(id) => {
                let registration =
                    tx.registration(id).await?.ok_or(Failure::Bug("scan without registration"))?;
                let local = self.registration_facts(&tx, &scan, &registration).await?;
                ScanPlan { scan: scan.clone(), local, target: registration.origin, pin: None }
            }
            Subject::Connection(id) => {
                let connection = tx.connection(id).await?.ok_or(Failure::Bug("scan without connection"))?;
                let local = self.connection_facts(&tx, &scan, &connection).await?;
                let pin = Some(connection.peer.fingerprint);
                ScanPlan { scan: scan.clone(), local, target: connection.peer.origin, pin }
            }
        };
        if !tx.save_scan(&scan, company).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(plan))
    }

    /// Records answers as they come; answers whether the scan still goes on.
    pub(crate) async fn record_answers(
        &self,
        call: &Call,
        scan: &Scan,
        answers: &[(CheckCode, Answer)],
    ) -> Done<bool> {
        let mut tx = self.begin("scan.answers", call).await?;
        match tx.scan(scan.id).await? {
            Some(now) if matches!(now.state, ScanState::Running) => {}
            _ => return Ok(false),
        }
        let company = self.company_of(&tx, scan.subject).await?;
        for (code, answer) in answers {
            let position = scan.suite.checks().iter().position(|one| one == code).unwrap_or(0);
            let position = i64::try_from(position).unwrap_or(0);
            let finished_at = tx.now();
            let result =
                ScanResult { scan: scan.id, code: *code, position, answer: answer.clone(), finished_at };
            tx.save_result(scan, &result, company).await?;
            match answer {
                Answer::Pass => tx.resolve_issue(scan.subject, *code, company).await?,
                Answer::Finding(finding) => tx.raise_issue(scan, *code, finding, company).await?,
                Answer::Error(why) => tx.raise_issue(scan, *code, &broken(*code, why), company).await?,
                Answer::Skipped(_) => {}
            }
        }
        tx.commit().await?;
        Ok(true)
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
        let blocking: Vec<CheckCode> = answers
            .iter()
            .filter(|(_, answer)| match answer {
                Answer::Finding(finding) => finding.blocking,
                Answer::Error(_) => true,
                Answer::Pass | Answer::Skipped(_) => false,
            })
            .map(|(code, _)| *code)
            .collect();
        let passed = blocking.is_empty();
        let company = self.company_of(&tx, scan.subject).await?;
        let state = if passed { ScanState::Passed } else { ScanState::Failed };
        let ended = Scan { state, finished_at: Some(tx.now()), ..scan.clone() };
        if !tx.save_scan(&ended, company).await? {
            return Ok(());
        }
        // A suite that failed on what was resolved meanwhile has nothing to wait for: it runs again.
        let clear = (scan.only.is_some() || !passed) && tx.blocking_issues(scan.subject).await? == 0;
        match scan.subject {
            Subject::Registration(id) => {
                let Some(registration) = tx.registration(id).await? else { return Ok(()) };
                let before = registration.clone();
                let step = match scan.only {
                    None if passed => registration.scanned(scan.id, Ok(())),
                    None => {
                        let step = registration.scanned(scan.id, Err(banner(&blocking)));
                        if clear { step.next.unblocked(false) } else { step }
                    }
                    Some(_) if clear => {
                        let all_asked = match &registration.state {
                            RegistrationState::ValidationFailed { scan, .. } => {
                                tx.asked_everything(*scan).await?
                            }
                            _ => true,
                        };
                        registration.unblocked(all_asked)
                    }
                    Some(_) => crate::domain::effect::Step::quiet(registration),
                };
                if step.next != before || !step.effects.is_empty() {
                    self.settle(&mut tx, call, &before, step).await?;
                }
            }
            Subject::Connection(id) => {
                let Some(connection) = tx.connection(id).await? else { return Ok(()) };
                let before = connection.clone();
                let (next, start) = match scan.only {
                    None => match connection.scanned(scan.id, passed, tx.now()) {
                        (failed, None) if clear => (self.unblock(&mut tx, failed, false).await?, None),
                        next => next,
                    },
                    Some(_) if clear => (self.unblock(&mut tx, connection, true).await?, None),
                    Some(_) => (connection, None),
                };
                if next != before {
                    let next = tx.save_connection(next).await?;
                    if let Some(user) = start {
                        self.begin_attempt(&mut tx, next, Some(user)).await?;
                    }
                }
            }
        }
        let details = json!({ "suite": scan.suite.as_str(), "blocking": blocking.len() });
        tx.audit("scan.end", "SCAN", scan.id, state.as_str(), details);
        tx.commit().await?;
        Ok(())
    }

    /// The last blocking issue of a connection was resolved. What the deciding scan skipped was never asked, so then
    /// all checks run once more, for whoever ran them; so they do where its answers are not to be trusted.
    async fn unblock(&self, tx: &mut Tx, connection: Connection, trust: bool) -> Done<Connection> {
        let decided = match connection.state {
            ConnectionState::ValidationFailed { scan } if !(trust && tx.asked_everything(scan).await?) => {
                tx.scan(scan).await?
            }
            _ => None,
        };
        let Some(decided) = decided else { return Ok(connection.unblocked(tx.now())) };
        let again = Scan {
            id: ScanId(tx.uuid()?),
            requested_at: tx.now(),
            started_at: None,
            finished_at: None,
            state: ScanState::Queued,
            ..decided
        };
        tx.insert_scan(&again, connection.company).await?;
        tx.enqueue(NewJob { work: Work::Scan(again.id), run_at: tx.now(), sealed: None }).await?;
        Ok(connection.run_checks(again.id)?.next)
    }

    async fn registration_facts(
        &self,
        tx: &Tx,
        scan: &Scan,
        registration: &crate::domain::registration::Registration,
    ) -> Done<LocalFacts> {
        let rivals = tx
            .rival_registrations(
                registration.company,
                registration.environment,
                &registration.origin,
                Some(registration.id),
            )
            .await?;
        let contact = self.contact_facts(tx, registration.contact, registration.company).await?;
        Ok(LocalFacts {
            provider_record: tx.provider_record().await?.is_some(),
            base_url: self.profile.origin_is_set,
            contact,
            environment: registration.environment,
            mail_on: self.profile.mail_on,
            other_registrations: rivals,
            other_connections: tx.rival_connections(&registration.origin, Part::Provider, None).await?,
            stale_attempts: 0,
            key_service: self.key_facts().await,
            run_by_admin: scan.requested_by_admin,
            company_chosen: true,
            subject: scan.subject,
        })
    }

    async fn connection_facts(&self, tx: &Tx, scan: &Scan, connection: &Connection) -> Done<LocalFacts> {
        let others =
            tx.rival_connections(&connection.peer.origin, connection.part, Some(connection.id)).await?;
        let run_by_admin = match scan.requested_by {
            Some(user) => tx
                .account(user)
                .await?
                .is_some_and(|account| account.active && account.roles.contains(&Role::Admin)),
            None => scan.requested_by_admin,
        };
        Ok(LocalFacts {
            provider_record: true,
            base_url: self.profile.origin_is_set,
            contact: None,
            environment: self.profile.environment,
            mail_on: self.profile.mail_on,
            other_registrations: 0,
            other_connections: others,
            stale_attempts: tx.stale_attempts(Some(connection.id)).await?,
            key_service: self.key_facts().await,
            run_by_admin,
            company_chosen: connection.company.is_some(),
            subject: scan.subject,
        })
    }

    async fn contact_facts(&self, tx: &Tx, user: UserId, company: CompanyId) -> Done<Option<ContactFacts>> {
        Ok(tx.account(user).await?.map(|account| ContactFacts {
            user,
            active: account.active,
            has_role: account.roles.contains(&Role::ConsumerContact),
            in_company: account.company == Some(company),
            email_valid: EmailAddress::parse(&account.email).is_ok(),
        }))
    }

    /// The key service's health, as far as it decides: malfunction blocks, degraded warns.
    async fn key_facts(&self) -> Result<Option<String>, String> {
        let report = self.keys.health(self.world.now()).await.map_err(|error| error.to_string())?;
        let worst = |status| {
            let found = report.components.iter().find(|component| component.status == status);
            found.map_or_else(String::new, |c| format!("{}: {}", c.component.as_str(), c.message))
        };
        match report.status {
            HealthStatus::Operational => Ok(None),
            HealthStatus::Degraded => Ok(Some(worst(HealthStatus::Degraded))),
            HealthStatus::Malfunction | HealthStatus::Disabled => Err(worst(HealthStatus::Malfunction)),
        }
    }

    pub(super) async fn company_of(
        &self,
        tx: &Tx,
        subject: Subject,
    ) -> Result<Option<CompanyId>, StoreError> {
        Ok(match subject {
            Subject::Registration(id) => tx.registration(id).await?.map(|registration| registration.company),
            Subject::Connection(id) => tx.connection(id).await?.and_then(|connection| connection.company),
        })
    }

    /// What this instance is for.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.profile.environment
    }
}

fn banner(blocking: &[CheckCode]) -> String {
    let names: Vec<_> = blocking.iter().map(|code| code.label()).collect();
    format!(
        "One or more pre-onboarding checks did not pass ({}). The registration link is made when all issues are \
         resolved.",
        names.join(", ")
    )
}

/// The issue that a broken check raises: somebody has to look, and nothing passes meanwhile.
fn broken(code: CheckCode, why: &str) -> Finding {
    Finding {
        message: format!("The check “{}” could not be carried out.", code.label()),
        evidence: why.to_owned(),
        remedy: Remedy::Human("Validate again. If it stays, look at this instance's log.".to_owned()),
        blocking: true,
    }
}
