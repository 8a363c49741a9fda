//! What its tenants have: services and machines, wherever they run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Attached;
use crate::agreement::Refusal;
use crate::agreement::buyer::Offer;
use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::ids::{CallId, HoldId, HostId, ImageId, MachineId, ServiceId, SiteId, TenantId};
use crate::machine::{Goal, State};
use crate::manifest::{ComponentName, Manifest, OnPartition, SiteReference};
use crate::sla::Class;
use crate::time::Timestamp;

/// How machines of one submission hang together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every machine gets a place, or none does.
    AllOrNothing,
    /// Each machine that gets a place runs.
    BestEffort,
}

/// How far a service's deployment is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Places are sought; nothing has been accepted yet.
    Reserving,
    /// The offers are being accepted.
    Committing,
    /// The machines are started, tier after tier.
    Starting,
    /// Every machine has been started.
    Running,
    /// There was no room for it; each machine says why.
    Refused,
    /// It is being taken down.
    Ending,
    /// Nothing is left of it.
    Ended,
}

/// A tenant's service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked for.
    pub manifest: Manifest,
    /// How its machines hang together.
    pub mode: Mode,
    /// How far its deployment is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// When it was submitted.
    pub created: Timestamp,
    /// Its machines.
    pub machines: BTreeSet<MachineId>,
}

/// Where a machine is, or how far the search for a place is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// Nowhere, and none is sought.
    Nowhere,
    /// None found yet. A call for offers is open if one is named.
    Sought {
        /// The open call.
        call: Option<CallId>,
        /// Who has refused, and why.
        refused: BTreeMap<SiteId, Refusal>,
    },
    /// A peer holds room for it.
    Held(Box<Offer>),
    /// The offer has been accepted, and the peer's word is awaited.
    Accepted(Box<Offer>),
    /// None found for a machine that has lost the one it had: looked for again in a while.
    Postponed,
    /// On a host of this site.
    Here(HostId),
    /// At a peer.
    There {
        /// The peer.
        site: SiteId,
        /// The agreement.
        agreement: HoldId,
    },
}

/// Whether a machine keeps the place it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Displacement {
    /// It does.
    None,
    /// It is being ended where it is, to be placed elsewhere.
    Leaving,
    /// It has lost it, and is sought another until it has one.
    Lost,
}

/// What is done when the time has come that stands beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Timer {
    /// A place is looked for again.
    Seek,
    /// The word on the offer that was accepted is not waited for any longer.
    Word(HoldId),
}

/// What is known of a machine's guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Which start.
    pub epoch: Epoch,
    /// What a user sees of it.
    pub state: State,
    /// Since when, by the clock of the site that runs it.
    pub since: Timestamp,
    /// What is wrong; empty if nothing is.
    pub reason: String,
}

/// Where a machine stands in its service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The service.
    pub service: ServiceId,
    /// The component's name.
    pub component: ComponentName,
    /// Which of its replicas, from 1.
    pub replica: u32,
    /// Whether it has been started, by its service in the order of the components, or by its
    /// tenant.
    pub started: bool,
}

/// A machine of a tenant of this site, wherever it runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, for people.
    pub name: String,
    /// Where it stands in its service, if it is part of one.
    pub membership: Option<Membership>,
    /// What its guest sees.
    pub hull: Hull,
    /// Its addresses, in the order of the hull's cards; none once it has ended.
    pub addresses: Vec<Attached>,
    /// What it starts from.
    pub image: ImageId,
    /// The sites it may run at; none given, any may.
    pub sites: Option<BTreeSet<SiteReference>>,
    /// What becomes of it if it cannot be reached.
    pub on_partition: OnPartition,
    /// What is to be promised of it at the least.
    pub class: Class,
    /// Where it should be.
    pub goal: Goal,
    /// The home's part of its epoch: how often it has been placed.
    pub epoch: u64,
    /// Where it is.
    pub place: Place,
    /// What is known of its guest.
    pub sight: Sight,
    /// When it was defined.
    pub created: Timestamp,
    /// When nothing was left of it.
    pub ended: Option<Timestamp>,
    /// How often an accepted offer turned out to have lapsed.
    pub lapses: u8,
    /// Whether it keeps its place.
    pub displacement: Displacement,
}

impl Machine {
    /// Lets a machine that found no place be sought again, as if for the first time.
    pub fn seek(&mut self, now: Timestamp) {
        self.place = Place::Sought { call: None, refused: BTreeMap::new() };
        self.lapses = 0;
        self.sight.state = State::Defined;
        self.sight.since = now;
        self.sight.reason.clear();
    }

    /// What a user sees of it.
    #[must_use]
    pub const fn state(&self) -> State {
        match (&self.place, self.sight.state) {
            (_, state @ (State::Failed | State::Destroyed)) => state,
            (Place::Sought { .. } | Place::Postponed | Place::Held(_) | Place::Accepted(_), _) => {
                State::Placing
            }
            (Place::Nowhere | Place::Here(_) | Place::There { .. }, state) => state,
        }
    }
}
