//! What is looked for in tables that grow: by the sweep, by what a thing's work, failures and sessions are, and by those
//! who ask about the audit trail.

pub(crate) const UP: &[&str] = &[
    "create index change_age on change (at)",
    "create index traffic_age on traffic (hour)",
    "create index scan_age on scan (finished_at)",
    "create index job_subject on job (subject_id)",
    "create index session_account on session (account_id)",
    "create index failure_subject on failure (subject_id, last_at)",
    "create index connection_link on connection (link_id)",
    "create index connection_registration on connection (registration_id)",
    "create index audit_actor on audit (actor, n)",
    "create index audit_at on audit (at)",
];
