//! The secret part of an answer that is kept under an idempotency key: a link or a token, sealed.

pub(crate) const UP: &[&str] = &["alter table idempotency add column sealed bytea"];
