//! What is true: words, states and rules, pure.

pub mod person;
