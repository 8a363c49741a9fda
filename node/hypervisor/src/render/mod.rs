//! Hull and backend to libvirt's XML: the only place where a domain is described, for a start as
//! for a restore, so that a guest finds itself in the same machine every time.
//!
//! Nothing is left to libvirt's defaults that a guest could see: each device has its address,
//! what is not wanted is named as absent, and formats are written down and never probed. Text
//! from outside goes through the writer's escaping, and is refused before that if it could not
//! be text at all.

use std::io;
use std::path::{Path, PathBuf};

use protocol::hull::{self, Boot, Hull, Port, Processor};
use protocol::ids::MachineName;
use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::backend::{Backend, Start};
use crate::{Tag, metadata};

mod devices;
pub(crate) use devices::disk_name;
#[cfg(test)]
mod tests;

/// The longest path of a UNIX socket, without its end mark (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// The longest name of an interface, without its end mark (`IFNAMSIZ`).
const INTERFACE_MAX: usize = 15;

/// Slots for memory that is plugged in later; QEMU wants to know how many there can be.
const MEMORY_SLOTS: &str = "8";

/// Who executes the guest's instructions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accelerator {
    /// The processor itself (KVM).
    Hardware,
    /// QEMU, in software (TCG).
    Emulation,
}

impl Accelerator {
    /// What this host can do, from the text of `/proc/cpuinfo`.
    ///
    /// The device `/dev/kvm` alone says too little: there are hosts where it opens and a guest
    /// then hangs. The processor's own flags tell.
    #[must_use]
    pub fn detect(cpuinfo: &str) -> Self {
        let hardware = cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.trim() == "flags")
            .flat_map(|(_, flags)| flags.split_ascii_whitespace())
            .any(|flag| flag == "vmx" || flag == "svm");
        if hardware { Self::Hardware } else { Self::Emulation }
    }
}

/// Why a machine cannot be described.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The hull does not hang together.
    #[error("its hull is not sound")]
    Unsound,
    /// The tag speaks of another machine or another hull.
    #[error("its tag names another machine or another hull")]
    Tag,
    /// The hull starts from one thing and the backend brings another.
    #[error("its hull and its backend start from different things")]
    Start,
    /// Not one place for each card.
    #[error("it has {cards} cards and {plugs} places to plug them in")]
    Plugs {
        /// Cards of the hull.
        cards: usize,
        /// Places of the backend.
        plugs: usize,
    },
    /// An interface's name is none.
    #[error("'{0}' is not the name of an interface: 1 to 15 letters, digits, '-', '_' or '.'")]
    Interface(String),
    /// A path is not absolute, not printable, or too long for a socket.
    #[error("'{}' cannot be given to the hypervisor: choose a shorter, plain directory", .0.display())]
    Path(PathBuf),
}

/// The name under which libvirt lists the machine.
#[must_use]
pub fn domain_name(name: MachineName) -> String {
    format!("reservoir-{}", hull::libvirt_uuid(name.home, name.machine))
}

/// The description of a machine's domain.
///
/// # Errors
///
/// The hull is not sound, or hull, backend and tag do not belong together.
pub fn domain(
    hull: &Hull,
    backend: &Backend,
    tag: &Tag,
    accelerator: Accelerator,
) -> Result<String, Error> {
    check(hull, backend, tag)?;
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut writer, &Parts { hull, backend, tag, accelerator })
        .expect("writing to memory does not fail");
    Ok(String::from_utf8(writer.into_inner()).expect("the writer was given text only"))
}

/// All that a description is made of.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    hull: &'a Hull,
    backend: &'a Backend,
    tag: &'a Tag,
    accelerator: Accelerator,
}

fn check(hull: &Hull, backend: &Backend, tag: &Tag) -> Result<(), Error> {
    if !hull.is_sound() {
        return Err(Error::Unsound);
    }
    let name = MachineName { home: hull.home, machine: hull.machine };
    if tag.name != name || tag.hull != hull.id() {
        return Err(Error::Tag);
    }
    match (&hull.boot, &backend.start) {
        (Boot::Kernel { .. }, Start::Kernel { kernel, initrd }) => {
            check_path(kernel)?;
            check_path(initrd)?;
        }
        (Boot::Disk, Start::Disk { base, .. }) if !hull.disks.is_empty() => check_path(base)?,
        (Boot::Kernel { .. } | Boot::Disk, Start::Kernel { .. } | Start::Disk { .. }) => {
            return Err(Error::Start);
        }
    }
    check_path(&backend.directory)?;
    if backend.console_socket().as_os_str().len() > SOCKET_PATH_MAX {
        return Err(Error::Path(backend.console_socket()));
    }
    let (cards, plugs) = (hull.cards.len(), backend.plugs.len());
    if cards != plugs {
        return Err(Error::Plugs { cards, plugs });
    }
    let mut names = backend.plugs.iter().flat_map(|plug| [&plug.bridge, &plug.interface]);
    match names.find(|name| !is_interface_name(name)) {
        Some(name) => Err(Error::Interface(name.clone())),
        None => Ok(()),
    }
}

fn check_path(path: &Path) -> Result<(), Error> {
    let printable = path.to_str().is_some_and(|text| !text.chars().any(char::is_control));
    if path.is_absolute() && printable { Ok(()) } else { Err(Error::Path(path.to_owned())) }
}

fn is_interface_name(name: &str) -> bool {
    (1..=INTERFACE_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !matches!(name, "." | "..")
}

type Xml = Writer<Vec<u8>>;

/// An element without content.
fn empty(writer: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    writer.create_element(name).with_attributes(attributes.iter().copied()).write_empty()?;
    Ok(())
}

/// An element that holds text.
fn text(writer: &mut Xml, name: &str, attributes: &[(&str, &str)], text: &str) -> io::Result<()> {
    writer
        .create_element(name)
        .with_attributes(attributes.iter().copied())
        .write_text_content(BytesText::new(text))?;
    Ok(())
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("check_path has seen that it is text")
}

fn write(writer: &mut Xml, parts: &Parts<'_>) -> io::Result<()> {
    let kind = match parts.accelerator {
        Accelerator::Hardware => "kvm",
        Accelerator::Emulation => "qemu",
    };
    let name = parts.tag.name;
    let uuid = hull::libvirt_uuid(name.home, name.machine).to_string();
    writer.create_element("domain").with_attribute(("type", kind)).write_inner_content(|w| {
        text(w, "name", &[], &domain_name(name))?;
        text(w, "uuid", &[], &uuid)?;
        w.create_element("metadata").write_inner_content(|w| metadata::write(w, parts.tag))?;
        write_size(w, parts.hull)?;
        write_boot(w, parts)?;
        w.create_element("features").write_inner_content(|w| {
            empty(w, "acpi", &[])?;
            empty(w, "apic", &[])
        })?;
        write_processor(w, parts)?;
        empty(w, "clock", &[("offset", "utc")])?;
        text(w, "on_poweroff", &[], "destroy")?;
        text(w, "on_reboot", &[], "restart")?;
        text(w, "on_crash", &[], "destroy")?;
        write_sleep(w)?;
        w.create_element("devices").write_inner_content(|w| devices::write(w, parts))?;
        write_label(w, parts.backend)
    })?;
    Ok(())
}

fn write_size(writer: &mut Xml, hull: &Hull) -> io::Result<()> {
    let mebibytes = [("unit", "MiB")];
    if hull.memory_max > hull.memory {
        let attributes = [("slots", MEMORY_SLOTS), ("unit", "MiB")];
        text(writer, "maxMemory", &attributes, &hull.memory_max.0.to_string())?;
    }
    text(writer, "memory", &mebibytes, &hull.memory.0.to_string())?;
    text(writer, "currentMemory", &mebibytes, &hull.memory.0.to_string())?;
    let current = hull.vcpus.to_string();
    let attributes = [("placement", "static"), ("current", current.as_str())];
    text(writer, "vcpu", &attributes, &hull.vcpus_max.to_string())
}

fn write_boot(writer: &mut Xml, parts: &Parts<'_>) -> io::Result<()> {
    writer.create_element("os").write_inner_content(|w| {
        let machine = [("arch", "x86_64"), ("machine", parts.hull.board.name())];
        text(w, "type", &machine, "hvm")?;
        if let (Boot::Kernel { command_line }, Start::Kernel { kernel, initrd }) =
            (&parts.hull.boot, &parts.backend.start)
        {
            text(w, "kernel", &[], path_text(kernel))?;
            text(w, "initrd", &[], path_text(initrd))?;
            text(w, "cmdline", &[], command_line)
        } else {
            empty(w, "boot", &[("dev", "hd")])
        }
    })?;
    Ok(())
}

/// The model by name, and nothing of the host's. Emulation has no host to check it against.
fn write_processor(writer: &mut Xml, parts: &Parts<'_>) -> io::Result<()> {
    let check = match parts.accelerator {
        Accelerator::Hardware => "partial",
        Accelerator::Emulation => "none",
    };
    let attributes = [("mode", "custom"), ("match", "exact"), ("check", check)];
    writer.create_element("cpu").with_attributes(attributes).write_inner_content(|w| {
        text(w, "model", &[("fallback", "forbid")], parts.hull.processor.name())?;
        match parts.hull.processor {
            // The model has it, an Intel processor does not, and guests must not see who made it.
            Processor::Qemu64 => empty(w, "feature", &[("policy", "disable"), ("name", "svm")])?,
        }
        if parts.hull.memory_max > parts.hull.memory {
            write_cell(w, parts.hull)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// QEMU plugs memory into NUMA cells only, so a machine whose memory may grow has one.
fn write_cell(writer: &mut Xml, hull: &Hull) -> io::Result<()> {
    let last = hull.vcpus_max.saturating_sub(1);
    let processors = if last == 0 { "0".to_owned() } else { format!("0-{last}") };
    let memory = hull.memory.0.to_string();
    writer.create_element("numa").write_inner_content(|w| {
        let attributes =
            [("id", "0"), ("cpus", processors.as_str()), ("memory", &memory), ("unit", "MiB")];
        empty(w, "cell", &attributes)
    })?;
    Ok(())
}

/// A guest that put itself to sleep would look paused by us, and would not wake by our resume.
fn write_sleep(writer: &mut Xml) -> io::Result<()> {
    writer.create_element("pm").write_inner_content(|w| {
        empty(w, "suspend-to-mem", &[("enabled", "no")])?;
        empty(w, "suspend-to-disk", &[("enabled", "no")])
    })?;
    Ok(())
}

/// A user and a group of its own; the files are the node's to give away, not libvirt's.
fn write_label(writer: &mut Xml, backend: &Backend) -> io::Result<()> {
    let attributes = [("type", "static"), ("model", "dac"), ("relabel", "no")];
    writer.create_element("seclabel").with_attributes(attributes).write_inner_content(|w| {
        text(w, "label", &[], &format!("+{}:+{}", backend.owner.uid, backend.owner.gid))
    })?;
    Ok(())
}

/// The PCI address of the device behind a root port: the port's number is its bus.
fn behind(port: Port) -> String {
    format!("{:#04x}", port.0)
}
