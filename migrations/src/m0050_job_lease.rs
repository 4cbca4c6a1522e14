//! Work that is held, by when it can be taken over: few of the many that wait.

pub(crate) const UP: &[&str] = &["create index job_lease on job (lease_until) where lease_until is not null"];
