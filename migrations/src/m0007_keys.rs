//! Keys: metadata in the open under a seal, material wrapped.

pub(crate) const UP: &[&str] = &[
    "create table key_version (
        id uuid primary key,
        module text not null,
        purpose text not null,
        algorithm text not null,
        version bigint not null,
        state text not null,
        state_seq bigint not null,
        created_at bigint not null,
        activated_at bigint,
        rotated_at bigint,
        deactivated_at bigint,
        expires_at bigint,
        destroyed_at bigint,
        exportable boolean not null,
        public_key bytea,
        wrapped bytea not null,
        row_seal bytea not null
    )",
    "create unique index key_version_number on key_version (module, version)",
    "create unique index key_version_active on key_version (module) where state = 'ACTIVE'",
];
