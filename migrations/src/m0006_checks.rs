//! Scans, what their checks answered, and the issues that findings raise.

pub(crate) const UP: &[&str] = &[
    "create table scan (
        id uuid primary key,
        suite text not null,
        only_check text,
        subject_kind text not null,
        subject_id uuid not null,
        requested_by uuid,
        requested_by_admin boolean not null,
        requested_at bigint not null,
        started_at bigint,
        finished_at bigint,
        state text not null
    )",
    "create index scan_subject on scan (subject_id, requested_at)",
    "create table scan_result (
        scan_id uuid not null references scan (id) on delete cascade,
        check_code text not null,
        position bigint not null,
        answer text not null,
        message text,
        evidence text,
        remedy jsonb,
        blocking boolean not null,
        finished_at bigint not null,
        primary key (scan_id, check_code)
    )",
    "create table issue (
        id uuid primary key,
        check_code text not null,
        subject_kind text not null,
        subject_id uuid not null,
        company_id uuid,
        scan_id uuid not null,
        state text not null,
        blocking boolean not null,
        message text not null,
        evidence text not null,
        remedy jsonb not null,
        seen_count bigint not null,
        first_seen_at bigint not null,
        last_seen_at bigint not null,
        resolved_at bigint,
        revision bigint not null
    )",
    "create unique index issue_open on issue (check_code, subject_id) where state = 'OPEN'",
    "create index issue_subject on issue (subject_id, state)",
];
