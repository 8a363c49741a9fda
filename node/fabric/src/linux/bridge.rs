//! The bridge: there, up, and with exactly one IPv4 address.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkHeader, LinkInfo, LinkMessage,
};
use rtnetlink::{Handle, LinkBridge, LinkUnspec};

use crate::address::Subnet;
use crate::name::BridgeName;
use crate::{Change, Error};

/// How long the kernel may take for all steps together. It answers within a millisecond; ten
/// seconds mean that it is in trouble, and the next call tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The index of an interface. Another interface under the same name has another one.
pub(super) type Index = u32;

/// Makes the bridge as wanted; answers its index.
pub(super) async fn converge(name: &BridgeName, subnet: Subnet) -> Result<(Index, Change), Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Netlink)?;
    let connection = tokio::spawn(connection);
    let steps = Steps { handle, name };
    let outcome = tokio::time::timeout(PATIENCE, steps.take(subnet)).await;
    connection.abort();
    outcome.map_err(|_| Error::Silent(name.clone()))?
}

struct Steps<'a> {
    handle: Handle,
    name: &'a BridgeName,
}

impl Steps<'_> {
    async fn take(&self, subnet: Subnet) -> Result<(Index, Change), Error> {
        let (link, created) = match self.link().await? {
            Some(link) => (link, Change::Nothing),
            None => (self.create(subnet).await?, Change::Made),
        };
        if !is_bridge(&link) {
            return Err(Error::NotABridge(self.name.clone()));
        }
        let LinkHeader { index, flags, .. } = link.header;
        let raised = if flags.contains(LinkFlags::Up) {
            Change::Nothing
        } else {
            let up = LinkUnspec::new_with_index(index).up().build();
            let set = self.handle.link().set(up).execute().await;
            set.map_err(|source| self.refused("raise", source))?;
            Change::Made
        };
        let addressed = self.address(index, subnet).await?;
        Ok((index, created.and(raised).and(addressed)))
    }

    /// The interface with the bridge's name.
    ///
    /// All are listed and compared, since asking for one by name makes an error of its absence.
    async fn link(&self) -> Result<Option<LinkMessage>, Error> {
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|source| self.refused("look for", source))?;
        let named = LinkAttribute::IfName(self.name.as_str().to_owned());
        Ok(links.into_iter().find(|link| link.attributes.contains(&named)))
    }

    async fn create(&self, subnet: Subnet) -> Result<LinkMessage, Error> {
        let bridge = LinkBridge::new(self.name.as_str()).address(hardware_address(subnet)).build();
        let added = self.handle.link().add(bridge).execute().await;
        added.map_err(|source| self.refused("create", source))?;
        let gone = || self.refused("find the new", rtnetlink::Error::RequestFailed);
        self.link().await?.ok_or_else(gone)
    }

    /// Adds the bridge's address and removes every other one of IPv4.
    async fn address(&self, index: Index, subnet: Subnet) -> Result<Change, Error> {
        let mut get = self.handle.address().get().set_link_index_filter(index);
        get.message_mut().header.family = AddressFamily::Inet;
        let present: Vec<AddressMessage> = get
            .execute()
            .try_collect()
            .await
            .map_err(|source| self.refused("list the addresses of", source))?;
        let is_wanted = |message: &AddressMessage| {
            message.header.prefix_len == subnet.prefix() && has(message, subnet.gateway())
        };
        let mut change = Change::Nothing;
        for message in present.iter().filter(|message| !is_wanted(message)) {
            let deleted = self.handle.address().del(message.clone()).execute().await;
            deleted.map_err(|source| self.refused("remove an address of", source))?;
            change = Change::Made;
        }
        if !present.iter().any(is_wanted) {
            let gateway = IpAddr::V4(subnet.gateway());
            let added = self.handle.address().add(index, gateway, subnet.prefix()).execute().await;
            added.map_err(|source| self.refused("give an address to", source))?;
            change = Change::Made;
        }
        Ok(change)
    }

    fn refused(&self, step: &'static str, source: rtnetlink::Error) -> Error {
        Error::Bridge { step, bridge: self.name.clone(), source }
    }
}

fn is_bridge(link: &LinkMessage) -> bool {
    let kind = LinkInfo::Kind(InfoKind::Bridge);
    link.attributes.iter().any(
        |attribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&kind)),
    )
}

fn has(message: &AddressMessage, address: Ipv4Addr) -> bool {
    message.attributes.contains(&AddressAttribute::Local(IpAddr::V4(address)))
}

/// A bridge without an address of its own takes the lowest of its ports', and changes it as
/// guests come and go; what the guests remember of their gateway would be wrong each time. This
/// one is locally administered and follows from the gateway's address.
fn hardware_address(subnet: Subnet) -> Vec<u8> {
    let [a, b, c, d] = subnet.gateway().octets();
    vec![0x02, 0x52, a, b, c, d]
}
