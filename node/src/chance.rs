//! Chance, drawn from the system. What a site decides never draws it: the leader stamps it on a
//! command (see [`crate::desk`]).

use uuid::Uuid;

/// A UUID by chance (RFC 9562, version 4).
#[must_use]
pub fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
