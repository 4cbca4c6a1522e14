//! Issues: looked at again, mended by their remedy, assigned, followed, muted and waived.

use serde_json::json;
use uuid::Uuid;

use super::scan::{Mending, STANDING, stands};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::check::{Remedy, Suite};
use crate::domain::connection::{Connection, State as Standing};
use crate::domain::id::{CompanyId, ConnectionId, IssueId, RegistrationId, UserId};
use crate::domain::issue::{Exception, Issue, IssueMail, IssueVerb};
use crate::domain::person::AccountVerb;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{RegistrationState, State as Registering};
use crate::domain::requester::{Requester, Role, Scope};
use crate::domain::scan::{Scan, Subject};
use crate::store::Tx;

impl Actions {
    /// *Validate and resolve*: runs just the check that raised an issue.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE` when the issue is resolved already; `RATE_LIMITED`.
    pub async fn validate_issue(&self, call: &Call, id: IssueId) -> Done<Scan> {
        call.requester.operator()?;
        let mut tx = self.begin("issue.validate", call).await?;
        let issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::Validate, tx.now())?;
        let connection = match issue.subject {
            Subject::Connection(id) => Some(self.connection(&tx, id).await?),
            Subject::Registration(_) | Subject::Instance(_) => None,
        };
        let suite = suite_of(&issue, connection.as_ref())?;
        let company = self.company_of(&tx, issue.subject).await?;
        let scan =
            self.queue_scan(&mut tx, call, vec![suite], Some(issue.code), issue.subject, company).await?;
        tx.audit("issue.validate", "ISSUE", id, "OK", json!({ "check": issue.code.as_str() }));
        tx.commit().await?;
        Ok(scan)
    }

    /// Runs the remedy of an issue, with what the caller adds or changes, then asks its check again.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE` when the remedy is no call, or the issue is resolved; whatever the call refuses.
    pub async fn apply_remedy(&self, call: &Call, id: IssueId, given: Vec<(String, String)>) -> Done<Scan> {
        call.requester.operator()?;
        // What the remedy commits is a fact of its own; the scan that follows is what is answered under the key.
        let first = &Call::by(call.requester.clone(), call.trace);
        let tx = self.begin("issue.read", first).await?;
        let issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::ApplyRemedy, tx.now())?;
        drop(tx);
        let Remedy::Call { mutation, mut variables } = issue.remedy else {
            return Err(Failure::Bug("a remedy that is no call"));
        };
        for (name, value) in given {
            variables.retain(|(known, _)| *known != name);
            variables.push((name, value));
        }
        self.carry_remedy_out(first, issue.subject, &mutation, &Variables(variables)).await?;
        match self.validate_issue(call, id).await {
            // The call itself may have had all checks run again, and they may have resolved it already.
            Err(Failure::Refused(refusal)) if refusal.code == RefusalCode::WrongState => {
                self.latest_look(first, id).await
            }
            outcome => outcome,
        }
    }

    async fn latest_look(&self, call: &Call, id: IssueId) -> Done<Scan> {
        let tx = self.begin("issue.read", call).await?;
        let issue = self.issue(&tx, id).await?;
        Ok(tx.scan(issue.scan).await?.ok_or_else(|| Refusal::not_found("scan"))?)
    }

    async fn carry_remedy_out(
        &self,
        call: &Call,
        subject: Subject,
        mutation: &str,
        with: &Variables,
    ) -> Done<()> {
        let mend = async |how| {
            let id = ConnectionId(with.id("connectionId")?);
            self.mend_connection(call, id, how).await.map(|_| ())
        };
        match mutation {
            "saveProviderRecord" => {
                // Whoever saved one meanwhile mended it.
                if self.begin("provider-record.read", call).await?.provider_record().await?.is_some() {
                    return Ok(());
                }
                let text = with.text("name")?;
                self.save_provider_record(call, text, "", None).await.map(|_| ())
            }
            "updateContact" => {
                let active = with.text("active")? == "true";
                let user = UserId(with.id("userId")?);
                self.update_account(call, AccountVerb::UpdateContact, user, None, Some(active), None)
                    .await
                    .map(|_| ())
            }
            "grantRole" => {
                let unknown = || Refusal::invalid("variables", "There is no such role.");
                let role = Role::parse(with.text("role")?).ok_or_else(unknown)?;
                self.grant_role(call, UserId(with.id("userId")?), role).await.map(|_| ())
            }
            "cancelRegistration" => {
                let id = RegistrationId(with.id("registrationId")?);
                self.cancel_registration(call, id).await.map(|_| ())
            }
            "discardStaleAttempts" => self.discard_stale_attempts(call, subject).await,
            "chooseProviderCompany" => {
                let company = CompanyId(with.id("companyId")?);
                let id = ConnectionId(with.id("connectionId")?);
                self.choose_provider_company(call, id, company).await.map(|_| ())
            }
            "resumeConnection" => {
                self.resume_connection(call, ConnectionId(with.id("connectionId")?)).await.map(|_| ())
            }
            "confirmSurvivor" => {
                self.confirm_survivor(call, ConnectionId(with.id("connectionId")?)).await.map(|_| ())
            }
            "syncConnectionSettings" => {
                let id = ConnectionId(with.id("connectionId")?);
                self.sync_connection_settings(call, id).await.map(|_| ())
            }
            "renewConnectionCredentials" => mend(Mending::RenewCredentials).await,
            "refreshConnectionPeer" => mend(Mending::RefreshPeer).await,
            "retryConnectionWork" => mend(Mending::RetryWork).await,
            _ => Err(Failure::Bug("a remedy that calls nothing we have")),
        }
    }

    /// Says who looks after an issue, or that nobody does. Whoever it is follows it from then on.
    ///
    /// # Errors
    /// `NOT_FOUND`; `WRONG_STATE`; `INVALID_INPUT` for somebody who cannot resolve anything here; `CONFLICT`.
    pub async fn assign_issue(&self, call: &Call, id: IssueId, to: Option<UserId>) -> Done<Issue> {
        call.requester.operator()?;
        let mut tx = self.begin("issue.assign", call).await?;
        let mut issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::Assign, tx.now())?;
        if let Some(to) = to {
            let account = tx.account(to).await?;
            let able = account.is_some_and(|account| {
                account.active
                    && [Role::Admin, Role::Operator].iter().any(|role| account.roles.contains(role))
            });
            if !able {
                let message = "Only an active administrator or operator of this instance can look after it.";
                return Err(Refusal::invalid("userId", message).into());
            }
            tx.follow_issue(id, to, true).await?;
        }
        issue.assignee = to;
        self.tell_assigned(&mut tx, call, &issue).await?;
        self.keep_issue(tx, issue, "issue.assign", json!({ "to": to.map(|to| to.to_string()) })).await
    }

    /// Wants to hear of what becomes of an issue, or no more.
    ///
    /// # Errors
    /// `NOT_FOUND`, also for those who may not see everything of this instance.
    pub async fn follow_issue(&self, call: &Call, id: IssueId, on: bool) -> Done<Issue> {
        let user = watcher(&call.requester)?;
        let mut tx = self.begin("issue.follow", call).await?;
        let issue = self.issue(&tx, id).await?;
        tx.follow_issue(id, user, on).await?;
        tx.commit().await?;
        Ok(issue)
    }

    /// Is silent about an issue until a time. It blocks all the same.
    ///
    /// # Errors
    /// `NOT_FOUND`, `WRONG_STATE`, `INVALID_INPUT`, `CONFLICT`.
    pub async fn mute_issue(&self, call: &Call, id: IssueId, reason: &str, until: Timestamp) -> Done<Issue> {
        let user = call.requester.operator()?.user();
        let tx = self.begin("issue.mute", call).await?;
        let mut issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::Mute, tx.now())?;
        issue.mute = Some(Exception::new(user, reason, until, tx.now())?);
        self.keep_issue(tx, issue, "issue.mute", json!({ "until": until.to_rfc3339() })).await
    }

    /// Is silent about an issue no more.
    ///
    /// # Errors
    /// `NOT_FOUND`, `WRONG_STATE`, `CONFLICT`.
    pub async fn unmute_issue(&self, call: &Call, id: IssueId) -> Done<Issue> {
        call.requester.operator()?;
        let tx = self.begin("issue.unmute", call).await?;
        let mut issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::Unmute, tx.now())?;
        issue.mute = None;
        self.keep_issue(tx, issue, "issue.unmute", json!({})).await
    }

    /// Goes on in spite of an issue until a time; see [`Self::go_on`].
    ///
    /// # Errors
    /// `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`, `WRONG_STATE`, `INVALID_INPUT`, `CONFLICT`.
    pub async fn waive_issue(&self, call: &Call, id: IssueId, reason: &str, until: Timestamp) -> Done<Issue> {
        let user = call.requester.administrator()?.user();
        let tx = self.begin("issue.waive", call).await?;
        let mut issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::Waive, tx.now())?;
        issue.waiver = Some(Exception::new(user, reason, until, tx.now())?);
        let details = json!({ "until": until.to_rfc3339(), "reason": reason });
        self.keep_issue(tx, issue, "issue.waive", details).await
    }

    /// Lets go on what waited for an issue that was waived, if nothing else blocks it. In a transaction of its own: of
    /// two that clear the last two issues at once, the later one sees both. Done again, it changes nothing.
    ///
    /// # Errors
    /// `CONFLICT`.
    pub async fn go_on(&self, call: &Call, subject: Subject) -> Done<()> {
        let mut tx = self.begin("issue.go_on", call).await?;
        if tx.blocking_issues(subject).await? == 0 {
            match subject {
                Subject::Registration(id) => self.unblock_registration(&mut tx, call, id).await?,
                Subject::Connection(id) => {
                    let administrator = call.requester.administrator().ok().map(|one| one.user());
                    self.unblock_connection(&mut tx, id, administrator).await?;
                }
                Subject::Instance(_) => {}
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Goes on in spite of an issue no more. What went on already stays as it is.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NOT_AN_ADMINISTRATOR`, `WRONG_STATE`, `CONFLICT`.
    pub async fn withdraw_waiver(&self, call: &Call, id: IssueId) -> Done<Issue> {
        call.requester.administrator()?;
        let tx = self.begin("issue.withdraw_waiver", call).await?;
        let mut issue = self.issue(&tx, id).await?;
        issue.allows(IssueVerb::WithdrawWaiver, tx.now())?;
        issue.waiver = None;
        self.keep_issue(tx, issue, "issue.withdraw_waiver", json!({})).await
    }

    /// Says how whoever asks wants to hear of issues.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for those who may not see everything of this instance.
    pub async fn set_issue_mail(&self, call: &Call, mode: IssueMail) -> Done<IssueMail> {
        let user = watcher(&call.requester)?;
        let mut tx = self.begin("issue.mail", call).await?;
        tx.set_issue_mail(user, mode).await?;
        tx.commit().await?;
        Ok(mode)
    }

    /// Whether a requester could use a verb now; `connection` is what the issue is about, if it is about one.
    ///
    /// # Errors
    /// Why not.
    pub fn may_issue(
        &self,
        call: &Call,
        issue: &Issue,
        connection: Option<&Connection>,
        verb: IssueVerb,
    ) -> Result<(), Refusal> {
        match verb {
            IssueVerb::Follow | IssueVerb::Unfollow => {
                watcher(&call.requester)?;
            }
            IssueVerb::Waive | IssueVerb::WithdrawWaiver => {
                call.requester.administrator()?;
            }
            IssueVerb::ApplyRemedy if is_for_administrators(&issue.remedy) => {
                call.requester.administrator()?;
            }
            IssueVerb::Validate
            | IssueVerb::ApplyRemedy
            | IssueVerb::Assign
            | IssueVerb::Mute
            | IssueVerb::Unmute => {
                call.requester.operator()?;
            }
        }
        issue.allows(verb, self.world.now())?;
        match verb {
            IssueVerb::Validate => suite_of(issue, connection).map(|_| ()),
            IssueVerb::ApplyRemedy if changes_account(&issue.remedy) => self.require_fresh(call),
            IssueVerb::ApplyRemedy
            | IssueVerb::Assign
            | IssueVerb::Follow
            | IssueVerb::Unfollow
            | IssueVerb::Mute
            | IssueVerb::Unmute
            | IssueVerb::Waive
            | IssueVerb::WithdrawWaiver => Ok(()),
        }
    }

    /// Removes what earlier attempts left behind about a registration or connection. Of a connection that stands, what
    /// onboarding left.
    ///
    /// # Errors
    /// `NOT_FOUND`, `WRONG_STATE` while onboarding runs.
    pub async fn discard_stale_attempts(&self, call: &Call, subject: Subject) -> Done<()> {
        call.requester.operator()?;
        let mut tx = self.begin("attempt.discard", call).await?;
        match subject {
            Subject::Registration(id) => {
                let registration = self.registration(&tx, id).await?;
                if let Registering::WorkInProgress { .. } = registration.state {
                    let allowed = [RegistrationState::ValidationFailed.label()];
                    let now = registration.state.name().label();
                    return Err(Refusal::wrong_state("registration", now, &allowed).into());
                }
                for connection in tx.unfinished_connections(id).await? {
                    self.discard(&mut tx, &registration, connection.id).await?;
                }
            }
            Subject::Connection(id) => {
                let connection = self.connection(&tx, id).await?;
                if let Standing::Onboarding { .. } = connection.state {
                    let allowed = ["Pending", "Validated", "Validation failed", "Onboarded"];
                    let now = connection.state.name().label();
                    return Err(Refusal::wrong_state("connection", now, &allowed).into());
                }
                if stands(&connection) {
                    tx.set_link_secret(id, None).await?;
                }
                tx.discard_unfinished_attempts(id).await?;
            }
            Subject::Instance(_) => return Err(Refusal::not_found("registration or connection").into()),
        }
        tx.audit("attempt.discard", subject.kind(), subject.id(), "OK", json!({}));
        tx.commit().await?;
        Ok(())
    }

    async fn issue(&self, tx: &Tx, id: IssueId) -> Done<Issue> {
        Ok(tx.issue(id).await?.ok_or_else(|| Refusal::not_found("issue"))?)
    }

    async fn keep_issue(
        &self,
        mut tx: Tx,
        issue: Issue,
        operation: &'static str,
        details: serde_json::Value,
    ) -> Done<Issue> {
        let company = self.company_of(&tx, issue.subject).await?;
        let issue = tx.save_issue(issue, company).await?;
        tx.audit(operation, "ISSUE", issue.id, "OK", details);
        tx.commit().await?;
        Ok(issue)
    }
}

/// The suite in which an issue's check is asked about its subject as it stands; `connection` is that, if it is one.
fn suite_of(issue: &Issue, connection: Option<&Connection>) -> Result<Suite, Refusal> {
    let order: &[Suite] = match issue.subject {
        Subject::Registration(_) => &[Suite::PreOnboardingProvider],
        Subject::Connection(_) if connection.is_some_and(stands) => &STANDING,
        Subject::Connection(_) => &[Suite::PreOnboardingConsumer],
        Subject::Instance(_) => &[Suite::KeyService],
    };
    let asked = order.iter().copied().find(|suite| suite.checks().contains(&issue.code));
    asked.ok_or_else(|| {
        let message = "This is not asked any more of a thing that stands where this one stands.";
        Refusal::new(RefusalCode::WrongState, message)
    })
}

/// Somebody who may see everything of this instance.
fn watcher(requester: &Requester) -> Result<UserId, Refusal> {
    match requester.person() {
        Some(person) if requester.viewer().scope() == Scope::Everything => Ok(person.user),
        _ => {
            let message = "Issues are followed by this organisation's own people.";
            Err(Refusal::new(RefusalCode::NotAnAdministrator, message))
        }
    }
}

/// What a remedy's call is given.
struct Variables(Vec<(String, String)>);

impl Variables {
    fn text(&self, name: &str) -> Result<&str, Refusal> {
        let found = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        found.ok_or_else(|| {
            Refusal::invalid("variables", format!("The remedy needs `{name}`, which nobody but you knows."))
        })
    }

    fn id(&self, name: &str) -> Result<Uuid, Refusal> {
        let malformed = || Refusal::invalid("variables", format!("`{name}` is not an id of such a thing."));
        Uuid::try_parse(self.text(name)?).map_err(|_| malformed())
    }
}

/// Whether a remedy changes what somebody may do, for which the caller's password is asked again.
fn changes_account(remedy: &Remedy) -> bool {
    matches!(remedy, Remedy::Call { mutation, .. } if ["updateContact", "grantRole"].contains(&mutation.as_str()))
}

/// Whether a remedy is a call for which an operator has not the rights.
fn is_for_administrators(remedy: &Remedy) -> bool {
    const THEIRS: [&str; 4] = ["saveProviderRecord", "grantRole", "chooseProviderCompany", "confirmSurvivor"];
    matches!(remedy, Remedy::Call { mutation, .. } if THEIRS.contains(&mutation.as_str()))
}
