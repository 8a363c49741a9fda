//! Networks in memory: it keeps what it was last told, and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::check::check;
use super::echo::{Depth, Echoes, Target, rounds};
use super::state::{LanState, State};
use super::{Error, Identity, Networks, Tap, Wanted};
use crate::Change;

/// A host's networks without a network.
#[derive(Debug, Default)]
pub struct Fake {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    present: Option<Wanted>,
    announced: Vec<Tap>,
    /// Where each address of a network is, which has no other place to be than this machine.
    doors: BTreeMap<(Identity, SocketAddr), SocketAddr>,
    failures: u32,
    carried: BTreeMap<IpAddr, u16>,
}

impl Fake {
    /// A host with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there: what was wanted last.
    #[must_use]
    pub fn present(&self) -> Option<Wanted> {
        self.inner().present.clone()
    }

    /// Which cards were announced, in order, as often as they were.
    #[must_use]
    pub fn announced(&self) -> Vec<Tap> {
        self.inner().announced.clone()
    }

    /// Where somebody listens, or has listened, who wanted to at an address of a network.
    #[must_use]
    pub fn door(&self, network: Identity, address: SocketAddr) -> Option<SocketAddr> {
        self.inner().doors.get(&(network, address)).copied()
    }

    /// Makes the next calls fail, this many of them, without having acted.
    pub fn fail(&self, times: u32) {
        self.inner().failures = times;
    }

    /// Has the way to an address carry packets up to so many bytes only.
    pub fn narrow(&self, to: IpAddr, largest: u16) {
        self.inner().carried.insert(to, largest);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Networks for Fake {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut inner = self.inner();
        if let Some(left) = inner.failures.checked_sub(1) {
            inner.failures = left;
            return Err(Error::Told);
        }
        if inner.present.as_ref() == Some(wanted) {
            return Ok(Change::Nothing);
        }
        inner.present = Some(wanted.clone());
        Ok(Change::Made)
    }

    fn listen(&self, network: Identity, address: SocketAddr) -> Result<Option<TcpListener>, Error> {
        let refused = |source| Error::Namespace { step: "act in", path: "fake".into(), source };
        let mut inner = self.inner();
        let lans = inner.present.iter().flat_map(|wanted| &wanted.lans);
        if !lans.map(|lan| lan.identity).any(|identity| identity == network) {
            return Err(refused(io::ErrorKind::NotFound.into()));
        }
        let door = inner.doors.get(&(network, address)).copied();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match TcpListener::bind(door.unwrap_or(anywhere)) {
            Ok(listener) => {
                let door = listener.local_addr().map_err(refused)?;
                inner.doors.insert((network, address), door);
                Ok(Some(listener))
            }
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    async fn announce(&self, _: &Wanted, tap: &Tap) -> Result<(), Error> {
        self.inner().announced.push(tap.clone());
        Ok(())
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn state(&self, wanted: &Wanted) -> Result<State, Error> {
        let lan = |lan: &super::Lan| LanState {
            identity: lan.identity,
            members: lan.members.len(),
            devices: Vec::new(),
            room_between_sites: None,
            exit: None,
            drops: Vec::new(),
        };
        Ok(State { lans: wanted.lans.iter().map(lan).collect(), drops: Vec::new() })
    }

    async fn probe(&self, targets: &[Target], depth: Depth) -> Result<Vec<Echoes>, Error> {
        let inner = self.inner();
        let answers = targets.iter().map(|target| {
            let carried = inner.carried.get(&target.address).copied().unwrap_or(u16::MAX);
            let mut echoes = Echoes::default();
            for size in rounds(*target, depth).concat() {
                echoes.note_sent(size);
                if size <= carried {
                    echoes.note_answered(size, Duration::from_millis(1));
                }
            }
            echoes
        });
        Ok(answers.collect())
    }
}
