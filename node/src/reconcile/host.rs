//! What the site is told of this host: what it has to give, and whether it is well.

use std::sync::Arc;
use std::time::Duration;

use hypervisor::{Capacity, Hypervisor};
use protocol::ids::HostId;
use protocol::site::command::Described;
use protocol::site::{Command, Outcome};
use protocol::units::{Mebibytes, Size};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config;
use crate::desk::Desk;
use crate::observe::chain;

/// How often a host that is well is looked at, and one in trouble.
const WELL: Duration = Duration::from_secs(10);
const TROUBLED: Duration = Duration::from_secs(1);

/// What a host keeps for itself if nothing else is said: a tenth, and no less than this.
const KEPT_MIN: Mebibytes = Mebibytes::from_gib(1);

/// Watches over this host's hypervisor.
pub(super) struct HostWatch {
    desk: Desk,
    host: HostId,
    limits: config::Host,
    hypervisor: Arc<dyn Hypervisor>,
    next: Instant,
}

impl HostWatch {
    pub(super) fn new(
        desk: Desk,
        host: HostId,
        limits: config::Host,
        hypervisor: Arc<dyn Hypervisor>,
    ) -> Self {
        Self { desk, host, limits, hypervisor, next: Instant::now() }
    }

    /// Looks at the hypervisor if it is time to, and tells the site what is new.
    pub(super) async fn look(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        let known = self.desk.read(|site| {
            site.hosts().find(|(id, _)| **id == self.host).map(|(_, host)| host.clone())
        });
        let (capacity, hypervisor, trouble) = match self.hypervisor.probe().await {
            Ok(found) => {
                let disk = known.as_ref().map(|host| host.capacity.disk);
                (self.to_give(&found, disk), found.version, String::new())
            }
            Err(fault) => known.as_ref().map_or_else(
                || (Size::default(), String::new(), chain(&fault)),
                |host| (host.capacity, host.hypervisor.clone(), chain(&fault)),
            ),
        };
        self.next = Instant::now() + if trouble.is_empty() { WELL } else { TROUBLED };
        let described =
            Described { node: self.desk.node(), name: self.name(), capacity, hypervisor, trouble };
        let news = known.as_ref().is_none_or(|host| {
            host.node != described.node
                || host.name != described.name
                || host.capacity != described.capacity
                || host.hypervisor != described.hypervisor
                || host.trouble != described.trouble
        });
        if !news {
            return;
        }
        if described.trouble.is_empty() {
            info!(capacity = %described.capacity, "the host is well");
        } else {
            warn!(trouble = described.trouble, "the host is in trouble");
        }
        let command = Command::Host { host: self.host, described };
        match self.desk.propose(command).await {
            Ok(Outcome::Refused(refusal)) => {
                warn!(%refusal, "the site does not take this host");
                self.next = Instant::now() + TROUBLED;
            }
            Ok(_) => {}
            Err(fault) => {
                warn!(fault = chain(&fault), "the site could not be told of its host");
                self.next = Instant::now() + TROUBLED;
            }
        }
    }

    /// What the host gives. Free disk shrinks as guests write, so what was given at the first
    /// look stays given.
    fn to_give(&self, found: &Capacity, given_before: Option<Mebibytes>) -> Size {
        let kept = Mebibytes((found.memory.0 / 10).max(KEPT_MIN.0));
        let spare = Mebibytes(found.memory.0.saturating_sub(kept.0));
        let known = given_before.filter(|disk| disk.0 > 0);
        Size {
            vcpus: self.limits.vcpus.unwrap_or(found.vcpus),
            memory: self.limits.memory.unwrap_or(spare),
            disk: self.limits.disk.or(known).unwrap_or(found.disk_free),
        }
    }

    fn name(&self) -> String {
        let system = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.limits.name.clone().unwrap_or_else(system)
    }
}
