//! Loads what many fields ask for in one statement.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Result;
use async_graphql::dataloader::Loader;
use chrono::{DurationRound as _, TimeDelta};
use tokio::sync::OnceCell;
use tokio::task::yield_now;
use uuid::Uuid;

use super::ask::ours;
use crate::actions::{Actions, Call, Governing};
use crate::domain::Timestamp;
use crate::domain::attempt::Attempt;
use crate::domain::audit::{AuditEntry, AuditNumber};
use crate::domain::connection::Connection;
use crate::domain::direction::{Evidence, Transition, Way};
use crate::domain::id::{
    AccessTokenId, ChannelId, CompanyId, ConnectionId, DefinitionId, FailureId, InstanceId, IssueId,
    KeyPolicyId, RegistrationId, ScanId, SessionId, UserId,
};
use crate::domain::issue::Issue;
use crate::domain::key_module::{KeyModule, KeyVersion};
use crate::domain::key_policy::KeyPolicy;
use crate::domain::registration::Registration;
use crate::domain::scan::{Scan, Subject};
use crate::domain::settings::Offer;
use crate::domain::verification::Verification;
use crate::store::{
    AccessToken, Account, AttemptWork, Company, FailureRecord, PublishedDefinition, Reader, ScanResult,
    Session, SettingsRecord, StoreError, Traffic,
};

/// The loaders of one request. Whoever asks for a key waits until everything that can run has asked for its own, then
/// one of them loads for all. No time is involved, as it is in async-graphql's own loader, whose batches fall apart
/// when a list takes longer to resolve than the loader waits.
pub(super) struct Loaders {
    source: Source,
    /// For each kind of key, the [`Batch`] that still takes keys.
    open: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

/// Keys that are loaded together, and what was found. Nobody but those who wait for it keeps it, so that a
/// subscription sees each thing as it is now.
struct Batch<K, V> {
    keys: Mutex<HashSet<K>>,
    found: OnceCell<Result<HashMap<K, V>, Shared>>,
}

impl Loaders {
    /// Loads within what this reader may see, for whoever calls.
    pub(super) fn new(reader: Reader, actions: Actions, call: Call) -> Self {
        Self { source: Source(reader, actions, call), open: Mutex::default() }
    }

    /// The reader itself.
    pub(super) const fn reader(&self) -> &Reader {
        &self.source.0
    }

    /// The one with this key, as far as it may be seen.
    pub(super) async fn one<K>(&self, key: K) -> Result<Option<<Source as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Source: Loader<K, Error = Shared>,
    {
        let batch = self.join(key.clone());
        // Whatever else can ask does so before this goes on.
        yield_now().await;
        let found = batch.found.get_or_init(|| async {
            let keys = self.close(&batch);
            self.source.load(&keys).await
        });
        match found.await {
            Ok(found) => Ok(found.get(&key).cloned()),
            Err(Shared(problem)) => Err(ours(&**problem)),
        }
    }

    /// As [`Loaders::one`] where there may be no key.
    pub(super) async fn maybe<K>(&self, key: Option<K>) -> Result<Option<<Source as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Source: Loader<K, Error = Shared>,
    {
        match key {
            Some(key) => self.one(key).await,
            None => Ok(None),
        }
    }

    /// Adds a key to the batch that takes keys of its kind.
    fn join<K>(&self, key: K) -> Arc<Batch<K, <Source as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Source: Loader<K>,
    {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = open.get(&TypeId::of::<K>()).and_then(|batch| Arc::clone(batch).downcast().ok());
        let batch: Arc<Batch<K, _>> = joined.unwrap_or_else(|| {
            let batch = Arc::new(Batch { keys: Mutex::default(), found: OnceCell::new() });
            open.insert(TypeId::of::<K>(), batch.clone());
            batch
        });
        batch.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        batch
    }

    /// Lets nobody join a batch any more; answers its keys. Closed twice if whoever loaded it was dropped.
    fn close<K, V>(&self, batch: &Arc<Batch<K, V>>) -> Vec<K>
    where
        K: Send + Sync + Clone + 'static,
        V: Send + Sync + 'static,
    {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Arc::as_ptr(batch).cast::<()>();
        if open.get(&TypeId::of::<K>()).is_some_and(|open| Arc::as_ptr(open).cast::<()>() == this) {
            open.remove(&TypeId::of::<K>());
        }
        let keys = batch.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().cloned().collect()
    }
}

/// An error that all who waited for a batch get.
#[derive(Clone)]
pub(super) struct Shared(Arc<StoreError>);

impl From<StoreError> for Shared {
    fn from(error: StoreError) -> Self {
        Self(Arc::new(error))
    }
}

/// What reads a batch.
pub(super) struct Source(Reader, Actions, Call);

/// Key: a key module.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyModuleId(pub(super) Uuid);

/// Key: a version of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyVersionId(pub(super) Uuid);

/// Key: the key module that governs the keys of this name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct GoverningModule(pub(super) String);

/// Key: the directions of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Directions(pub(super) ConnectionId);

/// Key: the history of a connection's directions, since then.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct History(pub(super) ConnectionId, pub(super) Timestamp);

/// Key: the messages that a connection carried in the 24 hours before an hour ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TrafficOf(ConnectionId, Timestamp);

impl TrafficOf {
    /// In the day up to now, by whole hours: the same key within one request.
    pub(super) fn last_day(connection: ConnectionId, now: Timestamp) -> Self {
        Self(connection, now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now))
    }
}

/// Key: the latest attempt of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LatestAttempt(pub(super) ConnectionId);

/// Key: the settings of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Settings(pub(super) ConnectionId);

/// Key: everything that this instance publishes as a provider.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PublishedOffer;

/// Key: the latest verification of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LatestVerification(pub(super) ConnectionId);

/// Key: what a scan's checks answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Results(pub(super) ScanId);

/// Key: the open issues about a subject.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OpenIssues(Id);

/// Key: who follows an issue.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Followers(pub(super) IssueId);

/// Key: the latest scans of a subject, this many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LatestScans(Id, u64);

/// Key: the latest registrations of a company, this many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CompanyRegistrations(pub(super) CompanyId, pub(super) u64);

/// Key: the latest contacts of a company, this many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CompanyContacts(pub(super) CompanyId, pub(super) u64);

/// Key: the name of one of our own people.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PersonName(pub(super) UserId);

/// A subject as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Registration(RegistrationId),
    Connection(ConnectionId),
    Instance(InstanceId),
}

impl From<Subject> for Id {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Registration(id) => Self::Registration(id),
            Subject::Connection(id) => Self::Connection(id),
            Subject::Instance(id) => Self::Instance(id),
        }
    }
}

impl From<Id> for Subject {
    fn from(id: Id) -> Self {
        match id {
            Id::Registration(id) => Self::Registration(id),
            Id::Connection(id) => Self::Connection(id),
            Id::Instance(id) => Self::Instance(id),
        }
    }
}

impl OpenIssues {
    /// Of this subject.
    pub(super) fn of(subject: Subject) -> Self {
        Self(subject.into())
    }
}

impl LatestScans {
    /// Of this subject, at most `count`.
    pub(super) fn of(subject: Subject, count: u64) -> Self {
        Self(subject.into(), count)
    }
}

macro_rules! by_id {
    ($($key:ident => $thing:ident by $find:ident;)+) => {$(
        impl Loader<$key> for Source {
            type Value = $thing;
            type Error = Shared;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $thing>, Shared> {
                let found = self.0.$find(keys).await?;
                Ok(found.into_iter().map(|thing| (thing.id, thing)).collect())
            }
        }
    )+};
}

by_id! {
    RegistrationId => Registration by registrations_by_id;
    ConnectionId => Connection by connections_by_id;
    CompanyId => Company by companies_by_id;
    UserId => Account by accounts_by_id;
    ScanId => Scan by scans_by_id;
    IssueId => Issue by issues_by_id;
    DefinitionId => PublishedDefinition by definitions_by_id;
    AuditNumber => AuditEntry by audit_by_number;
    FailureId => FailureRecord by failures_by_id;
}

/// Puts what was found under its keys, in the order in which it was found.
fn grouped<K: Hash + Eq, V>(pairs: impl IntoIterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in pairs {
        groups.entry(key).or_default().push(value);
    }
    groups
}

impl Loader<Directions> for Source {
    type Value = Vec<(Way, Evidence)>;
    type Error = Shared;

    async fn load(&self, keys: &[Directions]) -> Result<HashMap<Directions, Self::Value>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.0.directions(&ids).await?;
        Ok(grouped(found.into_iter().map(|(id, way, evidence)| (Directions(id), (way, evidence)))))
    }
}

impl Loader<History> for Source {
    type Value = Vec<(Way, Transition)>;
    type Error = Shared;

    async fn load(&self, keys: &[History]) -> Result<HashMap<History, Self::Value>, Shared> {
        let mut all = HashMap::new();
        for (from, keys) in grouped(keys.iter().map(|key| (key.1, key.0))) {
            let found = self.0.transitions(&keys, from).await?;
            all.extend(grouped(found.into_iter().map(|(id, way, told)| (History(id, from), (way, told)))));
        }
        Ok(all)
    }
}

impl Loader<TrafficOf> for Source {
    type Value = Traffic;
    type Error = Shared;

    async fn load(&self, keys: &[TrafficOf]) -> Result<HashMap<TrafficOf, Traffic>, Shared> {
        let mut all = HashMap::new();
        for (hour, keys) in grouped(keys.iter().map(|key| (key.1, key.0))) {
            let found = self.0.traffic(&keys, hour).await?;
            all.extend(found.into_iter().map(|(id, traffic)| (TrafficOf(id, hour), traffic)));
        }
        Ok(all)
    }
}

impl Loader<LatestAttempt> for Source {
    type Value = (Attempt, AttemptWork);
    type Error = Shared;

    async fn load(&self, keys: &[LatestAttempt]) -> Result<HashMap<LatestAttempt, Self::Value>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.0.attempts(&ids).await?;
        // In the order of their numbers, so the latest one stays.
        Ok(found.into_iter().map(|pair| (LatestAttempt(pair.0.connection), pair)).collect())
    }
}

impl Loader<Settings> for Source {
    type Value = SettingsRecord;
    type Error = Shared;

    async fn load(&self, keys: &[Settings]) -> Result<HashMap<Settings, SettingsRecord>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(self.0.settings(&ids).await?.into_iter().map(|(id, record)| (Settings(id), record)).collect())
    }
}

impl Loader<LatestVerification> for Source {
    type Value = Verification;
    type Error = Shared;

    async fn load(
        &self,
        keys: &[LatestVerification],
    ) -> Result<HashMap<LatestVerification, Verification>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.0.verifications(&ids).await?;
        Ok(found.into_iter().map(|one| (LatestVerification(one.connection), one)).collect())
    }
}

impl Loader<PublishedOffer> for Source {
    type Value = Offer;
    type Error = Shared;

    async fn load(&self, _: &[PublishedOffer]) -> Result<HashMap<PublishedOffer, Offer>, Shared> {
        Ok(HashMap::from([(PublishedOffer, self.0.offer().await?)]))
    }
}

impl Loader<Results> for Source {
    type Value = Vec<ScanResult>;
    type Error = Shared;

    async fn load(&self, keys: &[Results]) -> Result<HashMap<Results, Self::Value>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.0.results(&ids).await?;
        Ok(grouped(found.into_iter().map(|result| (Results(result.scan), result))))
    }
}

impl Loader<OpenIssues> for Source {
    type Value = Vec<Issue>;
    type Error = Shared;

    async fn load(&self, keys: &[OpenIssues]) -> Result<HashMap<OpenIssues, Self::Value>, Shared> {
        let subjects: Vec<Subject> = keys.iter().map(|key| key.0.into()).collect();
        let found = self.0.open_issues_of(&subjects).await?;
        Ok(grouped(found.into_iter().map(|issue| (OpenIssues::of(issue.subject), issue))))
    }
}

impl Loader<Followers> for Source {
    type Value = Vec<UserId>;
    type Error = Shared;

    async fn load(&self, keys: &[Followers]) -> Result<HashMap<Followers, Self::Value>, Shared> {
        let issues: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.0.issue_followers(&issues).await?;
        Ok(grouped(found.into_iter().map(|(issue, user)| (Followers(issue), user))))
    }
}

impl Loader<GoverningModule> for Source {
    type Value = Governing;
    type Error = Shared;

    async fn load(&self, keys: &[GoverningModule]) -> Result<HashMap<GoverningModule, Governing>, Shared> {
        let names: Vec<String> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self.1.governing_modules(&self.0, &names).await?;
        Ok(found.into_iter().map(|(name, module)| (GoverningModule(name), module)).collect())
    }
}

impl Loader<KeyModuleId> for Source {
    type Value = KeyModule;
    type Error = Shared;

    async fn load(&self, keys: &[KeyModuleId]) -> Result<HashMap<KeyModuleId, KeyModule>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.1.key_modules_by_id(&self.2, &ids).await?;
        Ok(found.into_iter().map(|module| (KeyModuleId(module.id), module)).collect())
    }
}

impl Loader<KeyVersionId> for Source {
    type Value = KeyVersion;
    type Error = Shared;

    async fn load(&self, keys: &[KeyVersionId]) -> Result<HashMap<KeyVersionId, KeyVersion>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.1.keys_by_id(&self.2, &ids).await?;
        Ok(found.into_iter().map(|key| (KeyVersionId(key.id), key)).collect())
    }
}

impl Loader<ChannelId> for Source {
    type Value = Connection;
    type Error = Shared;

    async fn load(&self, keys: &[ChannelId]) -> Result<HashMap<ChannelId, Connection>, Shared> {
        let found = self.0.connections_by_channel(keys).await?;
        Ok(found.into_iter().filter_map(|one| Some((one.channel?, one))).collect())
    }
}

impl Loader<KeyPolicyId> for Source {
    type Value = KeyPolicy;
    type Error = Shared;

    async fn load(&self, keys: &[KeyPolicyId]) -> Result<HashMap<KeyPolicyId, KeyPolicy>, Shared> {
        let found = self.1.access_policies_by_id(&self.2, keys).await?;
        Ok(found.into_iter().map(|policy| (policy.id, policy)).collect())
    }
}

impl Loader<SessionId> for Source {
    type Value = Session;
    type Error = Shared;

    async fn load(&self, keys: &[SessionId]) -> Result<HashMap<SessionId, Session>, Shared> {
        let found = self.1.sessions_by_id(&self.2, keys).await?;
        Ok(found.into_iter().map(|session| (session.id, session)).collect())
    }
}

impl Loader<AccessTokenId> for Source {
    type Value = AccessToken;
    type Error = Shared;

    async fn load(&self, keys: &[AccessTokenId]) -> Result<HashMap<AccessTokenId, AccessToken>, Shared> {
        let found = self.1.access_tokens_by_id(&self.2, keys).await?;
        Ok(found.into_iter().map(|token| (token.id, token)).collect())
    }
}

impl Loader<PersonName> for Source {
    type Value = String;
    type Error = Shared;

    async fn load(&self, keys: &[PersonName]) -> Result<HashMap<PersonName, String>, Shared> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        Ok(self.0.names_of(&ids).await?.into_iter().map(|(id, name)| (PersonName(id), name)).collect())
    }
}

/// The keys that ask for the same number of things: one statement for each number that a query names.
fn by_count<K: Copy>(keys: &[K], count: impl Fn(K) -> u64) -> HashMap<u64, Vec<K>> {
    grouped(keys.iter().map(|key| (count(*key), *key)))
}

impl Loader<LatestScans> for Source {
    type Value = Vec<Scan>;
    type Error = Shared;

    async fn load(&self, keys: &[LatestScans]) -> Result<HashMap<LatestScans, Self::Value>, Shared> {
        let mut all = HashMap::new();
        for (count, keys) in by_count(keys, |key| key.1) {
            let subjects: Vec<Subject> = keys.iter().map(|key| key.0.into()).collect();
            let found = self.0.latest_scans_of(&subjects, count).await?;
            all.extend(grouped(found.into_iter().map(|scan| (LatestScans::of(scan.subject, count), scan))));
        }
        Ok(all)
    }
}

impl Loader<CompanyRegistrations> for Source {
    type Value = Vec<Registration>;
    type Error = Shared;

    async fn load(
        &self,
        keys: &[CompanyRegistrations],
    ) -> Result<HashMap<CompanyRegistrations, Self::Value>, Shared> {
        let mut all = HashMap::new();
        for (count, keys) in by_count(keys, |key| key.1) {
            let companies: Vec<_> = keys.iter().map(|key| key.0).collect();
            let found = self.0.latest_registrations_of(&companies, count).await?;
            all.extend(grouped(
                found.into_iter().map(|thing| (CompanyRegistrations(thing.company, count), thing)),
            ));
        }
        Ok(all)
    }
}

impl Loader<CompanyContacts> for Source {
    type Value = Vec<Account>;
    type Error = Shared;

    async fn load(&self, keys: &[CompanyContacts]) -> Result<HashMap<CompanyContacts, Self::Value>, Shared> {
        let mut all = HashMap::new();
        for (count, keys) in by_count(keys, |key| key.1) {
            let companies: Vec<_> = keys.iter().map(|key| key.0).collect();
            let found = self.0.latest_contacts_of(&companies, count).await?;
            let pairs = found
                .into_iter()
                .filter_map(|account| Some((CompanyContacts(account.company?, count), account)));
            all.extend(grouped(pairs));
        }
        Ok(all)
    }
}
