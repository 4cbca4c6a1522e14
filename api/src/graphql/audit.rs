//! The audit trail.

use std::collections::VecDeque;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use uuid::Uuid;

use super::ask::{Ask, ours};
use super::error;
use super::id::{Kind, decode, number_cursor, read_number_cursor};
use super::load::PersonName;
use super::page::{List, Window, cost, list_by};
use super::words::ChangeKind;
use crate::actions::{Actions, Call};
use crate::domain::Timestamp;
use crate::domain::audit as domain;
use crate::domain::id::CompanyId;
use crate::domain::link::hex;
use crate::store::{AuditFilter, Page};

/// The most characters of an operation that is asked for.
const OPERATION_MAX: usize = 64;
/// The most characters of a key module's name that is asked for.
const MODULE_MAX: usize = 128;

/// An entry of the audit trail: who did what to what, when, and how it went.
pub(super) struct AuditEntry(pub(super) domain::AuditEntry);

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(super) enum AuditActorKind {
    /// This instance itself, or its command line on the host.
    System,
    /// Nobody we know: other instances too, until their signature or seal says who they are.
    Anonymous,
    /// Somebody with an account.
    Person,
    /// The other instance of a connection.
    Peer,
}

/// An entry of the audit trail: who did what to what, when, and how it went.
#[Object]
impl AuditEntry {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::AuditEntry.id(numbered(self.0.id))
    }

    /// Its number in the trail, from 1 without a gap.
    async fn number(&self) -> i64 {
        self.0.id.0
    }

    /// When.
    async fn at(&self) -> Timestamp {
        self.0.at
    }

    /// What kind of actor did it.
    async fn actor_kind(&self) -> AuditActorKind {
        match self.0.actor {
            domain::Actor::System => AuditActorKind::System,
            domain::Actor::Anonymous => AuditActorKind::Anonymous,
            domain::Actor::Person(_) => AuditActorKind::Person,
            domain::Actor::Peer(_) => AuditActorKind::Peer,
        }
    }

    /// With `PERSON` the account, with `PEER` the connection, for `AuditLogFilter.actorId`.
    async fn actor_id(&self) -> Option<ID> {
        match self.0.actor {
            domain::Actor::Person(user) => Some(Kind::User.id(user.0)),
            domain::Actor::Peer(connection) => Some(Kind::Connection.id(connection.0)),
            domain::Actor::System | domain::Actor::Anonymous => None,
        }
    }

    /// The name of one of our own people; null for others.
    async fn actor_name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.actor {
            domain::Actor::Person(user) => Ask::anyone(ctx)?.load.one(PersonName(user)).await,
            domain::Actor::System | domain::Actor::Anonymous | domain::Actor::Peer(_) => Ok(None),
        }
    }

    /// The roles that the actor held then, by their names.
    async fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// The company for which the actor acted; null when for ourselves.
    async fn on_behalf_of(&self) -> Option<ID> {
        let id = self.0.on_behalf_of.as_deref()?.strip_prefix("company:")?;
        Some(Kind::Company.id(CompanyId(Uuid::try_parse(id).ok()?).0))
    }

    /// What was done, such as `registration.create`.
    async fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The kind of the thing it was done to, such as `REGISTRATION`.
    async fn object_kind(&self) -> &str {
        &self.0.object_kind
    }

    /// The thing: its global id where it has one, else its own id; for `AuditLogFilter.objectId`.
    async fn object_id(&self) -> ID {
        let kind = match self.0.object_kind.as_str() {
            "REGISTRATION" => Some(Kind::Registration),
            "CONNECTION" => Some(Kind::Connection),
            "SCAN" => Some(Kind::Scan),
            "ISSUE" => Some(Kind::Issue),
            "COMPANY" => Some(Kind::Company),
            "DEFINITION" => Some(Kind::Definition),
            "SESSION" => Some(Kind::Session),
            "ACCESS_TOKEN" => Some(Kind::AccessToken),
            "KEY_MODULE" => Some(Kind::KeyModule),
            "KEY_VERSION" => Some(Kind::KeyVersion),
            "KEY_APPROVAL" => Some(Kind::KeyApproval),
            "ACCESS_POLICY" => Some(Kind::AccessPolicy),
            _ => None,
        };
        let global = kind.and_then(|kind| Some(kind.id(Uuid::try_parse(&self.0.object_id).ok()?)));
        global.unwrap_or_else(|| ID(self.0.object_id.clone()))
    }

    /// How it went: `OK`; what it came to, such as `PASSED` or `DONE`; or why not: the code of a refusal, or what the key
    /// service said, such as `NO_ROLE` where no role gave the right, or `TAMPERED`.
    async fn result(&self) -> &str {
        &self.0.result
    }

    /// The trace id of the request or the work (W3C Trace Context, 32 hexadecimal digits); null if it is not known.
    async fn trace_id(&self) -> Option<String> {
        self.0.trace.map(|trace| trace.to_string())
    }

    /// More about it: JSON text, without secrets. `origin` is `host` where a person did it on the command line of the
    /// host.
    async fn details(&self) -> &str {
        &self.0.details
    }

    /// The hash that covers this entry and all before it, in hexadecimal. `linkspan audit verify` checks the chain.
    async fn hash(&self) -> String {
        hex(&self.0.hash)
    }
}

/// The number of an entry as the id within a global id.
const fn numbered(number: domain::AuditNumber) -> Uuid {
    Uuid::from_u128(number.0.unsigned_abs() as u128)
}

/// Reads what [`numbered`] wrote.
pub(super) fn number_of(id: Uuid) -> Option<domain::AuditNumber> {
    i64::try_from(id.as_u128()).ok().map(domain::AuditNumber)
}

/// Which entries of the audit trail. What is left out keeps nothing out.
#[derive(Default, InputObject)]
pub(super) struct AuditLogFilter {
    /// Whose operation begins with this, such as `key.` or `session.start`: small letters, digits, `.`, `_` and `-`, 64
    /// at most.
    operation: Option<String>,
    /// By this person.
    actor_id: Option<ID>,
    /// About this thing, as `objectId` of an entry names it.
    object_id: Option<ID>,
    /// About this key module, its keys, its access policies, and requests for approval that concern it; of a connection's
    /// keys: their `keyModule`. 1 to 128 of `a` to `z`, `0` to `9`, `-` and `/`.
    module: Option<String>,
    /// Sign-ins with this email address that failed, and one-time codes that were asked for with it where nobody here has
    /// it. The trail keeps it as a keyed hash alone: it is found by whoever knows it, and read by nobody. For administrators.
    email: Option<String>,
    /// With this result, as an entry says it: `OK`, or such as `POLICY_DENIED`.
    result: Option<String>,
    /// From then on.
    since: Option<Timestamp>,
    /// Before then.
    until: Option<Timestamp>,
}

impl AuditLogFilter {
    async fn filter(self, ask: &Ask<'_>) -> Result<AuditFilter> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if self.operation.as_ref().is_some_and(|text| text.len() > OPERATION_MAX || !text.chars().all(plain))
        {
            return Err(error::invalid(
                "`operation` has small letters, digits, `.`, `_` and `-`, 64 at most.",
            ));
        }
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
        let module = self.module.as_ref();
        if module.is_some_and(|name| name.is_empty() || name.len() > MODULE_MAX || !name.chars().all(named)) {
            return Err(error::invalid("`module` has small letters, digits, `-` and `/`, 1 to 128."));
        }
        let actor = self.actor_id.map(|id| match decode(&id) {
            Some((Kind::User | Kind::Contact, id)) => Ok(format!("user:{id}")),
            Some((Kind::Connection, id)) => Ok(format!("peer:{id}")),
            _ => Err(error::invalid("`actorId` is the global id of a user, contact or connection.")),
        });
        let address = match &self.email {
            Some(email) => Some(ask.actions.audited_address(ask.call, email).await.map_err(error::failed)?),
            None => None,
        };
        Ok(AuditFilter {
            operation: self.operation,
            address,
            actor: actor.transpose()?,
            object: self.object_id.map(|id| decode(&id).map_or(id.0, |(_, id)| id.to_string())),
            module: self.module,
            result: self.result,
            since: self.since,
            until: self.until,
        })
    }
}

/// An entry of the audit trail as it was written, or the present from which the entries go on.
#[derive(SimpleObject)]
pub(super) struct AuditLogEvent {
    /// Give it as `after` to go on behind this event.
    cursor: String,
    /// When the entry was written; for the present, when it was read.
    at: Timestamp,
    /// `CREATED` with an entry, else `PRESENT`.
    kind: ChangeKind,
    /// The entry; null for the present.
    entry: Option<AuditEntry>,
}

/// How many entries are read at once.
const BATCH: u64 = 100;

/// Follows the audit trail. It reads on whenever an entry is announced, so a slow listener misses none.
pub(super) struct AuditFollower {
    actions: Actions,
    call: Call,
    recorded: watch::Receiver<i64>,
    queue: VecDeque<domain::AuditEntry>,
    last: i64,
    present: bool,
}

impl AuditFollower {
    /// Follows it from now on, the present first, or from behind a cursor.
    ///
    /// # Errors
    /// `FORBIDDEN` for whoever may not read it; `INVALID_INPUT` for a cursor that was never given out.
    pub(super) async fn new(ask: &Ask<'_>, after: Option<String>) -> Result<Self> {
        // Before the number is read, so that nothing is announced between the two.
        let recorded = ask.actions.watch_audit();
        let head = ask.reader().audit_head().await.map_err(ours)?;
        let last = match &after {
            Some(after) => read_number_cursor(after)
                .filter(|number| *number <= head)
                .ok_or_else(|| error::invalid("This is not a cursor of this instance's audit trail."))?,
            None => head,
        };
        let (actions, call, present) = (ask.actions.clone(), ask.call.clone(), after.is_none());
        let mut follower = Self { actions, call, recorded, queue: VecDeque::new(), last, present };
        follower.read().await?;
        Ok(follower)
    }

    /// The events, for ever.
    pub(super) fn events(self) -> impl Stream<Item = Result<AuditLogEvent>> + Send + use<> {
        stream::unfold(Some(self), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(event) => Some((Ok(event?), Some(follower))),
                Err(problem) => Some((Err(problem), None)),
            }
        })
    }

    async fn read(&mut self) -> Result<()> {
        let page = Page { beyond: Some(self.last), limit: BATCH, backward: true };
        let read = self.actions.audit_log(&self.call, &AuditFilter::default(), page).await;
        self.queue = read.map_err(error::failed)?.items.into_iter().rev().collect();
        Ok(())
    }

    /// The next event; none when the instance stops.
    async fn next(&mut self) -> Result<Option<AuditLogEvent>> {
        if std::mem::take(&mut self.present) {
            let (cursor, at) = (number_cursor(self.last), self.actions.now());
            return Ok(Some(AuditLogEvent { cursor, at, kind: ChangeKind::Present, entry: None }));
        }
        loop {
            if let Some(entry) = self.queue.pop_front() {
                self.last = entry.id.0;
                let (cursor, at) = (number_cursor(self.last), entry.at);
                let entry = Some(AuditEntry(entry));
                return Ok(Some(AuditLogEvent { cursor, at, kind: ChangeKind::Created, entry }));
            }
            // Before reading: an entry that is announced while we read makes us read again.
            let head = *self.recorded.borrow_and_update();
            self.read().await?;
            if self.queue.is_empty() {
                // What is announced is committed, so up to there was nothing for us.
                self.last = self.last.max(head);
                if self.recorded.changed().await.is_err() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Queries of the audit trail.
#[derive(Default)]
pub(super) struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The audit trail, the newest entries first. Administrators read what concerns the application, key auditors what
    /// concerns keys: operations that begin with `key.`, `key_module.` and `audit.`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all when left out.")] filter: Option<AuditLogFilter>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<AuditEntry>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.numbers()?);
        let filter = filter.unwrap_or_default().filter(&ask).await?;
        let done = ask.actions.audit_log(ask.call, &filter, page).await;
        let cursor = |entry: &domain::AuditEntry| number_cursor(entry.id.0);
        Ok(list_by(done.map_err(error::failed)?, cursor, AuditEntry))
    }
}
