//! Signing in and out: sessions, one-time codes, and from a cookie or token to who asks.

mod step_up;

use std::net::IpAddr;

use chrono::TimeDelta;
use keyservice::MacPurpose;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::letters::{LetterBody, enqueue_letter};
use super::limits::{Limit, network};
use super::token::{digest_of_given, same};
use super::{Actions, Call, Done, Failure};
use crate::domain::Timestamp;
use crate::domain::causes::causes;
use crate::domain::id::SessionId;
use crate::domain::person::EmailAddress;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::{Means, Person, Requester};
use crate::domain::scan::Subject;
use crate::password::{Candidate, PasswordError, PasswordHash, Peppered, Verification};
use crate::store::{ADDRESS, ADDRESS_KIND, Account, Session, Tx};
pub use step_up::Proof;

/// A session ends when it was not used for so long.
const IDLE: TimeDelta = TimeDelta::minutes(30);
/// A session ends after so long in any case.
pub const SESSION_LIFETIME: TimeDelta = TimeDelta::hours(12);
/// Use is written down at most this often.
const TOUCH: TimeDelta = TimeDelta::minutes(1);
/// How long a one-time code is good.
pub const CODE_MINUTES: u32 = 10;
/// How often a code may be tried.
const CODE_TRIES: i64 = 5;
/// How recently credentials must have been given where it matters most.
pub const FRESH: TimeDelta = TimeDelta::minutes(5);
/// What a personal access token begins with, so that it is known for one where it was left lying.
pub const ACCESS_TOKEN_PREFIX: &str = "lsp_";

/// What a one-time code opens, and where: it works nowhere else.
#[derive(Clone, Copy)]
enum CodeUse<'a> {
    /// A session, in the browser with this secret.
    SignIn(&'a str),
    /// What matters most, in this session.
    StepUp(SessionId),
}

impl CodeUse<'_> {
    /// What it is called where it is hashed, and where it works.
    fn parts(self) -> (&'static [u8], Vec<u8>) {
        match self {
            Self::SignIn(browser) => (b"sign-in code", browser.as_bytes().to_vec()),
            Self::StepUp(session) => (b"step-up code", session.bytes().to_vec()),
        }
    }
}

/// The value of a session's cookie, and whose it is.
pub type SignedIn = (SecretString, Account);

impl Actions {
    /// Signs in with a password. The session before, if the browser has one, ends: its cookie changes.
    ///
    /// # Errors
    /// `CREDENTIALS_INVALID`, the same whether the account exists or not; `RATE_LIMITED`.
    pub async fn sign_in_with_password(
        &self,
        call: &Call,
        email: &str,
        password: SecretString,
        from: Option<IpAddr>,
    ) -> Done<SignedIn> {
        let key = self.admit_try("password", email, from)?;
        // Longer than any password can be: wrong, and not worth hashing.
        let Some(candidate) = Candidate::new(password) else {
            let tx = self.begin("session.password", call).await?;
            return self.not_signed_in(tx, &key, "password").await;
        };
        let account = self.store.account_by_email(&key).await?;
        let (verified, pepper) = self.verify_password(&candidate, account.as_ref()).await?;
        let rehashed = if verified == Verification::RightButOutdated {
            Some(self.passwords.hash(Peppered::new(pepper), self.world.bytes()?).await.map_err(hashing)?)
        } else {
            None
        };
        let mut tx = self.begin("session.password", call).await?;
        let Some(account) = account.filter(|_| verified != Verification::Wrong) else {
            return self.not_signed_in(tx, &key, "password").await;
        };
        // Read again: it may have been switched off, or its password changed, while argon2 computed.
        let mut now = tx.account(account.id).await?.ok_or(Failure::Bug("account"))?;
        if !now.active || now.password_hash != account.password_hash {
            return self.not_signed_in(tx, &key, "password").await;
        }
        if let Some(hash) = rehashed {
            now.password_hash = Some(hash.as_str().to_owned());
            tx.save_account(&now).await?;
        }
        self.start_session(tx, call, now, "password").await
    }

    /// Whether a password is an account's, which takes as long where there is none; and its MAC under the pepper.
    async fn verify_password(
        &self,
        candidate: &Candidate,
        account: Option<&Account>,
    ) -> Done<(Verification, [u8; 32])> {
        let stored = account.filter(|account| account.active).and_then(|it| it.password_hash.as_deref());
        let stored = stored.map(PasswordHash::parse).transpose().map_err(hashing)?;
        let pepper = self.keys.mac(MacPurpose::PasswordPepper, &[candidate.for_pepper()]).await?;
        let verified = self.passwords.verify(Peppered::new(pepper), stored.as_ref()).await;
        Ok((verified.map_err(hashing)?, pepper))
    }

    /// Sends a one-time code, if there is an active account with this address. The answer is the same if not.
    ///
    /// `browser` is a secret of the asking browser ([`Actions::browser_secret`]): the code works only there.
    ///
    /// # Errors
    /// `MAIL_OFF`, `RATE_LIMITED`.
    pub async fn request_code(
        &self,
        call: &Call,
        email: &str,
        browser: &str,
        from: Option<IpAddr>,
    ) -> Done<()> {
        if !self.profile.mail_on {
            let message = "This instance sends no letters. Sign in with your password.";
            return Err(Refusal::new(RefusalCode::MailOff, message).into());
        }
        let key = self.admit(email, from)?;
        let now = self.world.now();
        self.limits.take(Limit::Letter, &format!("{} {key}", network(from)), now)?;
        self.limits.take(Limit::LetterAccount, &key, now)?;
        let mut tx = self.begin("session.code", call).await?;
        let found = tx.account_by_email(&key).await?.filter(|account| account.active);
        let Some(account) = found else { return self.no_code_sent(tx, &key).await };
        self.send_code(&mut tx, &account, CodeUse::SignIn(browser)).await?;
        tx.audit("session.code", "ACCOUNT", account.id, "OK", json!({}));
        Ok(tx.commit().await?)
    }

    /// Makes a code and has the letter with it sent; the account's code before it works no more.
    async fn send_code(&self, tx: &mut Tx, account: &Account, wanted: CodeUse<'_>) -> Done<()> {
        let number = u64::from_be_bytes(self.world.bytes()?) % 100_000_000;
        let code = format!("{number:08}");
        let digest = self.code_digest(account, wanted, &code).await?;
        let until = tx.now() + TimeDelta::minutes(CODE_MINUTES.into());
        let id = self.code_id(account, wanted).await?;
        tx.create_code(id, account.id, digest, CODE_TRIES, until).await?;
        let body = LetterBody::SignInCode {
            to_name: account.name.clone(),
            to_address: account.email.clone(),
            instance_name: self.profile.name.clone(),
            instance_origin: self.profile.origin.to_string(),
            code,
            minutes: CODE_MINUTES,
            confirms: matches!(wanted, CodeUse::StepUp(_)),
        };
        enqueue_letter(tx, &self.keys, Subject::Instance(self.profile.instance), &body).await
    }

    /// Whether this is the account's code for it; right or wrong, a try is used up, and a right one works once.
    async fn is_code(&self, tx: &mut Tx, account: &Account, wanted: CodeUse<'_>, given: &str) -> Done<bool> {
        let given: String = given.chars().filter(char::is_ascii_digit).take(16).collect();
        let given = self.code_digest(account, wanted, &given).await?;
        let id = self.code_id(account, wanted).await?;
        let right = tx.try_code(id).await?.is_some_and(|expected| same(&expected, &given));
        if right {
            tx.use_code(account.id).await?;
        }
        Ok(right)
    }

    /// Signs in with the code from the letter.
    ///
    /// # Errors
    /// `CREDENTIALS_INVALID` when it is wrong, used, too old, tried too often, or asked for in another browser.
    pub async fn verify_code(
        &self,
        call: &Call,
        email: &str,
        code: &str,
        browser: &str,
        from: Option<IpAddr>,
    ) -> Done<SignedIn> {
        let key = self.admit_try("code", email, from)?;
        let mut tx = self.begin("session.code", call).await?;
        let Some(account) = tx.account_by_email(&key).await?.filter(|account| account.active) else {
            return self.not_signed_in(tx, &key, "code").await;
        };
        if !self.is_code(&mut tx, &account, CodeUse::SignIn(browser), code).await? {
            return self.not_signed_in(tx, &key, "code").await;
        }
        self.start_session(tx, call, account, "code").await
    }

    /// Ends the caller's session.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn sign_out(&self, call: &Call) -> Done<()> {
        let Some(id) = session_of(call) else { return Ok(()) };
        let mut tx = self.begin("session.end", call).await?;
        tx.end_session(id).await?;
        tx.audit("session.end", "SESSION", id, "OK", json!({}));
        Ok(tx.commit().await?)
    }

    /// A secret to tell one browser from another before anybody signed in.
    ///
    /// # Errors
    /// When the machine has no entropy.
    pub fn browser_secret(&self) -> Done<SecretString> {
        Ok(self.secret("")?.0)
    }

    /// Whose session has this cookie, if it still stands. Roles are as of now.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn person_by_cookie(&self, value: &str) -> Done<Option<Person>> {
        let Some(digest) = digest_of_given(value) else { return Ok(None) };
        let now = self.world.now();
        let Some(session) = self.store.session(&digest).await?.filter(|session| stands(session, now)) else {
            return Ok(None);
        };
        if now - session.seen_at >= TOUCH {
            // To note it is no reason to send somebody away who looks at what is wrong with the database.
            if let Err(error) = self.store.touch_session(session.id, now).await {
                tracing::warn!(error = causes(&error), "the use of a session could not be noted");
            }
        }
        let means = Means::Session { id: session.id, fresh_at: session.fresh_at };
        Ok(self.store.account(session.account).await?.and_then(|account| person(account, means)))
    }

    /// Whose personal access token this is, if it is still good. Roles are as of now.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn person_by_access_token(&self, text: &str) -> Done<Option<Person>> {
        let Some(digest) = digest_of_given(text).filter(|_| text.starts_with(ACCESS_TOKEN_PREFIX)) else {
            return Ok(None);
        };
        let found = self.store.access_token(&digest).await?.filter(|(_, _, until)| self.world.now() < *until);
        let Some((id, user, _)) = found else { return Ok(None) };
        Ok(self.store.account(user).await?.and_then(|account| person(account, Means::AccessToken(id))))
    }

    /// Whether a person who signed in earlier still may do what they might then: for sockets, which outlive
    /// requests. A change of roles ends it too, so that they sign in to their present ones.
    ///
    /// # Errors
    /// When memory does not work.
    pub async fn still_signed_in(&self, person: &Person) -> Done<bool> {
        let now = self.world.now();
        let user = match person.means {
            Means::Session { id, .. } => self
                .store
                .session_by_id(id)
                .await?
                .filter(|session| stands(session, now))
                .map(|session| session.account),
            Means::AccessToken(id) => self
                .store
                .access_token_by_id(id)
                .await?
                .filter(|(_, until)| now < *until)
                .map(|(user, _)| user),
            Means::Host { .. } => return Ok(true),
        };
        let Some(account) = (match user {
            Some(user) => self.store.account(user).await?,
            None => None,
        }) else {
            return Ok(false);
        };
        Ok(account.active && account.roles == person.roles && account.company == person.company)
    }

    /// The token that forms of the caller's session carry; empty where nobody is signed in.
    ///
    /// # Errors
    /// When the key service does not work.
    pub async fn form_token(&self, call: &Call) -> Done<String> {
        let Some(id) = session_of(call) else { return Ok(String::new()) };
        let mac = self.keys.mac(MacPurpose::Csrf, &[b"form", &id.bytes()]).await?;
        Ok(data_encoding::BASE64URL_NOPAD.encode(&mac))
    }

    /// Whether a form came from a page of the caller's session.
    ///
    /// # Errors
    /// When the key service does not work.
    pub async fn is_form_token(&self, call: &Call, token: &str) -> Done<bool> {
        let expected = self.form_token(call).await?;
        Ok(!expected.is_empty() && same(expected.as_bytes(), token.as_bytes()))
    }

    /// Counts what comes from a network address; answers the mail address in the form under which accounts are found.
    fn admit(&self, email: &str, from: Option<IpAddr>) -> Done<String> {
        self.limits.take(Limit::Address, &network(from), self.world.now())?;
        // An address that nobody can have is looked for all the same, so that it takes as long.
        Ok(EmailAddress::parse(email).map_or_else(|_| String::from("-"), |email| email.key()))
    }

    /// As [`Actions::admit`], and counts a try for the account: strictly for whoever tries, widely over everybody, so that
    /// nobody is locked out by strangers; passwords and codes apart, so that one way in is left.
    fn admit_try(&self, means: &str, email: &str, from: Option<IpAddr>) -> Done<String> {
        let key = self.admit(email, from)?;
        let now = self.world.now();
        self.limits.take(Limit::SignIn, &format!("{means} {} {key}", network(from)), now)?;
        self.limits.take(Limit::Account, &format!("{means} {key}"), now)?;
        Ok(key)
    }

    /// Under which id the code for an account is kept, and where it works. Codes that others ask for, and their tries, are
    /// others'.
    async fn code_id(&self, account: &Account, wanted: CodeUse<'_>) -> Done<Uuid> {
        let (what, place) = wanted.parts();
        let parts: [&[u8]; 4] = [b"the id of a code", what, &account.id.bytes(), &place];
        let mac = self.keys.mac(MacPurpose::Lookup, &parts).await?;
        Uuid::from_slice(&mac[..16]).map_err(|_| Failure::Bug("the length of an id"))
    }

    async fn code_digest(&self, account: &Account, wanted: CodeUse<'_>, code: &str) -> Done<[u8; 32]> {
        let (what, place) = wanted.parts();
        let parts: [&[u8]; 4] = [what, &account.id.bytes(), &place, code.as_bytes()];
        Ok(self.keys.mac(MacPurpose::Lookup, &parts).await?)
    }

    async fn start_session(&self, mut tx: Tx, call: &Call, account: Account, means: &str) -> Done<SignedIn> {
        if let Some(before) = session_of(call) {
            tx.end_session(before).await?;
        }
        let (cookie, digest) = self.secret("")?;
        let until = tx.now() + SESSION_LIFETIME;
        let id = tx.create_session(account.id, digest, until).await?;
        let details = json!({ "account": account.id.to_string(), "means": means });
        let means = Means::Session { id, fresh_at: tx.now() };
        if let Some(person) = person(account.clone(), means) {
            tx.acts_for(Requester::Person(person));
        }
        tx.audit("session.start", "SESSION", id, "OK", details);
        tx.commit().await?;
        Ok((cookie, account))
    }

    /// Nobody here has this address. What is done takes as long as a letter does, or the time would say so.
    async fn no_code_sent(&self, mut tx: Tx, key: &str) -> Done<()> {
        let mac = self.address_mac(key).await?;
        drop(self.keys.letters().seal("no letter", b"", &[0; 512], tx.now()).await?);
        tx.audit("session.code", ADDRESS_KIND, "", "NOT_FOUND", json!({}));
        tx.audit_sensitive(ADDRESS, mac);
        Ok(tx.commit().await?)
    }

    /// Commits what was counted, and says the same in every case.
    async fn not_signed_in<T>(&self, mut tx: Tx, key: &str, means: &str) -> Done<T> {
        let mac = self.address_mac(key).await?;
        let details = json!({ "means": means });
        tx.audit("session.start", ADDRESS_KIND, "", "CREDENTIALS_INVALID", details);
        tx.audit_sensitive(ADDRESS, mac);
        tx.commit().await?;
        let message = match means {
            "code" => {
                "The code is wrong, used, too old, or was asked for in another browser. Ask for another email."
            }
            _ => "The address and the password do not belong together.",
        };
        Err(Refusal::new(RefusalCode::CredentialsInvalid, message).into())
    }
}

fn stands(session: &Session, now: Timestamp) -> bool {
    now < session.expires_at && now - session.seen_at < IDLE
}

fn session_of(call: &Call) -> Option<SessionId> {
    match &call.requester {
        Requester::Person(Person { means: Means::Session { id, .. }, .. }) => Some(*id),
        Requester::Person(_) | Requester::Anonymous | Requester::Peer(_) | Requester::System => None,
    }
}

fn person(account: Account, means: Means) -> Option<Person> {
    account.active.then_some(Person {
        user: account.id,
        email: account.email,
        name: account.name,
        roles: account.roles,
        company: account.company,
        means,
    })
}

pub(super) fn hashing(error: PasswordError) -> Failure {
    tracing::error!(%error, "password hashing");
    Failure::Bug("password hashing")
}
