//! The enums of access to keys: policies, decisions, approvals.

use async_graphql::Enum;

mirror! {
    /// One thing that can be done with key modules, keys and the key service.
    KeyOperation of "crate::domain::key_policy::KeyOperation" {
        /// Make a ciphertext.
        Seal,
        /// Read a ciphertext.
        Open,
        /// Make a signature.
        Sign,
        /// Check a signature.
        Verify,
        /// Make a message authentication code.
        Mac,
        /// Check a message authentication code.
        VerifyMac,
        /// Take part in a key exchange, which makes the keys of a connection.
        Agree,
        /// Make a new key.
        Generate,
        /// Put a new key into use.
        Activate,
        /// Put a new version in the place of a key.
        Rotate,
        /// Move the expiry of a key.
        Renew,
        /// Take a key out of use for a while.
        Suspend,
        /// Put a suspended key back into use.
        Resume,
        /// Withdraw a key.
        Revoke,
        /// Mark a key as known to others.
        Compromise,
        /// Read under a key that is marked as compromised.
        OpenCompromised,
        /// Erase the material of a key.
        Destroy,
        /// Bring key material in from elsewhere.
        Import,
        /// Take key material out, wrapped for another system.
        Export,
        /// Create, change and publish modules, and set when their keys rotate by themselves.
        ManageModules,
        /// Create, change and delete access policies.
        ManagePolicies,
        /// Put another root key in the place of the one in use.
        RotateRoot,
        /// Put a new key encryption key in use and rewrap every key under it.
        RotateKeyEncryptionKey,
        /// Approve or refuse what another person asked for.
        Approve,
        /// Grant key roles to others and take them back.
        GrantRoles,
        /// Read what is known of modules and keys, and access policies; never material.
        ReadMetadata,
        /// Read how access was decided.
        ReadDecisions,
        /// Read the audit trail of the key service.
        ReadAudit,
    }
}

mirror! {
    /// What an access policy that applies says, in the order in which they decide.
    AccessEffect of "crate::domain::key_policy::AccessEffect" {
        /// Denies, whatever else applies.
        StrictReject,
        /// Allows unless a strict reject applies; each use is recorded.
        Track,
        /// Denies unless another policy allows.
        Reject,
    }
}

mirror! {
    /// A part of this program that uses keys.
    KeyUser of "crate::domain::key_policy::KeyUser" {
        /// Registration and onboarding: the exchange, identity documents, links.
        Onboarding,
        /// Messages between the instances of a connection: settings, probes, notices.
        Peer,
        /// Letters and what they carry.
        Letters,
        /// Signing people in, and their second factors.
        SignIn,
        /// Tokens and assertions of OAuth.
        Authorization,
        /// Secret settings and answers that are kept.
        Settings,
        /// Checkpoints of the audit trail.
        Audit,
        /// Checks and the health report.
        Health,
    }
}

mirror! {
    /// Whether an access policy applied, or why not.
    PolicyOutcome of "crate::domain::key_policy::PolicyOutcome" {
        /// It is about this principal, operation and data.
        Applies,
        /// It is about somebody else.
        OtherPrincipal,
        /// It is about other operations.
        OtherOperation,
        /// It is about other associated data.
        OtherData,
    }
}

mirror! {
    /// Whether somebody can effectively do something with a key module.
    AccessVerdict of "crate::domain::key_policy::AccessVerdict" {
        /// Yes, whatever the data.
        Allowed,
        /// For some associated data.
        Only,
        /// For all but some associated data.
        Except,
        /// No, whatever the data.
        Denied,
    }
}

mirror! {
    /// Where a request for approval is.
    KeyApprovalState of "crate::domain::key_approval::KeyApprovalState" {
        /// Waits for an answer.
        Pending,
        /// Somebody else agreed.
        Approved,
        /// Somebody else did not agree.
        Refused,
        /// Whoever asked does not want it any more.
        Withdrawn,
        /// Nobody answered in time, or it was not used in time.
        Expired,
        /// What was asked for was done.
        Used,
    }
}

mirror! {
    /// Where a rotation of the key encryption key is.
    KeyRotationState of "crate::domain::key_encryption::KeyRotationState" {
        /// The new key wraps what is new; what is older is wrapped again.
        Rewrapping,
        /// Nothing is left under the old key, which is kept for a moment, for what is still at work with it.
        Settling,
        /// The old key is gone.
        Done,
    }
}
