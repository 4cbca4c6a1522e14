//! Registrations, and the claims to their links.

pub(crate) const UP: &[&str] = &[
    "create table registration (
        id uuid primary key,
        number bigint not null unique,
        company_id uuid not null references company (id),
        contact_id uuid not null references account (id),
        origin text not null,
        environment text not null,
        state text not null,
        scan_id uuid,
        banner text,
        link_id uuid unique,
        link_digest bytea,
        link_issued_at bigint,
        link_expires_at bigint,
        link_delivery text,
        link_contested_at bigint,
        connection_id uuid,
        ended_at bigint,
        reason text,
        last_attempt bigint not null,
        created_by uuid not null references account (id),
        created_at bigint not null,
        updated_at bigint not null,
        revision bigint not null
    )",
    // At most one that is not final per URL, and per company and environment: the backstop behind the check.
    "create unique index registration_origin_live on registration (origin)
        where state not in ('CLOSED_COMPLETE', 'CANCELLED')",
    "create unique index registration_company_live on registration (company_id, environment)
        where state not in ('CLOSED_COMPLETE', 'CANCELLED')",
    "create table claim (
        id uuid primary key,
        registration_id uuid not null references registration (id),
        link_id uuid not null,
        instance_id uuid not null,
        origin text not null,
        public_key bytea not null,
        instance_name text not null,
        software text not null,
        rehearsal boolean not null,
        state text not null,
        reason text,
        created_at bigint not null
    )",
    "create index claim_registration on claim (registration_id, created_at)",
    // However many ask at once with one key: one of them is proven.
    "create unique index claim_proving on claim (registration_id, public_key, rehearsal) where state = 'PROVING'",
    "create unique index claim_bound on claim (registration_id) where state = 'BOUND'",
    // Links that no longer work, so that their holders are told why.
    "create table spent_link (
        link_id uuid primary key,
        digest bytea not null,
        registration_id uuid not null references registration (id),
        reason text not null,
        at bigint not null
    )",
];
