//! What is about something that ended is not open any more: nobody can resolve it.

pub(crate) const UP: &[&str] = &[
    "update issue set state = 'CLOSED', resolved_at = last_seen_at, revision = revision + 1
        where state = 'OPEN' and subject_kind = 'REGISTRATION' and subject_id not in (select id from registration
            where state not in ('CLOSED_COMPLETE', 'CLOSED_INCOMPLETE', 'CANCELLED'))",
    "update issue set state = 'CLOSED', resolved_at = last_seen_at, revision = revision + 1
        where state = 'OPEN' and subject_kind = 'CONNECTION' and subject_id not in (select id from connection
            where state <> 'OFFBOARDED')",
];
