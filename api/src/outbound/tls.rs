//! Whom we believe: the authorities that may vouch for another instance's name.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::OutboundConfig;

/// The outbound client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutboundConfigError {
    /// A file of certificate authorities could not be used.
    #[error("cannot read certificates from {path}: {reason}")]
    AuthorityFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no certificate authority to trust.
    #[error(
        "no certificate authority is trusted: the system has none and outbound.extra_ca_files names none"
    )]
    NoAuthorities,
    /// A number is out of range.
    #[error("outbound.{field} must be at least 1")]
    Zero {
        /// The field's name.
        field: &'static str,
    },
    /// The cryptographic provider does not fit; a fault of the build.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The TLS client configuration: TLS 1.2 and 1.3 with ring, named explicitly because other crates may bring
/// providers of their own. Certificate times are compared with rustls' default time provider, the system clock: a
/// certificate's validity is a fact of the world outside, not of our records.
pub(super) fn client_config(config: &OutboundConfig) -> Result<ClientConfig, OutboundConfigError> {
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(config)?)
        .with_no_client_auth();
    // A resumed session shows the certificate of then: each new connection is judged by the certificate of now.
    tls.resumption = Resumption::disabled();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn authorities(config: &OutboundConfig) -> Result<RootCertStore, OutboundConfigError> {
    let mut roots = RootCertStore::empty();
    if config.trust_system_authorities {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        // Systems carry old authorities that no longer parse; they are left out rather than refused.
        roots.add_parsable_certificates(native.certs);
    }
    for path in &config.extra_ca_files {
        let failed = |reason: String| OutboundConfigError::AuthorityFile { path: path.clone(), reason };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    if roots.is_empty() { Err(OutboundConfigError::NoAuthorities) } else { Ok(roots) }
}
