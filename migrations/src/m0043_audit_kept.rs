//! Of a peer's audit trail the first checkpoint of an hour is kept too, not only the newest: what was rewritten before
//! the newest one shows against those.

pub(crate) const UP: &[&str] = &[
    // No reference: what was witnessed stays when the connection goes.
    "create table audit_kept (
        connection_id uuid not null,
        hour bigint not null,
        note text not null,
        primary key (connection_id, hour)
    )",
];
