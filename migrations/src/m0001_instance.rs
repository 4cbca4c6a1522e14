//! Who this instance is, and the one row whose lock orders all commits.

pub(crate) const UP: &[&str] = &[
    "create table instance (
        id bigint primary key check (id = 1),
        instance_id uuid not null,
        install_id uuid not null,
        hierarchy bytea not null,
        identity_seq bigint not null,
        created_at bigint not null
    )",
    // Taken at the end of each writing transaction: its row lock is what makes the order of change numbers and
    // audit entries the order of commits on PostgreSQL, where a sequence alone does not give that.
    "create table head (
        id bigint primary key check (id = 1),
        change_seq bigint not null,
        audit_n bigint not null,
        audit_hash bytea not null,
        registration_number bigint not null
    )",
    "create table provider_record (
        id bigint primary key check (id = 1),
        name text not null,
        description text not null,
        created_at bigint not null,
        updated_at bigint not null,
        revision bigint not null
    )",
];
