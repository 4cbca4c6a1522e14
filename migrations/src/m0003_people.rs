//! Companies, the accounts of people and programs, what they may do and how they sign in.

pub(crate) const UP: &[&str] = &[
    "create table company (
        id uuid primary key,
        name text not null unique,
        created_at bigint not null,
        revision bigint not null
    )",
    "create table account (
        id uuid primary key,
        email text not null unique,
        name text not null,
        password_hash text,
        active boolean not null,
        company_id uuid references company (id),
        created_at bigint not null,
        revision bigint not null
    )",
    "create index account_company on account (company_id)",
    "create table account_role (
        account_id uuid not null references account (id),
        role text not null,
        granted_by text not null,
        granted_at bigint not null,
        primary key (account_id, role)
    )",
    "create table session (
        id uuid primary key,
        digest bytea not null unique,
        account_id uuid not null references account (id),
        created_at bigint not null,
        fresh_at bigint not null,
        seen_at bigint not null,
        expires_at bigint not null
    )",
    "create table sign_in_code (
        id uuid primary key,
        account_id uuid not null references account (id),
        digest bytea not null,
        tries_left bigint not null,
        created_at bigint not null,
        expires_at bigint not null
    )",
    "create index sign_in_code_account on sign_in_code (account_id)",
    "create table access_token (
        id uuid primary key,
        account_id uuid not null references account (id),
        name text not null,
        digest bytea not null unique,
        created_at bigint not null,
        expires_at bigint not null,
        used_at bigint
    )",
    "create index access_token_account on access_token (account_id)",
];
