//! The interface's certificate, and the pin by which clients know it.
//!
//! A site issues its certificate itself, and a client pins it by the SHA-256 of its bytes: no
//! authority that could vouch for somebody else is between them. Both ends use rustls with ring,
//! chosen by hand, since another provider is linked too.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use sha2::{Digest as _, Sha256};

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text holds no certificate or no key.
    #[error("the certificate and key of the REST interface cannot be read")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is a key and no certificate.
    #[error("there is no certificate for the REST interface")]
    NoCertificate,
    /// They do not belong together, or are of a kind that is not supported.
    #[error("the certificate and key of the REST interface cannot be used")]
    Unusable(#[source] rustls::Error),
    /// A fingerprint is none.
    #[error("'{0}' is not the SHA-256 of a certificate: that is 64 hexadecimal digits")]
    Pin(String),
}

/// The SHA-256 of a certificate: what a client knows a site's interface by.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of this pin.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The pin of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads it as it is displayed, and as other tools show it: with colons, in capitals.
impl FromStr for Pin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.replace(':', "").to_ascii_lowercase();
        let hash = blake3::Hash::from_hex(digits).map_err(|_| Error::Pin(text.to_owned()))?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// Whether a text is the URL of a REST interface: nothing but TLS is spoken there.
#[must_use]
pub fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some())
}

/// What the interface shows, and the key behind it.
#[derive(Debug)]
pub struct Tls {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Reads the certificate, any that vouch for it, and the key, in PEM.
    ///
    /// # Errors
    ///
    /// If one of them is missing or cannot be read.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(Error::Pem)?;
        if chain.is_empty() {
            return Err(Error::NoCertificate);
        }
        Ok(Self { chain, key })
    }

    /// What clients pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of(&self.chain[0])
    }

    /// How the server speaks.
    ///
    /// # Errors
    ///
    /// If key and certificate do not belong together.
    pub(super) fn server(self) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Unusable)?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .map_err(Error::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client's side: it speaks to the holder of one certificate and to nobody else.
#[derive(Debug)]
pub struct Pinned {
    expected: Option<Pin>,
    shown: Mutex<Option<Pin>>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// Expects this certificate; with none given it trusts nobody, and only looks at what it is
    /// shown.
    #[must_use]
    pub fn new(expected: Option<Pin>) -> Arc<Self> {
        Arc::new(Self { expected, shown: Mutex::new(None), provider: provider() })
    }

    /// The certificate that was shown last, if it was not the one expected.
    ///
    /// # Panics
    ///
    /// Never: nothing that holds the lock panics.
    #[must_use]
    pub fn unexpected(&self) -> Option<Pin> {
        let shown = *self.shown.lock().expect("nothing that holds the lock panics");
        shown.filter(|shown| Some(*shown) != self.expected)
    }

    /// How the client speaks.
    ///
    /// # Panics
    ///
    /// Never: ring speaks the versions of TLS that rustls has by default.
    #[must_use]
    pub fn client(self: &Arc<Self>) -> ClientConfig {
        let verifier: Arc<dyn ServerCertVerifier> = Arc::<Self>::clone(self);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

/// The pin says which certificate it is, so neither its name nor its dates matter: whoever has the
/// key of exactly this certificate is the site. That the other end has it is checked as ever.
impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Pin::of(end_entity);
        *self.shown.lock().expect("nothing that holds the lock panics") = Some(shown);
        if Some(shown) == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
