//! The audit trail says under which roles and for whom, keeps sensitive values as keyed hashes, and is signed and kept
//! by others. Entries from before have none of the new fields, and so keep their hashes.

pub(crate) const UP: &[&str] = &[
    "alter table audit add column role text not null default ''",
    "alter table audit add column on_behalf_of text not null default ''",
    "alter table audit add column sensitive jsonb not null default '{}'",
    "create index audit_operation on audit (operation, n)",
    "create index audit_object on audit (object_id, n)",
    "create table audit_checkpoint (
        n bigint primary key,
        note text not null,
        at bigint not null
    )",
    // No reference: what was witnessed stays when the connection goes.
    "create table audit_witness (
        connection_id uuid primary key,
        ours bigint not null default 0,
        signature text,
        theirs bigint not null default 0,
        note text,
        disputed text,
        at bigint not null
    )",
];
