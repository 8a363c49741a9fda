//! What an advert that arrives is worth, and what passing it on costs.
//!
//! | it is | verdict | for |
//! | --- | --- | --- |
//! | news | passed on | |
//! | known, or an older one once more | not passed on | gossip doubles everything |
//! | not to be read, forged, or said in another's name | costs who passed it on | nobody honest passes on what he has not checked |
//! | expired a lifetime ago or more, or living for three | costs who passed it on | clocks that differ do not explain it |
//! | expired just now, or living for two lifetimes | not passed on | clocks differ, and gossip is slow |
//! | signed under a certificate that its author's site honours no more | not passed on | not everybody has heard that yet |
//! | contradicting another of its number | costs its author, if he passed it on; the proof is kept | whoever else passed it on may have heard only the one |
//!
//! What it costs is the bus's matter: see there how it scores its peers.

use federation::Verdict;
use protocol::codec;
use protocol::identity::{Rejection, Signed, Verified};
use protocol::ids::SiteId;
use protocol::market::book::Noted;
use protocol::market::{Advert, Book, LIFETIME};
use protocol::time::Timestamp;
use protocol::wire::v1::ADVERT_BYTES_MAX;
use tracing::{debug, warn};

use crate::observe::chain;

/// Reads an advert, and checks all that can be checked without the book.
pub(super) fn read(
    me: SiteId,
    from: SiteId,
    body: &[u8],
    now: Timestamp,
    honoured: impl Fn(SiteId) -> u64,
) -> Result<Verified<Advert>, Verdict> {
    let read = codec::decode_canonical::<Signed<Advert>>(body, ADVERT_BYTES_MAX);
    let signed = read.map_err(|_| Verdict::Reject)?;
    let fault = match signed.clone().verify(me, now, &honoured) {
        Ok(advert) => return Ok(advert),
        Err(fault) => fault,
    };
    if matches!(fault, Rejection::Revoked { .. }) {
        debug!(%from, fault = chain(&fault), "an advert counts no more");
        return Err(Verdict::Ignore);
    }
    let late = matches!(fault, Rejection::Expired { .. })
        && signed.verify(me, now - LIFETIME, &honoured).is_ok();
    if late {
        return Err(Verdict::Ignore);
    }
    warn!(%from, fault = chain(&fault), "a peer passes on an advert that is not true");
    Err(Verdict::Reject)
}

/// Notes an advert, and says what becomes of it.
pub(super) fn note(
    book: &mut Book,
    from: SiteId,
    advert: Verified<Advert>,
    is_peer: bool,
    now: Timestamp,
) -> Verdict {
    let issuer = advert.statement().issuer;
    match book.note(advert, is_peer, now) {
        Noted::New => Verdict::Accept,
        Noted::Known | Noted::Refused => Verdict::Ignore,
        Noted::Endless => {
            warn!(%from, %issuer, "a peer passes on an advert without an end");
            Verdict::Reject
        }
        Noted::Equivocation => {
            warn!(%from, %issuer, "a site says two things under one number");
            if from == issuer { Verdict::Reject } else { Verdict::Ignore }
        }
    }
}
