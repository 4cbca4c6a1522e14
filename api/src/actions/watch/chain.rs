//! The chains of heartbeats in memory: our own, and what is known of those of the peers.

use std::sync::Arc;

use super::{One, Watched};
use crate::domain::Timestamp;
use crate::domain::connection::{Connection, State};
use crate::domain::direction::{Cause, DirectionStatus};
use crate::domain::heartbeat::{Chain, Line, Mark, Said, Verdict};
use crate::domain::id::ConnectionId;
use crate::peer::wire::Heartbeat;

impl Watched {
    /// What the next probe says of our chain. Nothing where another node may have taken over: while this one does not know
    /// that, its word would be an old one.
    pub(in crate::actions) fn mark(&self, id: ConnectionId, now: Timestamp) -> Option<Said> {
        if self.chain_until.is_some_and(|until| now >= until) {
            return None;
        }
        let heard = self.known.get(&id).and_then(|one| one.heard);
        self.chain.as_ref().map(|chain| chain.say(heard))
    }

    /// Our chain goes on, or ends here; what was heard of it belongs to the line on which it was heard.
    pub(in crate::actions) fn set_chain(&mut self, chain: Option<Chain>, until: Option<Timestamp>) {
        if chain.as_ref().is_none_or(|chain| chain.mark.step == chain.mark.line.since) {
            for one in self.known.values_mut() {
                one.heard = None;
            }
        }
        (self.chain, self.chain_until) = (chain, until);
    }

    /// The peer said how far it knows our chain.
    pub(in crate::actions) fn peer_knows(&mut self, id: ConnectionId, step: Option<i64>) {
        let heard = step.zip(self.chain.as_ref()).map(|(step, chain)| chain.hear(step));
        if let Some(one) = self.known.get_mut(&id) {
            one.heard = heard.or(one.heard);
        }
    }

    /// The furthest step of our chain that any peer said it knows.
    pub(in crate::actions) fn most_heard(&self) -> i64 {
        self.known.values().filter_map(|one| Some(one.heard?.step)).max().unwrap_or_default()
    }

    /// How far the peer's chain is known.
    pub(in crate::actions) fn knows(&self, id: ConnectionId) -> Option<i64> {
        self.known.get(&id).and_then(One::mark).map(|mark| mark.step)
    }

    /// The peer said where its chain is: what goes on is known from now on.
    pub(in crate::actions) fn follow(&mut self, id: ConnectionId, said: &Said) -> Verdict {
        let Some(one) = self.known.get_mut(&id) else { return Verdict::Open };
        let verdict = said.judge(one.mark().as_ref());
        if verdict == Verdict::GoesOn {
            one.inbound.mark = Some((one.connection.agreements, said.mark));
        }
        verdict
    }

    /// A connection changed here: this counts before it is read again.
    pub(in crate::actions) fn now_is(&mut self, connection: &Arc<Connection>) {
        if let Some(one) = self.known.get_mut(&connection.id) {
            one.connection = connection.clone();
        }
    }

    /// Whether the peer last said that it suspects a copy of this instance.
    pub(in crate::actions) fn is_suspected(&self, id: ConnectionId) -> bool {
        let failure = self.known.get(&id).and_then(|one| one.outbound.failure.as_ref());
        failure.is_some_and(Cause::suspects_clone)
    }
}

impl One {
    /// Whether the peer is probed: while the connection stands, and while each side suspects a copy of the other, or this one
    /// cannot hear whether the other does.
    pub(super) fn is_probed(&self) -> bool {
        let suspected = || self.outbound.failure.as_ref().is_some_and(Cause::suspects_clone);
        matches!(self.connection.state, State::Onboarded { .. })
            || self.connection.suspects_clone() && (self.outbound.misses > 0 || suspected())
    }

    /// Whether the peer, which paused the connection, still says so in this probe: then it only asks whether we suspect a copy
    /// of it, too.
    pub(super) fn only_asks(&self, said: &Heartbeat) -> bool {
        let suspended = DirectionStatus::Suspended.as_str();
        self.inbound.is_paused() && said.outbound.as_ref().is_some_and(|sight| sight.status == suspended)
    }

    /// Where the peer's chain was last; after an agreement, from where both sides agreed that it goes on.
    fn mark(&self) -> Option<Mark> {
        let seen = self.inbound.mark.filter(|(agreement, _)| *agreement == self.connection.agreements);
        let agreed = || self.connection.survivor.filter(|_| self.connection.agreements > 0).map(Line::begin);
        seen.map(|(_, mark)| mark).or_else(agreed)
    }
}
