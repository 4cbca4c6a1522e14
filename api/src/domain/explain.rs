//! Why a connection is as it is: the dependencies of its status in the order in which each needs the one before, and the
//! first that fails.

mod cause;
#[cfg(test)]
mod tests;

pub use cause::{dependency_of, remedy_for, remedy_for_told, suspicion, told_by_peer};

use super::Timestamp;
use super::check::Remedy;
use super::connection::{ConnectionState, Pause};
use super::direction::{Cause, DirectionStatus, Evidence};
use super::id::ConnectionId;
use super::refusal::{Refusal, RefusalCode};
use cause::{call, is_key_out_of_use, is_ours};

words! {
    /// What the status of a connection depends on, in the order in which each needs the one before.
    Dependency {
        /// The connection is onboarded here, and not paused.
        Stands = "STANDS", "The connection stands";
        /// This instance can work: its database answers, and nothing in it breaks.
        OurInstance = "OUR_INSTANCE", "Our instance works";
        /// This instance's key service seals and opens.
        OurKeyService = "OUR_KEY_SERVICE", "Our keys can be used";
        /// The peer's name resolves to an address that may be called.
        PeerName = "PEER_NAME", "The other side's name resolves";
        /// Somebody takes a connection at that address.
        PeerAddress = "PEER_ADDRESS", "The other side's address answers";
        /// The peer's TLS certificate is valid and for that name.
        PeerCertificate = "PEER_CERTIFICATE", "The other side's certificate is good";
        /// What answers speaks our protocol.
        PeerHttp = "PEER_HTTP", "The other side answers requests";
        /// It is the instance that was onboarded.
        PeerIdentity = "PEER_IDENTITY", "The other side is who it was";
        /// The two clocks agree to within two minutes.
        ClocksAgree = "CLOCKS_AGREE", "The clocks agree";
        /// Both sides hold the same keys for the connection.
        KeysAgree = "KEYS_AGREE", "Both sides hold the same keys";
        /// The peer's key service seals and opens.
        PeerKeyService = "PEER_KEY_SERVICE", "The other side's keys can be used";
        /// The connection is onboarded on the peer, and not paused there.
        PeerStands = "PEER_STANDS", "The connection stands on the other side";
        /// The peer lets us send messages.
        PeerAllows = "PEER_ALLOWS", "The other side allows our messages";
        /// The peer's database takes what messages do.
        PeerDatabase = "PEER_DATABASE", "The other side's database works";
        /// What the peer answers comes back to us.
        AnswersArrive = "ANSWERS_ARRIVE", "The other side's answers arrive";
        /// Answers come quickly enough.
        RoundTrip = "ROUND_TRIP", "Answers come in time";
        /// The peer's messages reach us.
        PeerReachesUs = "PEER_REACHES_US", "The other side reaches us";
        /// Both sides see the same.
        ViewsAgree = "VIEWS_AGREE", "Both sides see the same";
    }
}

impl Dependency {
    /// What is so when it does not hold, as a sentence.
    #[must_use]
    pub const fn fails(self) -> &'static str {
        match self {
            Self::Stands => "The connection does not stand.",
            Self::OurInstance => "Something in this instance does not work.",
            Self::OurKeyService => "This instance cannot use its keys.",
            Self::PeerName => "The other side's name does not resolve.",
            Self::PeerAddress => "The other side's address does not answer.",
            Self::PeerCertificate => "The other side cannot be trusted by its certificate.",
            Self::PeerHttp => "The other side does not answer as it should.",
            Self::PeerIdentity => "The other side is not who it was.",
            Self::ClocksAgree => "The two clocks do not agree.",
            Self::KeysAgree => "The two sides do not hold the same keys.",
            Self::PeerKeyService => "The other side cannot use its keys.",
            Self::PeerStands => "The connection does not stand on the other side.",
            Self::PeerAllows => "The other side does not allow our messages.",
            Self::PeerDatabase => "The other side's database does not work.",
            Self::AnswersArrive => "The other side receives our messages, but its answers do not arrive.",
            Self::RoundTrip => "The other side's answers come late.",
            Self::PeerReachesUs => "The other side does not reach us.",
            Self::ViewsAgree => "The two sides do not see the same.",
        }
    }
}

/// Words as a sentence: it begins with a capital letter and ends with a stop.
#[must_use]
pub fn sentence(words: &str) -> String {
    let words = words.trim();
    let stop = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{stop}", capital(words))
}

/// The same words, as a sentence begins.
#[must_use]
pub fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// What is known of a direction.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The evidence.
    pub evidence: Evidence,
    /// What is shown.
    pub status: Option<DirectionStatus>,
    /// What we see ourselves.
    pub own: Option<DirectionStatus>,
}

/// Everything that an explanation is made from.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The connection.
    pub connection: ConnectionId,
    /// Its state.
    pub state: ConnectionState,
    /// Since when it last changed.
    pub changed_at: Timestamp,
    /// Whether it is paused because a copy of the peer is suspected; if so, whether the peer confirmed a survivor.
    pub suspects: Option<bool>,
    /// From us to the peer.
    pub outbound: Look,
    /// From the peer to us.
    pub inbound: Look,
    /// Why the present phase of onboarding does not go on, and when it is tried again.
    pub phase: Option<(Refusal, Timestamp, Option<Timestamp>)>,
    /// The first open issue that blocks: what, since when, and what to do.
    pub issue: Option<(String, Timestamp, Remedy)>,
    /// When the peer is probed next.
    pub next_probe_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which dependency.
    pub dependency: Dependency,
    /// Whether it holds; none where that cannot be known behind one that fails.
    pub holds: Option<bool>,
}

/// What happens next by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextAction {
    /// What.
    pub what: &'static str,
    /// When, if that is known.
    pub at: Option<Timestamp>,
}

/// The first dependency that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub dependency: Dependency,
    /// The stable code, where there is one.
    pub code: Option<RefusalCode>,
    /// A finer distinction within the code.
    pub reason: Option<String>,
    /// What was seen, for people.
    pub evidence: String,
    /// Since when, as far as that is known.
    pub since: Option<Timestamp>,
    /// What to do about it.
    pub remedy: Remedy,
}

/// Why a connection is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// In one or two sentences.
    pub summary: String,
    /// The first dependency that fails; none when all hold.
    pub fault: Option<Fault>,
    /// When that was first seen: what changed until then may be why, also after the last proof of the contrary.
    pub seen_at: Option<Timestamp>,
    /// All dependencies in order.
    pub chain: Vec<Link>,
    /// What happens next by itself.
    pub next: Option<NextAction>,
}

impl Situation {
    /// Explains it.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let fault = self.fault();
        let broken = fault.as_ref().map(|fault| fault.dependency);
        let link = |dependency: &Dependency| Link {
            dependency: *dependency,
            holds: match broken {
                None => Some(true),
                Some(broken) if *dependency < broken => Some(true),
                Some(broken) if *dependency == broken => Some(false),
                Some(_) => None,
            },
        };
        let summary = match &fault {
            None => "Everything that the connection depends on holds.".to_owned(),
            // The service works: it is this one key that does not.
            Some(fault) if is_key_out_of_use(fault.reason.as_deref()) => fault.evidence.clone(),
            Some(fault) => format!("{} {}", fault.dependency.fails(), fault.evidence),
        };
        Explanation {
            summary,
            chain: Dependency::ALL.iter().map(link).collect(),
            next: self.next(),
            seen_at: fault.as_ref().and_then(|fault| self.seen_at(fault)),
            fault,
        }
    }

    fn seen_at(&self, fault: &Fault) -> Option<Timestamp> {
        let Evidence { last_proof_at, down_at, was_down, failure, .. } = &self.outbound.evidence;
        if fault.since.is_none() || fault.since != *last_proof_at {
            return fault.since;
        }
        // Of several misses, the last is kept; a fall is where they were enough.
        let missed = failure.as_ref().map(|cause| cause.at);
        down_at.filter(|_| *was_down).or(missed).max(fault.since)
    }

    fn fault(&self) -> Option<Fault> {
        if !matches!(self.state, ConnectionState::Onboarded) {
            return self.not_standing();
        }
        self.outbound_fault().or_else(|| self.inbound_fault()).or_else(|| self.dispute())
    }

    fn not_standing(&self) -> Option<Fault> {
        let mut fault = Fault {
            dependency: Dependency::Stands,
            code: None,
            reason: Some(self.state.as_str().to_owned()),
            evidence: format!("It is {}.", self.state.label().to_lowercase()),
            since: Some(self.changed_at),
            remedy: Remedy::Human(
                "Go on with the connection: its actions say what can be done now.".to_owned(),
            ),
        };
        match (self.state, &self.phase, &self.issue) {
            (ConnectionState::Suspended, ..) if let Some(confirmed) = self.suspects => {
                fault.code = Some(RefusalCode::WrongState);
                fault.reason = Some(Pause::SUSPECTS.to_owned());
                (fault.evidence, fault.remedy) = suspicion(confirmed, self.connection);
            }
            (ConnectionState::Suspended, ..) => {
                fault.remedy = call("resumeConnection", self.connection);
            }
            (ConnectionState::Onboarding, Some((refusal, since, _)), _) => {
                fault.code = Some(refusal.code);
                fault.reason.clone_from(&refusal.reason);
                fault.evidence.clone_from(&refusal.message);
                fault.since = Some(*since);
                fault.remedy = match &refusal.remedy {
                    Some(remedy) => (**remedy).clone(),
                    None => call("retryPhase", self.connection),
                };
            }
            (ConnectionState::ValidationFailed, _, Some((what, since, remedy))) => {
                fault.evidence.clone_from(what);
                fault.since = Some(*since);
                fault.remedy = remedy.clone();
            }
            (ConnectionState::ValidationFailed, _, None) => {
                fault.evidence = "Its checks were called off, or did not come to an end.".to_owned();
                fault.remedy = call("runPreOnboardingChecks", self.connection);
            }
            (ConnectionState::Offboarding | ConnectionState::Offboarded, ..) => {
                fault.remedy = Remedy::human(
                    "It does not come back. The provider registers the consumer again to make another connection.",
                );
            }
            (ConnectionState::Validated, ..) => fault.remedy = call("startOnboarding", self.connection),
            _ => {}
        }
        Some(fault)
    }

    fn outbound_fault(&self) -> Option<Fault> {
        let evidence = &self.outbound.evidence;
        let works = self.outbound.own.and_then(DirectionStatus::works);
        // One miss is forgiven by the status, but it is what one who asks wants to hear.
        if let Some(cause) = evidence.failure.as_ref().filter(|_| works != Some(true) || evidence.misses > 0)
        {
            return Some(self.of_cause(cause));
        }
        if self.outbound.own == Some(DirectionStatus::Slow) {
            let took = evidence.round_trip_ms.unwrap_or_default();
            return Some(Fault {
                dependency: Dependency::RoundTrip,
                code: None,
                reason: Some("SLOW".to_owned()),
                evidence: format!("The last answer took {took} ms."),
                since: evidence.own.map(|(_, since)| since),
                remedy: Remedy::Human(
                    "Look at the load of both instances and at the line between them; slow_ms says what counts as slow."
                        .to_owned(),
                ),
            });
        }
        (works == Some(false)).then(|| Fault {
            dependency: Dependency::AnswersArrive,
            code: None,
            reason: Some("RECOVERING".to_owned()),
            evidence: "The other side answers again, but not often enough in a row yet.".to_owned(),
            since: evidence.down_at,
            remedy: Remedy::Human("Wait: it goes on by itself when the answers keep coming.".to_owned()),
        })
    }

    fn of_cause(&self, cause: &Cause) -> Fault {
        let reason = cause.reason.as_deref();
        let mut dependency = dependency_of(cause.code, reason);
        let evidence = sentence(cause.detail.as_deref().unwrap_or(cause.code.label()));
        // The peer takes what we send, and we hear nothing of it.
        if dependency <= Dependency::PeerHttp && self.arrives() {
            dependency = Dependency::AnswersArrive;
        }
        Fault {
            dependency,
            code: Some(cause.code),
            reason: cause.reason.clone(),
            evidence,
            since: self.outbound.evidence.last_proof_at.or(Some(cause.at)),
            remedy: remedy_for(cause.code, reason, self.connection),
        }
    }

    /// Whether the peer said lately, after the outage here began, that our messages reach it.
    fn arrives(&self) -> bool {
        let view = self.outbound.evidence.peer_view.as_ref();
        view.is_some_and(|view| {
            view.status.works() == Some(true) && self.outbound.status == Some(DirectionStatus::Disputed)
        })
    }

    fn inbound_fault(&self) -> Option<Fault> {
        let evidence = &self.inbound.evidence;
        let disputed = self.inbound.status == Some(DirectionStatus::Disputed);
        if self.inbound.own.and_then(DirectionStatus::works) != Some(false) && !disputed {
            return None;
        }
        let told = evidence.peer_view.as_ref().filter(|view| view.code.is_some());
        let (code, reason) = told.map_or((None, None), |view| (view.code, view.reason.clone()));
        let words = match code {
            Some(code) => told_by_peer(code, reason.as_deref()),
            None => "Nothing arrives from the other side, and it does not say why.".to_owned(),
        };
        // Its own key service: the peer cannot even ask.
        let keys = [RefusalCode::KeyServiceUnhealthy, RefusalCode::PolicyDenied];
        let theirs = code.is_some_and(|code| keys.contains(&code)) && is_ours(reason.as_deref());
        let dependency = if theirs { Dependency::PeerKeyService } else { Dependency::PeerReachesUs };
        let remedy = match code {
            Some(code) => remedy_for_told(code, reason.as_deref(), self.connection),
            None => Remedy::human(cause::WAY_TO_US),
        };
        Some(Fault {
            dependency,
            code,
            reason: reason.or_else(|| Some("SILENT".to_owned())),
            evidence: words,
            since: evidence.own.map(|(_, since)| since),
            remedy,
        })
    }

    fn dispute(&self) -> Option<Fault> {
        (self.outbound.status == Some(DirectionStatus::Disputed)).then(|| Fault {
            dependency: Dependency::ViewsAgree,
            code: self.outbound.evidence.peer_view.as_ref().and_then(|view| view.code),
            reason: self.outbound.evidence.peer_view.as_ref().and_then(|view| view.reason.clone()),
            evidence: "Our messages are answered, but the other side says that they do not arrive."
                .to_owned(),
            since: self.outbound.evidence.shown.map(|(_, since)| since),
            remedy: Remedy::Human("Compare both sides' support bundles.".to_owned()),
        })
    }

    fn next(&self) -> Option<NextAction> {
        let next = |what, at| Some(NextAction { what, at });
        match self.state {
            ConnectionState::Onboarded => next("The other side is asked again.", self.next_probe_at),
            ConnectionState::Onboarding => {
                let at = self.phase.as_ref().and_then(|(_, _, at)| *at);
                at.and_then(|at| next("The phase is tried again.", Some(at)))
            }
            ConnectionState::AwaitingValidation => next("The checks are running.", None),
            // What was called off is begun again by whoever looks after it.
            ConnectionState::ValidationFailed if self.issue.is_none() => None,
            ConnectionState::ValidationFailed => {
                next("It goes on by itself when the last blocking issue is resolved.", None)
            }
            ConnectionState::Pending
            | ConnectionState::Validated
            | ConnectionState::Suspended
            | ConnectionState::Offboarding
            | ConnectionState::Offboarded => None,
        }
    }
}
