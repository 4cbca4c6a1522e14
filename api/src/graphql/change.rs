//! The log of changes: read once, or followed for as long as somebody listens.

use std::collections::VecDeque;
use std::time::Duration;

use async_graphql::{Context, ID, Object, Result, SimpleObject};
use chrono::TimeDelta;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use uuid::Uuid;

use super::ask::{Ask, ours};
use super::error;
use super::id::{self, Kind};
use super::load::Loaders;
use super::node::Node;
use super::page::{self, items_cost};
use super::words::{ChangeKind, ChangeSubject};
use crate::actions::{Actions, Call};
use crate::domain::Timestamp;
use crate::store::{Change, Reader, SubjectKind};

/// How many changes are read at once.
const BATCH: u64 = 100;
/// The least time between two events that tell of everything until then; see [`Follower::latest`].
const PACE: Duration = Duration::from_secs(1);
/// The least time that is waited at all.
const BREATH: Duration = Duration::from_millis(5);

/// A moment in a stream of events: the present state, or one change.
pub(super) struct Moment {
    /// Where the log goes on after it.
    pub(super) cursor: String,
    /// When it was.
    pub(super) at: Timestamp,
    /// Why it is told.
    pub(super) kind: ChangeKind,
    /// The state that the change led to.
    pub(super) state: Option<String>,
    /// What is followed, or else what changed.
    pub(super) id: Option<Uuid>,
    /// The change itself; none for the present state.
    change: Option<Change>,
}

impl Moment {
    fn changed(change: Change) -> Self {
        Self {
            cursor: id::change_cursor(change.seq),
            at: change.at,
            kind: change.kind.into(),
            state: change.body.get("state").and_then(|state| state.as_str()).map(str::to_owned),
            id: Some(change.id),
            change: Some(change),
        }
    }
}

/// An event of a subscription, made from a moment.
pub(super) trait Event: Sized + Send + 'static {
    /// Loads what the event tells, as it is now.
    fn load(ask: &Ask<'_>, moment: Moment) -> impl Future<Output = Result<Self>> + Send;
}

/// Follows the log of changes. It reads on whenever a number is announced, so a slow listener finds what it missed in
/// the log: nothing is lost on the way.
pub(super) struct Follower {
    actions: Actions,
    call: Call,
    load: Loaders,
    /// Where the changes are read.
    log: Reader,
    announced: watch::Receiver<i64>,
    subjects: Vec<SubjectKind>,
    id: Option<Uuid>,
    cursor: i64,
    queue: VecDeque<Change>,
    present: bool,
}

impl Follower {
    /// Follows these kinds of subjects: the present state first, or only what came after the cursor.
    ///
    /// # Errors
    /// `INVALID_INPUT` for a cursor that was never given out or is too old.
    pub(super) async fn all(
        ask: &Ask<'_>,
        subjects: Vec<SubjectKind>,
        after: Option<String>,
    ) -> Result<Self> {
        // Before the number is read, so that nothing is announced between the two.
        let announced = ask.actions.watch();
        let cursor = match &after {
            Some(after) => start(ask.reader(), after).await?,
            None => ask.reader().head().await.map_err(ours)?,
        };
        Ok(Self {
            actions: ask.actions.clone(),
            call: ask.call.clone(),
            load: Loaders::new(ask.reader().clone(), ask.actions.clone(), ask.call.clone()),
            log: ask.reader().clone(),
            announced,
            subjects,
            id: None,
            cursor,
            queue: VecDeque::new(),
            present: after.is_none(),
        })
    }

    /// Follows the key service's health, for whoever may ask for it: that does not depend on the roles which say what
    /// else of the log one may read.
    ///
    /// # Errors
    /// As [`Follower::all`]; `FORBIDDEN` for other organisations' people.
    pub(super) async fn key_health(ask: &Ask<'_>, after: Option<String>) -> Result<Self> {
        let log = ask.actions.key_health_log(ask.call).map_err(|refusal| error::failed(refusal.into()))?;
        Ok(Self { log, ..Self::all(ask, vec![SubjectKind::KeyHealth], after).await? })
    }

    /// Follows one thing.
    ///
    /// # Errors
    /// As [`Follower::all`]; `FORBIDDEN` when there is no such thing, or it may not be seen.
    pub(super) async fn one(
        ask: &Ask<'_>,
        subject: SubjectKind,
        (kind, id): (Kind, &ID),
        after: Option<String>,
    ) -> Result<Self> {
        let uuid = kind.read(id).ok_or_else(|| error::absent(kind.label()))?;
        let mut follower = Self::all(ask, vec![subject], after).await?;
        follower.id = Some(uuid);
        if Node::load(ask, kind, uuid).await?.is_none() {
            // It may be gone: whoever comes back after the cursor still has to hear of that.
            follower.read().await?;
            if follower.present || follower.queue.is_empty() {
                return Err(error::absent(kind.label()));
            }
        }
        Ok(follower)
    }

    /// The events, for ever; the last one tells that the one thing followed is gone.
    pub(super) fn events<E: Event>(self) -> impl Stream<Item = Result<E>> + Send + use<E> {
        stream::unfold(Some(self), |follower| async move {
            let mut follower = follower?;
            let moment = match follower.next().await {
                Ok(moment) => moment?,
                Err(problem) => return Some((Err(problem), None)),
            };
            let gone = moment.kind == ChangeKind::Deleted && follower.id.is_some();
            let event = E::load(&follower.ask(), moment).await;
            let more = event.is_ok() && !gone;
            Some((event, more.then_some(follower)))
        })
    }

    /// The same, but at most one event a second, which tells of everything until then; with `refresh`, also one when
    /// nothing changed for that long.
    pub(super) fn latest<E: Event>(
        self,
        refresh: Option<TimeDelta>,
    ) -> impl Stream<Item = Result<E>> + Send + use<E> {
        stream::unfold(Some((self, None)), move |state| async move {
            let (mut follower, told): (Self, Option<Timestamp>) = state?;
            if let Some(told) = told {
                let due = told + PACE;
                if follower.actions.now() < due {
                    follower.actions.wait_until(Some(due), BREATH, PACE).await;
                }
            }
            let moment = match follower.next_or_at(told.zip(refresh).map(|(told, after)| told + after)).await
            {
                Ok(moment) => moment?,
                Err(problem) => return Some((Err(problem), None)),
            };
            let event = E::load(&follower.ask(), moment).await;
            let told = Some(follower.actions.now());
            let more = event.is_ok();
            Some((event, more.then_some((follower, told))))
        })
    }

    /// The next moment, or that one; it covers whatever was committed until it is answered.
    async fn next_or_at(&mut self, refresh: Option<Timestamp>) -> Result<Option<Moment>> {
        let actions = self.actions.clone();
        let refreshed = async {
            match refresh {
                Some(at) => {
                    while actions.now() < at {
                        actions.wait_until(Some(at), BREATH, PACE).await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        let moment = tokio::select! {
            moment = self.next() => moment?,
            () = refreshed => Some(self.present()),
        };
        let Some(mut moment) = moment else { return Ok(None) };
        self.queue.clear();
        self.cursor = self.cursor.max(self.log.head().await.map_err(ours)?);
        moment.cursor = id::change_cursor(self.cursor);
        Ok(Some(moment))
    }

    fn ask(&self) -> Ask<'_> {
        Ask::outside(&self.actions, &self.call, &self.load)
    }

    async fn read(&mut self) -> Result<()> {
        let changes = self.log.changes(self.cursor, &self.subjects, self.id, BATCH).await.map_err(ours)?;
        self.queue = changes.into();
        Ok(())
    }

    fn present(&self) -> Moment {
        Moment {
            cursor: id::change_cursor(self.cursor),
            at: self.actions.now(),
            kind: ChangeKind::Present,
            state: None,
            id: self.id,
            change: None,
        }
    }

    /// The next moment; none when the instance stops.
    async fn next(&mut self) -> Result<Option<Moment>> {
        if std::mem::take(&mut self.present) {
            return Ok(Some(self.present()));
        }
        loop {
            if let Some(change) = self.queue.pop_front() {
                self.cursor = change.seq;
                return Ok(Some(Moment::changed(change)));
            }
            // Before reading: a number that is announced while we read makes us read again.
            let head = *self.announced.borrow_and_update();
            self.read().await?;
            if self.queue.is_empty() {
                // What is announced is committed, so up to there was nothing for us.
                self.cursor = self.cursor.max(head);
                if self.announced.changed().await.is_err() {
                    return Ok(None);
                }
            }
        }
    }
}

/// The number after which to go on.
///
/// # Errors
/// `INVALID_INPUT` for a cursor that was never given out or is too old; then it says which is the oldest.
async fn start(reader: &Reader, after: &str) -> Result<i64> {
    let foreign = || error::invalid("This is not a cursor of this instance's changes.");
    let seq = id::read_change_cursor(after).ok_or_else(foreign)?;
    let head = reader.head().await.map_err(ours)?;
    if seq > head {
        return Err(foreign());
    }
    // With nothing kept, one can go on from the head alone.
    let oldest = reader.oldest_change().await.map_err(ours)?.map_or(head, |oldest| oldest - 1);
    if seq < oldest {
        return Err(error::cursor_expired(id::change_cursor(oldest)));
    }
    Ok(seq)
}

/// One committed fact, or the present from which changes go on.
pub(super) struct ChangeEvent(Moment);

impl Event for ChangeEvent {
    async fn load(_: &Ask<'_>, moment: Moment) -> Result<Self> {
        Ok(Self(moment))
    }
}

impl ChangeEvent {
    /// A change of the past.
    pub(super) fn past(change: Change) -> Self {
        Self(Moment::changed(change))
    }
}

/// One committed fact, or the present from which changes go on.
#[Object]
impl ChangeEvent {
    /// Give it as `after` to go on behind this event.
    async fn cursor(&self) -> &str {
        &self.0.cursor
    }

    /// When it was committed.
    async fn at(&self) -> Timestamp {
        self.0.at
    }

    /// Why it is told.
    async fn kind(&self) -> ChangeKind {
        self.0.kind
    }

    /// The state that the change led to, as the value of the subject's own state enum; null where the subject has no
    /// state, and for the present.
    async fn state(&self) -> Option<&str> {
        self.0.state.as_deref()
    }

    /// What kind of thing changed; null for the present.
    async fn subject(&self) -> Option<ChangeSubject> {
        self.0.change.as_ref().map(|change| change.subject.into())
    }

    /// Global id of what changed (the connection, for its onboarding); null for the present, for the set-up, the key
    /// service's health, its keys and the schedules of checks, and for accounts that are gone or not yours to see.
    async fn subject_id(&self, ctx: &Context<'_>) -> Result<Option<ID>> {
        let Some(change) = &self.0.change else { return Ok(None) };
        if let Some(kind) = kind_of(change.subject) {
            return Ok(Some(kind.id(change.id)));
        }
        if change.subject != SubjectKind::Account {
            return Ok(None);
        }
        Ok(match Node::account(&Ask::anyone(ctx)?, change.id).await? {
            Some(Node::Contact(_)) => Some(Kind::Contact.id(change.id)),
            Some(Node::User(_)) => Some(Kind::User.id(change.id)),
            _ => None,
        })
    }

    /// The subject's revision afterwards; null for the present.
    async fn revision(&self) -> Option<i64> {
        self.0.change.as_ref().map(|change| change.revision)
    }

    /// What changed, as it is now; null when it is gone, or not yours to see.
    async fn node(&self, ctx: &Context<'_>) -> Result<Option<Node>> {
        let (ask, Some(change)) = (Ask::anyone(ctx)?, &self.0.change) else { return Ok(None) };
        match kind_of(change.subject) {
            Some(kind) => Node::load(&ask, kind, change.id).await,
            None if change.subject == SubjectKind::Account => Node::account(&ask, change.id).await,
            None => Ok(None),
        }
    }
}

/// The type of a subject; an account has one of two, and of some there is just one.
const fn kind_of(subject: SubjectKind) -> Option<Kind> {
    match subject {
        SubjectKind::Registration => Some(Kind::Registration),
        SubjectKind::Connection | SubjectKind::Onboarding => Some(Kind::Connection),
        SubjectKind::Scan => Some(Kind::Scan),
        SubjectKind::Issue => Some(Kind::Issue),
        SubjectKind::Company => Some(Kind::Company),
        SubjectKind::Definition => Some(Kind::Definition),
        SubjectKind::Account
        | SubjectKind::Setup
        | SubjectKind::KeyHealth
        | SubjectKind::Keys
        | SubjectKind::CheckSchedule => None,
    }
}

/// A part of the log of changes, in the order of commits.
#[derive(SimpleObject)]
pub(super) struct ChangeLog {
    /// The changes.
    events: Vec<ChangeEvent>,
    /// Give it as `after` to go on.
    end_cursor: String,
    /// Whether there are more now.
    has_more: bool,
}

/// The kinds of subjects that are asked for; all when none is named.
pub(super) fn kinds(subjects: Option<Vec<ChangeSubject>>) -> Vec<SubjectKind> {
    subjects.unwrap_or_default().into_iter().map(Into::into).collect()
}

/// Queries of the log of changes.
#[derive(Default)]
pub(super) struct ChangeQuery;

#[Object]
impl ChangeQuery {
    /// Committed changes, in the order of commits. A cursor that is too old is refused with
    /// `extensions.reason: "CURSOR_EXPIRED"` and the oldest usable cursor in `extensions.oldest`.
    #[graphql(complexity = "items_cost(first.unwrap_or(50), child_complexity)")]
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those after this cursor; from the oldest that is kept when left out.")]
        after: Option<String>,
        #[graphql(desc = "Only of these kinds of things.")] subjects: Option<Vec<ChangeSubject>>,
        #[graphql(desc = "At most so many, 250 at most; 50 when nothing is given.")] first: Option<i32>,
    ) -> Result<ChangeLog> {
        let ask = Ask::new(ctx)?;
        let limit = page::limit(first, 50)?;
        let from = match &after {
            Some(after) => start(ask.reader(), after).await?,
            None => 0,
        };
        let mut changes =
            ask.reader().changes(from, &kinds(subjects), None, limit + 1).await.map_err(ours)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = changes.len() > limit;
        changes.truncate(limit);
        let end = changes.last().map_or(from, |change| change.seq);
        let events = changes.into_iter().map(|change| ChangeEvent(Moment::changed(change))).collect();
        Ok(ChangeLog { events, end_cursor: id::change_cursor(end), has_more })
    }
}
