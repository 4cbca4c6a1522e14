//! How often suites run by themselves.

pub(crate) const UP: &[&str] = &[
    "create table check_schedule (
        suite text primary key,
        interval_seconds bigint not null,
        enabled boolean not null,
        updated_by uuid,
        updated_at bigint not null,
        revision bigint not null
    )",
    "insert into check_schedule (suite, interval_seconds, enabled, updated_by, updated_at, revision)
     values ('KEY_SERVICE', 15, true, null, 0, 1), ('CONNECTION_HEALTH', 3600, true, null, 0, 1)",
];
