//! The catalogue of checks: for each its code, side, severity, weight, time limit, question, and how to mend it.
//! The schema, the documentation pages and the tests are generated from it.

use chrono::TimeDelta;

use super::{CheckSpec, Severity, Side, Weight};

macro_rules! checks {
    ($(
        #[doc = $asks:literal]
        $variant:ident = $text:literal, $label:literal:
            $side:ident, $severity:ident, $weight:ident, $seconds:literal s, [$($step:literal,)+];
    )+) => {
        words! {
            /// The stable code of a check. Its documentation is the question that it asks.
            CheckCode { $(#[doc = $asks] $variant = $text, $label;)+ }
        }

        impl CheckCode {
            /// What is fixed about this check.
            #[must_use]
            pub const fn spec(self) -> CheckSpec {
                match self {
                    $(Self::$variant => CheckSpec {
                        code: self,
                        side: Side::$side,
                        severity: Severity::$severity,
                        blocking: matches!(Weight::$weight, Weight::Blocks),
                        time_limit: TimeDelta::seconds($seconds),
                        asks: self.doc(),
                        mend: &[$($step),+],
                    },)+
                }
            }
        }
    };
}

checks! {
    #[doc = "Does this instance have a provider record?"]
    ProviderRecord = "PROVIDER_RECORD", "Provider record": Provider, Critical, Blocks, 2 s, [
        "An administrator saves the provider record: a name of letters, digits and dashes.",
        "Consumers see that name when they connect.",
    ];
    #[doc = "Does this instance know the URL under which others reach it?"]
    BaseUrlSet = "BASE_URL_SET", "Base URL": Both, Critical, Blocks, 2 s, [
        "The operator sets base_url to the scheme, host and port that the other side reaches.",
        "Restart the instance, then validate the issue.",
    ];
    #[doc = "Is the contact's account active?"]
    ContactActive = "CONTACT_ACTIVE", "Contact is active": Provider, High, Blocks, 2 s, [
        "Switch the contact's account on, or name another contact in the registration.",
    ];
    #[doc = "Does the contact hold the role consumer contact?"]
    ContactRole = "CONTACT_ROLE", "Contact's role": Provider, High, Blocks, 2 s, [
        "Grant the contact the role consumer contact: without it nobody can approve.",
    ];
    #[doc = "Does the contact belong to the registration's company?"]
    ContactInCompany = "CONTACT_IN_COMPANY", "Contact's company": Provider, High, Blocks, 2 s, [
        "Name a contact of the registration's company in the registration.",
    ];
    #[doc = "Has the contact an email address that letters can be sent to?"]
    ContactEmail = "CONTACT_EMAIL", "Contact's email address": Provider, High, Blocks, 2 s, [
        "Make a contact with a valid address and name it in the registration.",
        "Outside production this is a warning: the link can be passed on by hand.",
    ];
    #[doc = "Is mail switched on, so that the link goes out by itself?"]
    MailService = "MAIL_SERVICE", "Mail service": Provider, Low, Warns, 2 s, [
        "The operator sets mail.transport to smtp, and names a mail server.",
        "Until then, pass the link on by hand.",
    ];
    #[doc = "Is this the only unfinished registration for its company and URL?"]
    DuplicateRegistration = "DUPLICATE_REGISTRATION", "Duplicate registration": Provider, High, Blocks, 2 s, [
        "Finish the other registration, or cancel it: the evidence has its number.",
    ];
    #[doc = "Is there no connection to that instance yet?"]
    DuplicateConnection = "DUPLICATE_CONNECTION", "Duplicate connection": Both, High, Blocks, 2 s, [
        "Use the connection that exists, or off-board it first.",
    ];
    #[doc = "Is nothing left of earlier attempts?"]
    StaleAttempts = "STALE_ATTEMPTS", "Stale attempts": Both, Moderate, Blocks, 2 s, [
        "Discard what the earlier attempt left. Nothing of a connection that stands is touched.",
    ];
    #[doc = "Can the key service do its work?"]
    KeyServiceHealth = "KEY_SERVICE_HEALTH", "Key service health": Both, Critical, Blocks, 5 s, [
        "A key administrator, manager, operator or auditor looks at the key service's health: each part says what is wrong \
         with it.",
    ];
    #[doc = "May the services that onboarding needs use the key modules that it needs?"]
    KeyAccessPolicy = "KEY_ACCESS_POLICY", "Key access policy": Both, Critical, Blocks, 5 s, [
        "A key manager looks at the module's access policies, and allows what the evidence names: module, operation and service.",
        "The module's effective rights show who can do what with it as its policies are.",
    ];
    #[doc = "Is the other instance's URL one that may be called?"]
    PeerUrlSafe = "PEER_URL_SAFE", "Peer's URL is safe": Both, High, Blocks, 15 s, [
        "Register a public https URL.",
        "For a partner in a private network, the operator lists that network in outbound.allow_networks.",
    ];
    #[doc = "Does the other instance's name resolve?"]
    PeerDns = "PEER_DNS", "The other instance's name resolves": Both, High, Blocks, 15 s, [
        "Correct the URL, or ask the other organisation to publish the name in DNS.",
    ];
    #[doc = "Is the other instance's TLS certificate valid, and for 30 days more?"]
    PeerTls = "PEER_TLS", "Peer's TLS": Both, High, Blocks, 15 s, [
        "Ask the other organisation to start the instance, or to install a certificate for its name, from an authority that is trusted here.",
        "An authority of your own goes into outbound.extra_ca_files.",
        "A certificate that ends within 30 days is a warning.",
    ];
    #[doc = "Does a Linkspan with a valid identity answer at the URL?"]
    PeerIsLinkspan = "PEER_IS_LINKSPAN", "Peer is Linkspan": Both, High, Blocks, 15 s, [
        "Correct the URL, or ask the other organisation to start Linkspan there.",
        "If the key is another than the link names, go no further: ask the provider for a new link over a channel that you trust.",
    ];
    #[doc = "Do both instances speak a common protocol version?"]
    PeerVersion = "PEER_VERSION", "Peer's version": Both, High, Blocks, 15 s, [
        "Bring the older of the two instances up to date.",
    ];
    #[doc = "Is the other instance another one than this?"]
    PeerIsNotUs = "PEER_IS_NOT_US", "Peer is not us": Both, High, Blocks, 15 s, [
        "Enter the URL of the other organisation's instance.",
    ];
    #[doc = "Do the two clocks agree to within 30 seconds?"]
    ClockSkew = "CLOCK_SKEW", "Clock skew": Both, High, Blocks, 15 s, [
        "Synchronise both hosts' clocks (NTP).",
        "More than 30 seconds is a warning, more than 120 seconds stops what comes next.",
    ];
    #[doc = "Is whoever runs this an administrator of this instance?"]
    RunningUserIsAdmin = "RUNNING_USER_IS_ADMIN", "Running user is administrator": Consumer, High, Blocks, 2 s, [
        "Sign in as an administrator and run the checks again, or ask one to.",
    ];
    #[doc = "Was the provider company chosen?"]
    ProviderCompanyChosen = "PROVIDER_COMPANY_CHOSEN", "Provider company chosen": Consumer, Moderate, Blocks, 2 s, [
        "Choose the company that the provider is.",
    ];
    #[doc = "Will the provider accept this link from this instance?"]
    RegistrationMatches = "REGISTRATION_MATCHES", "Registration matches": Consumer, High, Blocks, 20 s, [
        "Look at the reason: it is the provider's own answer.",
        "Ask the provider for a new link.",
    ];
    #[doc = "Does the provider reach this instance at its base URL?"]
    CallBack = "CALL_BACK", "Call-back": Consumer, High, Blocks, 20 s, [
        "Make this instance reachable for the provider at its base URL: look at the name, the certificate and the firewall.",
    ];
    #[doc = "Does what we send come back from the other side as it was sent?"]
    EchoOutbound = "ECHO_OUTBOUND", "Echo outbound": Both, Critical, Blocks, 15 s, [
        "Look at the reason: it names the step that failed.",
        "Ask the other side's operator whether the instance runs.",
    ];
    #[doc = "Does what the other side sends reach us?"]
    EchoInbound = "ECHO_INBOUND", "Echo inbound": Both, Critical, Blocks, 20 s, [
        "Make this instance reachable for the other side at its base URL: look at the name, the certificate and the firewall.",
    ];
    #[doc = "Do both sides hold the same keys of the connection?"]
    KeysAgree = "KEYS_AGREE", "Keys agree": Both, Critical, Blocks, 15 s, [
        "Find out which side lost or replaced its keys, and have it restore the backup that holds them.",
        "If nobody restored a backup, find out who changed the keys.",
    ];
    #[doc = "Do both sides hold the same settings?"]
    SettingsAgree = "SETTINGS_AGREE", "Settings agree": Both, High, Blocks, 15 s, [
        "Sync the settings: each side keeps the part that is its own.",
    ];
    #[doc = "Does each side know which version the other runs?"]
    VersionsKnown = "VERSIONS_KNOWN", "Versions known": Both, Moderate, Warns, 15 s, [
        "Ask the other instance again who it is.",
    ];
    #[doc = "Is the service account good for 14 days more?"]
    CredentialRenews = "CREDENTIAL_RENEWS", "Credential renews": Both, High, Blocks, 2 s, [
        "Renew the credentials of both sides. This also happens by itself, 30 days before they end.",
    ];
    #[doc = "May the other side's service account do what it needs, and nothing else?"]
    ServiceAccountLeastPrivilege = "SERVICE_ACCOUNT_LEAST_PRIVILEGE", "Service account has least privilege": Both, High, Blocks, 2 s, [
        "Renew the credentials: the account is given what it needs, and nothing else.",
        "Find out who gave it more.",
    ];
    #[doc = "Is nothing left of onboarding that is not needed any more?"]
    NoLeftovers = "NO_LEFTOVERS", "No leftovers": Both, Moderate, Blocks, 2 s, [
        "Discard what onboarding left: the link's secret and unfinished attempts.",
    ];
    #[doc = "Are both directions up?"]
    DirectionsUp = "DIRECTIONS_UP", "Directions are up": Both, Critical, Blocks, 2 s, [
        "Ask for the explanation of the connection: it names the first thing that fails.",
        "A connection that was suspended is resumed.",
    ];
    #[doc = "Do both sides see the same of both directions?"]
    ViewsAgree = "VIEWS_AGREE", "Views agree": Both, High, Blocks, 2 s, [
        "One side hears what the other does not: look at proxies and firewalls between the two.",
    ];
    #[doc = "Are the keys of the connection younger than 90 days?"]
    KeyAge = "KEY_AGE", "Key age": Both, Moderate, Warns, 2 s, [
        "The keys go on working. New ones come with a new connection: off-board this one and register the consumer again.",
    ];
    #[doc = "Is the other instance's certificate good for 30 days more?"]
    CertificateAge = "CERTIFICATE_AGE", "Certificate age": Both, High, Warns, 15 s, [
        "Ask the other organisation to renew its certificate.",
    ];
    #[doc = "Is all work about this connection carried out?"]
    QueueMoving = "QUEUE_MOVING", "Queue moves": Both, High, Blocks, 2 s, [
        "Look at the last error of the work, mend its cause, then have it tried again.",
    ];
    #[doc = "Does the key service's process answer?"]
    Process = "PROCESS", "Key service process": Both, Critical, Blocks, 5 s, [
        "It is started again by itself within seconds. If it stays away, the log of this instance says why.",
        "The key service's health says how the process is confined.",
    ];
    #[doc = "Does the root key open the key hierarchy?"]
    RootKey = "ROOT_KEY", "Root key": Both, Critical, Blocks, 5 s, [
        "Give the key service the root key with which this instance was made, in its place and readable by its owner alone: it does not start again without it.",
    ];
    #[doc = "Can key material be wrapped and unwrapped?"]
    KeyEncryptionKey = "KEY_ENCRYPTION_KEY", "Key encryption key": Both, Critical, Blocks, 5 s, [
        "Restore the key hierarchy from a backup.",
    ];
    #[doc = "Is every key on record as the key service wrote it?"]
    IntegrityKey = "INTEGRITY_KEY", "Integrity key": Both, Critical, Blocks, 5 s, [
        "Somebody changed a key on record: restore it from a backup, and find out who.",
    ];
    #[doc = "Does the identity key sign?"]
    IdentitySigningKey = "IDENTITY_SIGNING_KEY", "Identity signing key": Both, Critical, Blocks, 5 s, [
        "Restore the row of the identity key from a backup: the other instances know this one by it, so nobody rotates or suspends it.",
    ];
    #[doc = "Does the source of randomness deliver?"]
    Entropy = "ENTROPY", "Entropy": Both, Critical, Blocks, 5 s, [
        "Ask the operator to look at the host's random number generator.",
    ];
    #[doc = "Does every primitive compute the answers that its standard gives?"]
    KnownAnswers = "KNOWN_ANSWERS", "Known answers": Both, Critical, Blocks, 5 s, [
        "Take the instance out of service: its host or its binary computes wrongly. Install the binary anew, on another host.",
    ];
    #[doc = "Is the clock not behind its own past?"]
    Clock = "CLOCK", "Clock": Both, High, Blocks, 5 s, [
        "Synchronise the clock of the host (NTP).",
    ];
    #[doc = "Does the policy engine decide as it must?"]
    PolicyEngine = "POLICY_ENGINE", "Policy engine": Both, High, Blocks, 5 s, [
        "Ask the operator to look at the log of the key service.",
    ];
    #[doc = "Is the chain of audit entries unbroken?"]
    AuditChain = "AUDIT_CHAIN", "Audit chain": Both, High, Blocks, 5 s, [
        "Verify an export of the audit log: it names the first bad entry.",
    ];
    #[doc = "Were all keys rotated that were due?"]
    RotationSchedule = "ROTATION_SCHEDULE", "Rotation schedule": Both, Moderate, Warns, 5 s, [
        "Rotate the keys that the evidence names.",
    ];
    #[doc = "Does every key module do what it is for?"]
    ModuleSelfTest = "MODULE_SELF_TEST", "Module self-test": Both, High, Blocks, 5 s, [
        "A key manager looks at the module that the evidence names: a key that ends is rotated; a row that somebody changed is restored from a backup.",
        "The keys of a connection come from an exchange: restore the row, or off-board the connection and register the consumer again.",
    ];
}
