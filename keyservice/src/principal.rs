//! Who uses a key: a service of the gateway, known by a token of its own type, or a person.

use std::marker::PhantomData;

use crate::role::KeyRoles;

/// Who wants to do something with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A part of the gateway.
    Service(Service),
    /// A person who signed in.
    Person {
        /// The account, a UUID.
        id: [u8; 16],
        /// The key roles granted to it at this moment.
        roles: KeyRoles,
    },
}

impl Principal {
    /// The service that holds this token. There is no way to make one from a name.
    pub fn service<S: IsService>(_token: &Token<S>) -> Self {
        Self::Service(S::SERVICE)
    }
}

/// Proof of being one service. Its type says which; it is neither made nor copied outside [`Tokens::hand_out`].
pub struct Token<S>(PhantomData<S>);

impl<S: IsService> std::fmt::Debug for Token<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", S::SERVICE)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// The type of a service.
pub trait IsService: sealed::Sealed {
    /// Which one it is.
    const SERVICE: Service;
}

macro_rules! services {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $field:ident;)+) => {
        names! {
            /// A part of the gateway that uses keys.
            Service, "service" { $($(#[doc = $doc])+ $variant = $text;)+ }
        }

        /// The type of each service.
        pub mod services {
            $($(#[doc = $doc])+ #[derive(Clone, Copy, Debug)] pub struct $variant;

            impl super::sealed::Sealed for $variant {}

            impl super::IsService for $variant {
                const SERVICE: super::Service = super::Service::$variant;
            })+
        }

        /// The tokens of all services, handed out once when the program is put together.
        #[derive(Debug)]
        pub struct Tokens { $($(#[doc = $doc])+ pub $field: Token<services::$variant>,)+ }

        impl Tokens {
            /// One token for each service. Called in one place, where the program is put together; who gets a token
            /// from there is that service for as long as the program runs.
            pub fn hand_out() -> Self {
                Self { $($field: Token(PhantomData),)+ }
            }
        }
    };
}

services! {
    /// Registration and onboarding: the exchange, identity documents, links.
    Onboarding = "ONBOARDING", onboarding;
    /// Messages between the instances of a connection: settings, probes, notices.
    Peer = "PEER", peer;
    /// Letters and what they carry.
    Letters = "LETTERS", letters;
    /// Signing people in, and their second factors.
    SignIn = "SIGN_IN", sign_in;
    /// Tokens and assertions of OAuth.
    Authorization = "AUTHORIZATION", authorization;
    /// Secret settings and answers that are kept.
    Settings = "SETTINGS", settings;
    /// Checkpoints of the audit trail.
    Audit = "AUDIT", audit;
    /// Checks and the health report.
    Health = "HEALTH", health;
}
