//! How a connection was taken down: when it began, why, by which side, and whether the other side knows.

pub(crate) const UP: &[&str] = &[
    "alter table connection add column offboard_at bigint",
    "alter table connection add column offboard_reason text",
    "alter table connection add column offboard_by_peer boolean",
    "alter table connection add column peer_told boolean",
];
