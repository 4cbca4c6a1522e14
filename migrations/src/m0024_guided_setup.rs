//! Which activities of the guided set-up a person marked complete, and when a person saved a connection's settings.

pub(crate) const UP: &[&str] = &[
    "create table activity_mark (
        side text not null,
        activity text not null,
        completed_by uuid not null,
        completed_at bigint not null,
        override_reason text,
        primary key (side, activity)
    )",
    "alter table settings add column saved_at bigint",
];
