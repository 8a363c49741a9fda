//! Which certificates of a site still count, told by their serials.
//!
//! ```text
//!   issued     the highest serial that was given out: each new one is higher
//!   revoked    certificates below are to count no more: raised when a node is taken out
//!   honoured   certificates below do count no more: what peers are told
//! ```
//!
//! A node that was taken out has a certificate that holds for weeks. The only word that reaches every
//! peer is one number, the lowest serial that the site still honours. So everything that was issued so
//! far is revoked, and each node that stays needs a certificate of its own anew.
//!
//! **Nobody is locked out.** `honoured` follows `revoked` only once every node in the table presents a
//! certificate that is not below. A node that is away for long stands in the way until it is back, or
//! taken out as well.

use serde::{Deserialize, Serialize};

use super::CERTIFICATE_LIFETIME;
use crate::identity::Certificate;
use crate::time::{Span, Timestamp};

/// The serials of a site's certificates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Serials {
    issued: u64,
    revoked: u64,
    honoured: u64,
}

/// What is known of the certificate that a node presents.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Presented {
    /// Its serial.
    pub serial: u64,
    /// Its last moment.
    pub not_after: Timestamp,
}

impl From<&Certificate> for Presented {
    fn from(certificate: &Certificate) -> Self {
        Self { serial: certificate.serial, not_after: certificate.not_after }
    }
}

impl Presented {
    /// Whether a node needs another certificate: this one has lived through half of its time, or is
    /// among those that are to count no more.
    #[must_use]
    pub fn is_due(&self, revoked: u64, now: Timestamp) -> bool {
        let half = Span::from_millis(CERTIFICATE_LIFETIME.as_millis() / 2);
        self.serial < revoked || self.not_after.since(now) <= half
    }
}

impl Serials {
    /// Certificates below this are to count no more.
    #[must_use]
    pub const fn revoked(&self) -> u64 {
        self.revoked
    }

    /// Certificates below this count no more.
    #[must_use]
    pub const fn honoured(&self) -> u64 {
        self.honoured
    }

    /// Gives out the next one.
    pub fn issue(&mut self) -> u64 {
        self.issued = self.issued.saturating_add(1);
        self.issued
    }

    /// Takes note of one that was given out before the site's state could be asked: the founder's
    /// first, or one that was renewed while all was down.
    pub fn seen(&mut self, serial: u64) {
        self.issued = self.issued.max(serial);
    }

    /// Revokes all that were given out so far.
    pub fn revoke(&mut self) {
        self.revoked = self.issued.saturating_add(1);
    }

    /// Honours no more what is revoked, if every node presents something newer. A node of which
    /// nothing is known stands in the way.
    pub fn settle(&mut self, presented: impl IntoIterator<Item = Option<u64>>) {
        let mut nodes = presented.into_iter();
        if nodes.all(|serial| serial.is_some_and(|serial| serial >= self.revoked)) {
            self.honoured = self.honoured.max(self.revoked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_half_its_life_or_before_it_is_revoked() {
        let now = Timestamp::from_millis(1_000);
        let fresh = Presented { serial: 5, not_after: now + CERTIFICATE_LIFETIME };
        assert!(!fresh.is_due(5, now));
        assert!(fresh.is_due(6, now));
        let later = now + Span::from_millis(CERTIFICATE_LIFETIME.as_millis() / 2);
        assert!(fresh.is_due(5, later));
    }

    proptest! {
        /// Nodes come, go, renew and fall silent in any order: what is honoured only rises, and
        /// never above what a node in the table presents; once all have renewed, nothing that a
        /// node has taken along counts any more.
        #[test]
        fn nobody_who_stays_is_locked_out_and_who_went_is(
            steps in prop::collection::vec((0_u8..4, 0_u8..5), 0..60),
        ) {
            let (mut serials, mut nodes) = (Serials::default(), BTreeMap::new());
            let mut taken_along = 0;
            for (step, node) in steps {
                let before = serials.honoured();
                match step {
                    // It is taken on, and presents nothing yet.
                    0 => drop(nodes.entry(node).or_insert(None)),
                    1 => if let Some(serial) = nodes.get_mut(&node) {
                        *serial = Some(serials.issue());
                    },
                    2 => if nodes.contains_key(&node) {
                        // Given out, and not presented yet when the node is taken out.
                        taken_along = serials.issue();
                    },
                    _ => if nodes.remove(&node).is_some() {
                        taken_along = serials.issue();
                        serials.revoke();
                    },
                }
                serials.settle(nodes.values().copied());
                prop_assert!(serials.honoured() >= before);
                for serial in nodes.values().flatten() {
                    let known = before.max(serials.honoured());
                    prop_assert!(*serial >= known, "{nodes:?} {serials:?}");
                }
            }
            serials.revoke();
            for serial in nodes.values_mut() {
                *serial = Some(serials.issue());
            }
            serials.settle(nodes.values().copied());
            prop_assert!(serials.honoured() > taken_along);
        }
    }
}
