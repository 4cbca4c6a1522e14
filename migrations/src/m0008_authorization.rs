//! The authorization server: pushed requests, approvals, codes and tokens; only digests of what is secret.

pub(crate) const UP: &[&str] = &[
    "create table authorization_request (
        id uuid primary key,
        claim_id uuid not null references claim (id) on delete cascade,
        request_digest bytea not null unique,
        request_expires_at bigint not null,
        redirect_uri text not null,
        code_challenge text not null,
        client_state text not null,
        scope text not null,
        state text not null,
        account_id uuid references account (id),
        decided_at bigint,
        code_digest bytea unique,
        code_expires_at bigint,
        token_digest bytea unique,
        token_expires_at bigint,
        created_at bigint not null
    )",
    "create index authorization_request_claim on authorization_request (claim_id, created_at)",
    "create table replay (
        scope text not null,
        value text not null,
        expires_at bigint not null,
        primary key (scope, value)
    )",
    "create index replay_age on replay (expires_at)",
];
