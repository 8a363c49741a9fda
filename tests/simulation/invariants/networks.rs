//! Every site on a network knows what its home knows: who is on it, where, and how the other
//! sites are reached.

use std::collections::BTreeMap;

use protocol::ids::{NetworkId, SiteId};
use protocol::networks::Offset;
use protocol::networks::lan::{End, Member};
use protocol::site::Site;
use protocol::site::state::Lan;

use crate::world::World;

impl World {
    /// In what a site does not agree with the homes of the networks that reach it, or with those
    /// on its own.
    pub(crate) fn networks_disagree(&self, member: usize) -> Option<String> {
        let (me, state) = (self.members[member].id, self.members[member].state()?);
        state.lans().find_map(|((home, network), lan)| {
            if *home != me {
                let there = self.members[self.index(*home)].state()?;
                let listed =
                    find(there, *home, *network).is_some_and(|it| it.ends.contains_key(&me));
                return (!listed).then(|| format!("it has network {network}, which is elsewhere"));
            }
            let others = lan.ends.keys().filter(|site| **site != me);
            others.filter_map(|site| self.disagrees(state, (me, *network), *site)).next()
        })
    }

    fn disagrees(&self, home: &Site, key: (SiteId, NetworkId), other: SiteId) -> Option<String> {
        let (of, network) = key;
        let there = self.members[self.index(other)].state()?;
        let told = |what| Some(format!("{other:?} does not know {what} of network {network}"));
        let (Some(mine), Some(theirs)) = (find(home, of, network), find(there, of, network)) else {
            return told("anything");
        };
        if mine.terms != theirs.terms {
            return told("the terms");
        }
        if mine.groups != theirs.groups {
            return told("the security groups");
        }
        if members(home, key) != members(there, key) {
            return told("the members");
        }
        // Each leaves itself out, but for the home.
        let mut ends: BTreeMap<SiteId, Option<End>> = theirs.ends.clone();
        ends.insert(other, Some(theirs.own));
        if mine.ends != ends {
            return told("how the others are reached");
        }
        None
    }
}

fn find(site: &Site, home: SiteId, network: NetworkId) -> Option<&Lan> {
    site.lans().find(|(key, _)| **key == (home, network)).map(|(_, lan)| lan)
}

fn members(site: &Site, (home, network): (SiteId, NetworkId)) -> BTreeMap<Offset, Member> {
    site.members_on(home, network).map(|(offset, member)| (offset, member.clone())).collect()
}
