//! What can fail between two instances, for the error log.

words! {
    /// What was tried when it failed.
    Operation {
        /// A direction was probed.
        Probe = "PROBE", "Probe";
        /// A phase of onboarding.
        Phase = "PHASE", "Onboarding";
        /// A message of the peer was taken.
        Receive = "RECEIVE", "Receiving a message";
        /// The settings were synced.
        Settings = "SETTINGS", "Settings sync";
        /// A letter was sent.
        Letter = "LETTER", "Letter";
        /// The checks were run.
        Scan = "SCAN", "Checks";
    }
}
