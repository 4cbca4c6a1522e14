//! In which order lists come.

use async_graphql::Enum;

/// In which order connections are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::store::ConnectionOrder")]
pub(in crate::graphql) enum ConnectionOrder {
    /// Made last first.
    #[default]
    Newest,
    /// Changed last first.
    LastChanged,
    /// By the peer's name, or its URL where it has none, from A to Z.
    Name,
}

/// In which order registrations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::store::RegistrationOrder")]
pub(in crate::graphql) enum RegistrationOrder {
    /// Made last first.
    #[default]
    Newest,
    /// Changed last first.
    LastChanged,
    /// By the company's name, from A to Z.
    Company,
}
