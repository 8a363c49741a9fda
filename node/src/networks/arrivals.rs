//! Machines that are on their way to this host: their networks are there before they are.
//!
//! ```text
//!   follow(epoch)      its networks stand here, its ports are closed, it is reached where it is
//!   the state says     its ports are open here, and all others reach it here
//!   it runs            its cards are announced
//! ```
//!
//! Whoever moves a machine asks for the first, again and again as long as the move lasts. The
//! second follows from the site's state like all else, and the third from the guest's start. What
//! is kept here is only what was asked for: if it is lost, it is asked for again.

use std::collections::BTreeMap;

use protocol::epoch::Epoch;
use protocol::ids::{HostId, MachineName};
use protocol::site::Site;

/// The most machines on their way to one host: its link carries the memory of few at once, and
/// each holds a bridge and its services.
pub const ARRIVALS_MAX: usize = 64;

/// How far a machine's networks have followed it to this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Followed {
    /// They stand here, and it is reached where it is.
    Awaited,
    /// It is here, as far as the site knows: all that it says and is sent goes through here.
    Here,
}

/// A machine's networks do not follow it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotFollowed {
    /// The move is of an epoch that is over.
    #[error("machine {name} is in epoch {known}, and was to be awaited in {epoch}: look again")]
    Stale {
        /// The machine.
        name: MachineName,
        /// The epoch of the move.
        epoch: Epoch,
        /// The one that is known.
        known: Epoch,
    },
    /// No more can be on their way at once.
    #[error("{ARRIVALS_MAX} machines are on their way to this host: move {name} when one is here")]
    Full {
        /// The machine.
        name: MachineName,
    },
    /// What filters its frames cannot be made here; the log says why.
    #[error("the networks of machine {name} cannot be made here: see this node's log")]
    Unfiltered {
        /// The machine.
        name: MachineName,
    },
}

/// What the site knows of a machine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Known {
    /// The highest epoch that was heard of.
    epoch: Epoch,
    /// Whether it is on this host.
    is_here: bool,
}

impl Known {
    /// What a site knows of a machine at one of its hosts.
    pub(super) fn of(site: &Site, name: MachineName, host: HostId) -> Self {
        let guest = site.guest(name);
        let own = guest.map(|guest| guest.progress.epoch);
        let lans = site.lans().filter(|((home, _), _)| *home == name.home);
        let members = lans.flat_map(|((home, network), _)| site.members_on(*home, *network));
        let heard = members.filter(|(_, member)| member.machine == name.machine);
        let heard = heard.map(|(_, member)| Epoch { home: member.epoch, provider: 0 });
        let epoch = own.into_iter().chain(heard).max().unwrap_or_default();
        Self { epoch, is_here: guest.is_some_and(|guest| guest.lodging.host == host) }
    }
}

/// The machines that are awaited, each in the epoch that it will have here.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(BTreeMap<MachineName, Epoch>);

impl Arrivals {
    /// Awaits a machine, unless it is here already.
    pub(super) fn follow(
        &mut self,
        name: MachineName,
        epoch: Epoch,
        known: Known,
    ) -> Result<Followed, NotFollowed> {
        let awaited = self.0.get(&name).copied();
        let highest = awaited.into_iter().fold(known.epoch, Epoch::max);
        if highest > epoch {
            return Err(NotFollowed::Stale { name, epoch, known: highest });
        }
        if known.is_here {
            self.0.remove(&name);
            return Ok(Followed::Here);
        }
        if awaited.is_none() && self.0.len() == ARRIVALS_MAX {
            return Err(NotFollowed::Full { name });
        }
        self.0.insert(name, epoch);
        Ok(Followed::Awaited)
    }

    /// Awaits a machine no longer, unless a later move is on.
    pub(super) fn give_up(&mut self, name: MachineName, epoch: Epoch) {
        if self.0.get(&name).is_some_and(|awaited| *awaited <= epoch) {
            self.0.remove(&name);
        }
    }

    /// Forgets those that are here, and those that have a later epoch elsewhere.
    pub(super) fn settle(&mut self, known: impl Fn(MachineName) -> Known) {
        self.0.retain(|name, epoch| {
            let known = known(*name);
            !known.is_here && known.epoch <= *epoch
        });
    }

    /// Whether a machine is awaited.
    pub(super) fn has(&self, name: MachineName) -> bool {
        self.0.contains_key(&name)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{MachineId, SiteId};
    use uuid::Uuid;

    use super::*;

    fn name(number: u128) -> MachineName {
        let machine = MachineId::from_uuid(Uuid::from_u128(number));
        MachineName { home: SiteId::from_bytes([7; 32]), machine }
    }

    fn epoch(home: u64, provider: u64) -> Epoch {
        Epoch { home, provider }
    }

    #[test]
    fn a_machine_is_awaited_until_it_is_here() {
        let (mut arrivals, one) = (Arrivals::default(), name(1));
        let elsewhere = Known { epoch: epoch(2, 3), is_here: false };
        for _ in 0..2 {
            assert_eq!(arrivals.follow(one, epoch(3, 0), elsewhere), Ok(Followed::Awaited));
            arrivals.settle(|_| elsewhere);
            assert!(arrivals.has(one));
        }
        let here = Known { epoch: epoch(3, 0), is_here: true };
        for _ in 0..2 {
            assert_eq!(arrivals.follow(one, epoch(3, 0), here), Ok(Followed::Here));
            assert!(!arrivals.has(one));
        }
    }

    #[test]
    fn a_late_move_is_refused_and_a_move_that_is_over_is_forgotten() {
        let (mut arrivals, one) = (Arrivals::default(), name(1));
        let known = Known { epoch: epoch(2, 3), is_here: false };
        let late = arrivals.follow(one, epoch(2, 2), known);
        let stale = |epoch, known| NotFollowed::Stale { name: one, epoch, known };
        assert_eq!(late, Err(stale(epoch(2, 2), epoch(2, 3))));
        assert_eq!(arrivals.follow(one, epoch(4, 0), known), Ok(Followed::Awaited));
        let late = arrivals.follow(one, epoch(3, 0), known);
        assert_eq!(late, Err(stale(epoch(3, 0), epoch(4, 0))));
        arrivals.give_up(one, epoch(3, 0));
        assert!(arrivals.has(one), "a later move is on");
        arrivals.settle(|_| Known { epoch: epoch(5, 0), is_here: false });
        assert!(!arrivals.has(one), "it is elsewhere by now");
        assert_eq!(arrivals.follow(one, epoch(5, 0), known), Ok(Followed::Awaited));
        arrivals.give_up(one, epoch(5, 0));
        assert!(!arrivals.has(one));
    }

    #[test]
    fn no_more_are_awaited_than_a_host_can_take_at_once() {
        let mut arrivals = Arrivals::default();
        let known = Known::default();
        for number in 0..ARRIVALS_MAX {
            let number = u128::try_from(number).unwrap();
            assert_eq!(arrivals.follow(name(number), epoch(1, 0), known), Ok(Followed::Awaited));
        }
        let one_more = name(1_000);
        let refused = arrivals.follow(one_more, epoch(1, 0), known);
        assert_eq!(refused, Err(NotFollowed::Full { name: one_more }));
        assert_eq!(arrivals.follow(name(0), epoch(2, 0), known), Ok(Followed::Awaited));
    }
}
