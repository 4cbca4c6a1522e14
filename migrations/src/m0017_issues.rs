//! Who looks after an issue, whether it is muted or waived, who follows it, and how people want to hear of issues.

pub(crate) const UP: &[&str] = &[
    "alter table issue add column severity_rank bigint not null default 0",
    "alter table issue add column assignee_id uuid",
    "alter table issue add column muted_by uuid",
    "alter table issue add column mute_reason text",
    "alter table issue add column muted_until bigint",
    "alter table issue add column waived_by uuid",
    "alter table issue add column waiver_reason text",
    "alter table issue add column waived_until bigint",
    "create index issue_assignee on issue (assignee_id)",
    "create table issue_follower (
        issue_id uuid not null references issue (id) on delete cascade,
        account_id uuid not null,
        primary key (issue_id, account_id)
    )",
    "create table issue_mail (
        account_id uuid primary key references account (id) on delete cascade,
        mode text not null
    )",
];
