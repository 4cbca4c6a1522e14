//! Our own certificate, replaceable while connections go on.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The server's certificate could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be read or holds nothing usable.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never any of its content.
        reason: String,
    },
    /// Certificate and key do not belong together, or the key's kind is not supported.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

/// Why others will not accept a certificate that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Its time is over.
    #[error("has expired")]
    Expired,
    /// Its time has not come.
    #[error("is not valid yet")]
    NotYet,
    /// It is for others than this name.
    #[error("is not for the name under which others reach this instance")]
    OtherName,
    /// It is not what a server's certificate is.
    #[error("cannot be a server's certificate: {0}")]
    Unreadable(String),
}

/// The certificate and key that new connections are served with. Certificates are renewed every few weeks, so they
/// are read again from the same files on [`Self::reload`]; connections in progress keep theirs.
pub struct Certificate {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the certificate chain and the key (both PEM).
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when a file cannot be read or the two do not belong together.
    pub fn read(certificate_file: PathBuf, key_file: PathBuf) -> Result<Self, CertificateError> {
        let current = RwLock::new(read_pair(&certificate_file, &key_file)?);
        Ok(Self { certificate_file, key_file, current })
    }

    /// Whether others accept its name and its dates at this time since the Unix epoch; whom they trust is not asked.
    ///
    /// # Errors
    /// [`CertificateFault`], the first that is found.
    pub fn judge(&self, host: Option<&str>, at: Duration) -> Result<(), CertificateFault> {
        use rustls::CertificateError as E;

        let unreadable = |error: &dyn fmt::Display| CertificateFault::Unreadable(error.to_string());
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let own = current.end_entity_cert().map_err(|error| unreadable(&error))?;
        let own = ParsedCertificate::try_from(own).map_err(|error| unreadable(&error))?;
        let dates = verify_server_cert_signed_by_trust_anchor(
            &own,
            &RootCertStore::empty(),
            &[],
            UnixTime::since_unix_epoch(at),
            ring::default_provider().signature_verification_algorithms.all,
        );
        match dates {
            Err(rustls::Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. })) => {
                return Err(CertificateFault::Expired);
            }
            Err(rustls::Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. })) => {
                return Err(CertificateFault::NotYet);
            }
            // No authority is known here, so that it comes no further than to its dates.
            Ok(()) | Err(_) => {}
        }
        let Some(host) = host else { return Ok(()) };
        let name = ServerName::try_from(host).map_err(|error| unreadable(&error))?;
        verify_server_name(&own, &name).map_err(|_| CertificateFault::OtherName)
    }

    /// Reads both files again. On failure the previous certificate stays in use.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn reload(&self) -> Result<(), CertificateError> {
        let next = read_pair(&self.certificate_file, &self.key_file)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("certificate_file", &self.certificate_file)
            .finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 with ring's suites, which are Mozilla's "intermediate" ones without finite-field Diffie-Hellman.
pub(super) fn server_config(certificate: Arc<Certificate>) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read_pair(certificate_file: &PathBuf, key_file: &PathBuf) -> Result<Arc<CertifiedKey>, CertificateError> {
    let failed = |path: &PathBuf, reason: String| CertificateError::File { path: path.clone(), reason };
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(certificate_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(certificate_file, "there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| failed(key_file, error.to_string()))?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &ring::default_provider())?))
}
