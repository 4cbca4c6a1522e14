//! What is true: words, states and rules. Pure: no clock, no storage, no wire formats.
//!
//! A state is an enum whose variants carry what holds in that state; a verb takes the thing and answers a
//! [`effect::Step`] (what it becomes and what must happen) or a [`refusal::Refusal`].

#[macro_use]
mod words;

pub mod attempt;
pub mod audit;
pub mod causes;
pub mod check;
pub mod connection;
pub mod direction;
pub mod effect;
pub mod explain;
pub mod failure;
pub mod guided_setup;
pub mod heartbeat;
pub mod history;
pub mod id;
pub mod issue;
pub mod judge;
pub mod key_approval;
pub mod key_encryption;
pub mod key_health;
pub mod key_module;
pub mod key_policy;
pub mod key_transfer;
pub mod link;
pub mod origin;
pub mod outage;
pub mod person;
pub mod refusal;
pub mod registration;
pub mod requester;
pub mod scan;
pub mod schedule;
pub mod score;
pub mod settings;
pub mod verification;

/// A moment, in UTC, with the millisecond as its smallest step.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
