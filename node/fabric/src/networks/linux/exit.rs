//! A network's exit: its namespace with a card and a door, its routes and translation.

use std::path::Path;

use super::entries::{self, Present};
use super::kernel::{Kernel, Links};
use super::namespace::Namespace;
use super::pair::{self, Pair};
use super::routes::{self, Route};
use super::{Error, door, filters, settings};
use crate::Change;
use crate::networks::plan::Exit;
use crate::networks::plan::door::OUTSIDE;
use crate::networks::plan::exit::INSIDE;
use crate::networks::plan::filters::Table;

/// All of both versions.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Makes one network's exit as planned, but for its port's place on the bridge. What it translates
/// is in `known`, since nobody else knows the namespace.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    size: u16,
    plan: &Exit,
    namespace: &Path,
    known: &mut Option<Table>,
) -> Result<Change, Error> {
    let (namespace, mut change) = Namespace::converge(namespace)?;
    if change == Change::Made {
        *known = None;
    }
    let inside = Kernel::within(&namespace)?;
    let lan = Pair {
        outer: &plan.port,
        outer_mac: None,
        inner: INSIDE,
        inner_mac: plan.mac,
        mtu: size.into(),
    };
    let (lan, joined) = lan.converge(kernel, links, &inside, &namespace).await?;
    let name = plan.namespace.as_str();
    let given = pair::addresses(&inside, lan, name, &plan.addresses).await?;
    let to = EVERYWHERE.map(|net| net.parse().expect("a prefix"));
    let led = door::converge(kernel, links, (&inside, &namespace), &plan.door, size, to);
    let (_, led) = led.await?;
    change = change.and(joined).and(given).and(led);
    change = change.and(namespace.enter(|| settings::forwards(&[INSIDE, OUTSIDE], true))?);

    let present = routes::present(&inside, name).await?;
    let near = plan.nets.iter().map(|net| Route { to: *net, by: None }).collect();
    let near = routes::converge(&inside, &present, lan, name, &near).await?;
    let present = Present::of(&inside).await?;
    let known_there = entries::neighbours(&inside, &present, &plan.neighbours, lan, name).await?;
    if known.as_ref() != Some(&plan.translation) {
        namespace.enter(|| filters::replace(&plan.translation))?;
        *known = Some(plan.translation.clone());
        change = Change::Made;
    }
    Ok(change.and(near).and(known_there))
}
