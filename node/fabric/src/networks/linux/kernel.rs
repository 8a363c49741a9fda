//! The kernel's links, as rtnetlink tells them, with steps that name what they are about.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use rustix::io::Errno;
use tokio::task::JoinHandle;

use super::Error;
use super::namespace::Namespace;

/// How long the kernel may take for one step. It answers within a millisecond; ten seconds mean
/// that it is in trouble, and the next call tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the kernel, for one network namespace.
pub(super) struct Kernel {
    pub(super) handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Kernel {
    /// For the namespace of this process.
    pub(super) fn here() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Netlink)?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// For another namespace.
    pub(super) fn within(namespace: &Namespace) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        let (connection, handle) = namespace.enter(|| {
            let _runtime = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            Ok((connection, handle))
        })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Every interface, by name.
    pub(super) async fn links(&self) -> Result<Links, Error> {
        let all = self.handle.link().get().execute().try_collect::<Vec<LinkMessage>>();
        let all = patient("list", "the interfaces", all).await?;
        Ok(Links(all.into_iter().filter_map(|link| Some((name(&link)?, link))).collect()))
    }

    /// Tells the kernel something; the flags say what is to be so beforehand.
    pub(super) async fn tell(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        step: &'static str,
        what: &str,
    ) -> Result<(), Error> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let told = async {
            let mut answers = self.handle.clone().request(message)?;
            while let Some(answer) = answers.next().await {
                if let NetlinkPayload::Error(error) = answer.payload
                    && error.code.is_some()
                {
                    return Err(rtnetlink::Error::NetlinkError(error));
                }
            }
            Ok(())
        };
        patient(step, what, told).await
    }

    pub(super) async fn add(&self, link: LinkMessage, what: &str) -> Result<(), Error> {
        patient("create", what, self.handle.link().add(link).execute()).await
    }

    pub(super) async fn change(&self, link: LinkMessage, what: &str) -> Result<(), Error> {
        patient("change", what, self.handle.link().change(link).execute()).await
    }

    /// Deletes an interface. One that is gone already is no fault: the kernel takes away the outer
    /// end of a pair some time after the namespace of the inner one.
    pub(super) async fn delete(&self, link: &LinkMessage, what: &str) -> Result<(), Error> {
        let deleted = patient("delete", what, self.handle.link().del(link.header.index).execute());
        match deleted.await {
            Err(Error::Kernel { source: rtnetlink::Error::NetlinkError(told), .. })
                if told.raw_code() == -Errno::NODEV.raw_os_error() =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Raises an interface, once it is sure not to give itself an address: a network has none on
    /// the host.
    pub(super) async fn raise(&self, link: &LinkMessage, what: &str) -> Result<bool, Error> {
        let is_up = link.header.flags.contains(LinkFlags::Up);
        if is_up {
            return Ok(false);
        }
        let index = link.header.index;
        let none = vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)];
        let bare = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(none)]))
            .build();
        self.change(bare, what).await?;
        self.change(LinkUnspec::new_with_index(index).up().build(), what).await?;
        Ok(true)
    }
}

/// Waits for the kernel, and names the step that it refused.
pub(super) async fn patient<T>(
    step: &'static str,
    what: &str,
    told: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, Error> {
    let what = || what.to_owned();
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::Kernel { step, what: what(), source }),
        Err(_) => Err(Error::Silent { step, what: what() }),
    }
}

/// Interfaces as they were when they were listed.
#[derive(Debug)]
pub(super) struct Links(pub(super) BTreeMap<String, LinkMessage>);

impl Links {
    pub(super) fn get(&self, name: &str) -> Option<&LinkMessage> {
        self.0.get(name)
    }

    /// The interface of this name, which was just made.
    pub(super) fn made(&self, name: &str) -> Result<&LinkMessage, Error> {
        self.get(name).ok_or_else(|| {
            let source = io::Error::other(format!("interface {name} vanished"));
            Error::Netlink(source)
        })
    }
}

pub(super) fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|it| match it {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

pub(super) fn mtu(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// An interface's MAC address; none if it has none, as a tunnel's.
pub(super) fn mac(link: &LinkMessage) -> Option<[u8; 6]> {
    link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    })
}

/// The bridge that an interface is a port of.
pub(super) fn bridge_of(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// What is particular to the kind of interface.
pub(super) fn particulars(link: &LinkMessage) -> &[LinkInfo] {
    let found = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::LinkInfo(infos) => Some(infos.as_slice()),
        _ => None,
    });
    found.unwrap_or_default()
}

pub(super) fn is_kind(link: &LinkMessage, kind: InfoKind) -> bool {
    particulars(link).contains(&LinkInfo::Kind(kind))
}
