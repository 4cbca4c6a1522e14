//! A private certificate authority for tests, with its files.

use std::{env, fs, path::PathBuf, process};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// A directory for one test's files, removed with it.
pub(crate) struct TestAuthority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca_file: PathBuf,
}

/// A server certificate and its key, as files.
pub(crate) struct TestCertificate {
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl TestAuthority {
    /// `test` names the directory: give each test its own.
    pub(crate) fn new(test: &str) -> Self {
        let directory = env::temp_dir().join(format!("linkspan-{}-{test}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_file = directory.join("ca.pem");
        fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key), ca_file }
    }

    /// A certificate for `name` in DER.
    pub(crate) fn der(&self, name: &str) -> Vec<u8> {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().to_vec()
    }

    /// A certificate for `name` that ends with the given year, in files that a second call writes anew.
    pub(crate) fn issue(&self, name: &str, end_of_year: i32) -> TestCertificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end_of_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate_file = self.directory.join(format!("{name}.pem"));
        let key_file = self.directory.join(format!("{name}.key"));
        fs::write(&certificate_file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        TestCertificate { certificate_file, key_file }
    }
}

impl Drop for TestAuthority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
