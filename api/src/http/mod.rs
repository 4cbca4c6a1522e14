//! The door that speaks HTTP: to browsers, front ends and peers.

pub mod graphql;
pub mod headers;
pub mod health;
pub mod pages;
pub mod peer;
pub mod server;
#[cfg(test)]
mod server_tests;
