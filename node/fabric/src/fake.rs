//! A fabric in memory: it keeps what it was last told, and fails when told to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Change, Error, Fabric, Wanted, check};

/// A fabric without a network.
#[derive(Debug, Default)]
pub struct Fake {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    present: Option<Wanted>,
    failures: u32,
}

impl Fake {
    /// A fabric with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there: the last table that was wanted and not closed since.
    #[must_use]
    pub fn present(&self) -> Option<Wanted> {
        self.state().present.clone()
    }

    /// Makes the next calls fail, this many of them, without having acted.
    pub fn fail(&self, times: u32) {
        self.state().failures = times;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step(&mut self) -> Result<(), Error> {
        match self.failures.checked_sub(1) {
            Some(left) => {
                self.failures = left;
                Err(Error::Told)
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Fabric for Fake {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut state = self.state();
        state.step()?;
        if state.present.as_ref() == Some(wanted) {
            return Ok(Change::Nothing);
        }
        state.present = Some(wanted.clone());
        Ok(Change::Made)
    }

    async fn close(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.step()?;
        state.present = None;
        Ok(())
    }
}
