//! What is written with every fact: its change number, the work it causes, its audit entry, the caller's key.

pub(crate) const UP: &[&str] = &[
    "create table change (
        seq bigint primary key,
        subject_kind text not null,
        subject_id uuid not null,
        kind text not null,
        revision bigint not null,
        company_id uuid,
        body jsonb not null,
        at bigint not null
    )",
    "create index change_subject on change (subject_id, seq)",
    "create table job (
        id uuid primary key,
        kind text not null,
        subject_id uuid,
        dedupe text unique,
        sealed bytea,
        trace text not null,
        state text not null,
        run_at bigint not null,
        tries bigint not null,
        woken boolean not null,
        fence bigint not null,
        lease_until bigint,
        last_error text,
        created_at bigint not null
    )",
    "create index job_due on job (state, run_at)",
    "create table audit (
        n bigint primary key,
        hash bytea not null,
        at bigint not null,
        actor text not null,
        operation text not null,
        object_kind text not null,
        object_id text not null,
        result text not null,
        trace text not null,
        details jsonb not null
    )",
    "create table idempotency (
        principal text not null,
        idempotency_key text not null,
        operation text not null,
        digest bytea not null,
        result text not null,
        created_at bigint not null,
        primary key (principal, idempotency_key)
    )",
    "create index idempotency_age on idempotency (created_at)",
];
