//! Keys that come from another system, and keys that leave for one.

use uuid::Uuid;

use super::Timestamp;

words! {
    /// What can be done with the keys of a module and another system, by the mutation that does it.
    KeyTransferVerb {
        /// Take a key in.
        Import = "importKey", "Import";
        /// Wrap a key for another system.
        Export = "exportKey", "Export";
    }
}

/// What another system needs to wrap one key for a module of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportTicket {
    /// Its id.
    pub id: Uuid,
    /// The module.
    pub module: String,
    /// The algorithm that the key must be of.
    pub algorithm: String,
    /// The X25519 public key to wrap to.
    pub public_key: Vec<u8>,
    /// The associated data to wrap with.
    pub associated_data: Vec<u8>,
    /// Until when a package is waited for.
    pub expires_at: Timestamp,
}

/// A key, wrapped for another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPackage {
    /// The id of the key.
    pub key: Uuid,
    /// Its version.
    pub version: u64,
    /// The module.
    pub module: String,
    /// The package.
    pub bytes: Vec<u8>,
    /// The associated data that opens it.
    pub associated_data: Vec<u8>,
}
