//! Every check, with something broken that it finds, and its remedy.
//!
//! The list is the catalogue itself: a check without a fixture does not compile. Each fixture breaks one thing on an
//! instance that is otherwise sound, and shows that exactly that check finds it, with evidence, a page that explains
//! it, and, where the remedy is a call, that applying it turns the check green.

mod after;
mod before;
mod broken;
mod calls;
mod keys;
pub(crate) mod rogue;

use linkspan::domain::check::CheckCode;
use serde_json::{Value, json};

use crate::harness::{Client, Pair};

/// Where a check's fixture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fixture {
    /// A registration on the provider, before onboarding.
    Registration,
    /// A connection on the consumer, before onboarding.
    Connection,
    /// A connection that stands.
    Standing,
    /// The key service.
    Keys,
}

/// The fixture of every check.
const fn fixture(code: CheckCode) -> Fixture {
    use CheckCode as C;
    match code {
        C::ProviderRecord
        | C::BaseUrlSet
        | C::ContactActive
        | C::ContactRole
        | C::ContactInCompany
        | C::ContactEmail
        | C::MailService
        | C::DuplicateRegistration
        | C::DuplicateConnection
        | C::StaleAttempts
        | C::KeyServiceHealth
        | C::KeyAccessPolicy
        | C::PeerUrlSafe
        | C::PeerDns
        | C::PeerTls
        | C::PeerIsLinkspan
        | C::PeerVersion
        | C::PeerIsNotUs
        | C::ClockSkew => Fixture::Registration,
        C::RunningUserIsAdmin | C::ProviderCompanyChosen | C::RegistrationMatches | C::CallBack => {
            Fixture::Connection
        }
        C::EchoOutbound
        | C::EchoInbound
        | C::KeysAgree
        | C::SettingsAgree
        | C::VersionsKnown
        | C::CredentialRenews
        | C::ServiceAccountLeastPrivilege
        | C::NoLeftovers
        | C::DirectionsUp
        | C::ViewsAgree
        | C::KeyAge
        | C::CertificateAge
        | C::QueueMoving => Fixture::Standing,
        C::Process
        | C::RootKey
        | C::KeyEncryptionKey
        | C::IntegrityKey
        | C::IdentitySigningKey
        | C::Entropy
        | C::KnownAnswers
        | C::Clock
        | C::PolicyEngine
        | C::AuditChain
        | C::RotationSchedule
        | C::ModuleSelfTest => Fixture::Keys,
    }
}

/// A word that the evidence of each fixture says: what was seen, by its name or number.
const fn word(code: CheckCode) -> &'static str {
    use CheckCode as C;
    match code {
        C::ProviderRecord => "no record",
        C::BaseUrlSet => "base_url",
        C::ContactActive | C::ContactRole | C::ContactInCompany => "contact@consumer.example.com",
        C::ContactEmail => "nowhere",
        C::MailService => "mail.transport",
        C::DuplicateRegistration => "REG-000002",
        C::DuplicateConnection | C::StaleAttempts => "https://consumer.localhost",
        C::KeyServiceHealth => "randomness",
        C::Entropy => "ENTROPY",
        C::KeyAccessPolicy => "links",
        C::PeerUrlSafe => "may not be called",
        C::PeerDns => "DNS knows no address",
        C::PeerTls => "for another name",
        C::PeerIsLinkspan => "malformed",
        C::PeerVersion => "99",
        C::PeerIsNotUs => "same instance id",
        C::ClockSkew => "60",
        C::RunningUserIsAdmin => "ADMIN",
        C::ProviderCompanyChosen => "no company",
        C::RegistrationMatches => "CANCELLED",
        C::CallBack => "could not reach this instance",
        C::EchoOutbound => "was silent then",
        C::EchoInbound => "10 s",
        C::KeysAgree => "MESSAGE",
        C::SettingsAgree => "they hold",
        C::VersionsKnown => "None",
        C::CredentialRenews => "ends 2026-01-",
        C::ServiceAccountLeastPrivilege => "keys.export",
        C::NoLeftovers => "the link's secret",
        C::DirectionsUp => "Outbound: Suspended",
        C::ViewsAgree => "they Down",
        C::KeyAge => "91 days ago",
        C::CertificateAge => "expires",
        C::QueueMoving => "given up",
        C::Process => "UNAVAILABLE",
        C::RootKey => "ROOT_KEY_EXPOSED",
        C::KeyEncryptionKey | C::KnownAnswers | C::PolicyEngine => "BROKEN",
        C::IntegrityKey => "CHANGED",
        C::IdentitySigningKey => "IDENTITY_KEY_MISSING",
        C::Clock => "CLOCK_BEHIND",
        C::AuditChain => "AUDIT_CHAIN_BROKEN",
        C::RotationSchedule => "ROTATION_OVERDUE",
        C::ModuleSelfTest => "KEY_EXPIRES_SOON (signatures)",
    }
}

/// Checks that block by what they find, and in whose fixture it is only a warning: outside production, and of a key that
/// still works.
const fn only_warns_here(code: CheckCode) -> bool {
    matches!(code, CheckCode::ContactEmail | CheckCode::ModuleSelfTest)
}

/// The checks whose fixture is there, in the order of the catalogue.
fn checks_of(place: Fixture) -> impl Iterator<Item = CheckCode> {
    CheckCode::ALL.iter().copied().filter(move |code| fixture(*code) == place)
}

const RESULTS: &str = "id state results { check answer message evidence blocking severity docsUrl
    remedy { kind mutation text setting variables { name value } } }";

/// The latest scan of whole suites about a subject, or about the instance.
async fn latest(client: &Client, subject: Option<&str>) -> Value {
    let query = format!(
        "query($id: ID) {{ scans(subjectId: $id, first: 50) {{ edges {{ node {{ only {RESULTS} }} }} }} }}"
    );
    let scans = client.query(&query, json!({ "id": subject })).await;
    let edges = scans["scans"]["edges"].as_array().unwrap();
    let whole = edges.iter().find(|edge| edge["node"]["only"].is_null());
    whole.unwrap_or_else(|| panic!("no scan: {scans:#}"))["node"].clone()
}

/// What a scan found, by check.
fn found(scan: &Value) -> Vec<String> {
    let results = scan["results"].as_array().unwrap();
    let bad = results.iter().filter(|result| !matches!(result["answer"].as_str(), Some("PASS" | "SKIPPED")));
    bad.map(|result| result["check"].as_str().unwrap().to_owned()).collect()
}

/// Exactly this check found something, with all that belongs to a finding.
async fn assert_found(client: &Client, scan: &Value, code: CheckCode) -> Value {
    assert_found_with(client, scan, code, word(code)).await
}

/// The same, where the evidence says another word.
async fn assert_found_with(client: &Client, scan: &Value, code: CheckCode, word: &str) -> Value {
    assert_eq!(found(scan), [code.as_str()], "{scan:#}");
    let results = scan["results"].as_array().unwrap();
    let finding = results.iter().find(|result| result["check"] == code.as_str()).unwrap().clone();
    assert_eq!(finding["answer"], "FINDING", "{finding:#}");
    let (spec, blocks) = (code.spec(), &finding["blocking"]);
    assert_eq!(*blocks, spec.blocking && !only_warns_here(code), "as its page says: {finding:#}");
    assert_eq!(finding["severity"], spec.severity.as_str(), "{finding:#}");
    assert!(!finding["message"].as_str().unwrap().is_empty(), "{finding:#}");
    assert!(finding["evidence"].as_str().unwrap().contains(word), "{finding:#}");
    let remedy = &finding["remedy"];
    let says = ["mutation", "text", "setting"]
        .iter()
        .any(|field| remedy[field].as_str().is_some_and(|it| !it.is_empty()));
    assert!(says, "no remedy: {finding:#}");
    let url = url::Url::parse(finding["docsUrl"].as_str().unwrap()).unwrap();
    let page = client.get(url.path()).await;
    assert_eq!(page.status, 200, "{finding:#}");
    assert!(page.body.contains(code.as_str()), "{}", page.body);
    finding
}

/// The open issue of this check.
async fn issue(client: &Client, code: CheckCode) -> String {
    let query = "query($checks: [CheckCode!]) { issues(filter: { state: OPEN, checks: $checks }) { edges { node { id } } } }";
    let issues = client.query(query, json!({ "checks": [code.as_str()] })).await;
    let edges = issues["issues"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 1, "{code}: {issues:#}");
    edges[0]["node"]["id"].as_str().unwrap().to_owned()
}

/// Applies the remedy if it is a call, or mends by hand otherwise and validates: the issue is resolved.
async fn assert_mended(pair: &Pair, client: &Client, code: CheckCode, finding: &Value, given: Value) {
    let id = issue(client, code).await;
    if finding["remedy"]["kind"] == "CALL" {
        client.mutate("applyRemedy", json!({ "issueId": id, "variables": given }), "scan { id }").await;
    } else {
        client.mutate("validateIssue", json!({ "issueId": id }), "scan { id }").await;
    }
    pair.settle().await;
    let query = "query($id: ID!) { issue(id: $id) { state resolvedAt evidence } }";
    let issue = client.query(query, json!({ "id": id })).await["issue"].clone();
    assert_eq!(issue["state"], "RESOLVED", "{code}: {issue:#}");
    assert!(issue["resolvedAt"].is_string());
}

#[test]
fn every_check_belongs_to_a_suite_and_says_how_to_mend_it() {
    for code in CheckCode::ALL {
        assert!(code.suites().count() > 0, "{code} is never asked");
        let spec = code.spec();
        assert!(spec.asks.ends_with('?') && !spec.mend.is_empty(), "{code}");
        assert!(spec.time_limit.num_seconds() > 0 && spec.time_limit.num_seconds() <= 20, "{code}");
    }
}
