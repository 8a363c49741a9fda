//! What its hosts have: guests, its own and those of peers, and what is held for them.

use serde::{Deserialize, Serialize};

use crate::agreement::{Report, Terms};
use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::ids::{HoldId, HostId, ImageId, MachineId, MachineName, SiteId, TenantId};
use crate::machine::Goal;
use crate::machine::guest::Progress;
use crate::manifest::OnPartition;
use crate::time::Timestamp;
use crate::units::{Mebibytes, Size};
use crate::user_data::UserData;

/// Room kept for an offer that this site has made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who was offered it.
    pub buyer: SiteId,
    /// Whose machine it is for: the buyer's opaque id.
    pub tenant: TenantId,
    /// On which terms.
    pub terms: Terms,
    /// The machine.
    pub hull: Hull,
    /// What is to be handed to it, if the buyer has said that.
    pub user_data: Option<UserData>,
    /// Where the room is.
    pub lodging: Lodging,
    /// When it is let go.
    pub expires: Timestamp,
}

/// A place on a host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Lodging {
    /// The host.
    pub host: HostId,
    /// A number that no other guest or hold on the host has: its uid and its address follow
    /// from it.
    pub slot: u32,
}

/// A machine that runs here, whether it is at home here or not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Whose it is: the home's opaque id.
    pub tenant: TenantId,
    /// Under which agreement; none if it is at home here.
    pub agreement: Option<HoldId>,
    /// What it sees.
    pub hull: Hull,
    /// What it starts from.
    pub image: ImageId,
    /// What becomes of it if its home or its host cannot be reached.
    pub on_partition: OnPartition,
    /// Where it is.
    pub lodging: Lodging,
    /// How far it is.
    pub progress: Progress,
    /// What its home was told last.
    pub told: Option<Report>,
    /// Where it should be led on another host, while it is ended on this one.
    pub leaving: Option<Goal>,
}

impl Guest {
    /// Where its home wants it.
    #[must_use]
    pub fn wanted(&self) -> Goal {
        self.leaving.unwrap_or_else(|| self.progress.wanted())
    }
}

/// What may still be on a host of a machine that has no place there any more: it was placed
/// elsewhere when the host was out of reach, or its agreement has ended. Nothing of it runs on,
/// and its disks go as soon as the host can do that and they are not to be kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// What the guest saw.
    pub hull: Hull,
    /// What it started from.
    pub image: ImageId,
    /// Its number on the host.
    pub slot: u32,
    /// Its last start there.
    pub epoch: Epoch,
    /// For how long its disks are kept; none if they are to go.
    pub kept: Option<Keeping>,
}

impl Remains {
    /// What it takes of its host: its disks, while they are kept. A host from which something is
    /// to go takes no machine before that, so there it need not be counted.
    #[must_use]
    pub fn size(&self) -> Size {
        let disk = if self.kept.is_some() { self.hull.size().disk } else { Mebibytes(0) };
        Size { disk, ..Size::default() }
    }
}

/// For how long disks are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Keeping {
    /// Under which agreement, which has ended.
    pub agreement: HoldId,
    /// Until when, unless their home says before that they are to go.
    pub until: Timestamp,
}

/// The name of a guest at home here, or of another site's.
#[must_use]
pub const fn guest_name(home: SiteId, machine: MachineId) -> MachineName {
    MachineName { home, machine }
}
