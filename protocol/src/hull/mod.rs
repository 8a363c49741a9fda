//! The hull: what a guest sees of its machine, the same wherever it runs.
//!
//! How one site carries a hull (paths, bridges, sockets, owners) is the *backend*, and is made by
//! that site alone. A hull is replicated, and its hash is part of the agreement under which a
//! provider runs the machine, so that a guest never wakes up in another machine than it went to
//! sleep in.
//!
//! Devices sit behind numbered PCI Express root ports, one each: the number is the address. Ports
//! without a device are spare, for devices that are plugged in later.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::codec;
use crate::ids::{HullId, MachineId, NetworkId, SiteId};
use crate::networks::{CARDS_MAX, MTU};
use crate::units::{Mebibytes, Size};

/// The most virtual processors of one machine: what q35 offers without an interrupt-remapping
/// device.
pub const VCPUS_MAX: u32 = 255;

/// The machine type, with its version: it fixes what firmware and chipset look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Board {
    /// QEMU's q35 chipset as version 7.2 had it.
    Q35V7_2,
}

impl Board {
    /// QEMU's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q35V7_2 => "pc-q35-7.2",
        }
    }
}

/// The processor model, by name: never the host's own, which the next host may not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Processor {
    /// QEMU's generic 64-bit model, which every x86-64 host and its software emulation carry.
    Qemu64,
}

impl Processor {
    /// QEMU's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qemu64 => "qemu64",
        }
    }
}

/// A MAC address.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The address of a machine's network card: drawn from the machine's name, locally
    /// administered, unicast.
    #[must_use]
    pub fn of(home: SiteId, machine: MachineId, card: u8) -> Self {
        let digest = machine_digest("reservoir 2026 mac of a machine's card", home, machine, card);
        Self([0x52, digest[0], digest[1], digest[2], digest[3], digest[4]])
    }

    /// The six bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a PCI Express root port, from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(pub u8);

/// What the guest starts from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Boot {
    /// A kernel and an initial RAM disk, handed over by the hypervisor.
    Kernel {
        /// The kernel's command line.
        command_line: String,
    },
    /// The first disk.
    Disk,
}

/// A disk as the guest sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is plugged in.
    pub port: Port,
    /// Its serial number, at most 20 ASCII characters (virtio-blk's limit).
    pub serial: String,
    /// Its virtual size.
    pub size: Mebibytes,
}

/// A network card as the guest sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Where it is plugged in.
    pub port: Port,
    /// Its address.
    pub mac: Mac,
    /// The network that it is plugged into.
    pub network: NetworkId,
    /// The largest packet in bytes, without the link's own header.
    pub mtu: u16,
}

/// What a guest sees of its machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hull {
    /// The site that owns the machine.
    pub home: SiteId,
    /// The machine.
    pub machine: MachineId,
    /// Raised with every change, such as a device plugged in.
    pub version: u32,
    /// Machine type.
    pub board: Board,
    /// Processor model.
    pub processor: Processor,
    /// Virtual processors at start.
    pub vcpus: u32,
    /// Virtual processors that can be brought on line.
    pub vcpus_max: u32,
    /// Memory at start.
    pub memory: Mebibytes,
    /// Memory that can be brought on line.
    pub memory_max: Mebibytes,
    /// What it starts from.
    pub boot: Boot,
    /// Its disks, the root disk first.
    pub disks: Vec<Disk>,
    /// Its network cards.
    pub cards: Vec<Card>,
    /// Root ports in all, with and without a device.
    pub ports: u8,
}

/// Root ports of a new machine: its root disk, a card for each of its networks, and spare ones for
/// volumes and cards to come. Eight are one slot of the root complex.
pub const PORTS: u8 = 8;

impl Hull {
    /// The hull of a new machine with one root disk and a card on each of these networks, of which
    /// there are at most [`CARDS_MAX`].
    #[must_use]
    pub fn new(
        home: SiteId,
        machine: MachineId,
        size: Size,
        boot: Boot,
        networks: &[NetworkId],
    ) -> Self {
        let digest = machine_digest("reservoir 2026 serial of a machine's disk", home, machine, 0);
        let card = |(number, network): (u8, &NetworkId)| Card {
            port: Port(2 + number),
            mac: Mac::of(home, machine, number),
            network: *network,
            mtu: MTU,
        };
        let serial = blake3::Hash::from_bytes(digest).to_hex()[..16].to_owned();
        Self {
            home,
            machine,
            version: 1,
            board: Board::Q35V7_2,
            processor: Processor::Qemu64,
            vcpus: size.vcpus,
            vcpus_max: size.vcpus,
            memory: size.memory,
            memory_max: size.memory,
            boot,
            disks: vec![Disk { port: Port(1), serial, size: size.disk }],
            cards: (0..).zip(networks.iter().take(CARDS_MAX)).map(card).collect(),
            ports: PORTS,
        }
    }

    /// The hash by which an agreement names it.
    #[must_use]
    pub fn id(&self) -> HullId {
        HullId::from_bytes(blake3::derive_key("reservoir 2026 hull", &codec::encode(self)))
    }

    /// What it takes of a host, at its largest.
    #[must_use]
    pub fn size(&self) -> Size {
        let disk = self.disks.iter().fold(0, |sum: u64, disk| sum.saturating_add(disk.size.0));
        Size { vcpus: self.vcpus_max, memory: self.memory_max, disk: Mebibytes(disk) }
    }

    /// Whether it hangs together: sizes that a machine can have, every device behind a port of
    /// its own. A hull from a peer is checked before anything is promised for it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut taken: Vec<Port> = self
            .disks
            .iter()
            .map(|disk| disk.port)
            .chain(self.cards.iter().map(|card| card.port))
            .collect();
        let devices = taken.len();
        taken.sort_unstable();
        taken.dedup();
        let ports_fit =
            taken.len() == devices && taken.iter().all(|port| (1..=self.ports).contains(&port.0));
        let serials_fit = self.disks.iter().all(|disk| {
            (1..=20).contains(&disk.serial.len())
                && disk.serial.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && disk.size.0 >= 1
        });
        ports_fit
            && serials_fit
            && (1..=PORTS).contains(&self.ports)
            && (1..=VCPUS_MAX).contains(&self.vcpus)
            && (self.vcpus..=VCPUS_MAX).contains(&self.vcpus_max)
            && (1..=self.memory_max.0).contains(&self.memory.0)
            && self.cards.iter().all(|card| (1280..=9000).contains(&card.mtu))
            && command_line_is_sound(&self.boot)
    }
}

/// The UUID under which libvirt knows a machine: a hash of its name, so that no peer can choose
/// one that collides with another site's (RFC 9562, version 8).
#[must_use]
pub fn libvirt_uuid(home: SiteId, machine: MachineId) -> Uuid {
    let digest = machine_digest("reservoir 2026 libvirt uuid of a machine", home, machine, 0);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The most characters of a kernel's command line: Linux on x86 takes 2,048.
pub const COMMAND_LINE_MAX: usize = 2_000;

/// Whether a kernel's command line is short and printable, and so safe to hand on.
fn command_line_is_sound(boot: &Boot) -> bool {
    match boot {
        Boot::Disk => true,
        Boot::Kernel { command_line } => {
            command_line.len() <= COMMAND_LINE_MAX
                && command_line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        }
    }
}

fn machine_digest(context: &str, home: SiteId, machine: MachineId, number: u8) -> [u8; 32] {
    let mut name = [0; 49];
    name[..32].copy_from_slice(home.as_bytes());
    name[32..48].copy_from_slice(machine.as_uuid().as_bytes());
    name[48] = number;
    blake3::derive_key(context, &name)
}
