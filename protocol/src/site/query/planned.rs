//! Where the machines of a manifest would go, and why, without sending them there.

use super::super::Site;
use super::super::apply::reference_allows;
use crate::ids::{HostId, MachineId, Mint, SiteId};
use crate::manifest::{Component, ComponentName, Manifest};
use crate::market::book::Candidate;
use crate::placement::{self, Need};
use crate::site::Refusal;
use crate::sla::Class;
use crate::time::Timestamp;
use crate::units::Price;

/// Where one machine would go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Planned {
    /// Its component.
    pub component: ComponentName,
    /// Which of its replicas, from 1.
    pub replica: u32,
    /// Where.
    pub place: Where,
}

/// A place that a plan foresees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Where {
    /// On a host of this site.
    Here {
        /// The host.
        host: HostId,
        /// What it costs by this site's own tariff.
        price: Price,
    },
    /// At the peer that advertises room for it at the least; the offers will decide.
    Peer {
        /// The peer.
        site: SiteId,
        /// What it would cost by the advert.
        price: Price,
        /// How many peers advertise room for it.
        among: usize,
    },
    /// Nowhere, by all that is known.
    Nowhere {
        /// Why, for a person.
        reason: String,
    },
}

impl Site {
    /// Plans a manifest against own hosts and the adverts of peers.
    ///
    /// # Errors
    ///
    /// As a submission would be refused.
    pub fn plan(
        &self,
        manifest: &Manifest,
        candidates: &[Candidate],
    ) -> Result<Vec<Planned>, Refusal> {
        let mut mint = Mint::new(Timestamp::default(), [0; 32]);
        let mut wanted: Vec<(Need, &ComponentName, u32, &Component)> = Vec::new();
        for (name, component) in manifest.components() {
            self.fitting_image(&component.image, Some(name), component.size)?;
            for replica in 1..=component.replicas {
                let machine = MachineId::from_uuid(mint.uuid());
                wanted.push((Need { machine, size: component.size }, name, replica, component));
            }
        }
        let needs: Vec<Need> = wanted
            .iter()
            .filter(|(_, _, _, component)| self.allows_here(component))
            .map(|(need, ..)| *need)
            .collect();
        let plan = placement::plan(&needs, &self.rooms());
        let mut left = candidates.to_vec();
        Ok(wanted
            .into_iter()
            .map(|(need, name, replica, component)| {
                let here = plan.here.iter().find(|(machine, _)| *machine == need.machine);
                let place = here.map_or_else(
                    || self.planned_elsewhere(need, component, &mut left),
                    |(_, host)| self.planned_here(need, component.class, *host),
                );
                Planned { component: name.clone(), replica, place }
            })
            .collect())
    }

    fn allows_here(&self, component: &Component) -> bool {
        self.promises(component.class)
            && self
                .profile()
                .is_some_and(|it| reference_allows(component.sites.as_ref(), it.site, &it.name))
    }

    fn planned_here(&self, need: Need, class: Class, host: HostId) -> Where {
        let tariff = self.profile().expect("a plan is made for a configured site").tariff;
        let (_, hourly) =
            tariff.hourly_in(need.size, class).expect("what is not sold here is not placed here");
        Where::Here { host, price: Price { currency: tariff.currency, hourly } }
    }

    fn planned_elsewhere(
        &self,
        need: Need,
        component: &Component,
        left: &mut [Candidate],
    ) -> Where {
        let able = |candidate: &&mut Candidate| {
            candidate.largest.holds(need.size)
                && candidate.tariff.classes.cheapest(component.class).is_some()
                && candidate.free.holds(need.size)
                && self.peer(candidate.site).is_some_and(|peer| {
                    let name = peer.name.as_str();
                    peer.buying().open
                        && reference_allows(component.sites.as_ref(), candidate.site, name)
                })
        };
        let among = left.iter_mut().filter(able).count();
        let best = left
            .iter_mut()
            .filter(able)
            .filter_map(|candidate| {
                let (_, hourly) = candidate.tariff.hourly_in(need.size, component.class)?;
                Some((hourly, candidate))
            })
            .min_by_key(|(hourly, candidate)| (*hourly, candidate.site));
        let Some((hourly, best)) = best else {
            let here = self.why_not_here(component.class, self.allows_here(component));
            let reason = format!("{here}, and no peer it may go to advertises room for it");
            return Where::Nowhere { reason };
        };
        best.free = best.free.minus(need.size);
        let price = Price { currency: best.tariff.currency, hourly };
        Where::Peer { site: best.site, price, among }
    }
}
