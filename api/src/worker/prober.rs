//! Keeps the watch going and probes: no row, no lease and no transaction for a probe.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Done, Worker};
use crate::actions::probing::keys_are_away;
use crate::actions::{Call, Failure};
use crate::domain::causes::causes;
use crate::domain::direction::Cause;
use crate::domain::id::{ConnectionId, TraceId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::{PeerError, wire};

/// How many probes are on their way at once: enough for ten thousand connections that all hang for four of five seconds
/// would be 8,000; what waits for its turn beyond that is late, not lost.
const AT_ONCE: usize = 8_192;
/// How long the watch sleeps at most before it looks what was committed, who fell silent and what is due.
const NAP: Duration = Duration::from_millis(50);
/// How long it sleeps after the database did not do its part.
const LONG_NAP: Duration = Duration::from_millis(500);
/// The least time between two looks.
const BREATH: Duration = Duration::from_millis(5);
/// From how many milliseconds on two clocks differ too much.
const SKEW_MS: i64 = 120_000;

impl Worker {
    /// Watches until told to stop; then writes what it saw and gives the lease back.
    pub(super) async fn watch(&self, shutdown: watch::Receiver<bool>) {
        // Apart, so that a database that hangs does not hold up probes.
        tokio::join!(self.keep_in_step(shutdown.clone()), self.send_probes(shutdown));
        let call = Call::system(self.actions.fresh_trace());
        if let Err(failure) = self.actions.leave_watch(&call).await {
            tracing::warn!(
                failure = causes(&failure),
                "what was seen of the connections lately could not be written"
            );
        }
    }

    async fn keep_in_step(&self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() {
            let call = Call::system(self.actions.fresh_trace());
            let nap = if self.actions.keep_watch(&call).await { NAP } else { LONG_NAP };
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    async fn send_probes(&self, mut shutdown: watch::Receiver<bool>) {
        let mut running = JoinSet::new();
        while !*shutdown.borrow() {
            let (due, next) = self.actions.due_probes(AT_ONCE - running.len().min(AT_ONCE));
            for id in due {
                let worker = self.clone();
                running.spawn(async move { worker.probe(id).await });
            }
            let nap = next.map_or(NAP, |at| (at - self.actions.now()).to_std().unwrap_or_default());
            tokio::select! {
                () = tokio::time::sleep(nap.clamp(BREATH, NAP)) => {}
                // What was learned may ask for another probe at once.
                Some(_) = running.join_next() => {}
                _ = shutdown.changed() => {}
            }
            while running.try_join_next().is_some() {}
        }
        running.shutdown().await;
    }

    /// Probes a connection's outbound direction. A miss is an outcome.
    async fn probe(&self, id: ConnectionId) {
        let _done = Done::counting(&self.busy);
        let trace = self.actions.fresh_trace();
        // Whatever becomes of it is an outcome, or the connection would not be probed any more.
        let outcome = AssertUnwindSafe(self.ask(id, trace)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| {
            tracing::error!(connection = %id, trace_id = %trace, "a probe broke off");
            Err(Box::new(self.ours(&Failure::Bug("The probe broke off in this instance."), trace)))
        });
        if let Err(cause) = &outcome {
            tracing::debug!(connection = %id, trace_id = %trace, code = %cause.code, reason = cause.reason, "a probe was missed");
        }
        self.actions.probed(id, outcome.map_err(|cause| *cause));
    }

    async fn ask(&self, id: ConnectionId, trace: TraceId) -> Result<(wire::Heartbeat, i64), Box<Cause>> {
        if self.actions.hangs("PROBE") {
            std::future::pending::<()>().await;
        }
        let request = match self.actions.probe_request(id).await {
            Ok(Some(request)) => request,
            Ok(None) => {
                let failure = Failure::Bug("the connection is not watched any more");
                return Err(Box::new(self.ours(&failure, trace)));
            }
            Err(failure) => return Err(Box::new(self.ours(&failure, trace))),
        };
        let origin = &request.connection.peer.origin;
        // A connection from before may be half open, and would keep a peer that is back from being seen.
        let hand = if self.actions.is_in_doubt(id) { &self.knocker } else { &self.prober };
        let answer = hand.post::<wire::Envelope>(origin, wire::MESSAGE, None, &request.envelope, trace);
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return Err(Box::new(self.theirs(&request.connection, error, trace).await)),
        };
        let took = i64::try_from(answer.took.as_millis()).unwrap_or(i64::MAX);
        match self.actions.probe_answer(&request, &answer.body).await {
            Ok(Ok(said)) => Ok((said, took)),
            Ok(Err(refused)) => Err(Box::new(PeerError::Refused(refused).cause(self.actions.now(), trace))),
            Err(failure) if keys_are_away(&failure) => Err(Box::new(self.ours(&failure, trace))),
            Err(_) => Err(Box::new(self.differing(&request.connection, "ANSWER", trace).await)),
        }
    }

    /// Something of ours does not work: what the other side would hear of it, as ours. A key that somebody took out of
    /// use has another remedy than a service that does not work.
    fn ours(&self, failure: &Failure, trace: TraceId) -> Cause {
        let (code, reason) = match failure {
            Failure::Refused(refusal) if refusal.code == RefusalCode::PolicyDenied => (refusal.code, None),
            Failure::Refused(refusal) if keys_are_away(failure) => {
                let reason = refusal.reason.as_deref().filter(|reason| reason.starts_with("KEY_"));
                (RefusalCode::KeyServiceUnhealthy, reason)
            }
            failure if keys_are_away(failure) => (RefusalCode::KeyServiceUnhealthy, None),
            Failure::Store(_) => (RefusalCode::PeerUnavailable, Some("DATABASE")),
            Failure::Bug(_) => (RefusalCode::PeerUnavailable, Some("FAULT")),
            Failure::Refused(_) | Failure::Keys(_) => (RefusalCode::KeyConfirmationFailed, None),
        };
        Cause {
            code,
            reason: Some(reason.map_or_else(|| "OURS".to_owned(), |reason| format!("OUR_{reason}"))),
            detail: Some(failure.to_string()),
            at: self.actions.now(),
            trace: Some(trace),
            peer_trace: None,
        }
    }

    /// The peer, or the way to it, does not work. A peer that only says that it cannot read what we send is looked at
    /// more closely: its clock, then who it is.
    async fn theirs(
        &self,
        connection: &crate::domain::connection::Connection,
        error: PeerError,
        trace: TraceId,
    ) -> Cause {
        let now = self.actions.now();
        let cause = error.cause(now, trace);
        let PeerError::Refused(refused) = &error else { return cause };
        // Only what is sealed may say that the connection is paused.
        if cause.is_pause() {
            return Cause { code: RefusalCode::PeerRefused, ..cause };
        }
        if cause.code != RefusalCode::PeerRefused || refused.reason.as_deref() != Some("MESSAGE") {
            return cause;
        }
        let skew = refused.at.map_or(0, |at| at.saturating_sub(now.timestamp_millis()));
        if skew.saturating_abs() > SKEW_MS {
            let seconds = skew / 1_000;
            return Cause {
                code: RefusalCode::ClockSkew,
                reason: Some(if seconds > 0 { "AHEAD" } else { "BEHIND" }.to_owned()),
                detail: Some(format!(
                    "Its clock is {} seconds {} ours.",
                    seconds.abs(),
                    if seconds > 0 { "ahead of" } else { "behind" }
                )),
                ..cause
            };
        }
        Cause { peer_trace: cause.peer_trace, ..self.differing(connection, "MESSAGE", trace).await }
    }

    /// Somebody answers, but not with the keys that were exchanged: another instance, or the peer with other keys.
    async fn differing(
        &self,
        connection: &crate::domain::connection::Connection,
        reason: &str,
        trace: TraceId,
    ) -> Cause {
        let origin = &connection.peer.origin;
        let found = self.prober.identity(origin, trace).await.map(|answer| answer.body);
        let found = found.map_err(|error| error.refusal());
        let found: Result<_, Refusal> =
            found.and_then(|identity| self.actions.verify_identity(&identity, origin.as_str()));
        let (code, reason, detail) = match found {
            Ok(found) if connection.peer.public_key.is_some_and(|key| key != found.public_key) => (
                RefusalCode::PeerIdentityMismatch,
                "IDENTITY_KEY".to_owned(),
                format!("Another instance answers at its address: {}.", found.identity.instance_id),
            ),
            Err(refusal) if refusal.code == RefusalCode::PeerIdentityMismatch => {
                (refusal.code, refusal.reason.unwrap_or_default(), refusal.message)
            }
            Ok(_) | Err(_) => (
                RefusalCode::KeyConfirmationFailed,
                reason.to_owned(),
                if reason == "ANSWER" {
                    "What it answers cannot be opened here."
                } else {
                    "It cannot open what is sent from here."
                }
                .to_owned(),
            ),
        };
        Cause {
            code,
            reason: Some(reason),
            detail: Some(detail),
            at: self.actions.now(),
            trace: Some(trace),
            peer_trace: None,
        }
    }
}
