//! One test binary: the shape of the house, then whole instances from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod actions;
mod audit;
mod audit_log;
mod checks;
mod claims;
mod clients;
mod consent;
mod console;
mod credentials;
mod doors;
mod environment;
mod error_log;
mod harness;
mod idempotency;
mod interruption;
mod issues;
mod journey;
mod journeys;
mod key_approvals;
mod key_policies;
mod keys;
mod labels;
mod lists;
mod mail;
mod measurements;
mod oauth;
mod offboarding;
mod registration;
mod schema;
mod secrets;
mod settings;
mod statements;
mod status;
mod subscriptions;
mod tidy;
mod vault;
mod verification;
