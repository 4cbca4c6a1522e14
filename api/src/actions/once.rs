//! A mutation under an idempotency key: done once, and answered as the first time when it is asked again.

use keyservice::MacPurpose;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use uuid::Uuid;

use super::{Actions, Call, Done, Failure};
use crate::domain::check::Suite;
use crate::domain::connection::Connection;
use crate::domain::id::{CompanyId, ConnectionId, DefinitionId, IssueId, RegistrationId, ScanId, UserId};
use crate::domain::issue::{Issue, IssueMail};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::Registration;
use crate::domain::scan::Scan;
use crate::domain::schedule::Schedule;
use crate::store::{
    Account, Company, IdempotencyKey, Once, ProviderRecord, PublishedDefinition, Reader, SettingsRecord,
    StoredAnswer,
};

/// What the seal is over.
const WHAT: &str = "answer";

/// A request as its caller made it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The caller's key, 1 to 255 characters.
    pub key: &'a str,
    /// The mutation.
    pub operation: &'a str,
    /// Its input as JSON.
    pub input: Zeroizing<String>,
}

/// What is kept of an answer. No `Debug`: it may hold a secret.
#[derive(Default)]
pub struct Kept {
    /// What was made or changed.
    pub subject: Option<Uuid>,
    /// What was shown once.
    pub secret: Option<SecretString>,
}

impl Kept {
    /// An answer that names a thing.
    #[must_use]
    pub const fn of(subject: Uuid) -> Self {
        Self { subject: Some(subject), secret: None }
    }

    /// An answer that is one of a few words.
    fn word(word: &str) -> Self {
        Self { subject: None, secret: Some(SecretString::from(word)) }
    }

    /// The word again.
    fn said<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Done<T> {
        let word = self.secret.as_ref().and_then(|word| parse(word.expose_secret()));
        word.ok_or(Failure::Bug("a kept answer"))
    }
}

/// What a verb answers, so that it can answer it again: the same thing as it stands by then, and the same secret.
pub trait Answer: Sized + Send {
    /// What to keep.
    fn kept(&self) -> Kept;

    /// The answer again, as far as its caller may still see it.
    fn again(kept: Kept, reader: &Reader) -> impl Future<Output = Done<Self>> + Send;
}

impl Actions {
    /// Does a verb once for each key of a caller. The key is stored in the transaction of the fact, bound to the
    /// caller and to a digest of the input; asked again, nothing is done again. A refusal is not kept.
    ///
    /// The verb gets the call under which it must act, and may commit one transaction.
    ///
    /// # Errors
    /// `IDEMPOTENCY_CONFLICT` when the key was used with other input; what the verb refuses.
    pub async fn once<T: Answer, F: Future<Output = Done<T>> + Send>(
        &self,
        call: &Call,
        asked: Option<Asked<'_>>,
        verb: impl FnOnce(Call) -> F + Send,
    ) -> Done<T> {
        let Some(asked) = asked else { return verb(call.clone()).await };
        let parts = [b"idempotency", asked.operation.as_bytes(), asked.input.as_bytes()];
        let digest = self.keys.mac(MacPurpose::Lookup, &parts).await?;
        let key = IdempotencyKey { key: asked.key.to_owned(), operation: asked.operation.to_owned(), digest };
        if let Some(first) = self.first_answer(call, &key).await? {
            return Ok(first);
        }
        let once = Arc::new(Once::new(key.clone()));
        let under = Call { once: Some(once.clone()), ..call.clone() };
        let done = match verb(under.clone()).await {
            Ok(answer) => self.keep_answer(&under, &once, &answer).await.map(|()| answer),
            Err(failure) => {
                // What is written down of a refusal is no answer: the key is free again.
                if let Some(tx) = once.take() {
                    tx.commit_without(&once).await?;
                }
                Err(failure)
            }
        };
        match done {
            // The same request at the same time may have been faster, and its effect the reason for the refusal.
            Err(Failure::Refused(refusal)) => {
                Ok(self.first_answer(call, &key).await?.ok_or(Failure::Refused(refusal))?)
            }
            done => done,
        }
    }

    async fn first_answer<T: Answer>(&self, call: &Call, key: &IdempotencyKey) -> Done<Option<T>> {
        let Some((stored, same)) = self.store.first_answer(&call.requester, key).await? else {
            return Ok(None);
        };
        if !same {
            let message =
                "This idempotency key was used before with other input. Use a new key for a new request.";
            return Err(Refusal::new(RefusalCode::IdempotencyConflict, message)
                .field("idempotencyKey")
                .into());
        }
        let subject = Uuid::try_parse(&stored.subject).ok();
        let secret = match stored.sealed {
            Some(sealed) => {
                let opened = self
                    .keys
                    .settings()
                    .open(WHAT, stored.subject.as_bytes(), &sealed, self.world.now())
                    .await?;
                Some(SecretString::from(
                    String::from_utf8(opened).map_err(|_| Failure::Bug("a kept answer"))?,
                ))
            }
            None => None,
        };
        T::again(Kept { subject, secret }, &self.reader(call)).await.map(Some)
    }

    async fn keep_answer(&self, call: &Call, once: &Once, answer: &impl Answer) -> Done<()> {
        let Kept { subject, secret } = answer.kept();
        let subject = subject.map(|id| id.to_string()).unwrap_or_default();
        let sealed = match secret {
            Some(secret) => {
                let (id, secret) = (subject.as_bytes(), secret.expose_secret().as_bytes());
                Some(self.keys.settings().seal(WHAT, id, secret, self.world.now()).await?)
            }
            None => None,
        };
        let tx = match once.take() {
            Some(tx) => tx,
            // Nothing was to be done, which is an answer too.
            None => {
                self.begin("answer.keep", call).await?.commit().await?;
                once.take().ok_or(Failure::Bug("a kept answer"))?
            }
        };
        Ok(tx.commit_with(once, StoredAnswer { subject, sealed }).await?)
    }
}

fn subject<T: From<Uuid>>(kept: &Kept) -> Done<T> {
    Ok(T::from(kept.subject.ok_or(Failure::Bug("a kept answer"))?))
}

/// Things that a reader finds by their id.
macro_rules! nouns {
    ($($noun:ty: $id:ty, $find:ident, $name:literal;)+) => {$(
        impl Answer for $noun {
            fn kept(&self) -> Kept {
                Kept::of(self.id.0)
            }

            async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
                let id: $id = subject(&kept)?;
                Ok(reader.$find(&[id]).await?.pop().ok_or_else(|| Refusal::not_found($name))?)
            }
        }
    )+};
}

nouns! {
    Registration: RegistrationId, registrations_by_id, "registration";
    Connection: ConnectionId, connections_by_id, "connection";
    Company: CompanyId, companies_by_id, "company";
    Account: UserId, accounts_by_id, "account";
    Scan: ScanId, scans_by_id, "scan";
    Issue: IssueId, issues_by_id, "issue";
    PublishedDefinition: DefinitionId, definitions_by_id, "definition";
}

/// Answers that say only that it was done.
impl Answer for () {
    fn kept(&self) -> Kept {
        Kept::default()
    }

    async fn again(_: Kept, _: &Reader) -> Done<Self> {
        Ok(())
    }
}

/// A registration with the link that was made.
impl Answer for (Registration, Option<SecretString>) {
    fn kept(&self) -> Kept {
        Kept { secret: self.1.clone(), ..self.0.kept() }
    }

    async fn again(mut kept: Kept, reader: &Reader) -> Done<Self> {
        let secret = kept.secret.take();
        Ok((Registration::again(kept, reader).await?, secret))
    }
}

/// There is one.
impl Answer for ProviderRecord {
    fn kept(&self) -> Kept {
        Kept::default()
    }

    async fn again(_: Kept, reader: &Reader) -> Done<Self> {
        reader.provider_record().await?.ok_or(Failure::Bug("a provider record"))
    }
}

/// The settings of a connection.
impl Answer for (ConnectionId, SettingsRecord) {
    fn kept(&self) -> Kept {
        Kept::of(self.0.0)
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let connection = Connection::again(kept, reader).await?;
        let found = reader.settings(&[connection.id]).await?.pop();
        Ok(found.unwrap_or_else(|| (connection.id, SettingsRecord::default())))
    }
}

/// A scan that was asked for, by its id.
impl Answer for ScanId {
    fn kept(&self) -> Kept {
        Kept::of(self.0)
    }

    async fn again(kept: Kept, _: &Reader) -> Done<Self> {
        subject(&kept)
    }
}

/// What a person chose for themselves.
impl Answer for IssueMail {
    fn kept(&self) -> Kept {
        Kept::word(self.as_str())
    }

    async fn again(kept: Kept, _: &Reader) -> Done<Self> {
        kept.said(Self::parse)
    }
}

/// The schedule of a suite.
impl Answer for Schedule {
    fn kept(&self) -> Kept {
        Kept::word(self.suite.as_str())
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let suite = kept.said(Suite::parse)?;
        let schedules = reader.schedules().await?;
        let found = schedules.into_iter().find(|schedule| schedule.suite == suite);
        Ok(found.ok_or_else(|| Refusal::not_found("schedule"))?)
    }
}
