//! What can be done with modules, keys and the key service: what roles allow and access policies decide about.

names! {
    /// One thing that can be done.
    Right, "right" {
        /// Make a ciphertext.
        Seal = "SEAL";
        /// Read a ciphertext.
        Open = "OPEN";
        /// Make a signature.
        Sign = "SIGN";
        /// Check a signature.
        Verify = "VERIFY";
        /// Make a message authentication code.
        Mac = "MAC";
        /// Check a message authentication code.
        VerifyMac = "VERIFY_MAC";
        /// Take part in a key exchange, which makes the keys of a connection.
        Agree = "AGREE";
        /// Make a new key.
        Generate = "GENERATE";
        /// Put a new key into use.
        Activate = "ACTIVATE";
        /// Put a new version in the place of a key.
        Rotate = "ROTATE";
        /// Move the expiry of a key.
        Renew = "RENEW";
        /// Take a key out of use for a while.
        Suspend = "SUSPEND";
        /// Put a suspended key back into use.
        Resume = "RESUME";
        /// Withdraw a key.
        Revoke = "REVOKE";
        /// Mark a key as known to others.
        Compromise = "COMPROMISE";
        /// Read under a key that is marked as compromised.
        OpenCompromised = "OPEN_COMPROMISED";
        /// Erase the material of a key.
        Destroy = "DESTROY";
        /// Bring key material in from elsewhere.
        Import = "IMPORT";
        /// Take key material out, wrapped for another system.
        Export = "EXPORT";
        /// Create, change and publish modules, and set when their keys rotate by themselves.
        ManageModules = "MANAGE_MODULES";
        /// Create, change and delete access policies.
        ManagePolicies = "MANAGE_POLICIES";
        /// Put another root key in the place of the one in use.
        RotateRoot = "ROTATE_ROOT";
        /// Put a new key encryption key in use and rewrap every key under it.
        RotateKeyEncryptionKey = "ROTATE_KEY_ENCRYPTION_KEY";
        /// Approve or refuse what another person asked for.
        Approve = "APPROVE";
        /// Grant key roles to others and take them back.
        GrantRoles = "GRANT_ROLES";
        /// Read what is known of modules and keys, and access policies; never material.
        ReadMetadata = "READ_METADATA";
        /// Read how access was decided.
        ReadDecisions = "READ_DECISIONS";
        /// Read the audit trail of the key service.
        ReadAudit = "READ_AUDIT";
    }
}

impl Right {
    /// Whether it uses the material of a key, rather than managing keys. Services hold these by access policy alone;
    /// all others need a role as well.
    pub const fn uses_material(self) -> bool {
        matches!(
            self,
            Self::Seal | Self::Open | Self::Sign | Self::Verify | Self::Mac | Self::VerifyMac | Self::Agree
        )
    }

    /// Whether access policies of a module decide about it; the others concern the key service as a whole, and the
    /// role alone decides.
    pub const fn is_of_a_module(self) -> bool {
        !matches!(
            self,
            Self::RotateRoot
                | Self::RotateKeyEncryptionKey
                | Self::Approve
                | Self::GrantRoles
                | Self::ReadDecisions
                | Self::ReadAudit
        )
    }
}

/// A set of rights, in one canonical form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u64);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// Exactly these.
    pub const fn of(rights: &[Right]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < rights.len() {
            bits |= 1 << rights[i] as u64;
            i += 1;
        }
        Self(bits)
    }

    /// Whether the right is among them.
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u64) != 0
    }

    /// Those of either.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.iter().copied().filter(move |right| self.has(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, |all, right| all.and(Self::of(&[right])))
    }
}
