//! The manifest: what a tenant asks for, as a service of components.
//!
//! ```text
//! bytes --tree--> places and values --read--> Manifest, or every mistake with its place
//! ```
//!
//! A tenant writes YAML; [`parse`] makes it a [`Manifest`] or says everything that is wrong with
//! it at once, each with line, column and what to write instead. What is possible at all is
//! decided here; whether an image or a site of that name exists, only the site can tell.
//!
//! **Invariant.** A [`Manifest`] holds its limits, names only components that it has, and can be
//! started: no component waits for itself, through however many others. There is no other way to
//! make one than [`parse`] and [`Manifest::new`], which reading it back from the disk goes
//! through as well. It does not remember how its file was laid out: a later refusal finds the
//! place in the text again, as [`check_images`] does.

mod fault;
mod name;
mod network;
mod order;
mod partition;
mod problem;
mod read;
mod security;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::hull;
use crate::networks::Prefix4;
use crate::security::Rules;
use crate::sla::Class;
use crate::text::excerpt;
use crate::units::{Mebibytes, Size};
use crate::user_data::UserData;

pub use fault::{Fault, Faults, Place};
pub use name::{
    ComponentName, Error as NameError, GroupName, ImageName, NetworkName, SecurityGroupName,
    ServiceName, SiteReference,
};
pub use network::{Attachment, Group, Groups, LAN, Network, Problem as NetworkProblem};
pub use partition::{OnPartition, Unknown as UnknownPolicy};
pub use problem::{Problem, Shape};
pub use security::{Problem as SecurityProblem, SecurityGroups, default_security};

/// The most bytes of a manifest: as many components as are allowed, with every key, take a tenth
/// of it; the rest is for long lists and comments.
pub const LENGTH_MAX: usize = 256 * 1024;

/// The most components of a service: a person can still oversee them, and every question about
/// their order stays cheap.
pub const COMPONENTS_MAX: usize = 64;

/// The most machines of one component.
pub const REPLICAS_MAX: u32 = 256;

/// The most machines of a service: one submission is one command in the site's log, and places
/// all of them.
pub const MACHINES_MAX: u32 = 1024;

/// The most sites that one component is allowed on by name.
pub const SITES_MAX: usize = 64;

const VCPUS: RangeInclusive<u32> = 1..=hull::VCPUS_MAX;
const REPLICAS: RangeInclusive<u32> = 1..=REPLICAS_MAX;
/// Up to 4 TiB for each machine: beyond, a slip of the pen is likelier than such a host.
const MEMORY: RangeInclusive<Mebibytes> = Mebibytes(1)..=Mebibytes::from_gib(4 << 10);
/// Up to 64 TiB for each machine, for the same reason.
const DISK: RangeInclusive<Mebibytes> = Mebibytes(1)..=Mebibytes::from_gib(64 << 10);

/// A service as its tenant asked for it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Manifest {
    service: ServiceName,
    networks: BTreeMap<NetworkName, Network>,
    groups: Groups,
    security: SecurityGroups,
    components: BTreeMap<ComponentName, Component>,
}

/// A kind of machine in a service, and how many of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// What its machines start from, by its name in the site's catalogue.
    pub image: ImageName,
    /// What each of its machines takes.
    pub size: Size,
    /// How many machines.
    pub replicas: u32,
    /// Components whose machines must all be ACTIVE before its own are started.
    pub after: BTreeSet<ComponentName>,
    /// The networks that its machines are on, a card each.
    pub networks: BTreeMap<NetworkName, Attachment>,
    /// The security groups that its machines are in.
    pub security: BTreeSet<SecurityGroupName>,
    /// The sites that may run it; none given, any may.
    pub sites: Option<BTreeSet<SiteReference>>,
    /// What becomes of a machine of it that cannot be reached.
    pub on_partition: OnPartition,
    /// What is to be promised of its machines at the least.
    pub class: Class,
    /// What is handed to its machines: text, here.
    pub user_data: Option<UserData>,
}

/// The shape of a manifest, before its invariant is checked.
#[derive(Deserialize)]
struct Unchecked {
    service: ServiceName,
    networks: BTreeMap<NetworkName, Network>,
    groups: Groups,
    security: SecurityGroups,
    components: BTreeMap<ComponentName, Component>,
}

impl TryFrom<Unchecked> for Manifest {
    type Error = Problem;

    fn try_from(unchecked: Unchecked) -> Result<Self, Problem> {
        let Unchecked { service, networks, groups, security, components } = unchecked;
        Self::new(service, (networks, groups), security, components)
    }
}

/// Reads a manifest.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the text. Of what is no YAML at all, only
/// the first mistake.
pub fn parse(text: &[u8]) -> Result<Manifest, Faults> {
    read::manifest(&tree::read(text)?)
}

/// Checks that every image of a manifest is in a site's catalogue. `text` is what the manifest
/// was parsed from.
///
/// # Errors
///
/// Each image that is not, at its place in the text.
pub fn check_images(text: &[u8], manifest: &Manifest, catalogue: &[&str]) -> Result<(), Faults> {
    let tree = tree::read(text)?;
    let mut faults = Faults::default();
    for (component, image) in manifest.images() {
        if catalogue.contains(&image.as_str()) {
            continue;
        }
        let keys = ["components", component.as_str(), "image"];
        let similar = problem::similar(image.as_str(), catalogue.iter().copied());
        faults.add(
            tree.place_of(&keys),
            &keys.join("."),
            Problem::NoSuchImage { image: image.clone(), similar },
        );
    }
    faults.none_or_err()
}

impl Manifest {
    /// The manifest with these networks, what is said of their groups, security groups and components.
    ///
    /// # Errors
    ///
    /// The first limit that is not kept, or component that could never be started, or network or
    /// group that could not be.
    pub fn new(
        service: ServiceName,
        (networks, groups): (BTreeMap<NetworkName, Network>, Groups),
        security: SecurityGroups,
        components: BTreeMap<ComponentName, Component>,
    ) -> Result<Self, Problem> {
        if components.is_empty() {
            return Err(Problem::NoComponents);
        }
        if components.len() > COMPONENTS_MAX {
            return Err(Problem::TooMany {
                what: "components",
                count: components.len(),
                limit: COMPONENTS_MAX,
            });
        }
        let mut edges = BTreeMap::new();
        for (name, component) in &components {
            component.check()?;
            if component.after.contains(name) {
                return Err(Problem::AfterItself { component: name.clone() });
            }
            if let Some(unknown) =
                component.after.iter().find(|other| !components.contains_key(*other))
            {
                let known = components.keys().map(ComponentName::as_str);
                let similar = problem::similar(unknown.as_str(), known);
                return Err(Problem::UnknownComponent { component: unknown.clone(), similar });
            }
            edges.insert(name, component.after.iter().collect());
        }
        if let Some(cycle) = order::cycles(edges).into_iter().next() {
            return Err(Problem::Cycle { components: cycle.into_iter().cloned().collect() });
        }
        let machines = components.values().map(|component| component.replicas).sum();
        if machines > MACHINES_MAX {
            return Err(Problem::TooManyMachines { machines });
        }
        let security = security::with_default(security);
        let misfits = network::misfits(&networks, &groups, &components).into_iter();
        let mut misfits = misfits.chain(security::misfits(&security, &components));
        match misfits.next() {
            Some(misfit) => Err(misfit.problem),
            None => Ok(Self { service, networks, groups, security, components }),
        }
    }

    /// The service's name.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The networks, by name.
    #[must_use]
    pub const fn networks(&self) -> &BTreeMap<NetworkName, Network> {
        &self.networks
    }

    /// What is said of the groups of networks, by name.
    #[must_use]
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The IPv4 addresses of each network: those that it says, or else a share of its group's, or
    /// some that no other one has.
    #[must_use]
    pub fn prefixes(&self) -> BTreeMap<NetworkName, Prefix4> {
        network::prefixes(&self.networks, &self.groups)
    }

    /// The security groups, by name; the group `default` is always among them.
    #[must_use]
    pub const fn security(&self) -> &SecurityGroups {
        &self.security
    }

    /// The components, by name.
    #[must_use]
    pub const fn components(&self) -> &BTreeMap<ComponentName, Component> {
        &self.components
    }

    /// How many machines it asks for in all.
    #[must_use]
    pub fn machines(&self) -> u32 {
        self.components.values().map(|component| component.replicas).sum()
    }

    /// The manifest with another number of machines of one component.
    ///
    /// # Errors
    ///
    /// If there is no such component, or a limit would not be kept.
    pub fn scaled(&self, component: &ComponentName, replicas: u32) -> Result<Self, Problem> {
        self.changed(component, |component| component.replicas = replicas)
    }

    /// The manifest with a component in other security groups.
    ///
    /// # Errors
    ///
    /// If there is no such component or group, or a limit would not be kept.
    pub fn regrouped(
        &self,
        component: &ComponentName,
        groups: BTreeSet<SecurityGroupName>,
    ) -> Result<Self, Problem> {
        self.changed(component, |component| component.security = groups)
    }

    /// The manifest with other rules of a security group, which is made if it is not there; or
    /// without the group. The group `default` without its rules has those that it has by itself.
    ///
    /// # Errors
    ///
    /// If something still names the group, or a limit would not be kept.
    pub fn secured(
        &self,
        group: &SecurityGroupName,
        rules: Option<Rules>,
    ) -> Result<Self, Problem> {
        let mut security = self.security.clone();
        match rules {
            Some(rules) => drop(security.insert(group.clone(), rules)),
            None => drop(security.remove(group)),
        }
        let Self { service, networks, groups, components, .. } = self.clone();
        Self::new(service, (networks, groups), security, components)
    }

    /// The manifest with one component changed.
    fn changed(
        &self,
        component: &ComponentName,
        change: impl FnOnce(&mut Component),
    ) -> Result<Self, Problem> {
        let Self { service, networks, groups, security, mut components } = self.clone();
        let Some(changed) = components.get_mut(component) else {
            let known = self.components.keys().map(ComponentName::as_str);
            let similar = problem::similar(component.as_str(), known);
            return Err(Problem::UnknownComponent { component: component.clone(), similar });
        };
        change(changed);
        Self::new(service, (networks, groups), security, components)
    }

    /// The components in the order in which they are started, as waves: those of one wave wait
    /// for nothing but earlier waves.
    #[must_use]
    pub fn startup_order(&self) -> Vec<Vec<&ComponentName>> {
        let edges = self
            .components
            .iter()
            .map(|(name, component)| (name, component.after.iter().collect()))
            .collect();
        order::waves(edges)
    }

    /// The image of each component.
    pub fn images(&self) -> impl Iterator<Item = (&ComponentName, &ImageName)> {
        self.components.iter().map(|(name, component)| (name, &component.image))
    }
}

impl Component {
    /// How many public addresses its machines take.
    #[must_use]
    pub fn public_cards(&self) -> usize {
        let each = self.networks.values().filter(|attachment| attachment.public).count();
        each * usize::try_from(self.replicas).unwrap_or(usize::MAX)
    }

    fn check(&self) -> Result<(), Problem> {
        within("vcpus", self.size.vcpus, &VCPUS)?;
        within("memory", self.size.memory, &MEMORY)?;
        within("disk", self.size.disk, &DISK)?;
        within("replicas", self.replicas, &REPLICAS)?;
        match &self.sites {
            Some(sites) if sites.is_empty() => Err(Problem::NoSites),
            Some(sites) if sites.len() > SITES_MAX => {
                Err(Problem::TooMany { what: "sites", count: sites.len(), limit: SITES_MAX })
            }
            _ => Ok(()),
        }
    }
}

/// `value`, if it is in `range`.
fn within<T: PartialOrd + fmt::Display>(
    what: &'static str,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<T, Problem> {
    if range.contains(&value) { Ok(value) } else { Err(out_of_range(what, &value, range)) }
}

fn out_of_range<T: fmt::Display>(
    what: &'static str,
    value: &dyn fmt::Display,
    range: &RangeInclusive<T>,
) -> Problem {
    Problem::OutOfRange {
        what,
        value: excerpt(&value.to_string()),
        least: range.start().to_string(),
        most: range.end().to_string(),
    }
}

/// The manifest as a file that [`parse`] reads as the same manifest. What could pass for a
/// number or a truth value is quoted.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "service: \"{}\"", self.service)?;
        let named = self.networks != network::default_networks();
        if named {
            writeln!(f, "networks:")?;
            for (name, network) in &self.networks {
                write!(f, "  \"{name}\":{network}")?;
            }
        }
        if !self.groups.is_empty() {
            writeln!(f, "groups:")?;
        }
        for (name, group) in &self.groups {
            write!(f, "  \"{name}\":{group}")?;
        }
        security::write_groups(&self.security, f)?;
        writeln!(f, "components:")?;
        for (name, component) in &self.components {
            writeln!(f, "  \"{name}\":")?;
            write!(f, "{component}")?;
            if named {
                network::write_attachments(&component.networks, f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    image: \"{}\"", self.image)?;
        writeln!(f, "    vcpus: {}", self.size.vcpus)?;
        writeln!(f, "    memory: {}", self.size.memory)?;
        writeln!(f, "    disk: {}", self.size.disk)?;
        writeln!(f, "    replicas: {}", self.replicas)?;
        if !self.after.is_empty() {
            writeln!(f, "    after: [{}]", quoted(self.after.iter()))?;
        }
        if let Some(sites) = &self.sites {
            writeln!(f, "    place: {{ sites: [{}] }}", quoted(sites.iter()))?;
        }
        security::write_memberships(&self.security, f)?;
        if self.on_partition != OnPartition::default() {
            writeln!(f, "    on_partition: {}", self.on_partition)?;
        }
        if self.class != Class::default() {
            writeln!(f, "    sla: {}", self.class)?;
        }
        if let Some(user_data) = &self.user_data {
            writeln!(f, "    user_data: {}", scalar(&String::from_utf8_lossy(user_data.bytes())))?;
        }
        Ok(())
    }
}

/// A text as YAML has it between double quotes, in ASCII: some characters YAML does not print, and
/// some it would read as the end of a line.
fn scalar(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        ' '..='~' => c.to_string(),
        c if u32::from(c) < 0x1_0000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn quoted(names: impl Iterator<Item: fmt::Display>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
