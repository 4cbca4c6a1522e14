//! What can fail between two instances, for the error log.

words! {
    /// What was tried when it failed.
    Operation {
        /// A direction was probed.
        Probe = "PROBE", "Asking the other side";
        /// A phase of onboarding.
        Phase = "PHASE", "Onboarding";
        /// A message of the peer was taken.
        Receive = "RECEIVE", "Receiving a message";
        /// The settings were synced.
        Settings = "SETTINGS", "Settings sync";
        /// A letter was sent.
        Letter = "LETTER", "Letter";
        /// Another instance redeemed a registration link.
        Claim = "CLAIM", "Claim to the link";
        /// The contact was asked to approve.
        Approval = "APPROVAL", "Approval";
        /// The peer was told of a decision here.
        Notice = "NOTICE", "Notice to the other side";
        /// The service accounts were renewed.
        Credentials = "CREDENTIALS", "Credentials";
        /// The connection was verified.
        Verification = "VERIFICATION", "Verification";
        /// The peer was asked who it is.
        Identity = "IDENTITY", "Identity";
        /// Checks were run by their schedule.
        Checks = "CHECKS", "Checks";
    }
}

impl Operation {
    /// Whether a message goes from one instance to the other for it.
    #[must_use]
    pub const fn is_between_instances(self) -> bool {
        match self {
            Self::Letter | Self::Approval | Self::Checks => false,
            Self::Probe
            | Self::Phase
            | Self::Receive
            | Self::Settings
            | Self::Claim
            | Self::Notice
            | Self::Credentials
            | Self::Verification
            | Self::Identity => true,
        }
    }
}
