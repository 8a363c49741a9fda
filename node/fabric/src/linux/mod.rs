//! The real fabric: the kernel's bridge, told over netlink, and dnsmasq on it.

mod bridge;
pub(crate) mod dnsmasq;
mod files;
pub(crate) mod process;

use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::{Change, Error, Fabric, Wanted, check};

/// The networks of this host, in the network namespace that the process started in.
#[derive(Debug)]
pub struct Linux {
    directory: PathBuf,
    /// The DHCP server, once one was started or found. The lock also keeps two calls apart.
    server: Mutex<Option<process::Process>>,
}

impl Linux {
    /// A fabric that keeps the DHCP server's files in `directory`: an absolute path, known to no
    /// other fabric, since a server is recognized by it after a restart.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, server: Mutex::new(None) }
    }

    /// The process id of the DHCP server, if one is known and alive.
    pub async fn server(&self) -> Option<i32> {
        self.server
            .lock()
            .await
            .as_ref()
            .filter(|server| server.is_alive())
            .map(process::Process::pid)
    }
}

#[async_trait]
impl Fabric for Linux {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut server = self.server.lock().await;
        let (index, bridged) = bridge::converge(&wanted.bridge, wanted.subnet).await?;
        let served = dnsmasq::converge(&self.directory, wanted, index, &mut server).await?;
        Ok(bridged.and(served))
    }

    async fn close(&self) -> Result<(), Error> {
        dnsmasq::close(&self.directory, &mut *self.server.lock().await).await
    }
}
