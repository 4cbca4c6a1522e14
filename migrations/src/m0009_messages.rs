//! The handshake under way on the provider, and the sealed messages that had an effect.

pub(crate) const UP: &[&str] = &[
    "create table handshake (
        connection_id uuid primary key references connection (id) on delete cascade,
        attempt_number bigint not null,
        m1_digest bytea not null,
        m2 jsonb not null,
        pending bytea not null,
        m3_digest bytea,
        m4 jsonb
    )",
    // A message's answer is stored with its effect: the same message again gets the same answer.
    "create table message (
        connection_id uuid not null references connection (id) on delete cascade,
        message_id uuid not null,
        answer bytea not null,
        expires_at bigint not null,
        primary key (connection_id, message_id)
    )",
    "create index message_age on message (expires_at)",
];
