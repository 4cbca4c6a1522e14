//! A key that was suspended, revoked or marked as compromised says why.

pub(crate) const UP: &[&str] = &["alter table key_version add column reason text"];
