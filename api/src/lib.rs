//! Linkspan: joins two organisations' instances.
#![forbid(unsafe_code)]

pub mod domain;
pub mod http;
pub mod mail;
pub mod password;
