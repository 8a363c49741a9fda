//! What is measured of the networks that reach here, and what has been.

use std::collections::BTreeSet;

use super::super::Site;
use crate::ids::{NetworkId, SiteId};
use crate::networks::gateway::TunnelKey;
use crate::sla::measure::Measured;

impl Site {
    /// What has been measured of a network, as of now; none if nothing has.
    #[must_use]
    pub fn measured(&self, home: SiteId, network: NetworkId) -> Option<Measured> {
        self.measured.get(&(home, network)).map(|row| row.at(self.now()))
    }

    /// The gateways of the other sites that have a machine on a network: it is there if all of them
    /// are reached. None if one of them is known to nobody, and so cannot be.
    #[must_use]
    pub fn gateways_on(&self, home: SiteId, network: NetworkId) -> Option<BTreeSet<TunnelKey>> {
        let lan = self.lans.get(&(home, network))?;
        let sites = self.members_on(home, network).filter_map(|(_, member)| member.site);
        let others: BTreeSet<SiteId> = sites.filter(|site| *site != self.me()).collect();
        let key = |site| Some(lan.ends.get(&site).copied().flatten()?.gateway?.key);
        others.into_iter().map(key).collect()
    }
}
