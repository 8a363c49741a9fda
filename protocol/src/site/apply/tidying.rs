//! Forgetting what has ended long enough ago.

use super::super::command::Outcome;
use super::super::state::{Place, Stage};
use super::super::{ENDED_KEPT, REQUESTS_KEPT, Site};
use crate::identity::PublicKey;
use crate::ids::{HoldId, MachineId, RequestId, ServiceId, SiteId, TenantId};
use crate::peering::Standing;
use crate::time::{Span, Timestamp};

/// How long an ended agreement is kept: the evidence outlasts any period in which it can be
/// disputed.
const AGREEMENTS_KEPT: Span = Span::from_secs(60 * 86_400);

impl Site {
    /// Whether a [`Tick`](super::super::Command::Tick) would forget anything. The leader asks
    /// once a minute, so that ticks that change nothing stay out of the log.
    #[must_use]
    pub fn is_untidy(&self, now: Timestamp) -> bool {
        self.forgettable_machines(now).next().is_some()
            || self.forgettable_services(now).next().is_some()
            || self.forgettable_agreements(now).next().is_some()
            || self.forgettable_requests(now).next().is_some()
            || self.forgettable_peers().next().is_some()
            || self.forgettable_invitations(now).next().is_some()
            || self.forgettable_struck(now).next().is_some()
    }

    pub(super) fn tidy(&mut self, now: Timestamp) -> Outcome {
        let machines: Vec<MachineId> = self.forgettable_machines(now).collect();
        for id in machines {
            self.forget_machine(id);
        }
        let services: Vec<ServiceId> = self.forgettable_services(now).collect();
        for id in services {
            self.services.remove(&id);
        }
        let agreements: Vec<HoldId> = self.forgettable_agreements(now).collect();
        for id in agreements {
            self.agreements.remove(&id);
        }
        let requests: Vec<(TenantId, RequestId)> = self.forgettable_requests(now).collect();
        for id in requests {
            self.requests.remove(&id);
        }
        let peers: Vec<SiteId> = self.forgettable_peers().collect();
        for id in peers {
            self.peers.remove(&id);
        }
        let invitations: Vec<[u8; 32]> = self.forgettable_invitations(now).collect();
        for digest in invitations {
            self.invitations.remove(&digest);
        }
        let struck: Vec<PublicKey> = self.forgettable_struck(now).collect();
        for key in struck {
            self.struck.remove(&key);
        }
        Outcome::Done
    }

    /// A service that is scaled for years does not remember every machine it ever had.
    fn forget_machine(&mut self, id: MachineId) {
        let membership = self.machines.remove(&id).and_then(|row| row.membership);
        if let Some(service) = membership.and_then(|it| self.services.get_mut(&it.service)) {
            service.machines.remove(&id);
        }
    }

    fn forgettable_machines(&self, now: Timestamp) -> impl Iterator<Item = MachineId> {
        self.machines
            .iter()
            .filter(move |(_, machine)| {
                machine.place == Place::Nowhere
                    && machine.ended.is_some_and(|ended| now.since(ended) >= ENDED_KEPT)
            })
            .map(|(id, _)| *id)
    }

    /// A refused service is over as well, once all that was found for it has been given back. It
    /// does not outlast its machines, which say why it was refused.
    fn forgettable_services(&self, now: Timestamp) -> impl Iterator<Item = ServiceId> {
        let gone = |id| self.machines.get(id).is_none_or(|machine| machine.ended.is_some());
        self.services
            .iter()
            .filter(move |(_, service)| {
                matches!(service.stage, Stage::Ended | Stage::Refused)
                    && now.since(service.since) >= ENDED_KEPT
                    && service.machines.iter().all(gone)
            })
            .map(|(id, _)| *id)
    }

    fn forgettable_agreements(&self, now: Timestamp) -> impl Iterator<Item = HoldId> {
        self.agreements
            .iter()
            .filter(move |(_, agreement)| {
                agreement.ended.is_some_and(|ended| now.since(ended) >= AGREEMENTS_KEPT)
            })
            .map(|(id, _)| *id)
    }

    fn forgettable_requests(&self, now: Timestamp) -> impl Iterator<Item = (TenantId, RequestId)> {
        self.requests
            .iter()
            .filter(move |(_, (at, _))| now.since(*at) >= REQUESTS_KEPT)
            .map(|(id, _)| *id)
    }

    /// Peers that have been removed and with whom not a word was ever exchanged. Any other is
    /// remembered for good: were it added again, its stream must go on where it stopped, or the
    /// two sites would take each other's new messages for old ones.
    fn forgettable_peers(&self) -> impl Iterator<Item = SiteId> {
        self.peers
            .iter()
            .filter(|(_, peer)| {
                peer.standing == Standing::Gone && !peer.has_spoken() && !peer.seeded
            })
            .map(|(site, _)| *site)
    }
}
