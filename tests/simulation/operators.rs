//! What operators do: they change what peers are allowed, remove peers and add them again, and
//! keep more or less of a site for its own tenants, in the middle of everything.

use protocol::ids::{HoldId, SiteId};
use protocol::peering::{Setting, Standing, TERM};
use protocol::site::command::{OperatorAsk, PeerEntry};
use protocol::site::{Command, Outcome, Refusal, Site};
use protocol::time::Span;
use protocol::units::{Mebibytes, Micros, Permille, Size};

use crate::member::Reply;
use crate::world::{Event, World};

impl World {
    /// An operator somewhere asks something.
    pub(crate) fn operate(&mut self) {
        if self.calm {
            return;
        }
        let sites = u64::try_from(self.members.len()).expect("a world has few sites");
        // Some four changes at each site, so that most pairs are still on speaking terms.
        let pace = self.shape.trouble / (sites * 4);
        let at = self.now + self.chance.between(1, 2 * pace.max(1));
        self.schedule(at, Event::Operate);
        let member = self.chance.index(self.members.len());
        let other = self.other(member);
        if member == other {
            return;
        }
        let site = self.members[other].id;
        let gone = self.members[member]
            .state()
            .and_then(|state| state.peer(site))
            .is_some_and(|peer| peer.standing == Standing::Gone);
        let ask = match self.chance.below(12) {
            _ if gone => OperatorAsk::AddPeer(PeerEntry {
                site,
                name: self.members[other].name.parse().expect("a site's name is a label"),
                addresses: Vec::new(),
                settings: vec![Setting::Term(Span::from_secs(60))],
            }),
            0 | 1 => OperatorAsk::RemovePeer { site, drain: self.chance.once_in(2) },
            3 => OperatorAsk::DrainPeer { peer: site },
            4 | 5 => OperatorAsk::EnablePeer { peer: site },
            6 | 7 => match self.standing_agreement(member) {
                Some(agreement) if self.chance.once_in(3) => {
                    OperatorAsk::RenewAgreement { agreement }
                }
                Some(agreement) => OperatorAsk::TerminateAgreement { agreement },
                None => return,
            },
            2 => {
                let share = format!("0.{}", self.chance.between(0, 6));
                OperatorAsk::SetReserve { reserve: share.parse().expect("a share") }
            }
            _ => OperatorAsk::SetPolicy { site, settings: vec![self.setting()] },
        };
        let request = self.chance.request();
        self.propose(member, Command::Operator { request, ask }, Reply::Nobody);
    }

    /// Any site, or at times one that runs machines of this one.
    fn other(&mut self, member: usize) -> usize {
        let providers = self.members[member].state().map(Site::providers);
        let providers: Vec<SiteId> = providers.into_iter().flatten().collect();
        match self.chance.pick(&providers) {
            Some(provider) if self.chance.once_in(3) => self.index(provider),
            Some(_) | None => self.chance.index(self.members.len()),
        }
    }

    fn standing_agreement(&mut self, member: usize) -> Option<HoldId> {
        let state = self.members[member].state()?;
        let standing = state.agreements().filter(|(_, row)| row.ended.is_none());
        let standing: Vec<HoldId> = standing.map(|(id, _)| *id).collect();
        self.chance.pick(&standing)
    }

    /// Once nothing goes wrong any more, every site sells for long, so that there is an end to
    /// what agreements give to do.
    pub(crate) fn lengthen_terms(&mut self) {
        for member in 0..self.members.len() {
            let Some(state) = self.members[member].state() else { continue };
            let short: Vec<SiteId> = state
                .peers()
                .filter(|(_, peer)| {
                    peer.standing != Standing::Gone && peer.policy.selling.term != TERM
                })
                .map(|(site, _)| *site)
                .collect();
            for site in short {
                let ask = OperatorAsk::SetPolicy { site, settings: vec![Setting::Term(TERM)] };
                let request = self.chance.request();
                self.propose(member, Command::Operator { request, ask }, Reply::Nobody);
            }
        }
    }

    fn setting(&mut self) -> Setting {
        let factor = |world: &mut Self| {
            let thousandths = u32::try_from(world.chance.between(500, 2_000)).expect("a few");
            Permille::new(thousandths).expect("a factor")
        };
        let none = self.chance.once_in(3);
        let amount = Micros(self.chance.between(10_000, 300_000));
        match self.chance.below(11) {
            0 => Setting::SellsTo(!self.chance.once_in(3)),
            1 => Setting::BuysFrom(!self.chance.once_in(3)),
            2 | 3 => Setting::Credit((!none).then_some(amount)),
            4 => {
                let most = u32::try_from(self.chance.between(0, 6)).expect("a few");
                Setting::MachinesMax((!none).then_some(most))
            }
            5 => {
                let vcpus = u32::try_from(self.chance.between(1, 2)).expect("a few");
                let (memory, disk) = (Mebibytes(512), Mebibytes(1_024));
                Setting::Largest((!none).then_some(Size { vcpus, memory, disk }))
            }
            // Only a price that rises while an agreement stands is declined at its renewal.
            6..=9 => Setting::PriceFactor(factor(self)),
            _ if none => Setting::Preference(factor(self)),
            _ => Setting::PriceMax(Some(Micros(amount.0 / 4))),
        }
    }

    /// Counts what came of an operator's request, or of a lease.
    pub(crate) fn count_operation(&mut self, command: &Command, outcome: &Outcome) {
        let census = &mut self.census;
        census.hosts_ended += u64::from(matches!(command, Command::HostEnded { .. }));
        census.peers_ended += u64::from(matches!(command, Command::PeerEnded { .. }));
        let Command::Operator { ask, .. } = command else { return };
        match (ask, outcome) {
            (OperatorAsk::RemovePeer { .. }, Outcome::Done) => census.peers_removed += 1,
            (OperatorAsk::RemovePeer { .. }, Outcome::Refused(Refusal::PeerInUse { .. })) => {
                census.removals_refused += 1;
            }
            (OperatorAsk::DrainPeer { .. }, Outcome::Done) => census.peers_drained += 1,
            (OperatorAsk::TerminateAgreement { .. }, Outcome::Done) => {
                census.agreements_terminated += 1;
            }
            (OperatorAsk::AddPeer(_), Outcome::Done) => census.peers_added_again += 1,
            (OperatorAsk::SetPolicy { .. }, Outcome::Done) => census.policies_changed += 1,
            _ => {}
        }
    }
}
