//! The router between networks: its namespace, with a pair, routes and neighbours for each.

use std::path::Path;

use super::entries::{self, Present};
use super::kernel::{Kernel, Links};
use super::namespace::Namespace;
use super::pair::{self, Pair};
use super::routes::{self, Route};
use super::{Error, settings};
use crate::Change;
use crate::networks::plan::Router;

/// Makes one router as planned, but for its ports' places on the bridges.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    plan: &Router,
    namespace: &Path,
) -> Result<Change, Error> {
    let (namespace, mut change) = Namespace::converge(namespace)?;
    let inside = Kernel::within(&namespace)?;
    let name = plan.namespace.as_str();
    let mut cards = Vec::new();
    for leg in &plan.legs {
        let pair = Pair {
            outer: &leg.port,
            outer_mac: None,
            inner: &leg.inner,
            inner_mac: leg.mac,
            mtu: leg.mtu.into(),
        };
        let (index, made) = pair.converge(kernel, links, &inside, &namespace).await?;
        let given = pair::addresses(&inside, index, name, &leg.addresses).await?;
        change = change.and(made).and(given);
        cards.push((index, leg));
    }
    let names: Vec<&str> = plan.legs.iter().map(|leg| leg.inner.as_str()).collect();
    change = change.and(namespace.enter(|| settings::forwards(&names, true))?);
    let routes = routes::present(&inside, name).await?;
    let neighbours = Present::of(&inside).await?;
    for (index, leg) in cards {
        let near = leg.nets.iter().map(|net| Route { to: *net, by: None }).collect();
        let led = routes::converge(&inside, &routes, index, name, &near).await?;
        let known = entries::neighbours(&inside, &neighbours, &leg.neighbours, index, name).await?;
        change = change.and(led).and(known);
    }
    Ok(change)
}
