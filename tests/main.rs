//! One test binary: the shape of the house, then whole instances from outside.

mod environment;
mod harness;
mod interruption;
mod journey;
mod tidy;
