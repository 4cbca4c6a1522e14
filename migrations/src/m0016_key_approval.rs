//! Requests for a second person's approval.

pub(crate) const UP: &[&str] = &[
    "create table key_approval (
        id uuid primary key,
        operation text not null,
        module text not null,
        object text not null,
        reason text not null,
        asked_by uuid not null,
        asked_at bigint not null,
        state text not null,
        answered_by uuid,
        answered_at bigint,
        answer text,
        ended_at bigint,
        expires_at bigint not null,
        revision bigint not null
    )",
    "create index key_approval_open on key_approval (state, expires_at)",
];
