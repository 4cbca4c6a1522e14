//! Issues by when they were raised and when they ended: what happened lately is counted, and what is long over forgotten.

pub(crate) const UP: &[&str] = &[
    "create index issue_first_seen on issue (first_seen_at)",
    "create index issue_resolved on issue (resolved_at) where resolved_at is not null",
];
