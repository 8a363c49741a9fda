//! Whom a buyer asks: a few sites, drawn at random with weights, and all that are left only if
//! none of them can. No stampede to the cheapest, and no broadcast of what a tenant wants.

use super::book::Candidate;
use crate::ids::{Mint, SiteId};
use crate::sla::Class;
use crate::units::Size;

/// How many sites are asked in the first round. Two choices already avoid most of the herd
/// (Mitzenmacher, "The Power of Two Choices", 2001); a few more let prices compete.
pub const ASKED: usize = 4;

/// The most sites asked in the last round.
pub const ASKED_LAST: usize = 64;

/// Whom to ask for room for one machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draw {
    /// The sites to ask, in no order.
    pub sites: Vec<SiteId>,
    /// Whether nobody is left to be asked after them.
    pub last: bool,
}

/// Draws whom to ask for a machine of a size and of a class at the least, among `candidates` that were not asked before.
///
/// The weight of a site is the room it says it has, in machines of this size, divided by what it
/// charges for one. In the first round, sites that say they have no room are left out; in the
/// last they are asked too, because an advert is old when it is read.
#[must_use]
pub fn draw(
    candidates: &[Candidate],
    wanted: (Size, Class),
    first_round: bool,
    mint: &mut Mint,
) -> Draw {
    let mut pool: Vec<(SiteId, u64)> = candidates
        .iter()
        .map(|candidate| (candidate.site, weight(candidate, wanted)))
        .filter(|(_, weight)| !first_round || *weight > 0)
        .collect();
    if first_round && pool.is_empty() {
        return draw(candidates, wanted, false, mint);
    }
    let limit = if first_round { ASKED } else { ASKED_LAST };
    let mut sites = Vec::new();
    while sites.len() < limit && !pool.is_empty() {
        sites.push(take(&mut pool, mint));
    }
    sites.sort_unstable();
    let last = !first_round || sites.len() == candidates.len();
    Draw { sites, last }
}

/// Takes one site out of the pool: with a chance proportional to its weight plus one, so that a
/// weight of zero is unlikely and not impossible.
fn take(pool: &mut Vec<(SiteId, u64)>, mint: &mut Mint) -> SiteId {
    let total = pool.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(weight + 1));
    let mut at = mint.below(total);
    let chosen = pool.iter().position(|(_, weight)| {
        let here = at <= *weight;
        at = at.saturating_sub(weight + 1);
        here
    });
    pool.swap_remove(chosen.unwrap_or(0)).0
}

/// Machines that fit, per thousand of the currency's millionths; at most a million, so that sums
/// over any number of sites stay far from overflow.
fn weight(candidate: &Candidate, (size, class): (Size, Class)) -> u64 {
    let Some((_, price)) = candidate.tariff.hourly_in(size, class) else { return 0 };
    if !candidate.largest.holds(size) {
        return 0;
    }
    let fits = [
        u64::from(candidate.free.vcpus).checked_div(u64::from(size.vcpus)),
        candidate.free.memory.0.checked_div(size.memory.0),
        candidate.free.disk.0.checked_div(size.disk.0),
    ];
    let machines = fits.into_iter().flatten().min().unwrap_or(0);
    (machines.saturating_mul(1_000_000) / price.0.max(1)).clamp(u64::from(machines > 0), 1_000_000)
}
