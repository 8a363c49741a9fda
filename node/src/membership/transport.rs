//! Raft's messages, over the bus between the nodes of one site.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use federation::{Channel, Peers};
use protocol::ids::NodeId;
use storage::transport::{Error, Transport};

use super::Directory;

/// Carries Raft's messages on their own channel, so that nothing else delays them.
pub(crate) struct BusTransport {
    directory: Directory,
    bus: Arc<dyn Peers>,
}

impl fmt::Debug for BusTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusTransport").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl BusTransport {
    pub(crate) fn new(directory: Directory, bus: Arc<dyn Peers>) -> Self {
        Self { directory, bus }
    }
}

#[async_trait]
impl Transport for BusTransport {
    async fn send(&self, to: NodeId, rpc: Vec<u8>) -> Result<Vec<u8>, Error> {
        let unknown = || Error::Unreachable { to, source: "its key is not known here yet".into() };
        let key = self.directory.key(to).ok_or_else(unknown)?;
        let answered = self.bus.ask_node(key, Channel::Raft, rpc).await;
        answered.map_err(|fault| Error::Unreachable { to, source: Box::new(fault) })
    }
}
