//! What this instance publishes as a provider, for all its consumers, and why a sync of settings failed.

pub(crate) const UP: &[&str] = &[
    "create table definition (
        id uuid primary key,
        kind text not null,
        name text not null,
        description text not null,
        version bigint not null,
        fields text not null,
        created_at bigint not null,
        updated_at bigint not null,
        revision bigint not null
    )",
    "create unique index definition_name on definition (kind, name)",
    // Its row lock puts changes of what is published in an order: each has a revision of its own.
    "create table catalogue (
        id bigint primary key check (id = 1),
        revision bigint not null
    )",
    "insert into catalogue (id, revision) values (1, 0)",
    "alter table settings add column failure jsonb",
];
