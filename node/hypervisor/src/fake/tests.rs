//! The fake keeps the trait's promises, and its faults come from its seed.

use std::path::{Path, PathBuf};

use protocol::hull::{Boot, Hull};
use protocol::ids::{MachineId, NetworkId, SiteId};
use protocol::units::{Mebibytes, Size};
use tokio::io::AsyncReadExt;

use super::*;
use crate::backend::{Owner, Plug, Start};

const CAPACITY: Capacity = Capacity {
    vcpus: 4,
    memory: Mebibytes(4096),
    disk_free: Mebibytes(10_240),
    version: String::new(),
};

struct Machine {
    hull: Hull,
    backend: Backend,
}

impl Machine {
    fn new(number: u8) -> Self {
        let machine = MachineId::from_uuid(uuid_of(number));
        let size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(16) };
        let boot = Boot::Kernel { command_line: "console=ttyS0".to_owned() };
        let backend = Backend {
            directory: PathBuf::from(format!("/nowhere/reservoir/{number}")),
            owner: Owner { uid: 70_001, gid: 70_001 },
            start: Start::Kernel { kernel: "/boot/kernel".into(), initrd: "/boot/initrd".into() },
            plugs: vec![Plug { bridge: "br0".to_owned(), interface: "tap0".to_owned() }],
        };
        Self {
            hull: Hull::new(SiteId::from_bytes([7; 32]), machine, size, boot, &[network()]),
            backend,
        }
    }

    fn name(&self) -> MachineName {
        MachineName { home: self.hull.home, machine: self.hull.machine }
    }

    fn tag(&self, epoch: Epoch) -> Tag {
        Tag { name: self.name(), epoch, hull: self.hull.id() }
    }

    async fn prepared(&self, fake: &Fake, epoch: Epoch) {
        fake.disk_create(&self.hull, &self.backend).await.unwrap();
        fake.prepare(&self.hull, &self.backend, &self.tag(epoch)).await.unwrap();
    }
}

fn uuid_of(number: u8) -> uuid::Uuid {
    uuid::Uuid::from_bytes([number; 16])
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

const FIRST: Epoch = Epoch { home: 1, provider: 0 };
const SECOND: Epoch = Epoch { home: 1, provider: 1 };

#[tokio::test]
async fn a_prepared_guest_has_not_booted_and_boots_once() {
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    machine.prepared(&fake, FIRST).await;
    machine.prepared(&fake, FIRST).await;
    assert_eq!(fake.boots(machine.name(), FIRST), 0);
    for _ in 0..2 {
        fake.resume(machine.name(), FIRST).await.unwrap();
        fake.pause(machine.name(), FIRST).await.unwrap();
    }
    assert_eq!(fake.boots(machine.name(), FIRST), 1);
}

#[tokio::test]
async fn a_guest_prepared_twice_in_an_epoch_is_counted_as_two_boots() {
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    for _ in 0..2 {
        machine.prepared(&fake, FIRST).await;
        fake.resume(machine.name(), FIRST).await.unwrap();
        assert!(fake.crash(machine.name()));
    }
    assert_eq!(fake.boots(machine.name(), FIRST), 2);
}

#[tokio::test]
async fn another_epoch_is_refused_everywhere() {
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    machine.prepared(&fake, SECOND).await;
    let (name, file) = (machine.name(), Path::new("/nowhere/state"));
    let tag = machine.tag(FIRST);
    let answers = [
        fake.prepare(&machine.hull, &machine.backend, &tag).await,
        fake.resume(name, FIRST).await,
        fake.pause(name, FIRST).await,
        fake.shutdown(name, FIRST).await,
        fake.destroy(name, FIRST).await,
        fake.save(name, FIRST, file).await,
        fake.restore(&machine.hull, &machine.backend, &tag, file).await,
    ];
    for answer in answers {
        assert!(
            matches!(answer, Err(Error::OtherEpoch { asked: FIRST, present: SECOND, .. })),
            "{answer:?}"
        );
    }
    assert_eq!(fake.look().len(), 1);
}

#[tokio::test]
async fn a_restored_guest_goes_on_without_a_boot() {
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    let (name, file) = (machine.name(), Path::new("/nowhere/state"));
    machine.prepared(&fake, FIRST).await;
    fake.resume(name, FIRST).await.unwrap();
    fake.save(name, FIRST, file).await.unwrap();
    fake.save(name, FIRST, file).await.unwrap();
    assert!(fake.look().is_empty());
    let tag = machine.tag(SECOND);
    fake.restore(&machine.hull, &machine.backend, &tag, file).await.unwrap();
    assert_eq!(fake.look(), [Guest { tag, power: Power::Paused }]);
    fake.resume(name, SECOND).await.unwrap();
    assert_eq!(fake.boots(name, FIRST), 1);
    assert_eq!(fake.boots(name, SECOND), 0);
    let other = Machine::new(2);
    fake.disk_create(&other.hull, &other.backend).await.unwrap();
    let answer = fake.restore(&other.hull, &other.backend, &other.tag(FIRST), file).await;
    assert!(matches!(answer, Err(Error::NotSaved { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_lost_answer_has_acted_and_a_repeat_is_harmless() {
    let faults = Faults { after: 1_000, ..Faults::default() };
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    machine.prepared(&fake, FIRST).await;
    fake.set_faults(faults);
    for _ in 0..2 {
        let answer = fake.resume(machine.name(), FIRST).await;
        assert!(matches!(answer, Err(Error::Injected { .. })), "{answer:?}");
    }
    assert_eq!(fake.boots(machine.name(), FIRST), 1);
    assert_eq!(fake.look()[0].power, Power::Running);
}

#[tokio::test]
async fn a_fault_before_the_act_does_nothing() {
    let faults = Faults { before: 1_000, ..Faults::default() };
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    machine.prepared(&fake, FIRST).await;
    fake.set_faults(faults);
    assert!(fake.resume(machine.name(), FIRST).await.is_err());
    assert_eq!(fake.boots(machine.name(), FIRST), 0);
}

#[tokio::test]
async fn the_same_seed_brings_the_same_faults() {
    async fn transcript(seed: u64) -> Vec<String> {
        let faults = Faults { before: 100, after: 100, crash: 50, outage: 20, outage_calls: 3 };
        let fake = Fake::new(CAPACITY, seed, faults);
        let machine = Machine::new(1);
        fake.disk_create(&machine.hull, &machine.backend).await.unwrap();
        let mut transcript = Vec::new();
        for _ in 0..200 {
            let tag = machine.tag(FIRST);
            let prepared = fake.prepare(&machine.hull, &machine.backend, &tag).await;
            let resumed = fake.resume(machine.name(), FIRST).await;
            transcript.push(format!("{prepared:?} {resumed:?} {:?}", fake.look()));
        }
        transcript
    }
    let (one, same, other) = (transcript(1).await, transcript(1).await, transcript(2).await);
    assert_eq!(one, same);
    assert_ne!(one, other);
    let seen = one.join("\n");
    for fault in ["Injected", "Unreachable", "[]", "Ok(()) Ok(())"] {
        assert!(seen.contains(fault), "no {fault} in 400 calls");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_says_so_and_heals() {
    let fake = Fake::new(CAPACITY, 0, Faults::default());
    fake.set_reachable(false);
    assert!(matches!(fake.probe().await, Err(Error::Unreachable { .. })));
    fake.set_reachable(true);
    assert_eq!(fake.probe().await.unwrap(), CAPACITY);
}

#[tokio::test]
async fn a_machine_without_disks_is_not_prepared_and_has_no_console() {
    let (fake, machine) = (Fake::new(CAPACITY, 0, Faults::default()), Machine::new(1));
    let tag = machine.tag(FIRST);
    assert!(fake.prepare(&machine.hull, &machine.backend, &tag).await.is_err());
    assert!(fake.console(&machine.backend).await.is_err());
    fake.disk_create(&machine.hull, &machine.backend).await.unwrap();
    let mut said = String::new();
    let mut console = fake.console(&machine.backend).await.unwrap();
    console.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "the guest in /nowhere/reservoir/1\n");
}
