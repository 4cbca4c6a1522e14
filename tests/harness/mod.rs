//! Whole instances, driven through their doors. Tests own the clock: `settle` waits until nothing is left to do
//! now, `advance` moves time.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod meanwhile;
pub(crate) mod outage;
pub(crate) mod pair;
pub(crate) mod proxy;
pub(crate) mod saboteur;
pub(crate) mod stage;

pub(crate) use client::{Client, nodes};
pub(crate) use instance::{Database, Instance};
pub(crate) use pair::Pair;
pub(crate) use stage::Stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// When every test begins: 2026-01-05 09:00:00 UTC, a Monday.
pub(crate) const START_MS: i64 = 1_767_603_600_000;

/// A directory of the test's own, gone with it.
pub(crate) struct Scratch(pub(crate) std::path::PathBuf);

impl Scratch {
    pub(crate) fn new() -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("linkspan-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        // Numbers of processes come round again, and one that was killed leaves its own behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Arc::new(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A private certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: std::path::PathBuf,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of these tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let file = scratch.0.join("ca.pem");
        std::fs::write(&file, &pem).unwrap();
        Self { issuer: Issuer::new(params, key), file, pem }
    }

    /// Certificate and key files for a host.
    pub(crate) fn issue(&self, scratch: &Scratch, host: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        self.issue_with(scratch, host, |_| {})
    }

    /// The same, with the end of the certificate in seconds since 1970-01-01 UTC.
    pub(crate) fn issue_until(
        &self,
        scratch: &Scratch,
        host: &str,
        until: Option<i64>,
    ) -> (std::path::PathBuf, std::path::PathBuf) {
        self.issue_with(scratch, host, |params| {
            if let Some(until) = until {
                let day = chrono::DateTime::from_timestamp(until, 0).unwrap().date_naive();
                let (year, month, day) = (
                    chrono::Datelike::year(&day),
                    chrono::Datelike::month(&day),
                    chrono::Datelike::day(&day),
                );
                params.not_after = rcgen::date_time_ymd(year, month as u8, day as u8);
            }
        })
    }

    /// The same, good between these two years only.
    pub(crate) fn issue_for(
        &self,
        scratch: &Scratch,
        host: &str,
        years: Option<(i32, i32)>,
    ) -> (std::path::PathBuf, std::path::PathBuf) {
        self.issue_with(scratch, host, |params| {
            if let Some((from, to)) = years {
                params.not_before = rcgen::date_time_ymd(from, 1, 1);
                params.not_after = rcgen::date_time_ymd(to, 1, 1);
            }
        })
    }

    fn issue_with(
        &self,
        scratch: &Scratch,
        host: &str,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> (std::path::PathBuf, std::path::PathBuf) {
        let mut params = CertificateParams::new(vec![host.to_owned(), format!("*.{host}")]).unwrap();
        // Another name than its issuer's, or OpenSSL takes it for self-signed.
        params.distinguished_name.push(DnType::CommonName, host);
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let (certificate, private) =
            (scratch.0.join(format!("{host}.pem")), scratch.0.join(format!("{host}.key")));
        std::fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        (certificate, private)
    }
}

/// Lets so much time of the machine pass, for what goes by its clock or is seen only by what does not happen.
pub(crate) async fn let_pass(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}
