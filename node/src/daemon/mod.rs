//! A node from its start to its end.
//!
//! Starting goes from what remembers to what acts: keys, state, bus, host, interface; stopping
//! goes back the same way. Nothing needs the stopping: a node that is killed has lost nothing.

mod begin;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fabric::networks::Networks as Fabric;
use federation::{Federation, Options, Peers};
use hypervisor::Hypervisor;
use hypervisor::libvirt::Libvirt;
use protocol::market::Book;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};
use tunnel::Tunnel;

use crate::api;
use crate::blobs::{self, Blobs};
use crate::config::{self, Config};
use crate::console::Consoles;
use crate::desk::{self, Desk, Inner, Signer};
use crate::driver;
use crate::keys::{self, Keys};
use crate::kpi::Kpis;
use crate::lease::{self, Fencing, Leases};
use crate::membership::certificates::{self, Heard};
use crate::membership::root::Root;
use crate::membership::transport::BusTransport;
use crate::membership::{files, links};
use crate::networks::{Networks, measure};
use crate::observe::{self, chain};
use crate::perform::Clerk;
use crate::reconcile::{self, Carrier, Tools};

pub(crate) use begin::node_name;

/// Where the namespaces of networks are kept: outside of the node's directory, since they are the
/// running kernel's and go with it.
const NAMESPACES: &str = "/run/reservoir/netns";

/// How long what acts may take to come to an end of its own.
const CLOSE_TIME: Duration = Duration::from_secs(2);

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
    /// The deadlines of guests cannot be written.
    #[error("the deadlines of guests cannot be kept")]
    Fence(#[source] fence::Error),
    /// The program of the tunnel is not known.
    #[error("the tunnel's program cannot be looked for")]
    Tunnel(#[source] std::io::Error),
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
    /// The networks.
    pub fabric: Arc<dyn Fabric>,
    /// The tunnel to other sites.
    pub tunnel: Arc<dyn Tunnel>,
    /// Starts the bus.
    pub bus: Arc<dyn StartBus>,
    /// Who stops the hypervisor's guests when their leases end.
    pub fencing: Fencing,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("hypervisor", &self.hypervisor).finish_non_exhaustive()
    }
}

/// A bus that was started.
pub struct Bus {
    /// The way to the peers.
    pub peers: Arc<dyn Peers>,
    /// Where it listens, as multiaddresses with the machine's own addresses in them.
    pub listening: Vec<String>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("listening", &self.listening).finish_non_exhaustive()
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
    async fn start(&self, options: Options, clerk: Clerk) -> Result<Bus, federation::Error>;

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
    async fn start(&self, options: Options, clerk: Clerk) -> Result<Bus, federation::Error> {
        let bus = Federation::start(options, Arc::new(clerk.clone()), Arc::new(clerk)).await?;
        let listening = bus.listening().to_vec();
        for address in &listening {
            info!(address, "the bus listens");
        }
        *self.running.lock().expect("nothing that holds it panics") = Some(bus.clone());
        Ok(Bus { peers: Arc::new(bus), listening })
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
    pub async fn real(data: &Path, config: &Config) -> Result<Self, Error> {
        let machines = machines(data);
        let libvirt = Libvirt::new(&config.host.libvirt, &machines).map_err(Error::Hypervisor)?;
        let program = tunnel::program().map_err(Error::Tunnel)?;
        Ok(Self {
            hypervisor: Arc::new(libvirt),
            fabric: Arc::new(fabric::networks::Linux::new(
                data.join("networks"),
                NAMESPACES.into(),
            )),
            tunnel: Arc::from(tunnel::of_this_host(data, &program).await),
            bus: Arc::new(RealBus::default()),
            fencing: if config.starts_fence { Fencing::Started } else { Fencing::Awaited },
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
    networks: Networks,
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
        let mut tasks = futures::future::join_all(self.tasks);
        let ended = match timeout(CLOSE_TIME, &mut tasks).await {
            Ok(ended) => ended,
            // What waits for the site's leader ends with the state.
            Err(_) => {
                close_state(&self.desk).await;
                tasks.await
            }
        };
        for fault in ended.into_iter().filter_map(Result::err) {
            warn!(%fault, "a task of the node did not end well");
        }
        close_state(&self.desk).await;
        self.parts.bus.close().await;
        self.networks.close().await;
    }
}

async fn close_state(desk: &Desk) {
    if let Err(fault) = desk.replica().close().await {
        warn!(fault = chain(&fault), "the site's state did not come to rest");
    }
}

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// If it cannot start.
pub async fn run(data: &Path, config: Config) -> Result<(), Error> {
    begin::open_as_many_files_as_allowed();
    observe::start(&config.log_filter, config.log_json).map_err(Error::Log)?;
    let keys = Keys::open_or_make(data, config.name.as_deref()).map_err(Error::Keys)?;
    keys.warn_of_root();
    let parts = Parts::real(data, &config).await?;
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

/// How this host carries machines; the directories for it are made.
fn carrier(data: &Path, config: &Config) -> Result<Carrier, Error> {
    let machines = machines(data);
    let made = std::fs::create_dir_all(&machines);
    made.map_err(|source| Error::Directory { path: machines.clone(), source })?;
    Ok(Carrier {
        machines,
        blobs: Blobs::open(&data.join("blobs")).map_err(Error::Blobs)?,
        guest_uids: config.host.guest_uids,
    })
}

fn signer(keys: &Keys) -> Signer {
    let key = protocol::identity::SecretKey::from_bytes(&keys.node().to_bytes());
    Signer::new(key, keys.certificate().clone())
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
    let configure = begin::configure(&config, &keys);
    let listener = api::listen(&config).await.map_err(Error::Api)?;
    let carrier = carrier(data, &config)?;
    let leases = Leases::new(keys.host(), config.lease, data, parts.fencing);
    let leases = leases.map_err(Error::Fence)?;
    let clerk = Clerk::new();
    let Bus { peers: bus, listening } = begin::start_bus(&config, &keys, &parts, &clerk).await?;
    let (directory, beginning) = begin::neighbours(&keys);
    let transport = BusTransport::new(directory.clone(), Arc::clone(&bus));
    let replica = begin::open_state(data, &keys, transport).await?;
    let networks = Networks::new(&parts, keys.tunnel().clone(), &config.network);
    let desk = Desk::new(Inner {
        replica,
        bus,
        directory,
        root: Root::in_keys(data),
        fetching: tokio::sync::Mutex::default(),
        book: Mutex::new(Book::default()),
        blobs: carrier.blobs.clone(),
        consoles: Consoles::new(Arc::clone(&parts.hypervisor), carrier.clone()),
        signer: signer(&keys),
        leases: leases.clone(),
        heard: Heard::default(),
        networks: networks.clone(),
        kpis: Kpis::default(),
    });
    clerk.seat(desk.clone());
    let mut contact = begin::contact(&config, &keys, listening);
    let open = async {
        if keys.joined().is_none() {
            begin::found(&desk, &configure, &contact).await?;
        }
        let seen = (desk.clone(), networks.clone());
        let api = api::serve(seen, listener, &config, keys.api()).map_err(Error::Api)?;
        let context = begin::leave_context(data, &desk, &keys, &api).await?;
        Ok((api, context))
    };
    let (api, context) = match open.await {
        Ok(opened) => opened,
        Err(fault) => {
            close_state(&desk).await;
            return Err(fault);
        }
    };
    contact.api = api.external().map(str::to_owned);
    let (closing, closes) = watch::channel(false);
    let tools =
        Tools { hypervisor: Arc::clone(&parts.hypervisor), networks: networks.clone(), carrier };
    let host = reconcile::run(desk.clone(), keys.host(), config.host, tools, closes.clone());
    let tasks = vec![
        tokio::spawn(links::run(desk.clone(), contact, beginning, closes.clone())),
        tokio::spawn(files::keep(desk.clone(), closes.clone())),
        tokio::spawn(begin::once_known(desk.clone(), closes.clone(), host)),
        tokio::spawn(lease::host::run(desk.clone(), leases.clone(), closes.clone())),
        tokio::spawn(lease::leader::run(desk.clone(), leases, closes.clone())),
        tokio::spawn(measure::run(desk.clone(), closes.clone())),
        tokio::spawn(certificates::run(desk.clone(), closes.clone())),
        tokio::spawn(driver::run(desk.clone(), configure, closes)),
    ];
    info!(
        site = %keys.site(),
        name = keys.name(),
        node = %keys.number(),
        api = api.url(),
        context = %context.display(),
        "the node serves; 'reservoir site use DIR' connects the command line to it"
    );
    Ok(Running { desk, parts, networks, api, closing, tasks })
}
