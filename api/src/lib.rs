//! Linkspan: joins two organisations' instances.
#![forbid(unsafe_code)]

pub mod domain;
pub mod store;
pub mod world;
pub mod http;
pub mod http;
pub mod outbound;
pub mod http;
pub mod mail;
pub mod password;
