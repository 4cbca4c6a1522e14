//! What failed about a registration or a connection, and under which trace on either side.

pub(crate) const UP: &[&str] = &[
    // No reference to its subject: the log outlives a connection that was discarded.
    "create table failure (
        id uuid primary key,
        subject_kind text not null,
        subject_id uuid not null,
        company_id uuid,
        operation text not null,
        code text not null,
        reason text not null,
        message text not null,
        remedy jsonb,
        trace text not null,
        peer_trace text,
        seen_count bigint not null,
        first_at bigint not null,
        last_at bigint not null
    )",
    // The same failure again is counted, not written again.
    "create unique index failure_same on failure (subject_kind, subject_id, operation, code, reason)",
    "create index failure_age on failure (last_at)",
];
