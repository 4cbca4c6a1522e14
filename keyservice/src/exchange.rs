//! KX/1, phase 1: how two instances agree on keys.
//!
//! A SIGMA-style exchange: ephemeral X25519, Ed25519 identities, signatures and MACs over the whole transcript, which
//! begins with the [`RegistrationContext`]. The consumer initiates:
//!
//! ```text
//! consumer                                provider
//! initiate ── M1 ──▶ respond
//! conclude ◀── M2 ──
//!          ── M3 ──▶ confirm      keys active
//! finish   ◀── M4 ──              keys active
//! ```
//!
//! What is not here, because it needs storage: that an attempt number grows with each attempt of a registration, that
//! there is one pending attempt, that the same message gets the same answer, and that the consumer has stored its keys
//! and M3 *before* it sends M3.

mod consumer;
mod context;
mod message;
mod pending;
mod provider;
mod schedule;
#[cfg(test)]
mod tests;

pub use context::{Floor, LinkSpec, RegistrationContext, link_id, link_module};
pub use message::{M1, M2, M3, M4, SUITE_1, VERSION_1};
pub use pending::{ExchangeId, SealedPending};

pub(crate) use pending::Exchanges;
pub(crate) use provider::ephemeral_key;
pub(crate) use schedule::{LinkRole, LinkSecrets};
