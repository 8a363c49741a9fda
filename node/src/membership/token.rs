//! What an operator carries to the machine of a new node: one line that says which site, where,
//! behind which certificate, and the secret of one invitation.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use protocol::codec;
use protocol::ids::SiteId;
use serde::{Deserialize, Serialize};

use crate::api::secret::Secret;
use crate::api::tls::Pin;

/// By this, a person and a scanner of repositories tell what it is.
const PREFIX: &str = "rsvjoin_";

/// The most bytes of what is in a token: a URL of some hundred characters, and three hashes.
const BYTES_MAX: usize = 1_024;

/// The text is no token. It is not repeated, since it may be one with a slip in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not an invitation: copy the whole line that 'reservoir site invite' has printed")]
pub struct Malformed;

/// An invitation for one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The site.
    pub site: SiteId,
    /// Where the REST interface of one of its nodes is.
    pub url: String,
    /// The SHA-256 of that interface's certificate.
    pub pin: Pin,
    /// What shows that the node is invited.
    pub secret: Secret,
}

/// A token's bytes.
#[derive(Serialize, Deserialize)]
struct Content {
    site: SiteId,
    url: String,
    pin: [u8; 32],
    secret: [u8; 32],
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = Content {
            site: self.site,
            url: self.url.clone(),
            pin: *self.pin.as_bytes(),
            secret: *self.secret.as_bytes(),
        };
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&codec::encode(&content)))
    }
}

impl FromStr for Token {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let text = text.trim().strip_prefix(PREFIX).ok_or(Malformed)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Malformed)?;
        let content: Content = codec::decode(&bytes, BYTES_MAX).map_err(|_| Malformed)?;
        Ok(Self {
            site: content.site,
            url: content.url,
            pin: Pin::from_bytes(content.pin),
            secret: Secret::from_bytes(content.secret),
        })
    }
}
