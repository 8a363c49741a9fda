//! A pair of interfaces from this namespace into another one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

use futures::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::Error;
use super::kernel::{Kernel, Links, mtu, patient};
use super::namespace::Namespace;
use crate::Change;

/// Both ends of a pair.
pub(super) struct Pair<'a> {
    /// The end that is here.
    pub(super) outer: &'a str,
    /// Its MAC address; any, if it is a port of a bridge, which says nothing itself.
    pub(super) outer_mac: Option<[u8; 6]>,
    /// The end that is in the other namespace.
    pub(super) inner: &'a str,
    pub(super) inner_mac: [u8; 6],
    pub(super) mtu: u32,
}

impl Pair<'_> {
    /// Makes the pair be there, its inner end up; answers the index of that. The outer end is
    /// raised by whoever gives it its place.
    pub(super) async fn converge(
        &self,
        kernel: &Kernel,
        links: &Links,
        inside: &Kernel,
        namespace: &Namespace,
    ) -> Result<(u32, Change), Error> {
        let mut within = inside.links().await?;
        let mut change = Change::Nothing;
        if links.get(self.outer).is_none() || within.get(self.inner).is_none() {
            if let Some(half) = links.get(self.outer) {
                kernel.delete(half, self.outer).await?;
            }
            self.make(kernel, namespace).await?;
            within = inside.links().await?;
            change = Change::Made;
        } else if let Some(outer) = links.get(self.outer)
            && mtu(outer) != Some(self.mtu)
        {
            let sized = |index| LinkUnspec::new_with_index(index).mtu(self.mtu).build();
            kernel.change(sized(outer.header.index), self.outer).await?;
            let inner = within.made(self.inner)?.header.index;
            inside.change(sized(inner), self.outer).await?;
            change = Change::Made;
        }
        for name in ["lo", self.inner] {
            if inside.raise(within.made(name)?, name).await? {
                change = Change::Made;
            }
        }
        Ok((within.made(self.inner)?.header.index, change))
    }

    async fn make(&self, kernel: &Kernel, namespace: &Namespace) -> Result<(), Error> {
        let place = namespace.open()?;
        let end = LinkMessageBuilder::<LinkUnspec>::new()
            .name(self.inner)
            .mtu(self.mtu)
            .address(self.inner_mac.to_vec())
            .setns_by_fd(place.as_raw_fd())
            .build();
        let mut pair = LinkVeth::new(self.outer, self.inner).mtu(self.mtu);
        if let Some(mac) = self.outer_mac {
            pair = pair.address(mac.to_vec());
        }
        let pair = pair.set_info_data(InfoData::Veth(InfoVeth::Peer(end))).build();
        kernel.add(pair, self.outer).await
    }
}

/// Gives an interface exactly these addresses.
pub(super) async fn addresses(
    inside: &Kernel,
    index: u32,
    whose: &str,
    wanted: &[IpNet],
) -> Result<Change, Error> {
    let present = inside.handle.address().get().set_link_index_filter(index).execute();
    let present: Vec<AddressMessage> =
        patient("list the addresses of", whose, present.try_collect()).await?;
    let wanted: BTreeSet<IpNet> = wanted.iter().copied().collect();
    let mut found = BTreeSet::new();
    let mut change = Change::Nothing;
    for message in present.into_iter().filter(|message| message.header.index == index) {
        let net = own(&message);
        if let Some(net) = net.filter(|net| wanted.contains(net)) {
            found.insert(net);
            continue;
        }
        let deleted = inside.handle.address().del(message).execute();
        patient("remove an address from", whose, deleted).await?;
        change = Change::Made;
    }
    for net in wanted.difference(&found) {
        let mut request = inside.handle.address().add(index, net.addr(), net.prefix_len());
        if net.addr().is_ipv6() {
            // The same address is on other hosts, on purpose: nobody is asked whether it is free.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        patient("give an address to", whose, request.execute()).await?;
        change = Change::Made;
    }
    Ok(change)
}

fn own(message: &AddressMessage) -> Option<IpNet> {
    let mut address: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(own) => address = Some(*own),
            AddressAttribute::Address(own) => address = address.or(Some(*own)),
            _ => {}
        }
    }
    IpNet::new(address?, message.header.prefix_len).ok()
}
