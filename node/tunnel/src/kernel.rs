//! The tunnel of the kernel, where it has `WireGuard`: told what it should be over generic netlink.
//!
//! Everything is compared with what the kernel has, and only what differs is told. So a device that
//! an earlier process made is taken over with its sessions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::StreamExt;
use genetlink::{GenetlinkHandle, new_connection};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::GenlMessage;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use tokio::sync::Mutex;

use crate::check::check;
use crate::{
    Change, Error, InterfaceName, Peer, PeerState, Provider, PublicKey, SESSION, State, Traffic,
    Tunnel, Wanted, link,
};

/// How long the kernel may take for one question. It answers within a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);
/// Peers in one message: an attribute holds 64 KiB, and a peer with a few addresses takes 200 bytes.
const PEERS_AT_ONCE: usize = 64;

/// The kernel's `WireGuard` device, in the network namespace of the thread that converges it. It
/// stays when this is dropped, and the next process takes it over.
#[derive(Debug, Default)]
pub struct Kernel {
    /// What the last call wanted. It is only a hint; the lock also keeps two calls apart.
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    name: InterfaceName,
    endpoints: HashMap<PublicKey, Option<SocketAddr>>,
}

/// What the kernel has.
#[derive(Debug, Default)]
struct Device {
    public_key: Option<[u8; 32]>,
    listen_port: u16,
    peers: BTreeMap<PublicKey, Present>,
}

/// A peer that the kernel has.
#[derive(Debug, Default)]
struct Present {
    endpoint: Option<SocketAddr>,
    keepalive: u16,
    last_handshake: Option<Duration>,
    received: u64,
    sent: u64,
    addresses: BTreeSet<(IpAddr, u8)>,
}

impl Kernel {
    /// A tunnel that has no interface yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this kernel has `WireGuard`. If it is a module, this loads it.
    pub async fn is_available() -> bool {
        let Ok((connection, handle, _)) = new_connection() else { return false };
        let connection = tokio::spawn(connection);
        let asked = handle.resolve_family::<WireguardMessage>();
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        connection.abort();
        matches!(answer, Ok(Ok(_)))
    }
}

#[async_trait]
impl Tunnel for Kernel {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut last = self.last.lock().await;
        let before = last.take().filter(|last| last.name == wanted.name);
        let made = link::make_wireguard(&wanted.name).await?;
        let present = device(&wanted.name).await?;
        let told = tell(wanted, &present, before.as_ref()).await?;
        let linked = link::converge(wanted, None).await?;
        let endpoints = wanted.peers.iter().map(|peer| (peer.public_key, peer.endpoint)).collect();
        *last = Some(Last { name: wanted.name.clone(), endpoints });
        Ok(made.and(told).and(linked))
    }

    async fn state(&self) -> Result<Option<State>, Error> {
        let last = self.last.lock().await;
        let Some(Last { name, .. }) = last.as_ref() else { return Ok(None) };
        let device = device(name).await?;
        let peers = device.peers.iter().map(|(key, present)| present.state(*key)).collect();
        Ok(Some(State {
            provider: Provider::Kernel,
            public_key: PublicKey::from_bytes(device.public_key.unwrap_or_default()),
            listen_port: device.listen_port,
            peers,
            drops: None,
        }))
    }

    async fn close(&self) -> Result<(), Error> {
        let mut last = self.last.lock().await;
        if let Some(Last { name, .. }) = last.as_ref() {
            link::remove(name).await?;
        }
        *last = None;
        Ok(())
    }
}

impl Present {
    fn state(&self, public_key: PublicKey) -> PeerState {
        let traffic = |bytes| Traffic { packets: None, bytes };
        PeerState {
            public_key,
            endpoint: self.endpoint,
            last_handshake: self.last_handshake,
            received: traffic(self.received),
            sent: traffic(self.sent),
            drops: None,
        }
    }

    /// The endpoint that it is to get, if any. See [`Peer::endpoint`].
    fn endpoint(&self, wanted: &Peer, before: Option<&Last>) -> Option<SocketAddr> {
        let endpoint = wanted.endpoint.filter(|endpoint| self.endpoint != Some(*endpoint))?;
        let before = before.and_then(|last| last.endpoints.get(&wanted.public_key));
        let is_new = before.is_some_and(|before| *before != wanted.endpoint);
        (is_new || self.last_handshake.is_none()).then_some(endpoint)
    }
}

/// Tells the kernel what differs.
async fn tell(wanted: &Wanted, present: &Device, before: Option<&Last>) -> Result<Change, Error> {
    let name = &wanted.name;
    let mut change = Change::Nothing;
    // The kernel clears some bits of a private key (RFC 7748, section 5), so the public one tells.
    let public = *wanted.private_key.public().as_bytes();
    if present.public_key != Some(public) || present.listen_port != wanted.listen_port {
        let own = [
            WireguardAttribute::PrivateKey(wanted.private_key.secret().to_bytes()),
            WireguardAttribute::ListenPort(wanted.listen_port),
        ];
        set(name, own.to_vec()).await?;
        change = Change::Made;
    }
    let kept: BTreeSet<PublicKey> = wanted.peers.iter().map(|peer| peer.public_key).collect();
    let gone = present.peers.keys().filter(|key| !kept.contains(key)).map(removal);
    let nobody = Present::default();
    let told = wanted.peers.iter().filter_map(|peer| {
        let known = present.peers.get(&peer.public_key);
        difference(peer, known.unwrap_or(&nobody), known.is_none(), before)
    });
    let peers: Vec<WireguardPeer> = gone.chain(told).collect();
    for peers in peers.chunks(PEERS_AT_ONCE) {
        set(name, vec![WireguardAttribute::Peers(peers.to_vec())]).await?;
        change = Change::Made;
    }
    Ok(change)
}

fn removal(key: &PublicKey) -> WireguardPeer {
    WireguardPeer(vec![
        WireguardPeerAttribute::PublicKey(*key.as_bytes()),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
    ])
}

/// What the kernel has to be told about a peer, if anything.
fn difference(
    wanted: &Peer,
    present: &Present,
    is_new: bool,
    before: Option<&Last>,
) -> Option<WireguardPeer> {
    let length = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let addresses: BTreeSet<(IpAddr, u8)> =
        wanted.addresses.iter().map(|address| (*address, length(address))).collect();
    let keepalive = wanted.keepalive.map_or(0, NonZeroU16::get);
    let endpoint = present.endpoint(wanted, before);
    let differs = addresses != present.addresses || keepalive != present.keepalive;
    if !(is_new || differs || endpoint.is_some()) {
        return None;
    }
    let allowed = addresses.iter().map(|(address, length)| {
        let family = match address {
            IpAddr::V4(_) => WireguardAddressFamily::Ipv4,
            IpAddr::V6(_) => WireguardAddressFamily::Ipv6,
        };
        WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(family),
            WireguardAllowedIpAttr::IpAddr(*address),
            WireguardAllowedIpAttr::Cidr(*length),
        ])
    });
    let mut attributes = vec![
        WireguardPeerAttribute::PublicKey(*wanted.public_key.as_bytes()),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::PersistentKeepalive(keepalive),
        WireguardPeerAttribute::AllowedIps(allowed.collect()),
    ];
    attributes.extend(endpoint.map(WireguardPeerAttribute::Endpoint));
    Some(WireguardPeer(attributes))
}

async fn set(name: &InterfaceName, attributes: Vec<WireguardAttribute>) -> Result<(), Error> {
    ask(name, WireguardCmd::SetDevice, NLM_F_ACK, attributes).await.map(drop)
}

async fn device(name: &InterfaceName) -> Result<Device, Error> {
    let answers = ask(name, WireguardCmd::GetDevice, NLM_F_DUMP, Vec::new()).await?;
    let mut device = Device::default();
    for attribute in answers.into_iter().flat_map(|answer| answer.attributes) {
        device.take(attribute);
    }
    Ok(device)
}

impl Device {
    /// One of the kernel's answers. A device with many peers comes in several messages, and a peer
    /// with many addresses may be in two of them.
    fn take(&mut self, attribute: WireguardAttribute) {
        if let WireguardAttribute::PublicKey(key) = attribute {
            self.public_key = Some(key);
        } else if let WireguardAttribute::ListenPort(port) = attribute {
            self.listen_port = port;
        } else if let WireguardAttribute::Peers(peers) = attribute {
            peers.into_iter().for_each(|peer| self.take_peer(peer));
        }
    }

    fn take_peer(&mut self, WireguardPeer(attributes): WireguardPeer) {
        let key = attributes.iter().find_map(|attribute| {
            if let WireguardPeerAttribute::PublicKey(key) = attribute { Some(*key) } else { None }
        });
        let Some(key) = key else { return };
        let peer = self.peers.entry(PublicKey::from_bytes(key)).or_default();
        for attribute in attributes {
            if let WireguardPeerAttribute::Endpoint(endpoint) = attribute {
                peer.endpoint = Some(endpoint);
            } else if let WireguardPeerAttribute::PersistentKeepalive(seconds) = attribute {
                peer.keepalive = seconds;
            } else if let WireguardPeerAttribute::RxBytes(bytes) = attribute {
                peer.received = bytes;
            } else if let WireguardPeerAttribute::TxBytes(bytes) = attribute {
                peer.sent = bytes;
            } else if let WireguardPeerAttribute::LastHandshake(at) = attribute {
                peer.last_handshake = ago(at.seconds);
            } else if let WireguardPeerAttribute::AllowedIps(allowed) = attribute {
                peer.addresses.extend(allowed.iter().filter_map(prefix));
            }
        }
    }
}

/// How long ago this moment was, if the key of then can still be used. Zero stands for never.
fn ago(seconds: i64) -> Option<Duration> {
    let at = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    let at = UNIX_EPOCH + Duration::from_secs(at);
    // A clock that was set back makes it the future, which is as good as now.
    let ago = SystemTime::now().duration_since(at).unwrap_or_default();
    (ago < SESSION).then_some(ago)
}

fn prefix(WireguardAllowedIp(attributes): &WireguardAllowedIp) -> Option<(IpAddr, u8)> {
    let mut address = None;
    let mut length = None;
    for attribute in attributes {
        if let WireguardAllowedIpAttr::IpAddr(found) = attribute {
            address = Some(*found);
        } else if let WireguardAllowedIpAttr::Cidr(found) = attribute {
            length = Some(*found);
        }
    }
    address.zip(length)
}

/// Sends one message about the device, and collects what the kernel answers.
async fn ask(
    name: &InterfaceName,
    cmd: WireguardCmd,
    flags: u16,
    mut attributes: Vec<WireguardAttribute>,
) -> Result<Vec<WireguardMessage>, Error> {
    let (connection, handle, _) = new_connection().map_err(Error::Netlink)?;
    let connection = tokio::spawn(connection);
    attributes.insert(0, WireguardAttribute::IfName(name.as_str().to_owned()));
    let mut message =
        NetlinkMessage::from(GenlMessage::from_payload(WireguardMessage { cmd, attributes }));
    message.header.flags = NLM_F_REQUEST | flags;
    let outcome = tokio::time::timeout(PATIENCE, answers(handle, message)).await;
    connection.abort();
    let refused = |source| Error::WireGuard { name: name.clone(), source };
    outcome.map_err(|_| Error::Silent(name.clone()))?.map_err(refused)
}

async fn answers(
    mut handle: GenetlinkHandle,
    message: NetlinkMessage<GenlMessage<WireguardMessage>>,
) -> Result<Vec<WireguardMessage>, std::io::Error> {
    let asked = handle.request(message).await;
    let mut stream = Box::pin(asked.map_err(std::io::Error::other)?);
    let mut answers = Vec::new();
    while let Some(answer) = stream.next().await {
        let answer = answer.map_err(std::io::Error::other)?;
        if let NetlinkPayload::InnerMessage(inner) = answer.payload {
            answers.push(inner.payload);
        } else if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(error.to_io());
        }
    }
    Ok(answers)
}
