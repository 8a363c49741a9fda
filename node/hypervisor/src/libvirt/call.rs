//! One call to libvirt: its deadline, the machine it holds, and what its errors mean.
//!
//! A call looks at a guest's tag and then acts on the guest. So that nothing changes in between,
//! a call holds its machine until it is done; and so that a call which nobody waits for any more
//! does nothing, it looks at the clock once more just before it acts.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::epoch::Epoch;
use protocol::hull::libvirt_uuid;
use protocol::ids::MachineName;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;

use super::connection::{Connection, Live};
use crate::{Error, Operation, Tag, metadata};

/// The machines that calls are at work on.
#[derive(Debug, Default)]
pub(super) struct Machines {
    held: Mutex<BTreeSet<MachineName>>,
    freed: Condvar,
}

impl Machines {
    fn held(&self) -> MutexGuard<'_, BTreeSet<MachineName>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other call holds the machine, or says that the time is up.
    fn hold(&self, name: MachineName, deadline: Instant) -> Option<Held<'_>> {
        let mut held = self.held();
        while !held.insert(name) {
            let left = deadline.checked_duration_since(Instant::now())?;
            held = match self.freed.wait_timeout(held, left) {
                Ok((held, _)) => held,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        Some(Held { machines: self, name })
    }
}

/// A machine that no other call touches while this lives.
#[derive(Debug)]
pub(super) struct Held<'a> {
    machines: &'a Machines,
    name: MachineName,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.machines.held().remove(&self.name);
        self.machines.freed.notify_all();
    }
}

/// A guest of ours, found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) domain: Domain,
    pub(super) tag: Tag,
}

#[derive(Debug)]
pub(super) struct Call {
    connection: Arc<Connection>,
    machines: Arc<Machines>,
    operation: Operation,
    limit: Duration,
    deadline: Instant,
}

impl Call {
    pub(super) fn new(
        connection: Arc<Connection>,
        machines: Arc<Machines>,
        operation: Operation,
        limit: Duration,
    ) -> Self {
        Self { connection, machines, operation, limit, deadline: Instant::now() + limit }
    }

    /// Holds a machine against every other call.
    pub(super) fn hold(&self, name: MachineName) -> Result<Held<'_>, Error> {
        self.machines.hold(name, self.deadline).ok_or_else(|| self.late())
    }

    /// The connection, and with it the right to look.
    pub(super) fn connect(&self) -> Result<Arc<Live>, Error> {
        self.in_time()?;
        self.connection.get()
    }

    /// Refuses to go on when the caller has gone.
    pub(super) fn in_time(&self) -> Result<(), Error> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(self.late()) }
    }

    const fn late(&self) -> Error {
        Error::Late { operation: self.operation, limit: self.limit }
    }

    /// What an error about one machine means.
    pub(super) fn refused(
        &self,
        live: &Live,
        name: MachineName,
        source: virt::error::Error,
    ) -> Error {
        if !live.is_alive() {
            return self.connection.unreachable(Some(source));
        }
        if source.code() == ErrorNumber::NoDomain {
            return Error::Absent { name };
        }
        Error::Refused { operation: self.operation, name, source }
    }

    /// What an error about the host means.
    pub(super) fn unanswered(&self, live: &Live, source: virt::error::Error) -> Error {
        if live.is_alive() {
            Error::Unanswered { operation: self.operation, source }
        } else {
            self.connection.unreachable(Some(source))
        }
    }

    /// The connection broke under a question whose answer says nothing then.
    pub(super) fn gone(&self) -> Error {
        self.connection.unreachable(None)
    }

    /// The machine's guest, whatever its epoch; nothing if there is none.
    pub(super) fn find(&self, live: &Live, name: MachineName) -> Result<Option<Found>, Error> {
        let description = lookup(live.connect(), name)
            .and_then(|domain| Ok((domain.get_xml_desc(virt::sys::VIR_DOMAIN_NONE)?, domain)));
        match description {
            Ok((description, domain)) => match metadata::read(&description) {
                Some(tag) if tag.name == name => Ok(Some(Found { domain, tag })),
                Some(_) | None => Err(Error::Foreign { name }),
            },
            Err(source) => match self.refused(live, name, source) {
                Error::Absent { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The machine's guest if it is of `epoch`.
    pub(super) fn find_in(
        &self,
        live: &Live,
        name: MachineName,
        epoch: Epoch,
    ) -> Result<Option<Domain>, Error> {
        let Some(found) = self.find(live, name)? else { return Ok(None) };
        let present = found.tag.epoch;
        if present == epoch {
            Ok(Some(found.domain))
        } else {
            Err(Error::OtherEpoch { name, asked: epoch, present })
        }
    }
}

fn lookup(connect: &Connect, name: MachineName) -> Result<Domain, virt::error::Error> {
    Domain::lookup_by_uuid(connect, libvirt_uuid(name.home, name.machine))
}

#[cfg(test)]
mod tests {
    use protocol::ids::{MachineId, SiteId};

    use super::*;

    fn machine(number: u8) -> MachineName {
        MachineName {
            home: SiteId::from_bytes([number; 32]),
            machine: MachineId::from_uuid(uuid::Uuid::nil()),
        }
    }

    #[test]
    fn a_machine_is_held_by_one_call_at_a_time() {
        let machines = Machines::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = machines.hold(machine(1), soon()).unwrap();
        assert!(machines.hold(machine(1), soon()).is_none());
        assert!(machines.hold(machine(2), soon()).is_some());
        drop(first);
        assert!(machines.hold(machine(1), soon()).is_some());
    }

    #[test]
    fn who_waits_for_a_machine_gets_it_when_it_is_free() {
        let machines = Machines::default();
        let deadline = Instant::now() + Duration::from_secs(60);
        let first = machines.hold(machine(1), deadline).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| machines.hold(machine(1), deadline).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
