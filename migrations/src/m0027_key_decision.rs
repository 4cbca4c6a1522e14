//! Decisions about access to keys, kept so that they can be explained.

pub(crate) const UP: &[&str] = &[
    "create table key_decision (
        id uuid primary key,
        at bigint not null,
        module text not null,
        principal text not null,
        operation text not null,
        context jsonb not null,
        allowed boolean not null,
        explanation text not null,
        trace jsonb not null
    )",
    "create index key_decision_age on key_decision (at)",
];
