//! Looking at domains, and the calls that start, stop and end them.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use protocol::epoch::Epoch;
use protocol::hull::libvirt_uuid;
use protocol::ids::MachineName;
use protocol::units::Mebibytes;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use super::call::Call;
use super::connection::Live;
use super::power;
use crate::{Capacity, Error, Guest, Power, Tag, metadata};

pub(super) fn capacity(call: &Call, disk_free: Mebibytes) -> Result<Capacity, Error> {
    let live = call.connect()?;
    let ask = |connect: &Connect| {
        let node = connect.get_node_info()?;
        let (qemu, libvirt) = (connect.get_hyp_version()?, connect.get_lib_version()?);
        Ok(Capacity {
            vcpus: node.cpus,
            memory: Mebibytes(node.memory >> 10),
            disk_free,
            version: format!("QEMU {}, libvirt {}", version(qemu), version(libvirt)),
        })
    };
    ask(live.connect()).map_err(|source| call.unanswered(&live, source))
}

/// libvirt's packing of a version: millions, thousands, ones.
fn version(packed: u32) -> String {
    format!("{}.{}.{}", packed / 1_000_000, packed / 1_000 % 1_000, packed % 1_000)
}

pub(super) fn guests(call: &Call) -> Result<Vec<Guest>, Error> {
    let live = call.connect()?;
    let domains = live
        .connect()
        .list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
        .map_err(|source| call.unanswered(&live, source))?;
    let mut guests = Vec::with_capacity(domains.len());
    for domain in domains {
        match look(&domain) {
            Ok(Some(guest)) => guests.push(guest),
            Ok(None) => {}
            // It ended between the two questions.
            Err(source) if source.code() == ErrorNumber::NoDomain => {}
            Err(source) => return Err(call.unanswered(&live, source)),
        }
    }
    Ok(guests)
}

/// What the domain is, if it is one of ours; a domain that has ended is none.
fn look(domain: &Domain) -> Result<Option<Guest>, virt::error::Error> {
    let description = domain.get_xml_desc(sys::VIR_DOMAIN_NONE)?;
    let uuid = domain.get_uuid()?;
    let ours = |tag: &Tag| libvirt_uuid(tag.name.home, tag.name.machine) == uuid;
    let Some(tag) = metadata::read(&description).filter(ours) else { return Ok(None) };
    let (state, reason) = domain.get_state()?;
    Ok(power::of(state, reason).map(|power| Guest { tag, power }))
}

/// The process of a guest, as libvirtd has noted it: no call of libvirt's tells.
pub(super) fn process(
    call: &Call,
    name: MachineName,
    epoch: Epoch,
    file: PathBuf,
) -> Result<i32, Error> {
    let live = call.connect()?;
    call.find_in(&live, name, epoch)?.ok_or(Error::Absent { name })?;
    let read = fs::read_to_string(&file).and_then(|text| {
        text.trim().parse().map_err(|_| io::Error::other("it does not name a process"))
    });
    read.map_err(|source| Error::File { path: file, source })
}

pub(super) fn prepare(call: &Call, tag: &Tag, description: &str) -> Result<(), Error> {
    let _held = call.hold(tag.name)?;
    let live = call.connect()?;
    if is_there(call, &live, tag)? {
        return Ok(());
    }
    call.in_time()?;
    Domain::create_xml(live.connect(), description, sys::VIR_DOMAIN_START_PAUSED)
        .map(|_| ())
        .map_err(|source| call.refused(&live, tag.name, source))
}

/// Whether the guest with this very tag is there already.
pub(super) fn is_there(call: &Call, live: &Live, tag: &Tag) -> Result<bool, Error> {
    let name = tag.name;
    match call.find(live, name)? {
        None => Ok(false),
        Some(found) if found.tag == *tag => Ok(true),
        Some(found) if found.tag.epoch == tag.epoch => {
            Err(Error::OtherHull { name, epoch: tag.epoch })
        }
        Some(found) => Err(Error::OtherEpoch { name, asked: tag.epoch, present: found.tag.epoch }),
    }
}

pub(super) fn resume(call: &Call, name: MachineName, epoch: Epoch) -> Result<(), Error> {
    act(call, name, epoch, |domain| match power_of(domain)? {
        Some(Power::Running) => Ok(()),
        _ => domain.resume().map(|_| ()),
    })
}

pub(super) fn pause(call: &Call, name: MachineName, epoch: Epoch) -> Result<(), Error> {
    act(call, name, epoch, |domain| match power_of(domain)? {
        Some(Power::Paused) => Ok(()),
        _ => domain.suspend().map(|_| ()),
    })
}

pub(super) fn shutdown(call: &Call, name: MachineName, epoch: Epoch) -> Result<(), Error> {
    act(call, name, epoch, |domain| match power_of(domain)? {
        Some(Power::ShuttingDown) => Ok(()),
        _ => domain.shutdown_flags(sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN).map(|_| ()),
    })
}

pub(super) fn destroy(call: &Call, name: MachineName, epoch: Epoch) -> Result<(), Error> {
    match act(call, name, epoch, Domain::destroy) {
        Err(Error::Absent { .. }) => Ok(()),
        answer => answer,
    }
}

fn power_of(domain: &Domain) -> Result<Option<Power>, virt::error::Error> {
    let (state, reason) = domain.get_state()?;
    Ok(power::of(state, reason))
}

/// Does `action` to the machine's guest if it is of `epoch`, and nothing otherwise.
fn act(
    call: &Call,
    name: MachineName,
    epoch: Epoch,
    action: impl FnOnce(&Domain) -> Result<(), virt::error::Error>,
) -> Result<(), Error> {
    let _held = call.hold(name)?;
    let live: Arc<Live> = call.connect()?;
    let domain = call.find_in(&live, name, epoch)?.ok_or(Error::Absent { name })?;
    call.in_time()?;
    action(&domain).map_err(|source| call.refused(&live, name, source))
}
