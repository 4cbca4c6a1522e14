//! The key encryption key, which wraps all others, and its rotation.

use super::Timestamp;
use super::id::UserId;

words! {
    /// What can be done with the key encryption key, by the mutation that does it.
    KeyEncryptionVerb {
        /// Put a new one in use and wrap every key under it.
        Rotate = "rotateKeyEncryptionKey", "Rotate";
    }
}

words! {
    /// Where a rotation of the key encryption key is.
    KeyRotationState {
        /// The new key wraps what is new; what is older is wrapped again.
        Rewrapping = "REWRAPPING", "Wrapping all keys again";
        /// Nothing is left under the old key, which is kept for a moment, for what is still at work with it.
        Settling = "SETTLING", "Waiting before the old key is removed";
        /// The old key is gone.
        Done = "DONE", "Done";
    }
}

/// Where a rotation is, with what is true then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStage {
    /// Keys are wrapped again.
    Rewrapping,
    /// The old key is removed then.
    Settling {
        /// When.
        until: Timestamp,
    },
    /// The old key is gone.
    Done {
        /// Since when.
        at: Timestamp,
    },
}

impl RotationStage {
    /// Its name.
    #[must_use]
    pub const fn state(self) -> KeyRotationState {
        match self {
            Self::Rewrapping => KeyRotationState::Rewrapping,
            Self::Settling { .. } => KeyRotationState::Settling,
            Self::Done { .. } => KeyRotationState::Done,
        }
    }
}

/// A rotation of the key encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// The version that it brings, from 2.
    pub version: u32,
    /// Where it is.
    pub stage: RotationStage,
    /// How many wraps there were when it was last counted.
    pub total: u64,
    /// How many of them are under the new key.
    pub done: u64,
    /// Who began it.
    pub started_by: Option<UserId>,
    /// When.
    pub started_at: Timestamp,
    /// What keeps it from going on, and since when; none when nothing does.
    pub error: Option<(String, Timestamp)>,
    /// Grows by one with every step.
    pub revision: i64,
}

impl KeyRotation {
    /// Whether there is something left to do.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        !matches!(self.stage, RotationStage::Done { .. })
    }
}

/// The key encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEncryptionKey {
    /// The version that wraps, from 1.
    pub version: u32,
    /// The rotation that brought it; none for the first one.
    pub rotation: Option<KeyRotation>,
}

impl KeyEncryptionKey {
    /// The key that the last rotation brought.
    #[must_use]
    pub fn after(rotation: Option<KeyRotation>) -> Self {
        Self { version: rotation.as_ref().map_or(1, |rotation| rotation.version), rotation }
    }
}
