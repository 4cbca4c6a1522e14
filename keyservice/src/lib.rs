//! Linkspan's key management: a key hierarchy, the life of keys, the KX/1 exchange, sealed messages, health.
//!
//! Plain values in, plain values out. The crate knows no network, no database, no HTTP and writes no log; time and
//! chance are given to it. What leaves it is sealed: a [`SealedKey`] can be stored anywhere, because every use first
//! checks its row seal (nobody changed a field of it) and then the life-cycle table (its state allows the operation).
//!
//! | module | is about |
//! |---|---|
//! | [`root`] | the root key: where it comes from, and that nobody else can read it |
//! | `keyring` | the hierarchy below it: root → instance root → key encryption and integrity keys |
//! | [`key`], [`lifecycle`] | a key as others store it, and what its state allows |
//! | [`service`] | [`KeyService`]: generate, sign, seal, open, authenticate |
//! | [`module`], [`usage`] | a purpose with its specification and policies; one use of a key, judged in one place |
//! | [`versions`], [`transfer`] | the life of a module's key; keys that come from outside and that leave |
//! | [`integrity`] | rows against the audit trail |
//! | [`hierarchy`] | rotation of the keys above all others |
//! | [`algorithm`] | what is made, and why anything weaker is refused |
//! | [`identity`] | public identity keys and their input rules |
//! | [`exchange`], [`envelope`] | KX/1: how two instances agree on keys, and the messages under them |
//! | [`principal`], [`right`], [`role`], [`policy`] | who may do what with a module, and why |
//! | [`approval`] | what needs a second person, and their agreement |
//! | [`audit`], [`checkpoint`] | the chain of what was done, signed and kept by others, and its verification |
//! | [`health`] | whether all of it works, measured |
//!
//! Where the service is a process of its own, [`calls`] is the table of what can be asked of it, and [`wire`] how
//! values cross.
//!
//! ring wipes none of its own key objects; they live here only for the length of one call. Buffers of this crate are
//! wiped when dropped.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
mod names;

pub mod algorithm;
pub mod approval;
pub mod audit;
pub mod calls;
pub mod checkpoint;
mod codec;
mod crypto;
pub mod envelope;
pub mod error;
pub mod exchange;
pub mod health;
pub mod hierarchy;
pub mod identity;
pub mod integrity;
pub mod key;
mod keyring;
mod known_answers;
pub mod lifecycle;
pub mod module;
mod operations;
pub mod pae;
pub mod policy;
pub mod ports;
pub mod principal;
#[cfg(test)]
mod properties;
pub mod right;
pub mod role;
pub mod root;
pub mod service;
mod signing;
#[cfg(test)]
mod testing;
pub mod transfer;
pub mod usage;
#[cfg(test)]
mod vectors;
pub mod versions;
pub mod wire;

pub use algorithm::Algorithm;
pub use envelope::{Direction, Envelope, EnvelopeHeader};
pub use error::Error;
pub use exchange::{ExchangeId, Floor, LinkSpec, M1, M2, M3, M4, RegistrationContext, SealedPending};
pub use health::{AuditMeasure, Component, ComponentKind, HealthReport, HealthStatus, Records, roll_up};
pub use hierarchy::RewrapProgress;
pub use identity::{Kid, PublicKey, verify, verify_jws};
pub use integrity::{FaultyRow, LastEntry, RowFault};
pub use key::{KeySpec, PortablePurpose, Purpose, SealedKey};
pub use keyring::SealedHierarchy;
pub use lifecycle::{KeyState, LifecycleVerb, Operation, Permission};
pub use module::{BuiltIn, ModuleChange, ModuleSpec, ModuleState, SealedModule, Specification};
pub use operations::{Signature, Tag};
pub use policy::{AccessPolicy, Decision, decide};
pub use ports::{Entropy, Millis, Stopwatch, SystemEntropy};
pub use principal::{Principal, Service};
pub use right::{Right, Rights};
pub use role::{KeyRole, KeyRoles};
pub use root::{RootKey, RootProvider, RootSource, sync_directory_of};
pub use service::{KeyService, MacPurpose};
pub use transfer::{Arrival, Destination, ImportOffer, Package, Recipient};
pub use usage::{Use, UseRecord, Used};
pub use versions::{DueRotation, KeyChange, Rotation, due_rotations};
