//! Requests for approval are sealed, as keys are. Those from before are shown, and cannot be answered or used: whoever
//! needs them asks again.

pub(crate) const UP: &[&str] = &["alter table key_approval add column seal bytea"];
