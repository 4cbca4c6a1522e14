//! Issues: when people were told of one; of those that are known already they were. And those about connections that
//! stand are closed that only checks before onboarding would resolve: nothing asks them any more.

pub(crate) const UP: &[&str] = &[
    "alter table issue add column told_at bigint",
    "update issue set told_at = last_seen_at",
    "update issue set state = 'CLOSED', resolved_at = last_seen_at, revision = revision + 1
     where state = 'OPEN' and subject_kind = 'CONNECTION'
        and check_code not in ('ECHO_OUTBOUND', 'ECHO_INBOUND', 'KEYS_AGREE', 'SETTINGS_AGREE', 'VERSIONS_KNOWN',
            'CREDENTIAL_RENEWS', 'SERVICE_ACCOUNT_LEAST_PRIVILEGE', 'NO_LEFTOVERS', 'DIRECTIONS_UP', 'VIEWS_AGREE',
            'KEY_AGE', 'CERTIFICATE_AGE', 'QUEUE_MOVING', 'CLOCK_SKEW')
        and subject_id in (select id from connection where state in ('ONBOARDED', 'SUSPENDED'))",
];
