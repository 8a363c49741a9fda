//! What this node sees when it is asked how its host's networks fare.

use std::net::IpAddr;
use std::time::Duration;

use fabric::networks::{Depth, Echoes, LanState, Target};
use futures::future::join_all;
use protocol::ids::NodeId;
use protocol::networks::check::{Answers, Dropped, LanSight, Sight, TunnelSight};
use protocol::networks::gateway::TunnelKey;
use protocol::networks::{self};
use protocol::site::Site;
use protocol::wire::v1::{NodeAnswer, NodeRequest};

use super::{Networks, Seen, TUNNEL_MTU};
use crate::desk::Desk;
use crate::observe::chain;

/// What VXLAN puts around a frame within a site: UDP, its own header, and the frame's (8, 8, 14),
/// and IPv4 or IPv6.
const VXLAN: u16 = 30;
const IPV4: u16 = 20;
const IPV6: u16 = 40;

/// Who is asked for echoes.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Another site's gateway, through the tunnel.
    Gateway { key: TunnelKey, handshake: Option<Duration> },
    /// Another node of the site.
    Fellow(NodeId),
}

impl Networks {
    /// Looks at the host's networks, and at the ways from it to others. It takes some seconds.
    pub(crate) async fn look(&self, desk: &Desk) -> Sight {
        let seen = self.seen().await;
        let asked = asked(&seen, desk.read(|site| fellows(site, desk.node())));
        let targets: Vec<Target> = asked.iter().map(|(_, target)| *target).collect();
        let (echoes, refused) = match self.fabric.probe(&targets, Depth::Thorough).await {
            Ok(echoes) => (echoes, None),
            Err(fault) => (Vec::new(), Some(chain(&fault))),
        };
        let mut sight = Sight::default();
        for ((whom, target), echoes) in asked.into_iter().zip(echoes) {
            let answers = answers(target, echoes);
            match whom {
                Asked::Gateway { key, handshake } => {
                    let handshake = handshake.map(|ago| ago.as_secs());
                    sight.tunnels.push((key, TunnelSight { answers, handshake }));
                }
                Asked::Fellow(node) => sight.fellows.push((node, answers)),
            }
        }
        let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let tunnelled = seen.tunnel.err().map(|fault| chain(&fault));
        let mut trouble: Vec<String> = refused.into_iter().chain(tunnelled).collect();
        trouble.extend((!last.1.is_empty()).then_some(last.1));
        match seen.lans {
            Ok(state) => {
                let here = |lan: &LanState| {
                    let wanted = last.0.lans.iter().find(|it| it.identity == lan.identity);
                    wanted.is_some_and(|it| it.exit == Some(fabric::networks::Exit::Here))
                };
                sight.lans = state.lans.iter().map(|lan| of_lan(lan, here(lan))).collect();
                let dropped = state.drops.into_iter().filter(|drops| drops.packets > 0);
                sight.stray = dropped.map(dropped_for).collect();
            }
            Err(fault) => trouble.push(chain(&fault)),
        }
        sight.trouble = trouble;
        sight
    }
}

impl Desk {
    /// What all nodes of the site see, each asked at once; nothing of one that does not answer.
    pub(crate) async fn sights(&self) -> Vec<(NodeId, Option<Sight>)> {
        let nodes: Vec<NodeId> = self.read(|site| site.nodes().map(|(node, _)| node).collect());
        let ask = async |node| {
            if node == self.node() {
                return (node, Some(self.networks().look(self).await));
            }
            let sight = match self.ask_node(node, &NodeRequest::Look).await {
                Some(NodeAnswer::Seen(sight)) => Some(*sight),
                Some(_) | None => None,
            };
            (node, sight)
        };
        join_all(nodes.into_iter().map(ask)).await
    }
}

/// Where the other nodes of the site are reached.
fn fellows(site: &Site, me: NodeId) -> Vec<(NodeId, IpAddr)> {
    let others = site.nodes().filter(|(node, _)| *node != me);
    let is_here = site.node(me).is_some_and(|row| row.uplink.is_some());
    let reached = others.filter_map(|(node, row)| Some((node, row.uplink?.underlay)));
    reached.filter(|_| is_here).collect()
}

fn asked(seen: &Seen, fellows: Vec<(NodeId, IpAddr)>) -> Vec<(Asked, Target)> {
    let tunnel = seen.tunnel.as_ref().ok().and_then(Option::as_ref);
    let gateways = tunnel.into_iter().flat_map(|state| &state.peers).map(|peer| {
        let key = TunnelKey::from_bytes(*peer.public_key.as_bytes());
        let target = Target { address: key.address().into(), needed: TUNNEL_MTU };
        (Asked::Gateway { key, handshake: peer.last_handshake }, target)
    });
    let fellows = fellows.into_iter().map(|(node, address)| {
        let around = if address.is_ipv4() { IPV4 } else { IPV6 };
        (Asked::Fellow(node), Target { address, needed: networks::MTU + VXLAN + around })
    });
    gateways.chain(fellows).collect()
}

fn answers(target: Target, echoes: Echoes) -> Answers {
    let Echoes { sent, answered, round_trip, largest } = echoes;
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let round_trip = round_trip.map(micros);
    Answers { sent, answered, round_trip, largest, needed: target.needed }
}

fn of_lan(lan: &LanState, exits: bool) -> LanSight {
    let down = lan.devices.iter().filter(|device| !device.is_up);
    LanSight {
        home: lan.identity.home,
        network: lan.identity.network,
        devices: u32::try_from(lan.devices.len()).unwrap_or(u32::MAX),
        down: down.map(|device| device.name.clone()).collect(),
        room: lan.room_between_sites,
        exit: exits.then_some(lan.exit.is_some()),
    }
}

fn dropped_for(drops: fabric::networks::Drops) -> Dropped {
    let fabric::networks::Drops { cause, packets, bytes } = drops;
    Dropped { cause: cause.name().to_owned(), packets, bytes }
}
