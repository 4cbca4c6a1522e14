//! What a direction's status was, by its transitions, and how many messages a connection carried, by the hour.

pub(crate) const UP: &[&str] = &[
    // No status: nothing was begun, or nobody watched.
    "create table direction_history (
        connection_id uuid not null references connection (id) on delete cascade,
        way text not null,
        at bigint not null,
        status text,
        code text,
        reason text,
        primary key (connection_id, way, at)
    )",
    "create index direction_history_age on direction_history (at)",
    "create table traffic (
        connection_id uuid not null references connection (id) on delete cascade,
        hour bigint not null,
        sent bigint not null,
        received bigint not null,
        last_sent_at bigint,
        last_received_at bigint,
        primary key (connection_id, hour)
    )",
];
