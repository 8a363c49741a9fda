//! Who a site is, who may speak for it, and what it can be held to.
//!
//! A site is an ed25519 root key (RFC 8032); its id is the hash of the public half. The root key
//! signs short-lived [`Certificate`]s for nodes and can then be kept offline. Nodes sign what the
//! site will be held to as [`Signed`] statements; only a check makes them [`Verified`], and only
//! verified ones enter a replicated log, where nothing does cryptography any more.
//!
//! **Invariant.** A statement is kept as the exact bytes that were signed. Nothing here re-encodes
//! a value to check a signature.

mod certificate;
mod keys;
mod signed;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateError, NodeCertificate, Scope, Scopes};
pub use keys::{PublicKey, SecretKey, Signature};
pub use signed::{Claim, Rejection, Signed, Statement, Verified};
