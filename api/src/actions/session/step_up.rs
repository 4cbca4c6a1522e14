//! Showing again who one is: what matters most needs credentials that were given within the last five minutes.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{CodeUse, FRESH};
use crate::actions::limits::Limit;
use crate::actions::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::check::Remedy;
use crate::domain::id::SessionId;
use crate::domain::person::EmailAddress;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Means, Person, Requester};
use crate::password::{Candidate, Verification};
use crate::store::Account;

impl Actions {
    /// Whether the caller gave credentials to a browser session within the last five minutes.
    #[must_use]
    pub fn is_fresh(&self, call: &Call) -> bool {
        match call.requester.person().map(|person| person.means) {
            Some(Means::Session { fresh_at, .. }) => self.world.now() - fresh_at <= FRESH,
            Some(Means::Host { confirmed }) => confirmed,
            Some(Means::AccessToken(_)) | None => false,
        }
    }

    /// The right to do what a stolen session must not: a browser session whose holder showed within the last five
    /// minutes who they are. A program's access token passes: it was made in such a session, and nobody sits at it. What
    /// gives somebody more than they had, or is for two people, asks for a person instead, see
    /// [`Actions::require_fresh_person`].
    ///
    /// So does a person at the command line of the host: whoever runs it reads the root key and writes the database, and
    /// could set any password first, so asking for one would keep nobody out. What counts a *second* person asks for it
    /// all the same, see [`Actions::require_themselves`].
    ///
    /// # Errors
    /// `STEP_UP_REQUIRED`, with `stepUp` as its remedy.
    pub fn require_fresh(&self, call: &Call) -> Result<(), Refusal> {
        match call.requester.person().map(|person| person.means) {
            Some(Means::Session { .. }) if !self.is_fresh(call) => Err(step_up_required()),
            Some(Means::Session { .. } | Means::AccessToken(_) | Means::Host { .. }) | None => Ok(()),
        }
    }

    /// As [`Actions::require_fresh_person`], and on the host only with the password of whoever acts: what needs two people
    /// must not be one person who names two.
    ///
    /// # Errors
    /// `STEP_UP_REQUIRED`; `PERSON_REQUIRED` for an access token.
    pub fn require_themselves(&self, call: &Call) -> Result<(), Refusal> {
        if call.requester.is_on_host() && !self.is_fresh(call) {
            let message = "Approving needs the password of whoever approves, also on the host.";
            let remedy = Remedy::human("Give it on the standard input: --password-stdin.");
            return Err(Refusal::new(RefusalCode::StepUpRequired, message).remedy(remedy));
        }
        self.require_fresh_person(call)
    }

    /// The call of one of our own people at the command line of the host, who gave their password or not.
    ///
    /// # Errors
    /// `NOT_FOUND` without such an account; `CREDENTIALS_INVALID` for a wrong password.
    pub async fn person_on_host(&self, email: &str, password: Option<SecretString>) -> Done<Call> {
        let key = EmailAddress::parse(email).map(|email| email.key());
        let account = match key {
            Ok(key) => self.store.account_by_email(&key).await?,
            Err(_) => None,
        };
        let account = account.filter(|account| account.active && account.company.is_none());
        let account = account.ok_or_else(|| {
            Refusal::new(RefusalCode::NotFound, format!("There is no account {email} of this organisation."))
        })?;
        let confirmed = password.is_some();
        if let Some(password) = password
            && !self.is_password(password, Some(&account)).await?
        {
            let message = "This is not the password of whoever acts.";
            return Err(Refusal::new(RefusalCode::CredentialsInvalid, message).into());
        }
        let person = Person {
            user: account.id,
            email: account.email,
            name: account.name,
            roles: account.roles,
            company: account.company,
            means: Means::Host { confirmed },
        };
        Ok(Call::by(Requester::Person(person), self.fresh_trace()))
    }

    async fn is_password(&self, password: SecretString, account: Option<&Account>) -> Done<bool> {
        match Candidate::new(password) {
            Some(candidate) => Ok(self.verify_password(&candidate, account).await?.0 != Verification::Wrong),
            None => Ok(false),
        }
    }

    /// As [`Actions::require_fresh`], and never by a program. A token may be good for a year, and whoever steals it has all
    /// that its owner may do: it must not make credentials or give rights, which would outlive it, and two stolen tokens
    /// are not two people. So people alone give credentials and roles, decide about approvals, use them, and set access
    /// policies; programs rotate and renew keys, and take them out of use.
    ///
    /// # Errors
    /// `STEP_UP_REQUIRED`; `PERSON_REQUIRED` for an access token.
    pub fn require_fresh_person(&self, call: &Call) -> Result<(), Refusal> {
        if matches!(call.requester.person().map(|person| person.means), Some(Means::AccessToken(_))) {
            let message = "An access token cannot do this: a person does, who signed in with the browser.";
            return Err(Refusal::new(RefusalCode::PersonRequired, message));
        }
        self.require_fresh(call)
    }

    /// Sends the caller a one-time code to confirm themselves with: good for as long as one to sign in with, in the caller's
    /// session alone. It counts as a letter with a code to them, as one to sign in does.
    ///
    /// # Errors
    /// `MAIL_OFF`; `PERSON_REQUIRED` when the caller has no session; `RATE_LIMITED`.
    pub async fn request_step_up_code(&self, call: &Call) -> Done<()> {
        let (person, session) = at_a_browser(call)?;
        if !self.profile.mail_on {
            let message = "This instance sends no letters. Give your password.";
            return Err(Refusal::new(RefusalCode::MailOff, message).into());
        }
        let (now, limit) = (self.world.now(), format!("step-up {}", person.user));
        self.limits.take(Limit::Letter, &limit, now)?;
        let mut tx = self.begin("session.code", call).await?;
        let account = tx.account(person.user).await?.ok_or(Failure::Bug("account"))?;
        self.send_code(&mut tx, &account, CodeUse::StepUp(session)).await?;
        tx.audit("session.code", "SESSION", session, "OK", json!({}));
        Ok(tx.commit().await?)
    }

    /// Shows again who sits at the caller's session; answers until when that counts.
    ///
    /// # Errors
    /// `CREDENTIALS_INVALID` when the proof is wrong, or the caller has no password; `PERSON_REQUIRED` when the caller has no
    /// session; `RATE_LIMITED`.
    pub async fn step_up(&self, call: &Call, proof: Proof) -> Done<Timestamp> {
        let (person, session) = at_a_browser(call)?;
        self.limits.take(Limit::SignIn, &format!("step-up {}", person.user), self.world.now())?;
        let account = self.store.account(person.user).await?;
        let (right, wrong, mut tx) = match proof {
            Proof::Password(password) => {
                let right = self.is_password(password, account.as_ref()).await?;
                let message = "This is not your password. If you have none, ask for a code by email.";
                (right, (message, "password"), self.begin("session.step-up", call).await?)
            }
            Proof::Code(code) => {
                let mut tx = self.begin("session.step-up", call).await?;
                let right = match &account {
                    Some(account) => {
                        self.is_code(&mut tx, account, CodeUse::StepUp(session), code.expose_secret()).await?
                    }
                    None => false,
                };
                let message =
                    "The code is wrong, used, too old, or was asked for in another browser. Ask for another.";
                (right, (message, "code"), tx)
            }
        };
        let result = if right { "OK" } else { RefusalCode::CredentialsInvalid.as_str() };
        tx.audit("session.step-up", "SESSION", session, result, json!({}));
        if right {
            tx.freshen_session(session).await?;
        }
        let until = tx.now() + FRESH;
        // A try that was wrong counts, too.
        tx.commit().await?;
        if right { Ok(until) } else { Err(not_shown(wrong.0).field(wrong.1).into()) }
    }
}

/// What shows who sits at a session.
pub enum Proof {
    /// The account's password.
    Password(SecretString),
    /// The one-time code that this session asked for.
    Code(SecretString),
}

/// Who calls, and by which session of a browser.
fn at_a_browser(call: &Call) -> Result<(&Person, SessionId), Refusal> {
    let person = call.requester.person();
    let found = person.and_then(|person| match person.means {
        Means::Session { id, .. } => Some((person, id)),
        Means::AccessToken(_) | Means::Host { .. } => None,
    });
    let message = "Only a browser session can be confirmed. Sign in with the browser.";
    found.ok_or_else(|| Refusal::new(RefusalCode::PersonRequired, message))
}

fn not_shown(message: &str) -> Refusal {
    Refusal::new(RefusalCode::CredentialsInvalid, message)
}

fn step_up_required() -> Refusal {
    let message = "Confirm first that it is you: give your password again, or a code from a letter. This may be done within \
                   five minutes of it.";
    let remedy = Remedy::Call { mutation: "stepUp".to_owned(), variables: Vec::new() };
    Refusal::new(RefusalCode::StepUpRequired, message).remedy(remedy)
}
