//! Connections: our ties to other instances, and the two directions of each.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::ask::{Ask, ours};
use super::checked::Checked;
use super::direction::Direction;
use super::explain::{Explanation, support_bundle};
use super::health::ConnectionTraffic;
use super::id::Kind;
use super::load::{Directions, LatestAttempt, LatestVerification, TrafficOf};
use super::onboarding::OnboardingAttempt;
use super::page::{List, Window, cost, list};
use super::people::Company;
use super::refusal::Action;
use super::registration::{Banner, Registration};
use super::settings::ConnectionSettings;
use super::verification::ConnectionVerification;
use super::words::{ConnectionOrder, ConnectionRole, ConnectionState};
use crate::domain::Timestamp;
use crate::domain::connection::{self as domain, ConnectionVerb, Pause, State};
use crate::domain::direction::Way;
use crate::domain::id::ConnectionId;
use crate::domain::link::hex;
use crate::domain::scan::{CALLED_OFF, ScanState, Subject};
use crate::store::ConnectionFilter;

/// A pause of a connection.
#[derive(SimpleObject)]
struct Suspension {
    /// Whether the other side paused it: then only it can resume.
    by_peer: bool,
    /// Since when; null when it has just begun.
    since: Option<Timestamp>,
    /// Why, as it was entered or as the other side said it; null if nothing was.
    reason: Option<String>,
}

/// How a connection was taken down.
#[derive(SimpleObject)]
struct Offboarding {
    /// Whether the other side did it first.
    by_peer: bool,
    /// Since when nothing is exchanged any more.
    since: Timestamp,
    /// Why; null if nothing was said.
    reason: Option<String>,
    /// Since when it had stood; null if onboarding was not complete here.
    onboarded_at: Option<Timestamp>,
    /// When nothing was left to be done; null while the other side is being told.
    ended_at: Option<Timestamp>,
    /// Whether the other side knows. If not, it did not answer for about twenty minutes, and is told when it next speaks.
    peer_told: bool,
}

/// Our tie to one other instance. (It is not called `Connection`, which in Relay is a list with cursors.)
pub(super) struct ConnectionRecord(pub(super) domain::Connection);

/// Our tie to one other instance. (It is not called `Connection`, which in Relay is a list with cursors.)
#[Object]
impl ConnectionRecord {
    /// Global id.
    pub(super) async fn id(&self) -> ID {
        Kind::Connection.id(self.0.id.0)
    }

    /// What its messages carry, and what access policies of the key module `links` can be bound to as `link_id`; null
    /// before keys were exchanged.
    async fn link_id(&self) -> Option<String> {
        self.0.channel.map(|channel| channel.to_string())
    }

    /// What we are in it.
    async fn role(&self) -> ConnectionRole {
        self.0.part.into()
    }

    /// The role in words.
    async fn role_label(&self) -> &'static str {
        self.0.part.label()
    }

    /// Where it stands; independent of the status of its directions.
    async fn state(&self) -> ConnectionState {
        self.0.state.name().into()
    }

    /// The state in words.
    async fn state_label(&self) -> &'static str {
        self.0.state.name().label()
    }

    /// The other organisation; null until it was chosen.
    async fn company(&self, ctx: &Context<'_>) -> Result<Option<Company>> {
        Ok(Ask::anyone(ctx)?.load.maybe(self.0.company).await?.map(Company))
    }

    /// The registration it came of; only where we are the provider.
    async fn registration(&self, ctx: &Context<'_>) -> Result<Option<Registration>> {
        Ok(Ask::anyone(ctx)?.load.maybe(self.0.registration).await?.map(Registration))
    }

    /// The name under which the key service keeps its keys, for the query `keys`; null before the key exchange.
    async fn key_module(&self) -> Option<String> {
        self.0.channel.map(|channel| format!("links/{channel}"))
    }

    /// The public part of the registration link, which both sides know: a UUID.
    async fn link_public_id(&self) -> String {
        self.0.link.to_string()
    }

    /// The instance at the other end.
    async fn peer(&self) -> Peer {
        let peer = &self.0.peer;
        Peer {
            origin: peer.origin.to_string(),
            fingerprint: hex(&peer.fingerprint),
            fingerprint_text: super::registration::fingerprint_text(&peer.fingerprint),
            instance: peer.instance.map(|id| id.to_string()),
            name: peer.name.clone(),
            version: peer.version.clone(),
        }
    }

    /// The direction from us to them.
    async fn outbound(&self, ctx: &Context<'_>) -> Result<Direction> {
        self.direction(&Ask::anyone(ctx)?, Way::Outbound).await
    }

    /// The direction from them to us.
    async fn inbound(&self, ctx: &Context<'_>) -> Result<Direction> {
        self.direction(&Ask::anyone(ctx)?, Way::Inbound).await
    }

    /// The latest run of onboarding; null when none was started.
    async fn onboarding(&self, ctx: &Context<'_>) -> Result<Option<OnboardingAttempt>> {
        let latest = Ask::anyone(ctx)?.load.one(LatestAttempt(self.0.id)).await?;
        Ok(latest.map(|(attempt, work)| OnboardingAttempt { attempt, work }))
    }

    /// What the two sides agreed to exchange.
    async fn settings(&self, ctx: &Context<'_>) -> Result<ConnectionSettings> {
        ConnectionSettings::load(&Ask::anyone(ctx)?, &self.0).await
    }

    /// Its latest verification; null when it was never verified.
    async fn verification(&self, ctx: &Context<'_>) -> Result<Option<ConnectionVerification>> {
        let latest = Ask::anyone(ctx)?.load.one(LatestVerification(self.0.id)).await?;
        Ok(latest.map(ConnectionVerification))
    }

    /// Why it does not go on, for people; null when nothing is wrong.
    async fn banner(&self, ctx: &Context<'_>) -> Result<Option<Banner>> {
        let State::ValidationFailed { scan } = self.0.state else { return Ok(None) };
        let ask = Ask::anyone(ctx)?;
        let called_off = ask.load.one(scan).await?.is_some_and(|scan| scan.state == ScanState::Cancelled);
        let text = if called_off {
            CALLED_OFF
        } else {
            "One or more checks did not pass. The health dashboard says what to do about each; when all are resolved, the \
             connection becomes valid by itself."
        };
        Ok(Some(Banner::new(&ask, text.to_owned(), self.subject())))
    }

    #[graphql(flatten)]
    async fn checked(&self) -> Checked {
        Checked(self.subject())
    }

    /// Messages that it carried, probes aside.
    async fn traffic(&self, ctx: &Context<'_>) -> Result<ConnectionTraffic> {
        let ask = Ask::anyone(ctx)?;
        let key = TrafficOf::last_day(self.0.id, ask.actions.now());
        let traffic = ask.load.one(key).await?.unwrap_or_default();
        let stored = ask.load.one(Directions(self.0.id)).await?.unwrap_or_default();
        let (mut sent, mut received) = (traffic.last_sent_at, traffic.last_received_at);
        for (way, evidence) in stored {
            let (evidence, _) = ask.actions.direction(&self.0, way, evidence);
            received = received.max(evidence.last_proof_at);
            if way == Way::Outbound {
                sent = sent.max(evidence.last_proof_at).max(evidence.failure.map(|cause| cause.at));
            }
        }
        Ok(ConnectionTraffic {
            sent_last_day: traffic.sent,
            received_last_day: traffic.received,
            last_sent_at: sent,
            last_received_at: received,
        })
    }

    /// Why it is as it is: the first dependency of its status that fails, and what to do about it. In a list it costs
    /// one statement for each item; where many are shown, show `outbound.cause`.
    #[graphql(complexity = "20 + child_complexity")]
    async fn explanation(&self, ctx: &Context<'_>) -> Result<Explanation> {
        Explanation::of(&Ask::anyone(ctx)?, &self.0).await
    }

    /// What both sides' people read when they mend it together, as JSON text: no secrets, no people, nothing of other
    /// connections.
    #[graphql(complexity = "50 + child_complexity")]
    async fn support_bundle(&self, ctx: &Context<'_>) -> Result<String> {
        support_bundle(&Ask::anyone(ctx)?, &self.0).await
    }

    /// What can be done with it, and whether it can be done now by whoever asks.
    async fn actions(&self, ctx: &Context<'_>) -> Result<Vec<Action>> {
        let ask = Ask::anyone(ctx)?;
        let action = |verb: &ConnectionVerb| {
            let may = ask.actions.may_connect(ask.call, &self.0, *verb);
            Action::new(verb.as_str(), verb.label(), may)
        };
        Ok(ConnectionVerb::ALL.iter().map(action).collect())
    }

    /// When the checks last passed; null unless it can be started.
    async fn validated_at(&self) -> Option<Timestamp> {
        match self.0.state {
            State::Validated { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Since when it stands; null before onboarding was complete and after it was taken down.
    async fn onboarded_at(&self) -> Option<Timestamp> {
        match self.0.state {
            State::Onboarded { at } | State::Suspended { onboarded_at: at, .. } => Some(at),
            _ => None,
        }
    }

    /// Which side paused it, since when and why; null unless one did. Where both did, ours.
    async fn suspension(&self, ctx: &Context<'_>) -> Result<Option<Suspension>> {
        if let Some(pause) = self.0.pause() {
            let by_peer = false;
            return Ok(Some(Suspension { by_peer, since: Some(pause.at), reason: pause.why() }));
        }
        let outbound = self.outbound(ctx).await?;
        Ok(outbound.pause().map(|(since, told)| {
            let reason = told.as_deref().and_then(Pause::reason_told).map(str::to_owned);
            Suspension { by_peer: true, since, reason }
        }))
    }

    /// How it was taken down: by which side, when and why; null unless it was.
    async fn offboarding(&self) -> Option<Offboarding> {
        let ending = self.0.ending()?.clone();
        let (ended_at, peer_told) = match self.0.state {
            State::Offboarded { at, peer_told, .. } => (Some(at), peer_told),
            _ => (None, false),
        };
        let (by_peer, since, reason) = (ending.by_peer, ending.at, ending.reason);
        Some(Offboarding { by_peer, since, reason, onboarded_at: ending.onboarded_at, ended_at, peer_told })
    }

    /// Since when it is paused here; null unless it is.
    async fn suspended_at(&self) -> Option<Timestamp> {
        match self.0.state {
            State::Suspended { at, .. } => Some(at),
            _ => None,
        }
    }

    /// When it came into being.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// When it last changed.
    async fn updated_at(&self) -> Timestamp {
        self.0.updated_at
    }

    /// Grows by one with every change.
    async fn revision(&self) -> i64 {
        self.0.revision
    }
}

impl ConnectionRecord {
    const fn subject(&self) -> Subject {
        Subject::Connection(self.0.id)
    }

    async fn direction(&self, ask: &Ask<'_>, way: Way) -> Result<Direction> {
        let directions = ask.load.one(Directions(self.0.id)).await?.unwrap_or_default();
        let evidence = directions.into_iter().find(|(its, _)| *its == way).map(|(_, evidence)| evidence);
        Ok(Direction::new(ask, &self.0, way, evidence.unwrap_or_default()))
    }
}

/// The instance at the other end.
#[derive(SimpleObject)]
pub(super) struct Peer {
    /// Where it is, as `https://host[:port]`.
    origin: String,
    /// SHA-256 fingerprint of its identity key, 64 hexadecimal digits.
    fingerprint: String,
    /// The fingerprint in groups, as people compare it.
    fingerprint_text: String,
    /// How it is known, a UUID; null until it told us.
    instance: Option<String>,
    /// Its name for people; null until it told us.
    name: Option<String>,
    /// Its software version; null until it told us.
    version: Option<String>,
}

/// Which connections.
#[derive(Default, InputObject)]
pub(super) struct ConnectionsFilter {
    /// In one of these states.
    states: Option<Vec<ConnectionState>>,
    /// In which we are this.
    role: Option<ConnectionRole>,
    /// Whose URL, peer's name or company holds this text, in any case.
    search: Option<String>,
    /// Whether somebody should look at it: a direction does not work or is slow, the checks failed, or it is paused.
    needs_attention: Option<bool>,
}

/// Queries about connections.
#[derive(Default)]
pub(super) struct ConnectionQuery;

#[allow(clippy::too_many_arguments, reason = "a list has four arguments of its own (Relay)")]
#[Object]
impl ConnectionQuery {
    /// A connection; null when there is none with this id, or it is not yours to see.
    async fn connection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<Option<ConnectionRecord>> {
        let id = Kind::Connection.read(&id).map(ConnectionId);
        Ok(Ask::new(ctx)?.load.maybe(id).await?.map(ConnectionRecord))
    }

    /// Connections, the newest first unless another order is named.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn connections(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all when left out.")] filter: Option<ConnectionsFilter>,
        #[graphql(desc = "In which order.")] order_by: Option<ConnectionOrder>,
        #[graphql(desc = "So many from the start, 250 at most; 50 when nothing is given.")] first: Option<
            i32,
        >,
        #[graphql(desc = "With `first`: after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 250 at most.")] last: Option<i32>,
        #[graphql(desc = "With `last`: before the item with this cursor.")] before: Option<String>,
    ) -> Result<List<ConnectionRecord>> {
        let (ask, page) = (Ask::new(ctx)?, Window { first, after, last, before }.page()?);
        let filter = filter.unwrap_or_default();
        let filter = ConnectionFilter {
            states: filter.states.unwrap_or_default().into_iter().map(Into::into).collect(),
            part: filter.role.map(Into::into),
            search: filter.search,
            needs_attention: filter.needs_attention,
        };
        let order = order_by.unwrap_or_default().into();
        let slice = ask.reader().connections(&filter, order, page).await.map_err(ours)?;
        Ok(list(slice, |connection| connection.id.0, ConnectionRecord))
    }
}
