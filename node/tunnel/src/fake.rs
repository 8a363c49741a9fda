//! A tunnel in memory: it keeps what it was last told, and fails when told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::check::check;
use crate::{
    Change, Error, Offloads, PeerState, Provider, PublicKey, State, Traffic, Tunnel, Wanted,
};

/// A tunnel without a network.
#[derive(Debug, Default)]
pub struct Fake {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    present: Option<Wanted>,
    heard: BTreeMap<PublicKey, Duration>,
    failures: u32,
}

impl Fake {
    /// A tunnel that has no interface yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there: what was last wanted and not closed since.
    #[must_use]
    pub fn present(&self) -> Option<Wanted> {
        self.inner().present.clone()
    }

    /// Has a peer be one whose last handshake was so long ago.
    pub fn hear(&self, peer: PublicKey, ago: Duration) {
        self.inner().heard.insert(peer, ago);
    }

    /// Makes the next calls fail, this many of them, without having acted.
    pub fn fail(&self, times: u32) {
        self.inner().failures = times;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn step(&mut self) -> Result<(), Error> {
        match self.failures.checked_sub(1) {
            Some(left) => {
                self.failures = left;
                Err(Error::Told)
            }
            None => Ok(()),
        }
    }

    fn state(&self, wanted: &Wanted) -> State {
        let peer = |peer: &crate::Peer| PeerState {
            public_key: peer.public_key,
            endpoint: peer.endpoint,
            last_handshake: self.heard.get(&peer.public_key).copied(),
            received: Traffic::default(),
            sent: Traffic::default(),
            drops: None,
        };
        let mut peers: Vec<PeerState> = wanted.peers.iter().map(peer).collect();
        peers.sort_by_key(|peer| peer.public_key);
        State {
            provider: Provider::Embedded(Offloads::Nothing),
            public_key: wanted.private_key.public(),
            listen_port: wanted.listen_port,
            peers,
            drops: None,
        }
    }
}

#[async_trait]
impl Tunnel for Fake {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut inner = self.inner();
        inner.step()?;
        if inner.present.as_ref() == Some(wanted) {
            return Ok(Change::Nothing);
        }
        inner.present = Some(wanted.clone());
        Ok(Change::Made)
    }

    async fn state(&self) -> Result<Option<State>, Error> {
        let mut inner = self.inner();
        inner.step()?;
        Ok(inner.present.as_ref().map(|wanted| inner.state(wanted)))
    }

    async fn close(&self) -> Result<(), Error> {
        let mut inner = self.inner();
        inner.step()?;
        inner.present = None;
        Ok(())
    }
}
