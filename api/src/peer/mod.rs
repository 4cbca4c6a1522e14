//! How we speak to the other instance: the messages, and the hand that sends them.

pub mod client;
pub mod wire;

pub use client::{Peer, PeerError};
