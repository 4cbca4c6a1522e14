//! The doors that speak HTTP.

pub mod graphql;
//! The HTTP door.

pub mod headers;
pub mod server;
#[cfg(test)]
mod server_tests;
