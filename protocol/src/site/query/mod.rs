//! What can be read of a site's state. Nothing here changes a row.

mod faults;
mod leased;
mod measured;
mod monitored;
mod planned;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Site;
use super::apply::allows;
use super::state::{
    Agreement, Contradiction, Guest, Hold, Holder, Host, Invitation, Key, Lan, Machine, Network,
    Node, Peer, Place, Profile, Public, Registered, Service, Tenant,
};
use crate::agreement::{DELIVERY_BODIES_MAX, DELIVERY_MESSAGES_MAX, Message};
use crate::codec;
use crate::hull::Hull;
use crate::identity::PublicKey;
use crate::ids::{
    HoldId, HostId, ImageId, KeyId, MachineId, MachineName, NetworkId, NodeId, ServiceId, SiteId,
    TenantId,
};
use crate::images::Image;
use crate::machine::guest::Progress;
use crate::market::Advert;
use crate::membership::serials::Serials;
use crate::networks::Offset;
use crate::networks::lan::Member;
use crate::networks::public::Pool;
use crate::sla::Class;
use crate::time::Timestamp;
use crate::units::Size;
use crate::user_data::UserData;

pub use planned::{Planned, Where};

/// What a host is to make of one guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignment {
    /// The guest.
    pub name: MachineName,
    /// What it sees.
    pub hull: Hull,
    /// What it starts from.
    pub image: ImageId,
    /// The files of it; none if the image has been struck from the catalogue meanwhile.
    pub files: Option<Image>,
    /// Its number on the host.
    pub slot: u32,
    /// How far it is, and where it should be.
    pub progress: Progress,
}

/// What is owed to one peer, from the oldest on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dispatch {
    /// The peer.
    pub peer: SiteId,
    /// This site's incarnation.
    pub incarnation: u64,
    /// Number, message, and when it was decided.
    pub messages: Vec<(u64, Message, Timestamp)>,
}

/// A machine for which peers are to be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seeking {
    /// The machine.
    pub machine: MachineId,
    /// What it takes.
    pub size: Size,
    /// What is to be promised of it at the least.
    pub class: Class,
    /// The peers that may be asked and have not refused yet.
    pub peers: BTreeSet<SiteId>,
    /// Whether nobody has been asked yet.
    pub first_round: bool,
}

impl Site {
    /// What the site is; none before it is configured.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.get(&())
    }

    /// The site's nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().map(|(id, row)| (*id, row))
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The node with this key.
    #[must_use]
    pub fn node_with(&self, key: PublicKey) -> Option<(NodeId, &Node)> {
        self.nodes().find(|(_, row)| row.key == key)
    }

    /// Whether the node with this key was taken out of the site.
    #[must_use]
    pub fn is_struck(&self, key: PublicKey) -> bool {
        self.struck.get(&key).is_some()
    }

    /// Which certificates of the site's own nodes still count.
    #[must_use]
    pub fn serials(&self) -> Serials {
        self.profile().map_or_else(Serials::default, |profile| profile.serials)
    }

    /// The invitation whose secret has this digest.
    #[must_use]
    pub fn invitation(&self, digest: &[u8; 32]) -> Option<&Invitation> {
        self.invitations.get(digest)
    }

    /// The site's hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        self.hosts.iter()
    }

    /// What has been promised on a host.
    #[must_use]
    pub fn promised(&self, host: HostId) -> Size {
        self.promised_on(host)
    }

    /// The site's tenants.
    pub fn tenants(&self) -> impl Iterator<Item = (&TenantId, &Tenant)> {
        self.tenants.iter()
    }

    /// The site's keys.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyId, &Key)> {
        self.keys.iter()
    }

    /// The key whose secret has this digest. Secrets are 32 random bytes, so that comparing their
    /// digests gives nothing away.
    #[must_use]
    pub fn key_of(&self, digest: &[u8; 32]) -> Option<(KeyId, &Key)> {
        self.keys.iter().find(|(_, key)| key.digest == *digest).map(|(id, key)| (*id, key))
    }

    /// The site's catalogue.
    pub fn images(&self) -> impl Iterator<Item = (&ImageId, &Registered)> {
        self.images.iter()
    }

    /// The site's peers.
    pub fn peers(&self) -> impl Iterator<Item = (&SiteId, &Peer)> {
        self.peers.iter()
    }

    /// A peer.
    #[must_use]
    pub fn peer(&self, site: SiteId) -> Option<&Peer> {
        self.peers.get(&site)
    }

    /// The proof that a peer has said two things under one number, if it has.
    #[must_use]
    pub fn contradiction_of(&self, peer: SiteId) -> Option<&Contradiction> {
        self.proofs.get(&peer)
    }

    /// How many messages are owed to a peer.
    #[must_use]
    pub fn owed(&self, peer: SiteId) -> usize {
        self.owed_to(peer)
    }

    /// How many machines of this site's tenants are at a peer.
    #[must_use]
    pub fn placed_at(&self, peer: SiteId) -> usize {
        let there = |row: &Machine| matches!(row.place, Place::There { site, .. } if site == peer);
        self.machines.iter().filter(|(_, row)| there(row)).count()
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceId, &Service)> {
        self.services.iter()
    }

    /// A service.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(&id)
    }

    /// All machines of the site's tenants, wherever they run.
    pub fn machines(&self) -> impl Iterator<Item = (&MachineId, &Machine)> {
        self.machines.iter()
    }

    /// A machine of one of the site's tenants.
    #[must_use]
    pub fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines.get(&id)
    }

    /// The networks of the site's tenants.
    pub fn networks(&self) -> impl Iterator<Item = (&NetworkId, &Network)> {
        self.networks.iter()
    }

    /// A network of one of the site's tenants.
    #[must_use]
    pub fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.get(&id)
    }

    /// The networks that reach here, each with its home.
    pub fn lans(&self) -> impl Iterator<Item = (&(SiteId, NetworkId), &Lan)> {
        self.lans.iter()
    }

    /// Who is on a network that reaches here.
    pub fn members_on(
        &self,
        home: SiteId,
        network: NetworkId,
    ) -> impl Iterator<Item = (Offset, &Member)> {
        let all = (home, network, Offset(0))..=(home, network, Offset(u32::MAX));
        self.members.range(all).map(|((_, _, offset), member)| (*offset, member))
    }

    /// The pools of public addresses.
    pub fn pools(&self) -> impl Iterator<Item = Pool> {
        self.pools.iter().map(|(pool, ())| *pool)
    }

    /// The public addresses of tenants.
    pub fn publics(&self) -> impl Iterator<Item = (Ipv4Addr, &Public)> {
        self.publics.iter().map(|(address, row)| (*address, row))
    }

    /// The public addresses by which cards are reached, each with the card's network and its own
    /// address there.
    pub fn published(&self) -> impl Iterator<Item = (Ipv4Addr, NetworkId, Ipv4Addr)> {
        self.publics().filter_map(|(address, row)| {
            let Holder { machine, card } = row.holder?;
            let at = self.machines.get(&machine)?.addresses.get(usize::from(card))?;
            let network = self.networks.get(&at.network)?;
            Some((address, at.network, network.addresses(at.offset).0))
        })
    }

    /// All machines that run here, at home here or not.
    pub fn guests(&self) -> impl Iterator<Item = (&MachineName, &Guest)> {
        self.guests.iter()
    }

    /// The machines that run on one host.
    pub fn guests_at(&self, host: HostId) -> impl Iterator<Item = (&MachineName, &Guest)> {
        let names = self.occupancy.on(host).into_iter().flat_map(|occupied| &occupied.guests);
        names.filter_map(|name| Some((name, self.guests.get(name)?)))
    }

    /// Of how many machines something may be left on a host, although they were placed elsewhere.
    #[must_use]
    pub fn remains_on(&self, host: HostId) -> usize {
        self.occupancy.on(host).map_or(0, |occupied| occupied.going.len())
    }

    /// Of how many machines disks are kept on a host, although their agreements have ended.
    #[must_use]
    pub fn kept_on(&self, host: HostId) -> usize {
        let occupied = self.occupancy.on(host);
        occupied.map_or(0, |occupied| occupied.remains.len() - occupied.going.len())
    }

    /// A machine that runs here.
    #[must_use]
    pub fn guest(&self, name: MachineName) -> Option<&Guest> {
        self.guests.get(&name)
    }

    /// The offers that this site has made and that may still be taken.
    pub fn holds(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter()
    }

    /// Whether an offer or a call is open, as seller or as buyer.
    #[must_use]
    pub fn is_negotiating(&self) -> bool {
        !self.holds.is_empty() || !self.calls.is_empty()
    }

    /// The agreements that stand with a peer: as its provider, or as its home.
    pub fn standing_with(&self, peer: SiteId) -> impl Iterator<Item = (&HoldId, &Agreement)> {
        self.agreements.iter().filter(move |(_, row)| {
            row.ended.is_none() && (row.terms.home == peer || row.terms.provider == peer)
        })
    }

    /// All agreements, as buyer and as seller.
    pub fn agreements(&self) -> impl Iterator<Item = (&HoldId, &Agreement)> {
        self.agreements.iter()
    }

    /// An agreement.
    #[must_use]
    pub fn agreement(&self, id: HoldId) -> Option<&Agreement> {
        self.agreements.get(&id)
    }

    /// Everything that a host is to care for.
    #[must_use]
    pub fn assignments(&self, host: HostId) -> Vec<Assignment> {
        let files = |image| self.images.get(image).map(|row| row.image.clone());
        let Some(occupied) = self.occupancy.on(host) else { return Vec::new() };
        let guests = occupied.guests.iter().filter_map(|name| {
            let guest = self.guests.get(name)?;
            Some(Assignment {
                name: *name,
                hull: guest.hull.clone(),
                image: guest.image,
                files: files(&guest.image),
                slot: guest.lodging.slot,
                progress: guest.progress.clone(),
            })
        });
        let remains = occupied.remains.iter().filter_map(|name| {
            let remains = self.remains.get(&(host, *name))?;
            Some(Assignment {
                name: *name,
                hull: remains.hull.clone(),
                image: remains.image,
                files: None,
                slot: remains.slot,
                progress: match remains.kept {
                    None => Progress::remains(remains.epoch),
                    Some(_) => Progress::kept(remains.epoch),
                },
            })
        });
        guests.chain(remains).collect()
    }

    /// The oldest messages owed to a peer, at most as many as one delivery carries.
    #[must_use]
    pub fn dispatch(&self, peer: SiteId) -> Option<Dispatch> {
        // The first one fits always: no message is as long as all of a delivery's may be together.
        let mut room = DELIVERY_BODIES_MAX;
        let mut fits = |message: &Message| {
            let left = room.checked_sub(codec::encode(message).len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let messages: Vec<_> = self
            .outbox
            .range((peer, 0)..=(peer, u64::MAX))
            .take(DELIVERY_MESSAGES_MAX)
            .take_while(|(_, owed)| fits(&owed.message))
            .map(|((_, number), owed)| (*number, owed.message.clone(), owed.at))
            .collect();
        if messages.is_empty() {
            return None;
        }
        let incarnation = self.profile()?.incarnation;
        Some(Dispatch { peer, incarnation, messages })
    }

    /// The machines for which peers are to be asked now.
    #[must_use]
    pub fn seeking(&self) -> Vec<Seeking> {
        let sought = self.machines.iter().filter_map(|(id, row)| match &row.place {
            Place::Sought { call: None, refused } => Some((id, row, refused)),
            _ => None,
        });
        sought
            .map(|(id, row, refused)| Seeking {
                machine: *id,
                size: row.hull.size(),
                class: row.class,
                peers: self
                    .peers
                    .iter()
                    .filter(|(site, peer)| {
                        peer.buying().open
                            && !refused.contains_key(site)
                            && allows(row, **site, peer.name.as_str())
                    })
                    .map(|(site, _)| *site)
                    .collect(),
                first_round: refused.is_empty(),
            })
            .collect()
    }

    /// What is handed to a machine that is at home here or runs here. Those of a service have it
    /// from their component, whatever their number.
    #[must_use]
    pub fn user_data(&self, name: MachineName) -> Option<&UserData> {
        let own = self.profile().filter(|profile| profile.site == name.home);
        let row = own.and_then(|_| self.machine(name.machine));
        match row.and_then(|row| row.membership.as_ref()) {
            Some(membership) => {
                let manifest = &self.service(membership.service)?.manifest;
                manifest.components().get(&membership.component)?.user_data.as_ref()
            }
            None => self.user_data.get(&name),
        }
    }

    /// What the site has to sell at the moment: what is free, but for what is kept for its own
    /// tenants.
    #[must_use]
    pub fn advert(&self) -> Option<Advert> {
        let for_sale = self.for_sale();
        let rooms = self.rooms();
        let free = rooms.iter().fold(Size::default(), |sum, room| sum.plus(room.free));
        let largest =
            rooms.iter().map(|room| room.free).max_by_key(|free| (free.memory, free.vcpus));
        let tariff = self.profile()?.tariff;
        let largest = largest.unwrap_or_default().at_most(for_sale);
        Some(Advert { free: free.at_most(for_sale), largest, tariff })
    }
}
