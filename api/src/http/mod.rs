//! The doors that speak HTTP.

pub mod graphql;
//! The HTTP door.

pub mod headers;
pub mod server;
#[cfg(test)]
mod server_tests;
//! The door for browsers and peers over HTTP.

pub mod pages;
