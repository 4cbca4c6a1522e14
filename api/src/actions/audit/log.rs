//! The audit trail as people read it: key auditors what concerns keys, administrators the rest.

use keyservice::MacPurpose;

use crate::actions::{Actions, Call, Done};
use crate::domain::audit::AuditEntry;
use crate::domain::explain::sentence;
use crate::domain::person::EmailAddress;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::requester::Requester;
use crate::store::{ADDRESS, AuditFilter, Page, Slice};

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
        let entries = self.reader(call).audit_page(filter, page).await?;
        entries.ok_or_else(|| unread().into())
    }

    /// What stands in the trail for an email address, to look for it; for whoever reads the trail, and on the host.
    ///
    /// # Errors
    /// `NOT_AN_ADMINISTRATOR`; `INVALID_INPUT` for what is no address.
    pub async fn audited_address(&self, call: &Call, email: &str) -> Done<[u8; 32]> {
        let on_host = matches!(call.requester, Requester::System);
        if !on_host && call.requester.viewer().audit().is_none() {
            return Err(unread().into());
        }
        let address = EmailAddress::parse(email);
        let address =
            address.map_err(|error| Refusal::invalid("filter.email", sentence(&error.to_string())))?;
        self.address_mac(&address.key()).await
    }

    /// The keyed hash of an email address, in the form under which accounts are found: searchable for a known address,
    /// readable by nobody.
    pub(in crate::actions) async fn address_mac(&self, key: &str) -> Done<[u8; 32]> {
        Ok(self.keys.mac(MacPurpose::AuditField, &[ADDRESS.as_bytes(), key.as_bytes()]).await?)
    }
}

fn unread() -> Refusal {
    let message = "The audit trail is read by administrators, and what concerns keys by key auditors.";
    Refusal::new(RefusalCode::NotAnAdministrator, message)
}
