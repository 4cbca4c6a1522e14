//! Rotations of the key encryption key, and what must not come back when one is over.

pub(crate) const UP: &[&str] = &[
    "create table key_encryption_rotation (
        version bigint primary key,
        state text not null,
        total bigint not null,
        done bigint not null,
        started_by uuid,
        started_at bigint not null,
        waits_until bigint,
        finished_at bigint,
        error text,
        error_at bigint,
        revision bigint not null
    )",
    // Nothing is stored any more that a version below this one wraps.
    "alter table instance add column wraps_from bigint not null default 0",
    // The link that a handshake under way is for: without it, what waits for its end cannot be wrapped again.
    "alter table handshake add column module text",
    // A handshake that ended waits for nothing.
    "update handshake set pending = substr(pending, 1, 0) where m4 is not null",
];
