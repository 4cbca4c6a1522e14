//! The audit trail as people read it: key auditors what concerns keys, administrators the rest.

use crate::actions::{Actions, Call, Done};
use crate::domain::audit::AuditEntry;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::store::{AuditFilter, Page, Slice};

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
        let message = "The audit trail is read by administrators, and what concerns keys by key auditors.";
        let entries = self.reader(call).audit_page(filter, page).await?;
        entries.ok_or_else(|| Refusal::new(RefusalCode::NotAnAdministrator, message).into())
    }
}
