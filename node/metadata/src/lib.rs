//! What a guest can ask about itself, at 169.254.169.254 inside its network.
//!
//! ```text
//! guest --- a port of the LAN ---> 169.254.169.254:80 --- who has this address? ---> Source
//!   ^                                     |
//!   +------------- its own data ----------+
//! ```
//!
//! The service speaks as EC2's instance metadata service (IMDS) does, in both of its versions, so
//! that cloud-init and the SDKs work as they are. What it adds is a place where a guest says how
//! it does: its KPIs, by which a service's rules scale it.
//!
//! **Who asks** is known by the address that a packet comes from, and by nothing that the caller
//! says. Each LAN of a host has a network namespace with the service's address in it, and the
//! fabric lets into it only packets whose source is the address of the card that they came
//! through. So there is one listener and one [`Source`] for each network, and equal addresses in
//! two networks never meet. A caller who is not known is hung up on. A connection belongs to the
//! machine that opened it: when its address goes to another machine, it ends.
//!
//! **What is answered** is a pure function, [`decide`], of the instance, the request and the time.
//! The loop around it keeps no state that cannot be lost: only how many connections and requests
//! each machine has had of late.
//!
//! # The interface
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the versions of the interface, one a line, `latest` last |
//! | `GET /VERSION/` | `dynamic`, `meta-data` and, if there is any, `user-data` |
//! | `GET /VERSION/meta-data/…` | a value, or the names in a directory: one a line, a `/` behind those of directories, no line break at the end |
//! | `GET /VERSION/dynamic/instance-identity/document` | the identity document, JSON; it is not signed, so `signature` and `pkcs7` are not there |
//! | `GET /VERSION/user-data` | the user data, as they were given |
//! | `PUT /latest/api/token` | a token, if `X-aws-ec2-metadata-token-ttl-seconds` is 1 to 21600 |
//! | `PUT /latest/kpi/NAME` | 204; the body is the value: a decimal number with at most six decimals |
//!
//! A dated version shows what it had when AWS published it. A slash at the end of a path says
//! nothing, and what follows a `?` is not looked at. The value of a KPI comes in the body and
//! nowhere else: `PUT /latest/kpi/NAME VALUE`, with the value behind a space, would not be a line
//! of HTTP.
//!
//! | status | when |
//! | --- | --- |
//! | 400 | no lifetime for a token, or none that is allowed; no KPI's name or value; not HTTP |
//! | 401 | a token that is not valid here, or none where one is required |
//! | 403 | a request for a token that was forwarded (`X-Forwarded-For`): an open proxy must not give tokens away |
//! | 404 | no such thing |
//! | 405 | not by this method; `Allow` says which |
//! | 408, 413, 414, 431 | too slow, or too long |
//! | 409 | more names of KPIs than are kept for one machine |
//! | 429 | KPIs too often |
//! | 503 | requests too often, or the site does not say in time |
//!
//! **Tokens** ([`Key`]) are not stored. A token says when it ends, and is sealed with a keyed hash
//! over that and the machine: it is of no use to another machine, and any node with the key knows
//! it. **The hop limit** keeps a token from travelling: once a token was asked for on a connection,
//! its packets have the instance's hop limit (1 unless told otherwise) as their time to live, so a
//! machine that forwards for others cannot be made to fetch its token for them. What has been
//! lowered stays so while the connection lasts, since a packet may have to be sent again.

mod answer;
mod catalogue;
mod document;
mod guests;
mod instance;
mod limits;
mod listen;
mod serve;
mod token;
mod tree;
mod version;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use protocol::kpi::Kpi;

pub use crate::answer::{Answer, Ask, Content, Decision, decide};
pub use crate::instance::{
    Card, HopLimit, Instance, LINE_MAX, Line, NotAHopLimit, NotALine, NotATagKey, PublicKey,
    SecurityGroup, TagKey, Tokens, TooLong, USER_DATA_MAX, UserData, Vpc,
};
pub use crate::limits::{Limits, Rate};
pub use crate::listen::{ADDRESS_V4, ADDRESS_V6, Error, listen};
pub use crate::serve::{Server, Serving};
pub use crate::token::Key;

/// The machines of one network, as the site has them.
#[async_trait]
pub trait Source: Send + Sync {
    /// The machine with this address in the network. It is asked for each request anew, so it
    /// answers from memory.
    async fn instance(&self, address: IpAddr) -> Option<Arc<Instance>>;

    /// Takes what a machine says of itself. The last word counts.
    ///
    /// # Errors
    ///
    /// If it is not taken; the guest is told so.
    async fn push(&self, instance: &Instance, kpi: Kpi) -> Result<(), NotTaken>;
}

/// A KPI was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// So many names are kept for one machine, and this one is not among them.
    #[error("no more than {max} names of KPIs are kept for a machine")]
    Names {
        /// How many are kept.
        max: usize,
    },
    /// The site cannot take it just now.
    #[error("the site does not take it just now: try again")]
    Unavailable,
}
