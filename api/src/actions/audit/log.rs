//! The audit trail as people read it: key auditors what concerns keys, administrators the rest.

use keyservice::audit::Recorded;
use uuid::Uuid;

use crate::actions::{Actions, Call, Done};
use crate::domain::Timestamp;
use crate::domain::audit::{Actor, AuditEntry};
use crate::domain::id::{TraceId, UserId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Role;
use crate::store::{AuditFilter, AuditScope, Page, Slice};

/// How the operations begin that concern keys: their entries are for key auditors alone.
const KEYS: &[&str] = &["key.", "key_module.", "audit."];
/// The same, with what both see: that a connection has keys.
const KEYS_AND_SHARED: &[&str] = &["key.", "key_module.", "audit.", "keys."];

impl Actions {
    /// Entries of the audit trail, the newest first, as far as the caller reads them.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR` for whoever is neither administrator nor key auditor.
    pub async fn audit_log(
        &self,
        call: &Call,
        filter: &AuditFilter,
        page: Page<i64>,
    ) -> Done<Slice<AuditEntry>> {
        let ours = call.requester.person().filter(|person| person.company.is_none());
        let has = |role| ours.is_some_and(|person| person.has(role));
        let scope = match (has(Role::KeyAuditor), has(Role::Admin)) {
            (true, true) => AuditScope::default(),
            (true, false) => AuditScope { within: KEYS_AND_SHARED, without: &[] },
            (false, true) => AuditScope { within: &[], without: KEYS },
            (false, false) => {
                let message =
                    "The audit trail is read by administrators, and what concerns keys by key auditors.";
                return Err(Refusal::new(RefusalCode::NotAnAdministrator, message).into());
            }
        };
        let Slice { items, has_next, has_previous } = self.store.audit_page(filter, scope, page).await?;
        Ok(Slice { items: items.into_iter().map(shown).collect(), has_next, has_previous })
    }
}

fn shown((recorded, at): (Recorded, Timestamp)) -> AuditEntry {
    let entry = recorded.entry;
    let person = entry.actor.strip_prefix("user:").and_then(|id| Uuid::try_parse(id).ok());
    AuditEntry {
        number: i64::try_from(entry.n).unwrap_or(i64::MAX),
        at,
        actor: match (person, entry.actor.as_str()) {
            (Some(id), _) => Actor::Person(UserId(id)),
            (None, "system") => Actor::System,
            (None, _) => Actor::Anonymous,
        },
        roles: entry.role.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        on_behalf_of: Some(entry.on_behalf_of).filter(|company| !company.is_empty()),
        operation: entry.operation,
        object_kind: entry.object_kind,
        object_id: entry.object_id,
        result: entry.result,
        trace: TraceId::parse(&entry.trace),
        details: entry.details,
        hash: recorded.hash,
    }
}
