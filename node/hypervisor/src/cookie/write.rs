//! From words to libvirt's XML.

use std::io;

use protocol::migration::cookie::{Cookie, Processor};
use quick_xml::Writer;
use quick_xml::events::BytesText;
use uuid::Uuid;

use super::About;
use crate::render::disk_name;

type Xml = Writer<Vec<u8>>;

/// What the other host is called in this one's log.
const HOSTNAME: &str = "peer";

pub(super) fn write(cookie: &Cookie, about: &About) -> Vec<u8> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write_all(&mut writer, cookie, about).expect("writing to memory does not fail");
    writer.into_inner()
}

fn write_all(writer: &mut Xml, cookie: &Cookie, about: &About) -> io::Result<()> {
    writer.create_element("qemu-migration").write_inner_content(|w| {
        text(w, "name", &about.name)?;
        text(w, "uuid", &about.uuid.to_string())?;
        text(w, "hostname", HOSTNAME)?;
        text(w, "hostuuid", &Uuid::from_bytes(cookie.host).to_string())?;
        if cookie.requires_locks {
            w.create_element("feature").with_attribute(("name", "lockstate")).write_empty()?;
        }
        if !cookie.disks.is_empty() {
            disks(w, &cookie.disks)?;
        }
        if !cookie.statistics.is_empty() {
            statistics(w, cookie)?;
        }
        if let Some(processor) = &cookie.processor {
            write_processor(w, processor)?;
        }
        if !cookie.capabilities.is_empty() {
            capabilities(w, cookie)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn text(writer: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    writer.create_element(name).write_text_content(BytesText::new(text))?;
    Ok(())
}

fn disks(writer: &mut Xml, sizes: &[u64]) -> io::Result<()> {
    writer.create_element("nbd").write_inner_content(|w| {
        for (number, size) in sizes.iter().enumerate() {
            let (target, capacity) = (disk_name(number), size.to_string());
            let attributes = [("target", target.as_str()), ("capacity", capacity.as_str())];
            w.create_element("disk").with_attributes(attributes).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn statistics(writer: &mut Xml, cookie: &Cookie) -> io::Result<()> {
    writer.create_element("statistics").write_inner_content(|w| {
        for (statistic, number) in &cookie.statistics {
            text(w, statistic.name(), &number.to_string())?;
        }
        match cookie.clock_ahead {
            Some(ahead) => text(w, "delta", &ahead.to_string()),
            None => Ok(()),
        }
    })?;
    Ok(())
}

fn write_processor(writer: &mut Xml, processor: &Processor) -> io::Result<()> {
    let attributes = [("mode", "custom"), ("match", "exact"), ("check", processor.check.name())];
    writer.create_element("cpu").with_attributes(attributes).write_inner_content(|w| {
        w.create_element("model")
            .with_attribute(("fallback", "forbid"))
            .write_text_content(BytesText::new(processor.model.as_str()))?;
        for (name, policy) in &processor.features {
            let attributes = [("policy", policy.name()), ("name", name.as_str())];
            w.create_element("feature").with_attributes(attributes).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn capabilities(writer: &mut Xml, cookie: &Cookie) -> io::Result<()> {
    writer.create_element("capabilities").write_inner_content(|w| {
        for (capability, is_automatic) in &cookie.capabilities {
            let auto = if *is_automatic { "yes" } else { "no" };
            let attributes = [("name", capability.name()), ("auto", auto)];
            w.create_element("cap").with_attributes(attributes).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}
