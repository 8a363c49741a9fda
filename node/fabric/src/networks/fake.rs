//! Networks in memory: it keeps what it was last told, and fails when told to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::check::check;
use super::state::{LanState, State};
use super::{Error, Networks, Tap, Wanted};
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
    failures: u32,
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

    /// Makes the next calls fail, this many of them, without having acted.
    pub fn fail(&self, times: u32) {
        self.inner().failures = times;
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
}
