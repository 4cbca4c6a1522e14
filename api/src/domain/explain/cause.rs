//! What a failure between two instances says: which dependency does not hold, and what to do about it.

use super::Dependency;
use crate::domain::check::Remedy;
use crate::domain::connection::Pause;
use crate::domain::id::ConnectionId;
use crate::domain::refusal::RefusalCode;

/// What to do where nothing arrives from the peer.
pub(super) const WAY_TO_US: &str = "The other side's operator looks at the way from there to this instance's base URL: name, \
                                    firewall, certificate. What they need is in the support bundle.";

/// Why the peer says that it does not reach us.
#[must_use]
pub fn told_by_peer(code: RefusalCode, reason: Option<&str>) -> String {
    use RefusalCode as C;
    let words = match (code, reason) {
        (C::PeerUnreachable, Some("DNS")) => "this instance's name does not resolve there",
        (C::PeerUnreachable, Some("TCP")) => "this instance's address does not answer it",
        (C::PeerUnreachable, Some("TLS")) => "it makes no trusted, encrypted connection to this instance",
        (C::PeerUnreachable, Some("HTTP")) => "it gets no answer from this instance that it can use",
        (C::PeerUnreachable, Some("REFUSED")) => "it may not call this instance's address",
        (C::KeyServiceUnhealthy, Some("OURS")) => "its own key service does not work",
        (C::KeyServiceUnhealthy, reason) if is_ours(reason) => "it took the key of the connection out of use",
        (C::KeyServiceUnhealthy, reason) if is_key_out_of_use(reason) => {
            "the key of the connection was taken out of use on this instance"
        }
        (C::PolicyDenied, Some("OURS")) => "its own access policies keep it from using its keys",
        (C::KeyServiceUnhealthy, _) => "this instance's key service does not work",
        (C::PolicyDenied, _) => "this instance does not allow its messages",
        (C::PeerUnavailable, reason) if is_ours(reason) => "something in it does not work",
        (C::PeerUnavailable, Some("DATABASE")) => "this instance's database does not work",
        (C::ClockSkew, _) => "the two clocks do not agree",
        (C::PeerIdentityMismatch, _) => "another instance answers at this instance's address",
        (C::KeyConfirmationFailed, _) => "the two sides do not hold the same keys",
        (C::WrongState, Some("SUSPENDED")) => "the connection is suspended here",
        (C::WrongState, Some(Pause::SUSPECTS)) => {
            "the connection is suspended here, because a copy of it is suspected"
        }
        (code, _) => return format!("The other side says of it: {}.", code.label().to_lowercase()),
    };
    format!("The other side says that {words}.")
}

/// Whether the reason of a failure says that it is this instance's own: `OURS`, or `OUR_` before what the other side hears
/// of it.
#[must_use]
pub(super) fn is_ours(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason == "OURS" || reason.starts_with("OUR_"))
}

/// Whether the reason of a failure says that somebody took the key of the connection out of use, here or there.
pub(super) fn is_key_out_of_use(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason.trim_start_matches("OUR_").starts_with("KEY_"))
}

/// The dependency that a missed probe says does not hold.
#[must_use]
pub fn dependency_of(code: RefusalCode, reason: Option<&str>) -> Dependency {
    use RefusalCode as C;
    match (code, reason) {
        (C::PeerUnreachable, Some("DNS")) => Dependency::PeerName,
        (C::PeerUnreachable, Some("TLS")) => Dependency::PeerCertificate,
        (C::PeerUnreachable, Some("HTTP")) => Dependency::PeerHttp,
        (C::PeerUnreachable, _) => Dependency::PeerAddress,
        (C::KeyServiceUnhealthy | C::PolicyDenied, reason) if is_ours(reason) => Dependency::OurKeyService,
        (C::KeyServiceUnhealthy, _) => Dependency::PeerKeyService,
        (C::PeerUnavailable, reason) if is_ours(reason) => Dependency::OurInstance,
        (C::PeerUnavailable, Some("DATABASE")) => Dependency::PeerDatabase,
        (C::ClockSkew, _) => Dependency::ClocksAgree,
        (C::PeerIdentityMismatch, _) => Dependency::PeerIdentity,
        (C::KeyConfirmationFailed, _) => Dependency::KeysAgree,
        (C::PolicyDenied, _) => Dependency::PeerAllows,
        (C::WrongState, _) => Dependency::PeerStands,
        _ => Dependency::PeerHttp,
    }
}

/// What is seen, and what to do, where a copy of the peer is suspected here: before its survivor is confirmed, and then.
#[must_use]
pub fn suspicion(confirmed: bool, connection: ConnectionId) -> (String, Remedy) {
    let seen = "Two copies of the other instance go on, or it was restored from an older backup";
    if confirmed {
        let remedy = call("resumeConnection", connection);
        return (format!("{seen}. Its administrators confirmed which one goes on."), remedy);
    }
    let text = "The other side's administrators stop the copy that is not to go on, and confirm the survivor on the other \
                (confirmSurvivor). Then the connection can be resumed here.";
    (format!("{seen}."), Remedy::Human(text.to_owned()))
}

/// What to do about a failure between two instances.
#[must_use]
pub fn remedy_for(code: RefusalCode, reason: Option<&str>, connection: ConnectionId) -> Remedy {
    use RefusalCode as C;
    let human = |text: &str| Remedy::Human(text.to_owned());
    match (code, reason) {
        (C::PeerUnreachable, Some("DNS")) => human(
            "Check the other side's name in your DNS. If the other side moved, it has to be registered anew.",
        ),
        (C::PeerUnreachable, Some("TLS")) => human(
            "The other side's operator renews the certificate of its base URL, for that name, from an authority that \
             this instance trusts.",
        ),
        (C::PeerUnreachable, Some("REFUSED")) => Remedy::Config {
            setting: "outbound.allow_networks".to_owned(),
            value: "[\"10.20.0.0/16\"]".to_owned(),
        },
        (C::PeerUnreachable, Some("HTTP")) => human(
            "The other side's operator looks at the instance, and at any proxy before it: it takes connections, but \
             does not answer as it should.",
        ),
        (C::PeerUnreachable, _) => human(
            "Ask the other side's operator whether the instance runs, and your network's whether its address and port \
             can be reached from here.",
        ),
        (C::KeyServiceUnhealthy, Some("OURS")) => {
            human("Look at this instance's key health: the component that does not work has its own remedy.")
        }
        (C::KeyServiceUnhealthy, Some("OUR_KEY_SUSPENDED")) => human(
            "A key manager of this instance resumes the key of the connection. It goes on by itself then.",
        ),
        (C::KeyServiceUnhealthy, Some("KEY_SUSPENDED")) => human(
            "Ask the other side's key manager to resume the key of the connection. It goes on by itself then.",
        ),
        (C::KeyServiceUnhealthy, reason) if is_key_out_of_use(reason) => human(
            "This key does not come back, and nothing is exchanged over this connection any more. An administrator of either \
             side off-boards it, and the provider registers the consumer again: the new connection has new keys.",
        ),
        (C::KeyServiceUnhealthy, _) => human("The other side's key manager looks at its key health."),
        (C::PeerUnavailable, Some("OUR_DATABASE")) => {
            human("This instance's operator looks at its database.")
        }
        (C::PeerUnavailable, reason) if is_ours(reason) => {
            human("This instance's operator looks at its log, under the trace id.")
        }
        (C::PeerUnavailable, Some("DATABASE")) => human("The other side's operator looks at its database."),
        (C::PeerUnavailable, _) => human("The other side's operator looks at its log, under the trace id."),
        (C::ClockSkew, _) => human("Synchronise the clocks of both instances (NTP)."),
        (C::PeerIdentityMismatch, _) => human(
            "Do not trust it: another instance answers at the other side's address. If the other side moved or restored it on \
             purpose, register it anew.",
        ),
        (C::KeyConfirmationFailed, _) => human(
            "One side lost or replaced the connection's keys, for example by restoring an older backup: have it restore \
             the one that holds them. If there is none, off-board the connection and register the consumer again.",
        ),
        (C::PolicyDenied, Some("OURS")) => {
            human("A key manager of this instance can allow it under Keys, Access.")
        }
        (C::PolicyDenied, Some("SCOPE")) => call("renewConnectionCredentials", connection),
        (C::PolicyDenied, None) => human("The other side's key manager looks at its access policies."),
        (C::PolicyDenied, Some(_)) => human(
            "The other side's key manager looks at its access policies. The reason is the id of the decision, under which \
             the other side finds how it was decided.",
        ),
        (C::WrongState, Some(Pause::SUSPECTS)) => call("confirmSurvivor", connection),
        (C::WrongState, Some("SUSPENDED")) => {
            human("The other side suspended the connection: ask it to resume.")
        }
        (C::WrongState, _) => {
            human("The connection does not stand on the other side: compare with its people.")
        }
        (C::AuthorizationDenied, _) => {
            human("Ask the named contact why; who opens the link again can be asked and allow it then.")
        }
        (C::RateLimited, _) => human("Wait: it is tried again by itself."),
        (C::VersionUnsupported, _) => human("Bring the older of the two instances up to date."),
        (C::Conflict, Some("DIGEST")) => call("syncConnectionSettings", connection),
        (code, _) => Remedy::Human(format!(
            "Look at what it says, and at {} in the documentation. If that is not enough, both sides' operators find it \
             in their logs under the reference.",
            code.as_str()
        )),
    }
}

/// What to do about a failure that the peer tells of: its own things are ours to ask for, and ours are to be looked at here.
#[must_use]
pub fn remedy_for_told(code: RefusalCode, reason: Option<&str>, connection: ConnectionId) -> Remedy {
    use RefusalCode as C;
    let ours = match reason {
        Some("OURS") => None,
        Some(reason) if is_ours(Some(reason)) => Some(reason.trim_start_matches("OUR_").to_owned()),
        Some(reason) if reason.starts_with("KEY_") || reason == "DATABASE" => Some(format!("OUR_{reason}")),
        _ => Some("OURS".to_owned()),
    };
    match (code, reason) {
        (C::PeerUnreachable | C::PeerIdentityMismatch, _) => Remedy::human(WAY_TO_US),
        (C::WrongState, Some(Pause::SUSPECTS)) => Remedy::human(
            "The other side says first which copy of it goes on; then the connection can be resumed here.",
        ),
        (C::WrongState, Some("SUSPENDED")) => {
            Remedy::human("It goes on by itself once the connection is resumed here.")
        }
        (C::PolicyDenied, Some("SCOPE")) => remedy_for(code, reason, connection),
        (C::KeyServiceUnhealthy | C::PolicyDenied | C::PeerUnavailable, _) => {
            remedy_for(code, ours.as_deref(), connection)
        }
        (code, reason) => remedy_for(code, reason, connection),
    }
}

/// A call about a connection.
pub(super) fn call(mutation: &str, connection: ConnectionId) -> Remedy {
    let variables = vec![("connectionId".to_owned(), connection.to_string())];
    Remedy::Call { mutation: mutation.to_owned(), variables }
}
