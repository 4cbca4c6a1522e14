//! Key modules: a purpose with its specification and access policies, under a row seal.

pub(crate) const UP: &[&str] = &[
    "create table key_module (
        id uuid primary key,
        name text not null,
        purpose text not null,
        algorithm text not null,
        exportable boolean not null,
        rotation_period bigint,
        key_lifetime bigint,
        default_decision text not null,
        state text not null,
        state_seq bigint not null,
        created_at bigint not null,
        published_at bigint,
        policies jsonb not null,
        row_seal bytea not null
    )",
    "create unique index key_module_name on key_module (name)",
];
