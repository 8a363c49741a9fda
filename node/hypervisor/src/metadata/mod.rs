//! Our element in a domain's metadata: how a guest says whose it is.
//!
//! ```xml
//! <reservoir:machine xmlns:reservoir="https://reservoir.invalid/machine/1"
//!     home="(64 hex digits)" machine="(uuid)" epoch="3.1" hull="(64 hex digits)"/>
//! ```
//!
//! Reading is exact: a domain whose element is doubled, incomplete, misplaced or spelt otherwise
//! than we spell it is not ours, and is left alone.

use std::io;

use protocol::ids::MachineName;
use quick_xml::NsReader;
use quick_xml::Writer;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::Tag;

#[cfg(test)]
mod tests;

/// The namespace of our element; its last part is the version of its shape.
pub const NAMESPACE: &str = "https://reservoir.invalid/machine/1";

/// The deepest nesting that is read; libvirt's own is below ten.
const DEPTH_MAX: usize = 32;

/// Writes the element.
pub(crate) fn write(writer: &mut Writer<Vec<u8>>, tag: &Tag) -> io::Result<()> {
    writer
        .create_element("reservoir:machine")
        .with_attribute(("xmlns:reservoir", NAMESPACE))
        .with_attribute(("home", tag.name.home.to_string().as_str()))
        .with_attribute(("machine", tag.name.machine.to_string().as_str()))
        .with_attribute(("epoch", tag.epoch.to_string().as_str()))
        .with_attribute(("hull", tag.hull.to_string().as_str()))
        .write_empty()?;
    Ok(())
}

/// The tag in a domain's description, or nothing if the domain is not ours.
#[must_use]
pub fn read(description: &str) -> Option<Tag> {
    let mut reader = NsReader::from_str(description);
    let mut path: Vec<String> = Vec::new();
    let mut found = None;
    loop {
        let (space, event) = reader.read_resolved_event().ok()?;
        let ours = space == ResolveResult::Bound(Namespace(NAMESPACE));
        let (element, opens) = match &event {
            Event::Start(element) => (element, true),
            Event::Empty(element) => (element, false),
            Event::End(_) => {
                path.pop()?;
                continue;
            }
            Event::Eof => return if path.is_empty() { found } else { None },
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => continue,
            Event::DocType(_) => return None,
        };
        if ours {
            let placed = path == ["domain", "metadata"];
            if !placed || found.is_some() || element.local_name().as_ref() != "machine" {
                return None;
            }
            found = Some(tag(element)?);
        }
        if opens {
            if path.len() == DEPTH_MAX {
                return None;
            }
            path.push(element.name().as_ref().to_owned());
        }
    }
}

/// The tag in our element's attributes, each there once, none unknown, spelt as we spell it.
fn tag(element: &BytesStart<'_>) -> Option<Tag> {
    let (mut home, mut machine, mut epoch, mut hull) = (None, None, None, None);
    for attribute in element.attributes() {
        let attribute = attribute.ok()?;
        let place = match attribute.key.as_ref() {
            "home" => &mut home,
            "machine" => &mut machine,
            "epoch" => &mut epoch,
            "hull" => &mut hull,
            _ if attribute.key.as_namespace_binding().is_some() => continue,
            _ => return None,
        };
        *place = Some(attribute.value);
    }
    let (home, machine, epoch, hull) = (home?, machine?, epoch?, hull?);
    let tag = Tag {
        name: MachineName { home: home.parse().ok()?, machine: machine.parse().ok()? },
        epoch: epoch.parse().ok()?,
        hull: hull.parse().ok()?,
    };
    let as_we_spell_it = tag.name.home.to_string() == home
        && tag.name.machine.to_string() == machine
        && tag.epoch.to_string() == epoch
        && tag.hull.to_string() == hull;
    as_we_spell_it.then_some(tag)
}
