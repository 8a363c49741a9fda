//! Leases as a node has them: until when guests may run on its host, and, while it leads its site,
//! whom the site lets run what.
//!
//! ```text
//!   a home's leader <--- session: may these of yours go on here? ---  the site's leader
//!   the site's leader  <--- may I run what is assigned to me? ---  each of its hosts
//!   a host  --- deadlines --->  the fence  --- stops what is due --->  guests
//! ```
//!
//! The arithmetic and its proof are in [`protocol::lease`]; here are the clock, the questions and
//! answers, and the deadlines' file. Nothing of it enters the log but the end of a lease. All of it
//! may be lost with the node: its deadlines are the fence's, and the rest is asked for again.
//!
//! **Invariants.** A guest's processors first run only once its deadline is in the fence's file. An
//! answer is given only after a linearizable read that began when the question had arrived. The
//! end of a lease is proposed by the leader that decided it and by nobody else: it is never passed
//! on to another node, and its entry counts only if it is of the term in which it was decided.

mod deadlines;
mod held;
pub(crate) mod host;
pub(crate) mod leader;
mod passed;
mod sessions;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use fence::Target;
use protocol::ids::{HostId, MachineName};
use protocol::lease::{Moment, Pending, Timing};
use protocol::manifest::OnPartition;
use protocol::site::Site;
use protocol::time::Span;
use protocol::wire::v1::lease::Leased;
use tokio::sync::Notify;

use deadlines::Fence;
pub use deadlines::Fencing;
pub(crate) use deadlines::program;
use held::Held;
pub(crate) use held::Watched;
use leader::Leading;

const LOCK: &str = "nothing that holds a lease's lock panics";

/// The moment, on the clock that leases are counted by.
pub(crate) fn now() -> Moment {
    Moment::from_millis(fence::Moment::now().as_nanos() / 1_000_000)
}

/// All that a node knows of leases. It is cheap to clone.
#[derive(Clone)]
pub struct Leases {
    inner: Arc<Inner>,
}

struct Inner {
    host: HostId,
    timing: Timing,
    /// What this host holds, and what stops its guests in time.
    held: Mutex<(Held, Fence)>,
    /// What this node grants, while it leads.
    leading: Mutex<Option<Leading>>,
    /// A guest waits for its lease.
    hungry: Notify,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("host", &self.inner.host).finish_non_exhaustive()
    }
}

impl Leases {
    /// The leases of a node that has just started: it holds none.
    ///
    /// # Errors
    ///
    /// If the deadlines' file in `data` cannot be used.
    pub fn new(
        host: HostId,
        timing: Timing,
        data: &Path,
        fencing: Fencing,
    ) -> Result<Self, fence::Error> {
        let held = Mutex::new((Held::default(), Fence::open(data, fencing)?));
        let (leading, hungry) = (Mutex::new(None), Notify::new());
        Ok(Self { inner: Arc::new(Inner { host, timing, held, leading, hungry }) })
    }

    pub(crate) fn host(&self) -> HostId {
        self.inner.host
    }

    pub(crate) fn timing(&self) -> Timing {
        self.inner.timing
    }

    fn held(&self) -> MutexGuard<'_, (Held, Fence)> {
        self.inner.held.lock().expect(LOCK)
    }

    fn leading(&self) -> MutexGuard<'_, Option<Leading>> {
        self.inner.leading.lock().expect(LOCK)
    }

    /// Whether this host may act on a state that is as far as `applied`.
    pub(crate) fn may_act(&self, applied: u64) -> bool {
        self.held().0.may_act(applied, now())
    }

    /// The process of a guest that is watched over, if it is that guest's in that epoch.
    pub(crate) fn watches(&self, name: MachineName, wanted: &Watched) -> bool {
        self.held().0.watches(name, wanted)
    }

    /// Watches over a guest's process from now on.
    pub(crate) fn watch(&self, name: MachineName, watched: Watched, target: Option<Target>) {
        let (held, fence) = &mut *self.held();
        held.watch(name, watched, target, fence);
    }

    /// Forgets the guests that are not there any more.
    pub(crate) fn retain(&self, present: impl Fn(MachineName) -> bool) {
        let (held, fence) = &mut *self.held();
        held.retain(present, fence);
    }

    /// Whether a guest that is watched over may run now. If not, its lease is asked for at once.
    pub(crate) fn may_run(&self, name: MachineName) -> bool {
        let may = self.held().0.may_run(name, now());
        if !may {
            self.inner.hungry.notify_one();
        }
        may
    }

    /// Takes note of what the site's leader has granted, and moves the deadlines.
    /// Says whether the answer counts.
    fn granted(&self, pending: Pending, applied: u64, duration: Span, guests: &[Leased]) -> bool {
        let (held, fence) = &mut *self.held();
        let counts = held.granted(pending, applied, duration, guests);
        held.move_deadlines(fence);
        counts
    }

    /// Whether every guest on this host ends in time for whoever is elected from now on, but those
    /// that run on in a cut and are never placed anew by themselves. What the site's only voter has
    /// to know before it gives another node a vote; from then on it stays so.
    pub(crate) fn bound(&self, site: &Site) -> bool {
        let on_host = site.leased_on(self.host()).into_iter();
        let held: BTreeSet<MachineName> = on_host
            .filter(|(.., on_partition)| *on_partition == OnPartition::Hold)
            .map(|(name, ..)| name)
            .collect();
        let slots: BTreeSet<usize> = held
            .iter()
            .filter_map(|name| usize::try_from(site.guest(*name)?.lodging.slot).ok())
            .collect();
        let (state, fence) = &mut *self.held();
        let (timing, now) = (self.timing(), now());
        fence.is_bounded(timing, now, |slot| slots.contains(&slot))
            && state.bound(timing, now, |name| held.contains(&name))
    }
}
