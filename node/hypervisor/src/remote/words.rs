//! What is said of a migration: which domain, how, and where to.

use std::path::Path;

use uuid::Uuid;

use super::NAME_MAX;
use super::xdr::{Malformed, Reader, Writer};

/// A domain as libvirt names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its number while it runs.
    pub id: i32,
}

/// What is said of a migration besides its flags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    name: &'static str,
    value: Value,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Value {
    Int(i32),
    Unsigned(u64),
    Text(String),
}

impl Parameter {
    /// Where the memory goes, or comes in: a socket of this host.
    #[must_use]
    pub fn memory(socket: &Path) -> Self {
        Self::text("migrate_uri", format!("unix://{}", socket.display()))
    }

    /// Where the disks go, or come in: a socket of this host.
    #[must_use]
    pub fn disks(socket: &Path) -> Self {
        Self::text("disks_uri", format!("unix://{}", socket.display()))
    }

    /// A disk that goes along, by its name in the guest; all that can be written, if none is named.
    #[must_use]
    pub fn disk(target: String) -> Self {
        Self::text("migrate_disks", target)
    }

    /// How the destination describes the domain.
    #[must_use]
    pub const fn description(xml: String) -> Self {
        Self::text("destination_xml", xml)
    }

    /// What the domain is called at the destination.
    #[must_use]
    pub const fn name(name: String) -> Self {
        Self::text("destination_name", name)
    }

    /// The most MiB of memory in a second.
    #[must_use]
    pub const fn bandwidth(mebibytes: u64) -> Self {
        Self { name: "bandwidth", value: Value::Unsigned(mebibytes) }
    }

    /// Over how many connections the memory goes, with [`Flags::PARALLEL`].
    #[must_use]
    pub const fn connections(count: u8) -> Self {
        Self { name: "parallel.connections", value: Value::Int(count as i32) }
    }

    const fn text(name: &'static str, text: String) -> Self {
        Self { name, value: Value::Text(text) }
    }
}

/// How a migration is to be (`virDomainMigrateFlags`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(pub(super) u32);

impl Flags {
    /// The guest runs meanwhile.
    pub const LIVE: Self = Self(1);
    /// The guest stays paused at the destination.
    pub const PAUSED: Self = Self(1 << 5);
    /// What a disk has beyond its backing file goes along.
    pub const OVERLAYS: Self = Self(1 << 7);
    /// Nobody changes or ends the domain meanwhile.
    pub const PROTECTED: Self = Self(1 << 8);
    /// A guest that dirties memory faster than it is copied is slowed down.
    pub const AUTO_CONVERGE: Self = Self(1 << 13);
    /// The memory goes over several connections.
    pub const PARALLEL: Self = Self(1 << 17);
    /// A guest waits until what it writes to a disk is at the destination, too.
    pub const SYNCHRONOUS_WRITES: Self = Self(1 << 18);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What Begin answers: what the destination's Prepare is told, and how libvirt describes the guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Begun {
    /// The cookie, as this host's libvirt made it.
    pub cookie: Vec<u8>,
    /// The description, with this host's own paths: it is not for others.
    pub description: String,
}

pub(super) fn domain(reader: &mut Reader<'_>) -> Result<Domain, Malformed> {
    let name = reader.text(NAME_MAX)?;
    Ok(Domain { name, uuid: Uuid::from_bytes(reader.fixed()?), id: reader.signed()? })
}

pub(super) fn write_domain(domain: &Domain) -> Writer {
    Writer::default().text(&domain.name).fixed(*domain.uuid.as_bytes()).signed(domain.id)
}

impl Writer {
    /// `remote_typed_param`s: each its name, its type (`virTypedParameterType`) and its value.
    pub(super) fn parameters(self, parameters: &[Parameter]) -> Self {
        let count = u32::try_from(parameters.len()).expect("there are a handful");
        parameters.iter().fold(self.unsigned(count), |writer, Parameter { name, value }| {
            let writer = writer.text(name);
            match value {
                Value::Int(number) => writer.signed(1).signed(*number),
                Value::Unsigned(number) => writer.signed(4).hyper(*number),
                Value::Text(text) => writer.signed(7).text(text),
            }
        })
    }
}
