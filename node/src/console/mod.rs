//! A machine's serial console, wherever the machine runs.
//!
//! A guest's console has one listener at a time, so a second one is told that somebody is there
//! instead of being left in silence. Whoever attaches first reads the end of what the machine has
//! said before.

use std::collections::BTreeSet;
use std::fmt;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, Mutex};

use federation::stream::Duplex;
use hypervisor::Hypervisor;
use protocol::codec;
use protocol::ids::{MachineName, NodeId, SiteId};
use protocol::machine::State;
use protocol::site::state::Place;
use protocol::wire::v1::StreamHeader;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::desk::Desk;
use crate::reconcile::Carrier;

/// How much of what was said before is shown: some screens.
const PAST: u64 = 8 << 10;

/// Bytes on their way between the guest and its listener.
const BUFFER: usize = 64 << 10;

/// A console cannot be attached to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such machine here.
    #[error("there is no machine {name} here")]
    Unknown {
        /// The machine.
        name: MachineName,
    },
    /// It does not run.
    #[error("machine {name} is {state}: activate it first")]
    NotRunning {
        /// The machine.
        name: MachineName,
        /// What it is.
        state: State,
    },
    /// Somebody else listens.
    #[error("somebody is attached to the console of machine {name} already")]
    Taken {
        /// The machine.
        name: MachineName,
    },
    /// The hypervisor has no console for it.
    #[error("the console of machine {name} cannot be opened")]
    Closed {
        /// The machine.
        name: MachineName,
        /// Why.
        #[source]
        source: Box<hypervisor::Error>,
    },
    /// The node that runs it cannot be reached.
    #[error("node {node} of this site, which runs machine {name}, cannot be reached")]
    OtherNode {
        /// The machine.
        name: MachineName,
        /// The node.
        node: NodeId,
        /// Why.
        #[source]
        source: Box<federation::stream::Error>,
    },
    /// The site that runs it cannot be reached.
    #[error("site {site}, which runs machine {name}, cannot be reached")]
    Unreachable {
        /// The machine.
        name: MachineName,
        /// The site.
        site: SiteId,
        /// Why.
        #[source]
        source: Box<federation::stream::Error>,
    },
}

/// The consoles of this host's guests.
pub struct Consoles {
    hypervisor: Arc<dyn Hypervisor>,
    carrier: Carrier,
    attached: Arc<Mutex<BTreeSet<MachineName>>>,
}

impl fmt::Debug for Consoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consoles").field("attached", &self.attached).finish_non_exhaustive()
    }
}

/// Frees a console when its listener has gone.
struct Attached {
    name: MachineName,
    all: Arc<Mutex<BTreeSet<MachineName>>>,
}

const SET: &str = "nothing that holds the set panics";

impl Drop for Attached {
    fn drop(&mut self) {
        self.all.lock().expect(SET).remove(&self.name);
    }
}

impl Consoles {
    /// The consoles of the guests that `hypervisor` runs.
    #[must_use]
    pub fn new(hypervisor: Arc<dyn Hypervisor>, carrier: Carrier) -> Self {
        Self { hypervisor, carrier, attached: Arc::default() }
    }

    fn take(&self, name: MachineName) -> Result<Attached, Error> {
        let all = Arc::clone(&self.attached);
        if !all.lock().expect(SET).insert(name) {
            return Err(Error::Taken { name });
        }
        Ok(Attached { name, all })
    }
}

/// Attaches to the console of a machine that runs here, or that is at home here.
pub(crate) async fn attach(desk: &Desk, name: MachineName) -> Result<Duplex, Error> {
    if desk.read(|site| site.guest(name).is_some()) {
        return attach_guest(desk, name).await;
    }
    let known =
        desk.read(|site| site.machine(name.machine).map(|row| (row.state(), row.place.clone())));
    match known {
        Some((_, Place::There { site, .. })) if name.home == desk.site() => {
            let header = codec::encode(&StreamHeader::Console { name });
            let opened = desk.peers().open(site, header).await;
            opened.map_err(|source| Error::Unreachable { name, site, source: Box::new(source) })
        }
        Some((state, _)) => Err(Error::NotRunning { name, state }),
        None => Err(Error::Unknown { name }),
    }
}

/// Attaches to the console of a machine that runs at this site, on whichever of its hosts.
pub(crate) async fn attach_guest(desk: &Desk, name: MachineName) -> Result<Duplex, Error> {
    let node = desk.node_of(name).ok_or(Error::Unknown { name })?;
    if node == desk.node() {
        return attach_here(desk, name).await;
    }
    let key = desk.directory().key(node).ok_or(Error::Unknown { name })?;
    let header = codec::encode(&StreamHeader::Console { name });
    let opened = desk.peers().open_node(key, header).await;
    opened.map_err(|source| Error::OtherNode { name, node, source: Box::new(source) })
}

/// Attaches to the console of a machine that runs on this node's host.
pub(crate) async fn attach_here(desk: &Desk, name: MachineName) -> Result<Duplex, Error> {
    let consoles = desk.consoles();
    let known = desk
        .read(|site| site.guest(name).map(|guest| (guest.progress.state(), guest.lodging.host)));
    let Some((state, host)) = known else { return Err(Error::Unknown { name }) };
    if desk.node_of(name) != Some(desk.node()) {
        return Err(Error::Unknown { name });
    }
    if !matches!(state, State::Active | State::Paused | State::Staging | State::Migrating) {
        return Err(Error::NotRunning { name, state });
    }
    let backend = desk
        .read(|site| {
            let mine = site.assignments(host);
            mine.into_iter().find(|assignment| assignment.name == name)
        })
        .and_then(|assignment| consoles.carrier.backend(&assignment).ok())
        .ok_or(Error::NotRunning { name, state })?;
    let guard = consoles.take(name)?;
    let mut guest = consoles
        .hypervisor
        .console(&backend)
        .await
        .map_err(|source| Error::Closed { name, source: Box::new(source) })?;
    let past = past(&backend.console_log()).await;
    let (listener, mut ours) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        // A listener that goes away, or a guest that ends, is how every console ends.
        if ours.write_all(&past).await.is_ok() {
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut guest).await;
        }
        drop(guard);
    });
    Ok(Box::new(listener))
}

/// The end of what was said before; nothing if that cannot be read.
async fn past(log: &Path) -> Vec<u8> {
    let read = async {
        let mut file = tokio::fs::File::open(log).await?;
        let length = file.metadata().await?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(PAST))).await?;
        let mut text = Vec::new();
        file.take(PAST).read_to_end(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    read.await.unwrap_or_default()
}
