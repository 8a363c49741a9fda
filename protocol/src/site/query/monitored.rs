//! What a peer may see of this site.

use std::ops::Bound;

use super::super::Site;
use crate::ids::{MachineId, MachineName, SiteId};
use crate::peering::monitor::{MACHINES_SEEN_MAX, MachineView, SiteView};

impl Site {
    /// What a peer sees of this site, with its machines behind `after`; none while it has no
    /// machine here.
    #[must_use]
    pub fn seen_by(&self, peer: SiteId, after: Option<MachineId>) -> Option<SiteView> {
        self.guests_from(peer).next()?;
        let factor = self.peers.get(&peer)?.policy.selling.factor;
        let advert = self.advert()?;
        let name = |machine| MachineName { home: peer, machine };
        let first = after.map_or_else(
            || Bound::Included(name(MachineId::from_uuid(uuid::Uuid::nil()))),
            |after| Bound::Excluded(name(after)),
        );
        let last = Bound::Included(name(MachineId::from_uuid(uuid::Uuid::max())));
        let mut guests = self.guests.range((first, last));
        let machines: Vec<MachineView> = guests
            .by_ref()
            .take(MACHINES_SEEN_MAX)
            .map(|(name, guest)| MachineView {
                machine: name.machine,
                epoch: guest.progress.epoch,
                state: guest.progress.state(),
                since: guest.progress.since,
                size: guest.hull.size(),
            })
            .collect();
        let more = guests.next().is_some();
        let (free, largest, tariff) = (advert.free, advert.largest, advert.tariff);
        Some(SiteView { machines, more, free, largest, tariff, factor })
    }
}
