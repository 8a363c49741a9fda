//! The real hypervisor: QEMU under libvirtd, on this host.
//!
//! libvirt's client blocks, so its calls run on threads of their own, a bounded number at a time,
//! each with a deadline. A libvirtd that hangs costs those threads until it is noticed to be
//! dead; the node only sees calls that fail. A call whose deadline passed while it waited does
//! nothing any more: see [`call::Call`].

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocol::epoch::Epoch;
use protocol::hull::Hull;
use protocol::ids::MachineName;
use protocol::units::Mebibytes;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::render::Accelerator;
use crate::{Backend, Capacity, Error, Guest, Hypervisor, Operation, Tag, disks, render};

use call::{Call, Machines};
use connection::Connection;

mod call;
mod connection;
mod domains;
mod power;
mod saved;

/// Calls at work at once. libvirtd itself has 20 workers; a host starts few guests at a time.
const CALLS_MAX: usize = 6;

/// Saves and restores at work at once: each reads or writes as fast as the disk can.
const TRANSFERS_MAX: usize = 2;

/// A call that only looks. libvirtd answers in milliseconds; a busy host in a second or two.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// A call that changes a guest. QEMU is up in half a second, and in ten on a host that emulates
/// many; libvirt itself gives a dying QEMU 30 s.
const ACT_LIMIT: Duration = Duration::from_secs(60);

/// A call that moves a guest's memory to or from disk: 64 GiB at 100 MB/s.
const TRANSFER_LIMIT: Duration = Duration::from_secs(700);

/// libvirtd on this host.
pub struct Libvirt {
    connection: Arc<Connection>,
    machines: Arc<Machines>,
    disks: PathBuf,
    /// Where libvirtd keeps what it knows of running guests.
    run: PathBuf,
    accelerator: Accelerator,
    calls: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
}

impl fmt::Debug for Libvirt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Libvirt")
            .field("uri", &self.connection.uri())
            .field("disks", &self.disks)
            .field("accelerator", &self.accelerator)
            .finish_non_exhaustive()
    }
}

impl Libvirt {
    /// The hypervisor at `uri` (such as `qemu:///system?socket=/run/libvirt/libvirt-sock`), with
    /// machines' directories below `disks`. Nothing is connected until the first call.
    ///
    /// # Errors
    ///
    /// The processor's description cannot be read.
    pub fn new(uri: &str, disks: &Path) -> Result<Self, Error> {
        let path = Path::new("/proc/cpuinfo");
        let cpuinfo = fs::read_to_string(path)
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        let accelerator = match Accelerator::detect(&cpuinfo) {
            Accelerator::Hardware if Path::new("/dev/kvm").exists() => Accelerator::Hardware,
            Accelerator::Hardware | Accelerator::Emulation => Accelerator::Emulation,
        };
        Ok(Self {
            connection: Arc::new(Connection::new(uri)),
            machines: Arc::default(),
            disks: disks.to_owned(),
            run: run_directory(uri),
            accelerator,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)),
        })
    }

    /// Runs `work` on a thread of its own, within the limit of its operation.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Call) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (places, limit) = match operation {
            Operation::Probe | Operation::List | Operation::Locate => (&self.calls, LOOK_LIMIT),
            Operation::Prepare
            | Operation::Resume
            | Operation::Pause
            | Operation::Shutdown
            | Operation::Destroy => (&self.calls, ACT_LIMIT),
            Operation::Save | Operation::Restore => (&self.transfers, TRANSFER_LIMIT),
        };
        let call =
            Call::new(Arc::clone(&self.connection), Arc::clone(&self.machines), operation, limit);
        let places = Arc::clone(places);
        let answer = async move {
            let place = places.acquire_owned().await.expect("the semaphore is never closed");
            tokio::task::spawn_blocking(move || {
                let answer = work(&call);
                drop(place);
                answer
            })
            .await
            .expect("a call does not panic, and the runtime outlives it")
        };
        tokio::time::timeout(limit, answer).await.unwrap_or(Err(Error::Late { operation, limit }))
    }

    fn describe(&self, hull: &Hull, backend: &Backend, tag: &Tag) -> Result<String, Error> {
        render::domain(hull, backend, tag, self.accelerator)
            .map_err(|source| Error::Description { name: tag.name, source })
    }
}

#[async_trait]
impl Hypervisor for Libvirt {
    async fn probe(&self) -> Result<Capacity, Error> {
        let disks = self.disks.clone();
        self.call(Operation::Probe, move |call| {
            let disk_free = free_space(&disks)?;
            domains::capacity(call, disk_free)
        })
        .await
    }

    async fn guests(&self) -> Result<Vec<Guest>, Error> {
        self.call(Operation::List, domains::guests).await
    }

    async fn process(&self, name: MachineName, epoch: Epoch) -> Result<Option<i32>, Error> {
        let file = self.run.join("qemu").join(format!("{}.pid", render::domain_name(name)));
        self.call(Operation::Locate, move |call| domains::process(call, name, epoch, file))
            .await
            .map(Some)
    }

    async fn prepare(&self, hull: &Hull, backend: &Backend, tag: &Tag) -> Result<(), Error> {
        let (description, tag) = (self.describe(hull, backend, tag)?, *tag);
        self.call(Operation::Prepare, move |call| domains::prepare(call, &tag, &description)).await
    }

    async fn resume(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Resume, move |call| domains::resume(call, name, epoch)).await
    }

    async fn pause(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Pause, move |call| domains::pause(call, name, epoch)).await
    }

    async fn shutdown(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Shutdown, move |call| domains::shutdown(call, name, epoch)).await
    }

    async fn destroy(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Destroy, move |call| domains::destroy(call, name, epoch)).await
    }

    async fn save(&self, name: MachineName, epoch: Epoch, file: &Path) -> Result<(), Error> {
        let file = file.to_owned();
        self.call(Operation::Save, move |call| saved::save(call, name, epoch, &file)).await
    }

    async fn restore(
        &self,
        hull: &Hull,
        backend: &Backend,
        tag: &Tag,
        file: &Path,
    ) -> Result<(), Error> {
        let (description, tag) = (self.describe(hull, backend, tag)?, *tag);
        let file = file.to_owned();
        let work = move |call: &Call| saved::restore(call, &tag, &description, &file);
        self.call(Operation::Restore, work).await
    }

    async fn disk_create(&self, hull: &Hull, backend: &Backend) -> Result<(), Error> {
        let directory = backend.directory.clone();
        disks::create(hull, backend).await.map_err(|source| Error::Disks { directory, source })
    }

    async fn wipe(&self, directory: &Path) -> Result<(), Error> {
        let directory = directory.to_owned();
        tokio::task::spawn_blocking(move || {
            disks::wipe(&directory).map_err(|source| Error::Disks { directory, source })
        })
        .await
        .expect("removing files does not panic")
    }

    async fn console(&self, backend: &Backend) -> Result<UnixStream, Error> {
        let path = backend.console_socket();
        UnixStream::connect(&path).await.map_err(|source| Error::File { path, source })
    }
}

/// What is free for the node's user where `directory` lies.
fn free_space(directory: &Path) -> Result<Mebibytes, Error> {
    let room = rustix::fs::statvfs(directory)
        .map_err(|error| Error::File { path: directory.to_owned(), source: error.into() })?;
    Ok(Mebibytes(room.f_bavail.saturating_mul(room.f_frsize) >> 20))
}

/// The directory in which libvirtd has its sockets and its notes on running guests.
fn run_directory(uri: &str) -> PathBuf {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let socket = query.split('&').find_map(|parameter| parameter.strip_prefix("socket="));
    let directory = socket.map(Path::new).and_then(Path::parent);
    directory.unwrap_or_else(|| Path::new("/run/libvirt")).to_owned()
}
