//! Saying what the site has to sell: when it has changed, and often enough that nobody forgets.

use protocol::codec;
use protocol::identity::Statement;
use protocol::market::{self, Advert, LIFETIME};
use protocol::time::Timestamp;
use tracing::debug;

use crate::desk::Desk;
use crate::observe::{chain, now};

/// What was said last, and when.
pub(super) struct Adverts {
    desk: Desk,
    said: Option<(Advert, Timestamp)>,
}

impl Adverts {
    pub(super) const fn new(desk: Desk) -> Self {
        Self { desk, said: None }
    }

    /// Says what is due, and forgets what others said too long ago.
    pub(super) async fn look(&mut self) {
        let now = now();
        self.desk.with_book(|book| book.expire(now));
        let current = self.desk.read(|site| {
            let incarnation = site.profile()?.incarnation;
            Some((site.advert()?, incarnation))
        });
        let Some((advert, incarnation)) = current else { return };
        let last = self.said.as_ref().map(|(advert, at)| (advert, *at));
        if !market::is_due(last, &advert, now) {
            return;
        }
        let statement = Statement {
            issuer: self.desk.site(),
            audience: None,
            incarnation,
            // Rises over restarts without being remembered.
            sequence: now.as_millis(),
            issued_at: now,
            expires_at: now + LIFETIME,
            body: advert.clone(),
        };
        let signed = self.desk.signer().sign(&statement);
        match self.desk.peers().publish(codec::encode(&signed)).await {
            Ok(()) => self.said = Some((advert, now)),
            // It stays due: as soon as somebody is there, it is said.
            Err(fault) => debug!(fault = chain(&fault), "nobody heard the advert"),
        }
    }
}
