//! What operators ask: keys, tenants, images; what they say of peers is in [`super::peering`].

use super::super::command::{OperatorAsk, Outcome, Refusal};
use super::super::state::{Key, Place, Registered, Role, Tenant};
use super::super::{IMAGES_MAX, KEYS_MAX, Site, Turn};
use crate::ids::{ImageId, KeyId, TenantId};
use crate::images::Image;
use crate::manifest::ImageName;
use crate::names::Label;

impl Site {
    pub(super) fn operator(
        &mut self,
        ask: &OperatorAsk,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        match ask {
            OperatorAsk::AddKey { name, tenant, role, digest } => {
                self.add_key(name, tenant, *role, *digest, turn)
            }
            OperatorAsk::RemoveKey { key } => self.remove_key(*key),
            OperatorAsk::RegisterImage { name, image } => self.register_image(name, image, turn),
            OperatorAsk::UnregisterImage { image } => self.unregister_image(*image),
            OperatorAsk::Invite { digest, name, standing } => {
                self.invite(*digest, name.as_ref(), *standing, turn)
            }
            OperatorAsk::RemoveNode { node } => self.remove_node(*node, turn),
            OperatorAsk::DrainHost { host } => self.drain_host(*host, turn),
            OperatorAsk::EnableHost { host } => self.enable_host(*host),
            OperatorAsk::ForgetHost { host } => self.forget_host(*host, turn),
            OperatorAsk::DrainPeer { peer } => self.drain_peer(*peer, turn),
            OperatorAsk::AddPeer(entry) => self.add_peer(entry, turn),
            OperatorAsk::SetPolicy { site, settings } => self.set_policy(*site, settings),
            OperatorAsk::RemovePeer { site, drain } => self.remove_peer(*site, *drain, turn),
            OperatorAsk::EnablePeer { peer } => self.enable_peer(*peer),
            OperatorAsk::TerminateAgreement { agreement } => {
                self.terminate_agreement(*agreement, turn)
            }
            OperatorAsk::RenewAgreement { agreement } => self.renew_agreement(*agreement, turn),
            OperatorAsk::AddPool { pool } => self.add_pool(*pool),
            OperatorAsk::RemovePool { pool } => self.remove_pool(*pool),
            OperatorAsk::SetReserve { reserve } => Ok(self.set_reserve(*reserve)),
        }
    }

    fn add_key(
        &mut self,
        name: &Label,
        tenant: &Label,
        role: Role,
        digest: [u8; 32],
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        if let Some((id, _)) = self.keys.iter().find(|(_, key)| key.digest == digest) {
            return Ok(Outcome::Key(*id));
        }
        if self.keys.iter().any(|(_, key)| key.name == *name) {
            return Err(Refusal::NameTaken { name: name.to_string() });
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(Refusal::Full { what: "keys".to_owned(), limit: KEYS_MAX });
        }
        let known = self.tenants.iter().find(|(_, row)| row.name == *tenant).map(|(id, _)| *id);
        let owner = known.unwrap_or_else(|| TenantId::from_uuid(turn.mint.uuid()));
        self.tenants.insert(owner, Tenant { name: tenant.clone() });
        let id = KeyId::from_uuid(turn.mint.uuid());
        let key = Key { name: name.clone(), tenant: owner, role, digest, created: turn.now };
        self.keys.insert(id, key);
        Ok(Outcome::Key(id))
    }

    fn remove_key(&mut self, id: KeyId) -> Result<Outcome, Refusal> {
        let Some(key) = self.keys.get(&id) else { return Err(Refusal::UnknownKey { key: id }) };
        let operators = self.keys.iter().filter(|(_, key)| key.role == Role::Operator).count();
        if key.role == Role::Operator && operators == 1 {
            return Err(Refusal::LastKey { key: id });
        }
        self.keys.remove(&id);
        Ok(Outcome::Done)
    }

    fn register_image(
        &mut self,
        name: &ImageName,
        image: &Image,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let id = image.id();
        match self.images.iter().find(|(_, row)| row.name == *name) {
            Some((known, _)) if *known == id => return Ok(Outcome::Image(id)),
            Some(_) => return Err(Refusal::NameTaken { name: name.to_string() }),
            None => {}
        }
        if let Some(row) = self.images.get(&id) {
            return Err(Refusal::NameTaken { name: row.name.to_string() });
        }
        if self.images.len() >= IMAGES_MAX {
            return Err(Refusal::Full { what: "images".to_owned(), limit: IMAGES_MAX });
        }
        let row = Registered { name: name.clone(), image: image.clone(), created: turn.now };
        self.images.insert(id, row);
        Ok(Outcome::Image(id))
    }

    fn unregister_image(&mut self, id: ImageId) -> Result<Outcome, Refusal> {
        if self.images.get(&id).is_none() {
            return Err(Refusal::UnknownImageId { image: id });
        }
        let guests = self.guests.iter().filter(|(_, guest)| guest.image == id).count();
        let holds = self.holds.iter().filter(|(_, hold)| hold.terms.image == id).count();
        let unplaced = self
            .machines
            .iter()
            .filter(|(_, row)| {
                row.image == id && row.ended.is_none() && !matches!(row.place, Place::Here(_))
            })
            .count();
        let kept = self.remains.iter().filter(|(_, it)| it.image == id && it.kept.is_some());
        let machines = guests + holds + unplaced + kept.count();
        if machines > 0 {
            return Err(Refusal::ImageInUse { image: id, machines });
        }
        self.images.remove(&id);
        Ok(Outcome::Done)
    }
}
