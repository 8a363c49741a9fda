//! The interface as the kernel's network sees it: its address, its MTU, and that it is up.

use std::net::IpAddr;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rtnetlink::{Handle, LinkUnspec, LinkWireguard};

use crate::{Change, Error, InterfaceName, Wanted};

/// How long the kernel may take for all steps together. It answers within a millisecond; ten
/// seconds mean that it is in trouble, and the next call tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the interface, which is there, as wanted. If it has a hardware address it is `hardware`, and
/// others are not asked for theirs.
pub(crate) async fn converge(wanted: &Wanted, hardware: Option<[u8; 6]>) -> Result<Change, Error> {
    let steps = async |handle| Steps { handle, wanted, hardware }.take().await;
    within_patience(&wanted.name, steps).await
}

/// Makes a `WireGuard` interface of this name, if there is none.
pub(crate) async fn make_wireguard(name: &InterfaceName) -> Result<Change, Error> {
    within_patience(name, async |handle| match find(&handle, name).await? {
        Some(link) if is_wireguard(&link) => Ok(Change::Nothing),
        Some(_) => Err(Error::NotWireGuard(name.clone())),
        None => {
            let added = handle.link().add(LinkWireguard::new(name.as_str()).build()).execute();
            added.await.map_err(|source| refused(name, "make", source))?;
            Ok(Change::Made)
        }
    })
    .await
}

/// Removes the interface of this name, if there is one.
pub(crate) async fn remove(name: &InterfaceName) -> Result<(), Error> {
    within_patience(name, async |handle| {
        if let Some(link) = find(&handle, name).await? {
            let removed = handle.link().del(link.header.index).execute();
            removed.await.map_err(|source| refused(name, "remove", source))?;
        }
        Ok(())
    })
    .await
}

/// Runs steps with a connection to the kernel.
async fn within_patience<T>(
    name: &InterfaceName,
    steps: impl AsyncFnOnce(Handle) -> Result<T, Error>,
) -> Result<T, Error> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Netlink)?;
    let connection = tokio::spawn(connection);
    let outcome = tokio::time::timeout(PATIENCE, steps(handle)).await;
    connection.abort();
    outcome.map_err(|_| Error::Silent(name.clone()))?
}

/// The interface of this name.
///
/// All are listed and compared, since asking for one by name makes an error of its absence.
async fn find(handle: &Handle, name: &InterfaceName) -> Result<Option<LinkMessage>, Error> {
    let links: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|source| refused(name, "look for", source))?;
    let named = LinkAttribute::IfName(name.as_str().to_owned());
    Ok(links.into_iter().find(|link| link.attributes.contains(&named)))
}

fn is_wireguard(link: &LinkMessage) -> bool {
    let kind = LinkInfo::Kind(InfoKind::Wireguard);
    link.attributes.iter().any(
        |attribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&kind)),
    )
}

struct Steps<'a> {
    handle: Handle,
    wanted: &'a Wanted,
    hardware: Option<[u8; 6]>,
}

impl Steps<'_> {
    async fn take(&self) -> Result<Change, Error> {
        let name = &self.wanted.name;
        let link = find(&self.handle, name).await?.ok_or_else(|| Error::Gone(name.clone()))?;
        let sized = self.size(&link).await?;
        let addressed = self.address(link.header.index).await?;
        let raised = self.raise(&link).await?;
        Ok(sized.and(addressed).and(raised))
    }

    async fn size(&self, link: &LinkMessage) -> Result<Change, Error> {
        let mtu = u32::from(self.wanted.mtu);
        if link.attributes.contains(&LinkAttribute::Mtu(mtu)) {
            return Ok(Change::Nothing);
        }
        let message = LinkUnspec::new_with_index(link.header.index).mtu(mtu).build();
        let set = self.handle.link().set(message).execute().await;
        set.map_err(|source| self.refused("set the MTU of", source))?;
        Ok(Change::Made)
    }

    /// Raises it, once nothing about it changes any more. It gets no address of its own making, since no peer would know that one.
    async fn raise(&self, link: &LinkMessage) -> Result<Change, Error> {
        if link.header.flags.contains(LinkFlags::Up) {
            return Ok(Change::Nothing);
        }
        let silent = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let silent = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![silent])]);
        let index = link.header.index;
        let quiet = LinkUnspec::new_with_index(index).append_extra_attribute(silent);
        // A kernel without IPv6 has nothing to keep silent.
        if let Err(error) = self.handle.link().set(quiet.build()).execute().await {
            tracing::debug!(%error, "the tunnel's interface keeps its own address generation");
        }
        let mut up = LinkUnspec::new_with_index(index);
        if let Some(hardware) = self.hardware {
            let named = LinkUnspec::new_with_index(index).address(hardware.to_vec()).arp(false);
            let set = self.handle.link().set(named.build()).execute().await;
            set.map_err(|source| self.refused("set the hardware address of", source))?;
            up = up.arp(false);
        }
        let up = up.up().build();
        let set = self.handle.link().set(up).execute().await;
        set.map_err(|source| self.refused("raise", source))?;
        Ok(Change::Made)
    }

    /// Adds the interface's address and removes every other one.
    async fn address(&self, index: u32) -> Result<Change, Error> {
        let present: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute()
            .try_collect()
            .await
            .map_err(|source| self.refused("list the addresses of", source))?;
        let Wanted { address, prefix, .. } = *self.wanted;
        let is_wanted =
            |message: &AddressMessage| message.header.prefix_len == prefix && has(message, address);
        let mut change = Change::Nothing;
        for message in present.iter().filter(|message| !is_wanted(message)) {
            let deleted = self.handle.address().del(message.clone()).execute().await;
            deleted.map_err(|source| self.refused("remove an address of", source))?;
            change = Change::Made;
        }
        if !present.iter().any(is_wanted) {
            let mut add = self.handle.address().add(index, address, prefix);
            if address.is_ipv6() {
                // There is nobody to ask whether the address is free, and asking takes a second.
                let flags = AddressAttribute::Flags(AddressFlags::Nodad);
                add.message_mut().attributes.push(flags);
            }
            let added = add.execute().await;
            added.map_err(|source| self.refused("give an address to", source))?;
            change = Change::Made;
        }
        Ok(change)
    }

    fn refused(&self, step: &'static str, source: rtnetlink::Error) -> Error {
        refused(&self.wanted.name, step, source)
    }
}

fn refused(name: &InterfaceName, step: &'static str, source: rtnetlink::Error) -> Error {
    Error::Link { step, name: name.clone(), source }
}

/// IPv6 has its address in another attribute than IPv4 on an interface without a far end.
fn has(message: &AddressMessage, address: IpAddr) -> bool {
    let local = AddressAttribute::Local(address);
    let plain = AddressAttribute::Address(address);
    let has_local =
        message.attributes.iter().any(|attribute| matches!(attribute, AddressAttribute::Local(_)));
    message.attributes.contains(&local) || !has_local && message.attributes.contains(&plain)
}
