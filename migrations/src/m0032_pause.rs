//! Why a connection is paused, as whoever paused it said.

pub(crate) const UP: &[&str] = &["alter table connection add column suspend_reason text"];
