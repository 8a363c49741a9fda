//! A node from its start to its end.
//!
//! Starting goes from what remembers to what acts: keys, state, bus, host, interface; stopping
//! goes back the same way. Nothing needs the stopping: a node that is killed has lost nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fabric::Fabric;
use federation::{Federation, Limits, Options, Peers};
use hypervisor::Hypervisor;
use hypervisor::libvirt::Libvirt;
use protocol::ids::{NodeId, RequestId};
use protocol::market::Book;
use protocol::names::Label;
use protocol::peering::Setting;
use protocol::site::command::{Configure, Contact, OperatorAsk, PeerEntry};
use protocol::site::state::Role;
use protocol::site::{Command, Outcome, Site};
use storage::transport::Alone;
use storage::{Replica, Timing};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::api::{self, secret::Secret};
use crate::blobs::{self, Blobs};
use crate::cli::context::Context;
use crate::config::{self, Config};
use crate::console::Consoles;
use crate::desk::{self, Desk, Inner, Signer};
use crate::driver;
use crate::keys::{self, Keys};
use crate::observe::{self, chain};
use crate::perform::Clerk;
use crate::reconcile::{self, Carrier, Tools};

/// The number of the first node of a site.
const FIRST_NODE: NodeId = NodeId(1);

/// The node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[source] config::Error),
    /// The log cannot be started.
    #[error("the log's filter cannot be used")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The keys cannot be used.
    #[error("the node's keys cannot be used")]
    Keys(#[source] keys::Error),
    /// The state cannot be opened.
    #[error("the site's state cannot be opened")]
    Open(#[source] storage::replica::OpenError),
    /// The site does not answer.
    #[error("the site's state does not come up")]
    Site(#[source] desk::Error),
    /// The state refuses the configuration.
    #[error("the site refuses its configuration")]
    Refused(#[source] protocol::site::Refusal),
    /// The bus cannot be started.
    #[error("the bus between sites cannot be started")]
    Bus(#[source] federation::Error),
    /// The hypervisor cannot be described.
    #[error("the hypervisor cannot be set up")]
    Hypervisor(#[source] hypervisor::Error),
    /// The directory for images cannot be used.
    #[error("the directory for images cannot be used")]
    Blobs(#[source] blobs::Error),
    /// The REST interface cannot be started.
    #[error("the REST interface cannot be started")]
    Api(#[source] api::Error),
    /// A directory cannot be made.
    #[error("the directory {} cannot be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The context for the command line cannot be written.
    #[error("the context for the command line cannot be written")]
    Context(#[source] crate::cli::context::Error),
}

/// The heavy neighbours of a node: the real ones, or fakes.
#[derive(Clone)]
pub struct Parts {
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The network.
    pub fabric: Arc<dyn Fabric>,
    /// Starts the bus.
    pub bus: Arc<dyn StartBus>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("hypervisor", &self.hypervisor).finish_non_exhaustive()
    }
}

/// Starts a bus with the node's clerk on it.
#[async_trait]
pub trait StartBus: Send + Sync {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    async fn start(
        &self,
        options: Options,
        clerk: Clerk,
    ) -> Result<Arc<dyn Peers>, federation::Error>;

    /// Ends it.
    async fn close(&self);
}

/// libp2p.
#[derive(Debug, Default)]
pub struct RealBus {
    running: Mutex<Option<Federation>>,
}

#[async_trait]
impl StartBus for RealBus {
    async fn start(
        &self,
        options: Options,
        clerk: Clerk,
    ) -> Result<Arc<dyn Peers>, federation::Error> {
        let bus = Federation::start(options, Arc::new(clerk.clone()), Arc::new(clerk)).await?;
        for address in bus.listening() {
            info!(address, "the bus listens");
        }
        *self.running.lock().expect("nothing that holds it panics") = Some(bus.clone());
        Ok(Arc::new(bus))
    }

    async fn close(&self) {
        let running = self.running.lock().expect("nothing that holds it panics").take();
        if let Some(bus) = running {
            bus.close().await;
        }
    }
}

impl Parts {
    /// libvirt, Linux and libp2p.
    ///
    /// # Errors
    ///
    /// If the hypervisor cannot be described.
    pub fn real(data: &Path, config: &Config) -> Result<Self, Error> {
        let machines = machines(data);
        let libvirt = Libvirt::new(&config.host.libvirt, &machines).map_err(Error::Hypervisor)?;
        Ok(Self {
            hypervisor: Arc::new(libvirt),
            fabric: Arc::new(fabric::Linux::new(data.join("network"))),
            bus: Arc::new(RealBus::default()),
        })
    }
}

fn machines(data: &Path) -> PathBuf {
    data.join("machines")
}

/// A node that runs.
#[derive(Debug)]
pub struct Running {
    desk: Desk,
    parts: Parts,
    api: api::Running,
    closing: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// A handle on it.
    #[must_use]
    pub const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Where its REST interface listens.
    #[must_use]
    pub const fn api(&self) -> &api::Running {
        &self.api
    }

    /// Stops it: first what takes requests, then what acts. Guests run on.
    pub async fn close(self) {
        self.api.close().await;
        // Whoever listened has gone already if nobody receives it.
        let _ = self.closing.send(true);
        for task in self.tasks {
            if let Err(fault) = task.await {
                warn!(%fault, "a task of the node did not end well");
            }
        }
        self.parts.bus.close().await;
        if let Err(fault) = self.parts.fabric.close().await {
            warn!(fault = chain(&fault), "the network's server did not end well");
        }
    }
}

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// If it cannot start.
pub async fn run(data: &Path, config: Config) -> Result<(), Error> {
    observe::start(&config.log_filter, config.log_json).map_err(Error::Log)?;
    let keys = Keys::open_or_make(data, config.name.as_deref()).map_err(Error::Keys)?;
    keys.warn_of_root();
    let parts = Parts::real(data, &config)?;
    let running = start(data, config, keys, parts).await?;
    stop_signal().await;
    info!("the node stops; its guests run on");
    running.close().await;
    Ok(())
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match signals {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without signals there is only SIGKILL, which needs nobody to wait for it.
        (Err(_), _) | (_, Err(_)) => std::future::pending().await,
    }
}

/// Starts a node.
///
/// # Errors
///
/// If any part of it cannot start.
pub async fn start(
    data: &Path,
    config: Config,
    keys: Keys,
    parts: Parts,
) -> Result<Running, Error> {
    let configure = configure(&config, &keys);
    let replica = open_state(data, &configure, contact(&config, &keys)).await?;
    let directory = machines(data);
    let made = std::fs::create_dir_all(&directory);
    made.map_err(|source| Error::Directory { path: directory.clone(), source })?;
    let blobs = Blobs::open(&data.join("blobs")).map_err(Error::Blobs)?;
    let carrier = Carrier {
        machines: directory,
        blobs: blobs.clone(),
        bridge: config.bridge.clone(),
        guest_uids: config.host.guest_uids,
    };
    let clerk = Clerk::new();
    let bus = start_bus(&config, &keys, &parts, &clerk).await?;
    let hypervisor = Arc::clone(&parts.hypervisor);
    let desk = Desk::new(Inner {
        replica,
        bus,
        book: Mutex::new(Book::default()),
        blobs,
        consoles: Consoles::new(hypervisor, carrier.clone()),
        signer: Signer {
            site: keys.site(),
            certificate: keys.certificate().clone(),
            key: protocol::identity::SecretKey::from_bytes(&keys.node().to_bytes()),
        },
        subnet: config.subnet,
    });
    clerk.seat(desk.clone());
    let api = api::serve(desk.clone(), config.api_listen, keys.api()).await.map_err(Error::Api)?;
    let context = first_key(data, &desk, &keys, api.url(), api.pin()).await?;
    let (closing, closes) = watch::channel(false);
    let tools = Tools {
        hypervisor: Arc::clone(&parts.hypervisor),
        fabric: Arc::clone(&parts.fabric),
        carrier,
    };
    let host = reconcile::run(desk.clone(), keys.host(), config.host, tools, closes.clone());
    let tasks =
        vec![tokio::spawn(driver::run(desk.clone(), configure, closes)), tokio::spawn(host)];
    info!(
        site = %keys.site(),
        name = keys.name(),
        api = api.url(),
        context = %context.display(),
        "the node serves; 'reservoir site use DIR' connects the command line to it"
    );
    Ok(Running { desk, parts, api, closing, tasks })
}

/// Opens the state and takes the configuration over before anything else is proposed.
async fn open_state(
    data: &Path,
    configure: &Configure,
    contact: Contact,
) -> Result<Replica<Site>, Error> {
    let directory = data.join("state");
    let opened = Replica::open(&directory, FIRST_NODE, Arc::new(Alone), Timing::peers()).await;
    let replica = opened.map_err(Error::Open)?;
    replica.found().await.map_err(Error::Site)?;
    let mut progress = replica.watch();
    // A node alone elects itself; a replica that has stopped never will.
    while !progress.borrow_and_update().is_leader {
        if progress.changed().await.is_err() {
            return Err(Error::Site(desk::Error::Closed));
        }
    }
    replica.barrier().await.map_err(Error::Site)?;
    let enter = Command::Node { node: FIRST_NODE, contact };
    for command in [Command::Configure(configure.clone()), enter] {
        let proposed = replica.propose(&desk::stamped(command)).await;
        if let Outcome::Refused(refusal) = proposed.map_err(Error::Site)? {
            return Err(Error::Refused(refusal));
        }
    }
    Ok(replica)
}

/// How this node is reached.
fn contact(config: &Config, keys: &Keys) -> Contact {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let bus = &config.bus;
    let addresses = if bus.external.is_empty() { &bus.listen } else { &bus.external };
    Contact {
        key: keys.node().public(),
        name: host.parse().unwrap_or_else(|_| "node".parse().expect("this is a label")),
        addresses: addresses.clone(),
        api: None,
    }
}

async fn start_bus(
    config: &Config,
    keys: &Keys,
    parts: &Parts,
    clerk: &Clerk,
) -> Result<Arc<dyn Peers>, Error> {
    let options = Options {
        key: protocol::identity::SecretKey::from_bytes(&keys.node().to_bytes()),
        certificate: keys.certificate().clone(),
        incarnation: 0,
        listen: config.bus.listen.clone(),
        external: config.bus.external.clone(),
        mdns: config.bus.mdns,
        limits: Limits::STANDARD,
    };
    parts.bus.start(options, clerk.clone()).await.map_err(Error::Bus)
}

fn configure(config: &Config, keys: &Keys) -> Configure {
    let peers = config.peers.iter().filter(|peer| peer.site != keys.site());
    Configure {
        site: keys.site(),
        name: keys.name().to_owned(),
        tariff: config.tariff,
        peers: peers
            .map(|peer| PeerEntry {
                site: peer.site,
                name: peer.name.clone(),
                addresses: peer.addresses.clone(),
                settings: vec![Setting::SellsTo(peer.sells_to), Setting::BuysFrom(peer.buys_from)],
            })
            .collect(),
    }
}

/// Makes the first key, an operator's, and keeps it in the context that the command line takes
/// over. The file is written first: a key that nobody has is no use, and a file whose key is not
/// known yet is put right by the next line.
async fn first_key(
    data: &Path,
    desk: &Desk,
    keys: &Keys,
    url: &str,
    pin: &str,
) -> Result<PathBuf, Error> {
    let path = data.join("context.toml");
    let known = Context::read(&path).ok();
    if known.is_none() && desk.read(|site| site.keys().next().is_some()) {
        // The operator has taken the file away, and has the key.
        return Ok(path);
    }
    let secret = known.map_or_else(|| Secret::draw().expose(), |context| context.key);
    let context = Context {
        site: keys.name().to_owned(),
        url: url.to_owned(),
        key: secret,
        pin: pin.to_owned(),
    };
    context.write(&path).map_err(Error::Context)?;
    let fixed = |name: &str| name.parse::<Label>().expect("these are labels");
    let ask = OperatorAsk::AddKey {
        name: fixed("first"),
        tenant: fixed("default"),
        role: Role::Operator,
        digest: *blake3::hash(context.key.as_bytes()).as_bytes(),
    };
    if desk.read(|site| site.keys().next().is_none()) {
        let request = RequestId::from_uuid(crate::chance::uuid());
        let command = Command::Operator { request, ask };
        if let Outcome::Refused(refusal) = desk.propose(command).await.map_err(Error::Site)? {
            return Err(Error::Refused(refusal));
        }
    }
    Ok(path)
}
