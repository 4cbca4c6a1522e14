//! The number of the identity document is that of the identity key's version, whose row is sealed.

pub(crate) const UP: &[&str] = &["alter table instance drop column identity_seq"];
