//! One test binary: the shape of the house, then whole instances from outside.

mod claims;
mod consent;
mod environment;
mod harness;
mod journey;
mod registration;
mod tidy;
