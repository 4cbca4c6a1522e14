//! What is true: words, states and rules, pure.
