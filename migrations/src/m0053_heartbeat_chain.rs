//! The chain of heartbeats, by which a copy of an instance or a restored backup is noticed: how far this instance's own
//! went, what was last seen of a peer's, and that a connection is paused because two of them go on.

pub(crate) const UP: &[&str] = &[
    "alter table watch_lease add column step bigint not null default 0",
    "alter table watch_lease add column declared boolean not null default false",
    // From which step on which line went on; one for each start of the node that probes.
    "create table heartbeat_line (
        since bigint primary key,
        line uuid not null
    )",
    "alter table direction add column mark_step bigint",
    "alter table direction add column mark_token uuid",
    "alter table direction add column mark_line uuid",
    "alter table direction add column mark_since bigint",
    "alter table direction add column mark_agreement bigint",
    "alter table connection add column clone_suspected boolean not null default false",
    "alter table connection add column survivor_line uuid",
    "alter table connection add column survivor_since bigint",
    "alter table connection add column agreements bigint not null default 0",
];
