//! Probing from memory: what a direction's status is computed from, kept in full, and which node probes.

pub(crate) const UP: &[&str] = &[
    "alter table direction add column seen_at bigint",
    "alter table direction add column slow boolean not null default false",
    "alter table direction add column pace bigint not null default 0",
    "alter table direction add column downs bigint not null default 0",
    "alter table direction add column down_at bigint",
    "alter table direction add column own text",
    "alter table direction add column own_at bigint",
    "alter table direction add column shown_at bigint",
    "alter table direction add column peer_view_at bigint",
    "alter table direction add column peer_view_since bigint",
    "alter table direction add column peer_view_code text",
    "alter table direction add column peer_view_reason text",
    "alter table direction add column failure_code text",
    "alter table direction add column failure_reason text",
    "alter table direction add column failure_detail text",
    "alter table direction add column failure_at bigint",
    "alter table direction add column failure_trace text",
    "alter table direction add column failure_peer_trace text",
    "alter table direction add column clock_skew_ms bigint",
    "alter table direction drop column last_failure",
    // A probe is no job any more: it leaves nothing to be carried out.
    "delete from job where kind = 'PROBE'",
    // Which node probes, and until when nobody else does.
    "create table watch_lease (
        id bigint primary key,
        node uuid not null,
        renewed_at bigint not null,
        until bigint not null
    )",
];
