//! The number of the newest identity document that a peer was seen with: an older one is refused.

pub(crate) const UP: &[&str] = &["alter table connection add column identity_seq bigint not null default 0"];
