//! The network between sites: it delays, loses, doubles, reorders, and is cut in two, at times in
//! one direction only.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use protocol::identity::Verified;
use protocol::market::Advert;
use protocol::wire::v1::Receipt;
use protocol::wire::v1::lease::SessionRenewal;

use crate::census::Census;
use crate::chance::Chance;
use crate::leases::Asked;

/// What one site sends to another.
#[derive(Clone)]
pub(crate) enum Payload {
    /// Signed messages, as they cross the wire.
    Delivery(Vec<u8>),
    /// The answer to a delivery.
    Receipt(Receipt),
    /// A provider asks a home about its guests: its number for the question, and the guests.
    RenewSession { number: u64, machines: Asked },
    /// The home's answer.
    SessionRenewal { number: u64, renewal: Rc<SessionRenewal> },
    /// A gossiped advert. Gossip is checked where it is passed on, so its signature is checked
    /// once here and not by each of two hundred receivers.
    Advert(Rc<Verified<Advert>>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery(bytes) => write!(f, "delivery of {} bytes", bytes.len()),
            Self::Receipt(receipt) => receipt.fmt(f),
            Self::RenewSession { machines, .. } => write!(f, "question about {machines:?}"),
            Self::SessionRenewal { renewal, .. } => renewal.fmt(f),
            Self::Advert(_) => f.write_str("advert"),
        }
    }
}

/// Groups of sites that do not reach each other.
#[derive(Debug)]
struct Cut {
    /// In which group each site is.
    sides: Vec<u64>,
    /// Whether what a lower group sends to a higher one arrives all the same.
    is_one_way: bool,
}

impl Cut {
    fn severs(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.sides.get(from), self.sides.get(to));
        if self.is_one_way { from > to } else { from != to }
    }
}

/// The network.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// The cut, while there is one.
    cut: Option<Cut>,
    /// The site that reaches nobody, while there is one.
    pub(crate) isolated: Option<usize>,
    /// Whether it behaves: nothing is lost, doubled or cut.
    calm: bool,
    sent: u64,
    arrived: BTreeMap<(usize, usize), u64>,
}

impl Network {
    /// Cuts the sites into groups that do not reach each other, or do so in one direction.
    pub(crate) fn cut(&mut self, sites: usize, chance: &mut Chance, census: &mut Census) {
        let groups = chance.between(2, 3);
        let is_one_way = chance.once_in(3);
        census.partitions += u64::from(!is_one_way);
        census.partitions_one_way += u64::from(is_one_way);
        self.cut =
            Some(Cut { sides: (0..sites).map(|_| chance.below(groups)).collect(), is_one_way });
    }

    /// Ends the cut.
    pub(crate) fn heal(&mut self) {
        self.cut = None;
    }

    /// Behaves from now on.
    pub(crate) fn calm_down(&mut self) {
        self.heal();
        self.isolated = None;
        self.calm = true;
    }

    /// When the copies of something that is sent now arrive: number and delay of each.
    pub(crate) fn carry(
        &mut self,
        (from, to): (usize, usize),
        chance: &mut Chance,
        census: &mut Census,
    ) -> Vec<(u64, u64)> {
        self.sent += 1;
        if self.calm {
            return vec![(self.sent, chance.between(2, 40))];
        }
        let is_cut = self.isolated.is_some_and(|alone| alone == from || alone == to)
            || self.cut.as_ref().is_some_and(|cut| cut.severs(from, to));
        if is_cut || chance.once_in(12) {
            census.messages_lost += 1;
            return Vec::new();
        }
        let mut copies = vec![(self.sent, Self::delay(chance))];
        if chance.once_in(12) {
            census.messages_doubled += 1;
            copies.push((self.sent, Self::delay(chance)));
        }
        copies
    }

    /// Mostly short; at times so long that everything sent meanwhile overtakes it.
    fn delay(chance: &mut Chance) -> u64 {
        if chance.once_in(10) { chance.between(200, 12_000) } else { chance.between(2, 200) }
    }

    /// Takes note of an arrival.
    pub(crate) fn arrived(&mut self, from: usize, to: usize, number: u64, census: &mut Census) {
        let latest = self.arrived.entry((from, to)).or_default();
        if number < *latest {
            census.messages_reordered += 1;
        }
        *latest = number.max(*latest);
    }
}
