//! What the latest verification of each connection found, step by step.

pub(crate) const UP: &[&str] = &["create table verification (
        connection_id uuid primary key references connection (id) on delete cascade,
        requested_by uuid not null,
        started_at bigint not null,
        finished_at bigint,
        passed boolean not null,
        steps jsonb not null
    )"];
