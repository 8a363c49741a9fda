//! The site's nodes: entered, invited, taken on, taken out. Raft's members follow this table.

use std::collections::BTreeMap;

use super::super::command::{Contact, Outcome, Refusal};
use super::super::state::{Invitation, Node};
use super::super::{INVITATION_LIFETIME, Site, Turn};
use crate::identity::PublicKey;
use crate::ids::{HostId, NodeId};
use crate::membership::serials::{Presented, Serials};
use crate::membership::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, CERTIFICATE_LIFETIME, INVITATIONS_MAX, Members, NODES_MAX,
    Standing, Step, VOTERS_MAX, next_step,
};
use crate::names::Label;
use crate::time::Timestamp;

impl Site {
    /// A node says under which addresses it is found. The first one of all enters itself by it;
    /// every other is in the table since it was taken on.
    pub(super) fn describe_node(
        &mut self,
        id: NodeId,
        contact: &Contact,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        check_bounds(contact)?;
        if self.nodes.is_empty() {
            self.enter_node(id, contact, contact.name.clone(), Standing::Voter, turn);
            return Ok(Outcome::Node(id));
        }
        let known = self.nodes.get(&id).ok_or(Refusal::UnknownNode { node: id })?;
        if known.key != contact.key {
            return Err(Refusal::OtherNode { node: id });
        }
        if let Some(row) = self.nodes.get_mut(&id) {
            row.addresses.clone_from(&contact.addresses);
            row.api.clone_from(&contact.api);
            row.uplink = contact.uplink;
        }
        Ok(Outcome::Node(id))
    }

    fn enter_node(
        &mut self,
        id: NodeId,
        contact: &Contact,
        name: Label,
        standing: Standing,
        turn: &Turn,
    ) {
        let Contact { key, addresses, api, uplink, name: _ } = contact.clone();
        let (since, certificate) = (turn.now, None);
        let node = Node {
            key,
            name,
            addresses,
            api,
            standing,
            since,
            certificate,
            uplink,
            is_gateway: false,
        };
        self.nodes.insert(id, node);
        if let Some(profile) = self.profile.get_mut(&()) {
            profile.nodes = profile.nodes.max(id.0);
        }
    }

    /// Says under which serial the root key may speak for a node: for one that stays.
    pub(super) fn certify(&mut self, id: NodeId) -> Result<Outcome, Refusal> {
        let stays = self.stays(id);
        let profile = self.profile.get_mut(&()).filter(|_| stays);
        let profile = profile.ok_or(Refusal::UnknownNode { node: id })?;
        Ok(Outcome::Serial(profile.serials.issue()))
    }

    /// A node presents a certificate. The news may come late, when it has a newer one already.
    pub(super) fn presents(
        &mut self,
        id: NodeId,
        certificate: Presented,
    ) -> Result<Outcome, Refusal> {
        let known = self.nodes.get(&id).ok_or(Refusal::UnknownNode { node: id })?;
        let newer = known.certificate.is_none_or(|known| known.serial < certificate.serial);
        if newer && let Some(row) = self.nodes.get_mut(&id) {
            row.certificate = Some(certificate);
            self.settle_serials(|serials| serials.seen(certificate.serial));
        }
        Ok(Outcome::Done)
    }

    /// Changes the serials, and honours no more what is revoked if every node can do without.
    fn settle_serials(&mut self, change: impl FnOnce(&mut Serials)) {
        let presented = self.nodes.iter().map(|(_, row)| row.certificate.map(|it| it.serial));
        let presented: Vec<Option<u64>> = presented.collect();
        if let Some(profile) = self.profile.get_mut(&()) {
            change(&mut profile.serials);
            profile.serials.settle(presented);
        }
    }

    /// Lets one node join that shows the secret behind `digest`.
    pub(super) fn invite(
        &mut self,
        digest: [u8; 32],
        name: Option<&Label>,
        standing: Standing,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let open = self.invitations.iter().filter(|(_, row)| row.expires > turn.now).count();
        if open >= INVITATIONS_MAX {
            let what = "open invitations".to_owned();
            return Err(Refusal::Full { what, limit: INVITATIONS_MAX });
        }
        self.check_room(standing)?;
        let expires = turn.now + INVITATION_LIFETIME;
        let row = Invitation { name: name.cloned(), standing, expires, taken: None };
        self.invitations.insert(digest, row);
        Ok(Outcome::Done)
    }

    /// Takes a node on that has shown an invitation. The same node is answered the same again,
    /// however often it asks.
    pub(super) fn join(
        &mut self,
        digest: [u8; 32],
        contact: &Contact,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        check_bounds(contact)?;
        if self.is_struck(contact.key) {
            return Err(Refusal::StruckNode);
        }
        let invitation = self.invitations.get(&digest).ok_or(Refusal::Uninvited)?;
        if let Some(node) = invitation.taken {
            let same = self.nodes.get(&node).is_some_and(|row| row.key == contact.key);
            return if same { Ok(Outcome::Node(node)) } else { Err(Refusal::InvitationUsed) };
        }
        if invitation.expires <= turn.now {
            return Err(Refusal::InvitationOver);
        }
        if let Some((known, _)) = self.nodes.iter().find(|(_, row)| row.key == contact.key) {
            return Err(Refusal::NodeTwice { node: *known });
        }
        let (name, standing) = (invitation.name.clone(), invitation.standing);
        self.check_room(standing)?;
        let id = NodeId(self.profile().map_or(0, |profile| profile.nodes) + 1);
        self.enter_node(id, contact, name.unwrap_or_else(|| contact.name.clone()), standing, turn);
        if let Some(invitation) = self.invitations.get_mut(&digest) {
            invitation.taken = Some(id);
        }
        Ok(Outcome::Node(id))
    }

    fn check_room(&self, standing: Standing) -> Result<(), Refusal> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Refusal::Full { what: "nodes".to_owned(), limit: NODES_MAX });
        }
        if standing == Standing::Voter && self.voters().count() >= VOTERS_MAX {
            return Err(Refusal::Full { what: "voters".to_owned(), limit: VOTERS_MAX });
        }
        Ok(())
    }

    fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, row)| row.standing == Standing::Voter).map(|(id, _)| *id)
    }

    /// Turns a node away from the site: nothing new is placed on its hosts, and it goes as soon as
    /// the members can be changed.
    pub(super) fn remove_node(&mut self, id: NodeId, turn: &Turn) -> Result<Outcome, Refusal> {
        let known = self.nodes.get(&id).ok_or(Refusal::UnknownNode { node: id })?;
        if known.standing == Standing::Leaving {
            return Ok(Outcome::Done);
        }
        if self.voters().all(|voter| voter == id) {
            return Err(Refusal::LastVoter { node: id });
        }
        let guests = self.guests_of(id);
        if guests > 0 {
            return Err(Refusal::NodeInUse { node: id, guests });
        }
        if let Some(row) = self.nodes.get_mut(&id) {
            (row.standing, row.since) = (Standing::Leaving, turn.now);
        }
        Ok(Outcome::Done)
    }

    /// How many guests, and holds for guests to come, are on the hosts of a node.
    fn guests_of(&self, node: NodeId) -> usize {
        let is_its = |host: &HostId| self.hosts.get(host).is_some_and(|row| row.node == node);
        let guests = self.guests.iter().map(|(_, guest)| guest.lodging.host);
        let holds = self.holds.iter().map(|(_, hold)| hold.lodging.host);
        guests.chain(holds).filter(is_its).count()
    }

    /// A node is no member any more: it is struck, with its hosts, and all certificates are revoked
    /// that were issued while it was one. The news may come late, when the node was struck long ago.
    pub(super) fn left(&mut self, id: NodeId, turn: &Turn) -> Outcome {
        let key = match self.nodes.get(&id) {
            Some(row) if row.standing == Standing::Leaving => row.key,
            Some(_) | None => return Outcome::Done,
        };
        if self.guests_of(id) == 0 {
            self.nodes.remove(&id);
            self.struck.insert(key, turn.now);
            self.settle_serials(Serials::revoke);
            let hosts: Vec<HostId> =
                self.hosts.iter().filter(|(_, row)| row.node == id).map(|(id, _)| *id).collect();
            for host in hosts {
                self.strike_host(host);
            }
        }
        Outcome::Done
    }

    /// Whether a node takes part, and stays.
    pub(in crate::site) fn stays(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|row| row.standing != Standing::Leaving)
    }

    /// What the leader is to do next about the members, if anything.
    #[must_use]
    pub fn membership_step(&self, members: &Members, leader: NodeId) -> Option<Step> {
        let table: BTreeMap<NodeId, Standing> =
            self.nodes.iter().map(|(id, row)| (*id, row.standing)).collect();
        if table.is_empty() { None } else { next_step(&table, members, leader) }
    }

    /// Those whose certificate has ended since.
    pub(super) fn forgettable_struck(&self, now: Timestamp) -> impl Iterator<Item = PublicKey> {
        let over = move |at: Timestamp| now.since(at) >= CERTIFICATE_LIFETIME;
        self.struck.iter().filter(move |(_, at)| over(**at)).map(|(key, _)| *key)
    }

    pub(super) fn forgettable_invitations(&self, now: Timestamp) -> impl Iterator<Item = [u8; 32]> {
        self.invitations.iter().filter(move |(_, row)| row.expires <= now).map(|(id, _)| *id)
    }
}

fn check_bounds(contact: &Contact) -> Result<(), Refusal> {
    let full = |what: &str, limit| Refusal::Full { what: what.to_owned(), limit };
    if contact.addresses.len() > ADDRESSES_MAX {
        return Err(full("addresses of one node", ADDRESSES_MAX));
    }
    let long = |text: &String| text.len() > ADDRESS_BYTES_MAX;
    if contact.addresses.iter().chain(&contact.api).any(long) {
        return Err(full("bytes of a node's address", ADDRESS_BYTES_MAX));
    }
    Ok(())
}
