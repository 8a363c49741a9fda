//! A domain's devices: root ports, disks, cards, the serial console, and what is not there.

use std::io;

use protocol::hull::{Card, Disk};

use super::{Parts, Xml, behind, empty, path_text, text};
use crate::backend::Start;
use crate::disks::format_name;

pub(super) fn write(writer: &mut Xml, parts: &Parts<'_>) -> io::Result<()> {
    for (number, disk) in parts.hull.disks.iter().enumerate() {
        write_disk(writer, parts, number, disk)?;
    }
    write_controllers(writer, parts.hull.ports)?;
    for (number, card) in parts.hull.cards.iter().enumerate() {
        write_card(writer, parts, number, card)?;
    }
    write_console(writer, parts)?;
    empty(writer, "memballoon", &[("model", "none")])
}

/// Where a device sits.
fn address(writer: &mut Xml, bus: &str, slot: &str, function: &str) -> io::Result<()> {
    let address = [
        ("type", "pci"),
        ("domain", "0x0000"),
        ("bus", bus),
        ("slot", slot),
        ("function", function),
    ];
    empty(writer, "address", &address)
}

/// The host's page cache is used (`writeback`): the guest's flushes reach the disk all the same,
/// every file system carries it (`O_DIRECT` is not everywhere), and as disks are mirrored when a
/// machine moves and never shared, no second host reads behind the cache.
fn write_disk(writer: &mut Xml, parts: &Parts<'_>, number: usize, disk: &Disk) -> io::Result<()> {
    let file = parts.backend.disk(disk);
    let attributes = [("type", "file"), ("device", "disk")];
    writer.create_element("disk").with_attributes(attributes).write_inner_content(|w| {
        let driver =
            [("name", "qemu"), ("type", "qcow2"), ("cache", "writeback"), ("discard", "unmap")];
        empty(w, "driver", &driver)?;
        empty(w, "source", &[("file", path_text(&file))])?;
        match &parts.backend.start {
            Start::Disk { base, format } if number == 0 => {
                w.create_element("backingStore")
                    .with_attribute(("type", "file"))
                    .write_inner_content(|w| {
                        empty(w, "format", &[("type", format_name(*format))])?;
                        empty(w, "source", &[("file", path_text(base))])?;
                        empty(w, "backingStore", &[])
                    })?;
            }
            Start::Disk { .. } | Start::Kernel { .. } => empty(w, "backingStore", &[])?,
        }
        empty(w, "target", &[("dev", &disk_name(number)), ("bus", "virtio")])?;
        text(w, "serial", &[], &disk.serial)?;
        address(w, &behind(disk.port), "0x00", "0x0")
    })?;
    Ok(())
}

/// libvirt's name for a disk, which it asks for and the guest does not see.
pub(crate) fn disk_name(number: usize) -> String {
    let number = u8::try_from(number).expect("a sound hull has at most eight devices");
    format!("vd{}", char::from(b'a' + number))
}

/// All root ports are functions of slot 2. The SATA controller is part of the chipset.
fn write_controllers(writer: &mut Xml, ports: u8) -> io::Result<()> {
    empty(writer, "controller", &[("type", "usb"), ("index", "0"), ("model", "none")])?;
    let sata = [("type", "sata"), ("index", "0")];
    writer
        .create_element("controller")
        .with_attributes(sata)
        .write_inner_content(|w| address(w, "0x00", "0x1f", "0x2"))?;
    empty(writer, "controller", &[("type", "pci"), ("index", "0"), ("model", "pcie-root")])?;
    for port in 1..=ports {
        write_port(writer, port)?;
    }
    Ok(())
}

fn write_port(writer: &mut Xml, port: u8) -> io::Result<()> {
    let (index, function) = (port.to_string(), format!("{:#x}", port - 1));
    let attributes = [("type", "pci"), ("index", &index), ("model", "pcie-root-port")];
    writer.create_element("controller").with_attributes(attributes).write_inner_content(|w| {
        empty(w, "model", &[("name", "pcie-root-port")])?;
        let target = [("chassis", index.as_str()), ("port", &format!("{:#x}", 0x0f + port))];
        empty(w, "target", &target)?;
        let mut address = vec![
            ("type", "pci"),
            ("domain", "0x0000"),
            ("bus", "0x00"),
            ("slot", "0x02"),
            ("function", &function),
        ];
        if port == 1 {
            address.push(("multifunction", "on"));
        }
        empty(w, "address", &address)
    })?;
    Ok(())
}

/// Without an option ROM: what is in it depends on the host's packages.
fn write_card(writer: &mut Xml, parts: &Parts<'_>, number: usize, card: &Card) -> io::Result<()> {
    let plug = &parts.backend.plugs[number];
    writer.create_element("interface").with_attribute(("type", "bridge")).write_inner_content(
        |w| {
            empty(w, "mac", &[("address", &card.mac.to_string())])?;
            empty(w, "source", &[("bridge", &plug.bridge)])?;
            empty(w, "target", &[("dev", &plug.interface)])?;
            empty(w, "model", &[("type", "virtio")])?;
            empty(w, "mtu", &[("size", &card.mtu.to_string())])?;
            empty(w, "rom", &[("enabled", "no")])?;
            address(w, &behind(card.port), "0x00", "0x0")
        },
    )?;
    Ok(())
}

/// Listens in the machine's directory, and writes all it says to a log there.
fn write_console(writer: &mut Xml, parts: &Parts<'_>) -> io::Result<()> {
    let (socket, log) = (parts.backend.console_socket(), parts.backend.console_log());
    writer.create_element("serial").with_attribute(("type", "unix")).write_inner_content(|w| {
        empty(w, "source", &[("mode", "bind"), ("path", path_text(&socket))])?;
        empty(w, "log", &[("file", path_text(&log)), ("append", "on")])?;
        let target = [("type", "isa-serial"), ("port", "0")];
        w.create_element("target")
            .with_attributes(target)
            .write_inner_content(|w| empty(w, "model", &[("name", "isa-serial")]))?;
        Ok(())
    })?;
    Ok(())
}
