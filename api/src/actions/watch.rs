//! What is watched, in memory: both directions of every connection that stands.
//!
//! A probe costs two sealings, two openings and one request, and no statement: the connection, its keys and its
//! evidence are kept here. They are written in groups: at once when a status changes, and every minute otherwise.
//!
//! *Who probes.* On a shared database one node holds a lease and probes and judges for all; the others answer probes and
//! read what it wrote. If it dies, another takes over within [`LEASE`]. A node whose lease ran out unnoticed may send a
//! few probes more: that is harmless, because a probe has no effect but to be answered, and only the holder writes.
//! The holder learns of probes that reached other nodes from the peer, whose word that its outbound direction was
//! proven means that one of us answered it. Where the peer cannot be reached from here, its word does not come either: its
//! probes that reach other nodes only do not keep the inbound direction *Up*.
//!
//! *Repetition.* No row remembers a probe, as one does for messages with an effect. The answer to a probe is bound to
//! it, so that only a fresh one proves anything to whoever asked. To whoever answers, a probe proves that the peer was
//! there when it was made: those taken within the time that a message may travel are remembered here, and a copy is
//! refused, so that it proves nothing while this process runs. After a restart a copy is taken for as long as a message
//! may travel, five minutes: whoever can capture one inside TLS can make a direction look *Up* here for three intervals
//! more.

mod chain;
mod judging;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use keyservice::SealedKey;
use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::direction::{Cause, DirectionStatus, Evidence, Measure, Transition, View, Way};
use crate::domain::heartbeat::{Chain, Told};
use crate::domain::id::{ChannelId, ConnectionId};
use crate::domain::refusal::RefusalCode;
use crate::peer::wire::{Heartbeat, Sight};
use crate::store::{ServiceAccount, Traffic, WatchRow};

/// How long a node that holds the lease may be silent before another takes over.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(6);
/// How often evidence is written although no status changed.
pub(super) const SAVED_EVERY: TimeDelta = TimeDelta::seconds(60);
/// How often everything watched is read again, so that a key or right that changed without a change of its connection
/// counts here, too.
pub(super) const READ_EVERY: TimeDelta = TimeDelta::seconds(30);
/// How many probes may follow answers at once, before the next waits for its turn.
const CONFIRMATIONS: u8 = 2;
/// How many of a peer's probes are remembered at most: more than come at the shortest interval while one may travel.
const TAKEN: usize = 1_024;
/// How many status changes are written in one transaction.
const TOLD_AT_ONCE: usize = 1_000;

/// The memory of one process.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
pub(super) struct Watched {
    known: HashMap<ConnectionId, One>,
    channels: HashMap<ChannelId, ConnectionId>,
    due: BTreeSet<(Timestamp, ConnectionId)>,
    /// Transitions that are not written yet.
    told: Vec<(ConnectionId, Way, Transition)>,
    /// Those among them that we reach again.
    back: HashSet<ConnectionId>,
    traffic: HashMap<ConnectionId, Traffic>,
    judged_at: Option<Timestamp>,
    /// Whose lease it is, if it is ours.
    pub(super) node: Option<Uuid>,
    /// The chain of heartbeats, while this node probes, and until when it may say so without asking the database.
    pub(super) chain: Option<Chain>,
    pub(super) chain_until: Option<Timestamp>,
    /// Since when this node probes without a break; none when it does not.
    pub(super) since: Option<Timestamp>,
    /// When the lease is to be renewed.
    pub(super) renew_at: Option<Timestamp>,
    /// Since when nobody watched until [`Self::since`], if that is not written yet.
    pub(super) gap: Option<Timestamp>,
    /// Up to which change the connections are known.
    pub(super) cursor: i64,
    pub(super) read_at: Option<Timestamp>,
    pub(super) saved_at: Option<Timestamp>,
    /// Whether the database did not answer when it was last asked, or did not take what was to be written.
    pub(super) unread: bool,
    pub(super) unwritten: bool,
}

/// A watched connection.
struct One {
    connection: Arc<Connection>,
    keys: Arc<[SealedKey]>,
    account: Option<Arc<ServiceAccount>>,
    outbound: Evidence,
    inbound: Evidence,
    dirty: bool,
    due: Option<Timestamp>,
    /// Whether a probe is on its way.
    asked: bool,
    confirmations: u8,
    /// The last step of our chain of heartbeats that the peer said it knows.
    heard: Option<Told>,
    /// The probes of the peer that were taken, as long as they could come again: the random part of their ids (RFC 9562,
    /// version 7), and until when. Their order says nothing: clocks are set back, and several may come within a
    /// millisecond.
    taken: VecDeque<(u64, i64)>,
    seq: i64,
}

/// What sealing and opening needs of a watched connection.
pub(super) struct Channel {
    pub(super) connection: Arc<Connection>,
    pub(super) keys: Arc<[SealedKey]>,
    pub(super) account: Option<Arc<ServiceAccount>>,
    /// The number of the next message.
    pub(super) seq: i64,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Unsaved {
    pub(super) directions: Vec<(ConnectionId, Way, Evidence)>,
    pub(super) told: Vec<(ConnectionId, Way, Transition)>,
    /// The connections whose peer is reached again.
    pub(super) back: HashSet<ConnectionId>,
    pub(super) traffic: Vec<(ConnectionId, Traffic)>,
    /// The connections whose status changed, with why, if they fell.
    pub(super) changed: Vec<(Arc<Connection>, Option<Cause>)>,
}

impl Unsaved {
    pub(super) const fn is_empty(&self) -> bool {
        self.directions.is_empty() && self.told.is_empty() && self.traffic.is_empty()
    }
}

impl Watch {
    pub(super) fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl One {
    fn way(&mut self, way: Way) -> &mut Evidence {
        match way {
            Way::Outbound => &mut self.outbound,
            Way::Inbound => &mut self.inbound,
        }
    }
}

impl Watched {
    /// How many directions have each status, if this node watches.
    pub(super) fn tally(&self) -> Vec<(Way, DirectionStatus, usize)> {
        let mut tally = Vec::new();
        for way in Way::ALL {
            for status in DirectionStatus::ALL {
                let shown = |one: &&One| {
                    let evidence = if *way == Way::Outbound { &one.outbound } else { &one.inbound };
                    evidence.shown.is_some_and(|(shown, _)| shown == *status)
                };
                let count = if self.since.is_some() { self.known.values().filter(shown).count() } else { 0 };
                tally.push((*way, *status, count));
            }
        }
        tally
    }

    /// This node probes from now on.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.since = Some(now);
        self.read_at = None;
        self.due.clear();
        for one in self.known.values_mut() {
            one.due = None;
        }
    }

    /// Takes in what the database holds. Connections that were asked for and are not there any more are forgotten.
    pub(super) fn learn(
        &mut self,
        rows: Vec<WatchRow>,
        asked: Option<&[ConnectionId]>,
        measure: Measure,
        now: Timestamp,
    ) {
        let found: HashSet<_> = rows.iter().map(|row| row.connection.id).collect();
        let gone: Vec<ConnectionId> = match asked {
            Some(asked) => asked.iter().copied().filter(|id| !found.contains(id)).collect(),
            None => self.known.keys().copied().filter(|id| !found.contains(id)).collect(),
        };
        for id in gone {
            self.forget(id);
        }
        let first = self.read_at.is_none();
        for row in rows {
            self.learn_one(row, first, measure, now);
        }
    }

    /// It is not watched any more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(one) = self.known.remove(&id) else { return };
        if let Some(due) = one.due {
            self.due.remove(&(due, id));
        }
        self.channels.retain(|_, its| *its != id);
        self.told.retain(|(its, ..)| *its != id);
        self.back.remove(&id);
        self.traffic.remove(&id);
    }

    fn learn_one(&mut self, row: WatchRow, first: bool, measure: Measure, now: Timestamp) {
        let id = row.connection.id;
        let Some(channel) = row.connection.channel else { return };
        self.channels.insert(channel, id);
        let mut ours = [Evidence::default(), Evidence::default()];
        for (way, evidence) in row.directions {
            ours[way as usize] = evidence;
        }
        let [outbound, inbound] = ours;
        let holds = self.since.is_some();
        let resumed = self.known.get(&id).is_some_and(|one| one.connection.state != row.connection.state);
        let one = self.known.entry(id).or_insert_with(|| One {
            connection: Arc::new(row.connection.clone()),
            keys: Arc::default(),
            account: None,
            outbound: Evidence::default(),
            inbound: Evidence::default(),
            dirty: false,
            due: None,
            asked: false,
            confirmations: 0,
            heard: None,
            taken: VecDeque::new(),
            seq: now.timestamp_millis(),
        });
        one.connection = Arc::new(row.connection);
        one.keys = row.keys.into();
        one.account = row.account.map(Arc::new);
        for (ours, stored) in [(&mut one.outbound, outbound), (&mut one.inbound, inbound)] {
            let announced = (stored.own, stored.shown);
            *ours = std::mem::take(ours).newer(stored);
            // What was concluded is the word of whoever held the lease until now.
            if first || !holds {
                (ours.own, ours.shown) = announced;
            }
        }
        // Of two sides that suspect each other, neither would hear which copy goes on: so one probe more asks whether it is so.
        let asks = one.connection.suspects_clone() && (first || one.due.is_some());
        let due = match (one.is_probed() || asks, one.due) {
            (false, _) => None,
            (true, Some(due)) => Some(due),
            (true, None) if resumed => Some(now),
            // At the start the probes of all are spread over one interval, by their ids, which are chance.
            (true, None) if first => Some(now + spread(id, measure.interval)),
            (true, None) => Some(now + measure.interval),
        };
        if !one.asked {
            self.schedule(id, due);
        }
        self.judge(id, measure, now);
    }

    fn schedule(&mut self, id: ConnectionId, due: Option<Timestamp>) {
        let Some(one) = self.known.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut one.due, due) {
            self.due.remove(&(before, id));
        }
        self.due.extend(due.map(|due| (due, id)));
    }

    /// Judges by what the holder of the lease knows first-hand; others read what it wrote, which is a little older.
    pub(super) fn measure(&self, measure: Measure) -> Measure {
        match self.since {
            Some(since) => Measure { since: Some(since), ..measure },
            None => Measure { slack: SAVED_EVERY + LEASE, ..measure },
        }
    }

    fn judge(&mut self, id: ConnectionId, measure: Measure, now: Timestamp) {
        if self.since.is_none() {
            return;
        }
        self.slept(measure, now);
        let measure = self.measure(measure);
        let Some(one) = self.known.get_mut(&id) else { return };
        let state = one.connection.state.name();
        for way in Way::ALL {
            let works = |status: DirectionStatus| status.works() == Some(true);
            let worked = one.way(*way).shown.is_some_and(|(shown, _)| works(shown));
            if let Some(told) = one.way(*way).judge(state, measure, now) {
                one.dirty = true;
                if *way == Way::Outbound && !worked && told.status.is_some_and(works) {
                    self.back.insert(id);
                }
                self.told.push((id, *way, told));
            }
        }
    }

    /// The connections to probe now, at most `room`.
    pub(super) fn take_due(&mut self, now: Timestamp, room: usize) -> Vec<ConnectionId> {
        let mut taken = Vec::new();
        while taken.len() < room && self.since.is_some() {
            let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.due.remove(&(at, id));
            if let Some(one) = self.known.get_mut(&id) {
                one.asked = true;
                taken.push(id);
            }
        }
        taken
    }

    /// When the next probe is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.since.and(self.due.first()).map(|(at, _)| *at)
    }

    /// What the next message to the peer is sealed with.
    pub(super) fn channel(&mut self, id: ConnectionId) -> Option<Channel> {
        let one = self.known.get_mut(&id)?;
        one.seq += 1;
        Some(Channel {
            connection: one.connection.clone(),
            keys: one.keys.clone(),
            account: one.account.clone(),
            seq: one.seq,
        })
    }

    pub(super) fn by_channel(&mut self, channel: ChannelId) -> Option<Channel> {
        let id = *self.channels.get(&channel)?;
        self.channel(id)
    }

    /// Takes a probe of the peer, which may travel until `expires` (seconds since 1970-01-01 UTC); answers whether it was
    /// not taken before.
    pub(super) fn take(&mut self, id: ConnectionId, message: Uuid, expires: i64, now: Timestamp) -> bool {
        let Some(one) = self.known.get_mut(&id) else { return false };
        while one.taken.front().is_some_and(|(_, until)| *until < now.timestamp()) || one.taken.len() >= TAKEN
        {
            one.taken.pop_front();
        }
        let (_, random) = message.as_u64_pair();
        if one.taken.iter().any(|(taken, _)| *taken == random) {
            return false;
        }
        one.taken.push_back((random, expires));
        true
    }

    /// What we see of a connection, to tell the peer.
    pub(super) fn heartbeat(&mut self, id: ConnectionId, measure: Measure, now: Timestamp) -> Heartbeat {
        let measure = self.measure(measure);
        let mut said = Heartbeat { at: now.timestamp_millis(), ..Heartbeat::default() };
        if let Some(one) = self.known.get(&id) {
            let state = one.connection.state.name();
            said.outbound = sight(&one.outbound, state, measure, now);
            said.inbound = sight(&one.inbound, state, measure, now);
        }
        said
    }

    /// The peer probed us.
    pub(super) fn heard(&mut self, id: ConnectionId, said: &Heartbeat, measure: Measure, now: Timestamp) {
        let mut resumed = false;
        if let Some(one) = self.known.get_mut(&id) {
            if !one.only_asks(said) {
                // Its pause is over: our next probe need not wait for its turn.
                resumed = one.outbound.is_paused() && one.due.is_some() && !one.asked;
                one.inbound.proven(
                    now,
                    said.outbound.as_ref().and_then(|sight| sight.round_trip_ms),
                    measure,
                );
            }
            one.told(said, now);
            one.dirty = true;
        }
        if resumed {
            self.schedule(id, Some(now));
        }
        self.judge(id, measure, now);
    }

    /// The peer said that it paused the connection.
    pub(super) fn paused(&mut self, id: ConnectionId, cause: &Cause, measure: Measure, now: Timestamp) {
        if let Some(one) = self.known.get_mut(&id) {
            one.inbound.paused(cause.clone());
            one.outbound.paused(cause.clone());
            one.dirty = true;
        }
        self.judge(id, measure, now);
    }

    /// Our probe was answered, or missed. The next one is scheduled: in its turn, or at once when it would confirm that
    /// a direction works again.
    pub(super) fn probed(
        &mut self,
        id: ConnectionId,
        (measure, spread): (Measure, TimeDelta),
        now: Timestamp,
        outcome: Result<(Heartbeat, i64), Cause>,
    ) {
        let Some(one) = self.known.get_mut(&id) else { return };
        let was_due = one.due.take().unwrap_or(now);
        one.asked = false;
        one.dirty = true;
        match outcome {
            Ok((said, round_trip_ms)) => {
                one.outbound.proven(now, Some(round_trip_ms), measure);
                // Half of the round trip had passed when the peer looked at its clock.
                let theirs = said.at.saturating_sub(now.timestamp_millis() - round_trip_ms / 2);
                one.outbound.clock_skew_ms = (said.at != 0).then_some(theirs);
                one.told(&said, now);
                one.took_its_word(&said, measure, now);
            }
            Err(cause) if cause.is_pause() => {
                one.inbound.paused(cause.clone());
                one.outbound.paused(cause);
            }
            Err(cause) => one.outbound.missed(cause),
        }
        let their_down = |one: &One| {
            let view = one.outbound.peer_view.as_ref().filter(|view| view.at == now);
            view.is_some_and(|view| view.status == DirectionStatus::Down) && !one.outbound.is_flapping(now)
        };
        let confirms = one.outbound.misses == 0
            && one.confirmations < CONFIRMATIONS
            && (one.outbound.wants_confirmation(now) || their_down(one));
        one.confirmations = if confirms { one.confirmations + 1 } else { 0 };
        let turn = Some(was_due + measure.interval - spread).filter(|turn| *turn > now);
        let turn = turn.unwrap_or(now + measure.interval - spread);
        let stands = one.is_probed();
        self.schedule(id, stands.then_some(if confirms { now } else { turn }));
        self.judge(id, measure, now);
    }

    /// A message went, or came.
    pub(super) fn count(&mut self, id: ConnectionId, way: Way, now: Timestamp) {
        let traffic = self.traffic.entry(id).or_default();
        match way {
            Way::Outbound => {
                traffic.sent += 1;
                traffic.last_sent_at = Some(now);
            }
            Way::Inbound => {
                traffic.received += 1;
                traffic.last_received_at = Some(now);
            }
        }
    }

    /// What is to be written now: what changed, and everything if it is time.
    pub(super) fn take_unsaved(&mut self, all: bool) -> Unsaved {
        let mut unsaved = Unsaved::default();
        if self.told.is_empty() && !all {
            return unsaved;
        }
        unsaved.told.extend(self.told.drain(..self.told.len().min(TOLD_AT_ONCE)));
        let mut changed: Vec<ConnectionId> = unsaved.told.iter().map(|(id, ..)| *id).collect();
        changed.sort_unstable();
        changed.dedup();
        unsaved.back = changed.iter().copied().filter(|id| self.back.remove(id)).collect();
        for id in &changed {
            let Some(one) = self.known.get(id) else { continue };
            let fell = one.outbound.failure.clone().filter(|_| {
                unsaved.told.iter().any(|(its, way, told)| {
                    its == id && *way == Way::Outbound && told.status == Some(DirectionStatus::Down)
                })
            });
            unsaved.changed.push((one.connection.clone(), fell));
        }
        let holds = self.since.is_some();
        for (id, one) in &mut self.known {
            if holds && one.dirty && (all || changed.binary_search(id).is_ok()) {
                one.dirty = false;
                unsaved.directions.push((*id, Way::Outbound, one.outbound.clone()));
                unsaved.directions.push((*id, Way::Inbound, one.inbound.clone()));
            }
        }
        if all {
            unsaved.traffic.extend(self.traffic.drain());
        }
        unsaved
    }

    /// What could not be written is to be written later.
    pub(super) fn put_back(&mut self, mut unsaved: Unsaved) {
        unsaved.told.append(&mut self.told);
        unsaved.told.retain(|(id, ..)| self.known.contains_key(id));
        self.told = unsaved.told;
        self.back.extend(unsaved.back.into_iter().filter(|id| self.known.contains_key(id)));
        for (id, ..) in unsaved.directions {
            if let Some(one) = self.known.get_mut(&id) {
                one.dirty = true;
            }
        }
        for (id, counted) in unsaved.traffic {
            let traffic = self.traffic.entry(id).or_default();
            traffic.sent += counted.sent;
            traffic.received += counted.received;
            traffic.last_sent_at = traffic.last_sent_at.max(counted.last_sent_at);
            traffic.last_received_at = traffic.last_received_at.max(counted.last_received_at);
        }
    }

    /// Of what is stored of a direction and what is known here, the newer.
    pub(super) fn newest(&self, id: ConnectionId, way: Way, stored: Evidence) -> Evidence {
        let Some(one) = self.known.get(&id) else { return stored };
        let ours = match way {
            Way::Outbound => one.outbound.clone(),
            Way::Inbound => one.inbound.clone(),
        };
        ours.newer(stored)
    }

    /// Whether the last probe was missed, or the direction is not up again yet.
    pub(super) fn is_in_doubt(&self, id: ConnectionId) -> bool {
        self.known.get(&id).is_some_and(|one| one.outbound.misses > 0 || one.outbound.was_down)
    }

    /// When a connection is probed next; none unless this node probes.
    pub(super) fn due(&self, id: ConnectionId) -> Option<Timestamp> {
        self.since.and(self.known.get(&id)?.due)
    }
}

impl One {
    /// Our outbound is the peer's inbound, and the reverse.
    fn told(&mut self, said: &Heartbeat, now: Timestamp) {
        for (sight, evidence) in [(&said.inbound, &mut self.outbound), (&said.outbound, &mut self.inbound)] {
            if let Some(view) = sight.as_ref().and_then(|sight| view(sight, now)) {
                evidence.told(view);
            }
        }
    }

    /// The peer's outbound direction was proven by an answer of ours, whichever of our nodes gave it.
    fn took_its_word(&mut self, said: &Heartbeat, measure: Measure, now: Timestamp) {
        let Some(ago) = said.outbound.as_ref().and_then(|sight| sight.proven_ms) else { return };
        let at = now - TimeDelta::milliseconds(ago.clamp(0, 86_400_000));
        if self.inbound.last_proof_at.is_some_and(|last| at - last > measure.interval / 2) {
            self.inbound.proven(at, said.outbound.as_ref().and_then(|sight| sight.round_trip_ms), measure);
        }
    }
}

fn sight(evidence: &Evidence, state: ConnectionState, measure: Measure, now: Timestamp) -> Option<Sight> {
    let status = evidence.seen(state, measure, now)?;
    let since = evidence.own.filter(|(own, _)| *own == status).map_or(now, |(_, since)| since);
    let failure = evidence.failure.as_ref().filter(|_| status.works() == Some(false));
    Some(Sight {
        status: status.as_str().to_owned(),
        for_ms: (now - since).num_milliseconds(),
        code: failure.map(|cause| cause.code.as_str().to_owned()),
        reason: failure.and_then(|cause| cause.reason.clone()),
        proven_ms: evidence.last_proof_at.map(|at| (now - at).num_milliseconds()),
        round_trip_ms: evidence.round_trip_ms,
    })
}

fn view(sight: &Sight, now: Timestamp) -> Option<View> {
    Some(View {
        status: DirectionStatus::parse(&sight.status)?,
        code: sight.code.as_deref().and_then(RefusalCode::parse),
        reason: sight.reason.as_deref().map(clean),
        since: now - TimeDelta::milliseconds(sight.for_ms.clamp(0, 86_400_000)),
        at: now,
    })
}

/// A peer's word reaches people and logs: short, and printable.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A part of the interval that is the same each time for one connection, and another for another.
fn spread(id: ConnectionId, interval: TimeDelta) -> TimeDelta {
    let [.., high, low] = id.bytes();
    interval * i32::from(u16::from_be_bytes([high, low])) / 65_536
}
