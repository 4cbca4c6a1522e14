//! Linkspan joins two organisations' instances: registration, health, key exchange, settings, watch.
//!
//! A request walks one way: a door parses it and learns who asks; an action loads, asks the domain, and saves the
//! fact with its work, audit entry and change number in one transaction; the worker then moves the hands.
//!
//! | room | holds |
//! |---|---|
//! | `domain` | what is true: words, states, rules; pure |
//! | `store` | memory: the one room that knows the database |
//! | `actions` | the verbs; the only ones to open a writing transaction |
//! | `peer` | how we speak to the other instance |
//! | `probe` | how we look at the other instance |
//! | `mail` | letters, and how they are sent |
//! | `worker` | carries committed work out: the only one to move the hands |
//! | `auth` | from a header or cookie to who asks |
//! | `graphql` | the public schema |
//! | `http` | everything that speaks HTTP |
//! | `outbound` | the one client for URLs that others gave us |
//! | `password` | hashing passwords |
//! | `vault` | how the key service is reached |
//! | `world` | the clock and chance, as values |
//! | `config` | what an operator sets |
//! | `app` | puts the house together |
//! | `cli` | the command line |
//! | `demo` | two instances that onboard each other |
#![forbid(unsafe_code)]

#[macro_use]
pub mod domain;
pub mod actions;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod graphql;
pub mod http;
pub mod mail;
pub mod outbound;
pub mod password;
pub mod peer;
pub mod probe;
pub mod store;
pub mod vault;
pub mod worker;
pub mod world;
