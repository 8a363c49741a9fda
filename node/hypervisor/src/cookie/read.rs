//! From libvirt's XML to words.
//!
//! The shapes here are those that libvirt writes (`qemu_migration_cookie.c`); an element or an
//! attribute that is in none of them is refused.

use std::collections::BTreeMap;

use protocol::hull::PORTS;
use protocol::migration::cookie::{Capability, Check, Cookie, Name, Policy, Processor, Statistic};
use serde::Deserialize;
use uuid::Uuid;

use super::{About, Error};
use crate::remote::COOKIE_MAX;
use crate::render::disk_name;

/// What a guest of ours needs known of locks on its disks: nothing, since it has none; but libvirt
/// says so of every guest.
const LOCKS: &str = "lockstate";

/// The difference of clocks, which is the one number that may be below zero.
const DELTA: &str = "delta";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    name: String,
    uuid: Uuid,
    /// For people, and of no use to those of another site.
    #[serde(rename = "hostname")]
    _hostname: String,
    hostuuid: Uuid,
    #[serde(default)]
    feature: Vec<Named>,
    nbd: Option<Disks>,
    statistics: Option<BTreeMap<String, i128>>,
    cpu: Option<Cpu>,
    capabilities: Option<Capabilities>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "@name")]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disks {
    #[serde(default)]
    disk: Vec<Disk>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    #[serde(rename = "@target")]
    target: String,
    #[serde(rename = "@capacity")]
    capacity: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cpu {
    #[serde(rename = "@mode")]
    mode: String,
    #[serde(rename = "@match")]
    how: String,
    #[serde(rename = "@check")]
    check: String,
    model: Model,
    #[serde(default)]
    feature: Vec<Feature>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    /// What a host without the model does; it is ours to say.
    #[serde(rename = "@fallback")]
    _fallback: Option<String>,
    #[serde(rename = "$text")]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    #[serde(rename = "@policy")]
    policy: String,
    #[serde(rename = "@name")]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    #[serde(default)]
    cap: Vec<Cap>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cap {
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@auto")]
    auto: String,
}

pub(super) fn read(bytes: &[u8], about: &About) -> Result<Cookie, Error> {
    if u32::try_from(bytes.len()).map_or(true, |length| length > COOKIE_MAX) {
        return Err(Error::TooLong(bytes.len()));
    }
    let text = str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes))?;
    let whole: Whole = quick_xml::de::from_str(text)?;
    if whole.name != about.name || whole.uuid != about.uuid {
        return Err(Error::OtherGuest(whole.name));
    }
    if let Some(demand) = whole.feature.iter().find(|feature| feature.name != LOCKS) {
        return Err(Error::Demand(demand.name.clone()));
    }
    let (statistics, clock_ahead) = statistics(whole.statistics.unwrap_or_default())?;
    Ok(Cookie {
        host: whole.hostuuid.into_bytes(),
        requires_locks: !whole.feature.is_empty(),
        disks: disks(whole.nbd.map(|nbd| nbd.disk).unwrap_or_default())?,
        processor: whole.cpu.map(processor).transpose()?,
        statistics,
        clock_ahead,
        capabilities: capabilities(whole.capabilities)?,
    })
}

/// The sizes of the disks, which come in the order of their names.
fn disks(disks: Vec<Disk>) -> Result<Vec<u64>, Error> {
    let known = (0..PORTS).map(|number| disk_name(usize::from(number))).map(Some);
    let names = known.chain(std::iter::repeat(None));
    let sizes = disks.into_iter().zip(names).map(|(disk, name)| {
        if name.is_some_and(|name| name == disk.target) {
            Ok(disk.capacity)
        } else {
            Err(Error::Disk(disk.target))
        }
    });
    sizes.collect()
}

fn statistics(
    all: BTreeMap<String, i128>,
) -> Result<(BTreeMap<Statistic, u64>, Option<i64>), Error> {
    let (mut known, mut clock_ahead) = (BTreeMap::new(), None);
    for (name, number) in all {
        let strange = || Error::Word(format!("{name}: {number}"));
        if name == DELTA {
            clock_ahead = Some(i64::try_from(number).map_err(|_| strange())?);
        } else {
            let statistic = Statistic::named(&name).ok_or_else(strange)?;
            known.insert(statistic, u64::try_from(number).map_err(|_| strange())?);
        }
    }
    Ok((known, clock_ahead))
}

fn processor(cpu: Cpu) -> Result<Processor, Error> {
    if cpu.mode != "custom" || cpu.how != "exact" {
        return Err(Error::Processor { mode: cpu.mode, how: cpu.how });
    }
    let features = cpu.feature.into_iter().map(|feature| {
        let policy = Policy::named(&feature.policy).ok_or(Error::Word(feature.policy))?;
        Ok::<_, Error>((Name::try_from(feature.name)?, policy))
    });
    Ok(Processor {
        model: cpu.model.name.try_into()?,
        check: Check::named(&cpu.check).ok_or(Error::Word(cpu.check))?,
        features: features.collect::<Result<_, _>>()?,
    })
}

/// What a newer hypervisor can do besides is not said: both do without.
fn capabilities(all: Option<Capabilities>) -> Result<BTreeMap<Capability, bool>, Error> {
    let all = all.map(|all| all.cap).unwrap_or_default().into_iter();
    let known = all.filter_map(|cap| Some((Capability::named(&cap.name)?, cap.auto)));
    let known = known.map(|(capability, auto)| match auto.as_str() {
        "yes" => Ok((capability, true)),
        "no" => Ok((capability, false)),
        _ => Err(Error::Word(auto)),
    });
    known.collect()
}
