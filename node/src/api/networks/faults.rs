//! What is broken of networks, in words: what it is, between whom, and the next step for a person.

use protocol::ids::{NetworkId, NodeId, SiteId};
use protocol::networks::check::{Fault, Flaw, Lack, Party};
use protocol::networks::lan::End;
use protocol::site::Site;

use super::super::shapes::network::Broken;
use super::{called, view};

/// What people call things.
pub(super) struct Names<'a> {
    site: &'a Site,
}

impl<'a> Names<'a> {
    pub(super) const fn of(site: &'a Site) -> Self {
        Self { site }
    }

    pub(super) fn node(&self, node: NodeId) -> String {
        self.site.node(node).map_or_else(|| format!("node {node}"), |row| row.name.to_string())
    }

    pub(super) fn site(&self, site: SiteId) -> String {
        called(self.site, site)
    }

    pub(super) fn network(&self, key: (SiteId, NetworkId)) -> String {
        let lan = self.site.lans().find(|(it, _)| **it == key);
        lan.map_or_else(|| key.1.to_string(), |(_, row)| view(self.site, key, row).name)
    }

    fn party(&self, party: Party) -> String {
        match party {
            Party::Site(site) => self.site(site),
            Party::Node(node) => self.node(node),
        }
    }

    /// The site that has such an end, as has been said of any network.
    pub(super) fn holder(&self, is_its: impl Fn(&End) -> bool) -> Option<String> {
        let mut ends = self.site.lans().flat_map(|(_, lan)| &lan.ends);
        let (site, _) = ends.find(|(_, end)| end.as_ref().is_some_and(&is_its))?;
        Some(self.site(*site))
    }
}

/// A fault in words.
pub(super) fn said(names: &Names<'_>, fault: &Fault) -> Broken {
    let (what, next) = match fault {
        Fault::NoUplink { node } => (
            format!("{} has not said where others reach its host", names.node(*node)),
            "set 'underlay' in [network] of its configuration to an address of the host",
        ),
        Fault::NoGateway => (
            "the site has no gateway: its networks reach no other site".to_owned(),
            "see by 'reservoir site node ls' that its nodes are reached",
        ),
        Fault::Silent { node } => (
            format!("{} does not say what it sees", names.node(*node)),
            "see by 'reservoir site node ls' that it runs and is reached",
        ),
        Fault::Trouble { node, said } => (
            format!("the networks of {} are not as they should be: {said}", names.node(*node)),
            "put that right on its host; it is tried again by itself",
        ),
        Fault::Untold { site } => (
            format!("{} has not heard yet what this site says of its networks", names.site(*site)),
            "wait a moment; if it stays, see 'reservoir peer ls'",
        ),
        Fault::NoEnd { network, site } => (
            format!(
                "{} has not said how it is reached on {}",
                names.site(*site),
                names.network(*network)
            ),
            "wait a moment; if it stays, have 'reservoir network check' run there",
        ),
        Fault::EndWithoutGateway { network, site } => (
            format!("{} is on {} and has no gateway", names.site(*site), names.network(*network)),
            "have 'reservoir network check' run there",
        ),
        Fault::Uncallable { site } => (
            format!("neither this site's gateway nor that of {} can be called", names.site(*site)),
            "set 'external' in [network] at one of them, to an address that the other reaches",
        ),
        Fault::Unmade { node, site } => (
            format!("the tunnel of {} does not lead to {}", names.node(*node), names.site(*site)),
            "wait a moment; if it stays, see the node's log",
        ),
        Fault::Way { node, to, flaw } => flawed(names, (*node, *to), *flaw),
        Fault::Host { network, node, lack } => lacking(names, (*network, *node), lack),
    };
    Broken { what, next: next.to_owned() }
}

fn flawed(names: &Names<'_>, (node, to): (NodeId, Party), flaw: Flaw) -> (String, &'static str) {
    let (from, other) = (names.node(node), names.party(to));
    let what = match flaw {
        Flaw::Dead { .. } => format!("{other} answers nothing that {from} sends"),
        Flaw::Narrow { largest, needed } => format!(
            "{other} answers {from} with packets of up to {largest} bytes and with none of {needed}"
        ),
        Flaw::Lossy { sent, answered } => {
            let lost = sent.saturating_sub(answered);
            format!("{lost} of {sent} packets from {from} to {other} do not come back")
        }
    };
    let next = match (flaw, to) {
        (Flaw::Dead { .. }, Party::Node(_)) => {
            "see that the wire between their hosts is up, and that ICMP and UDP 8472 pass"
        }
        (Flaw::Dead { heard: false }, Party::Site(_)) => {
            "open the tunnel's UDP port at both sites: 51820, if no other is configured"
        }
        (Flaw::Dead { heard: true }, Party::Site(_)) => {
            "they spoke a moment ago: see that both gateways run, that the tunnel's UDP port is \
             open still, and ICMPv6 within the tunnel"
        }
        (Flaw::Narrow { .. }, Party::Node(_)) => {
            "raise the MTU of the wire between their hosts: VXLAN takes more than guests send"
        }
        (Flaw::Narrow { .. }, Party::Site(_)) => {
            "a link between the sites carries less than 1500 bytes: raise its MTU"
        }
        (Flaw::Lossy { .. }, _) => "a link between them is overloaded or faulty",
    };
    (what, next)
}

fn lacking(
    names: &Names<'_>,
    (network, node): ((SiteId, NetworkId), NodeId),
    lack: &Lack,
) -> (String, &'static str) {
    let (network, node) = (names.network(network), names.node(node));
    match lack {
        Lack::Absent => (
            format!("{network} is not on the host of {node}, where it should be"),
            "wait a moment; if it stays, see the node's log",
        ),
        Lack::Down { device } => (
            format!("{device}, a device of {network} at {node}, is down"),
            "wait a moment: it is raised again; if it stays, see the node's log",
        ),
        Lack::Room { room } => (
            format!("{network}: the tunnel of {node} takes {room} bytes, too few for its guests"),
            "raise the MTU of the tunnel's interface there",
        ),
        Lack::Exit => (
            format!("{network} has no way out to the public network at {node}"),
            "set 'outside' in [network] of its configuration to the interface that leads there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use uuid::Uuid;

    use super::*;

    fn every_fault() -> impl Iterator<Item = Fault> {
        let (node, site) = (NodeId(2), SiteId::from_bytes([7; 32]));
        let network = (site, NetworkId::from_uuid(Uuid::from_u128(5)));
        let ways = [Party::Site(site), Party::Node(NodeId(3))].into_iter().flat_map(move |to| {
            let flaws = [
                Flaw::Dead { heard: false },
                Flaw::Dead { heard: true },
                Flaw::Narrow { largest: 1_280, needed: 1_420 },
                Flaw::Lossy { sent: 10, answered: 7 },
            ];
            flaws.map(|flaw| Fault::Way { node, to, flaw })
        });
        let lacks = [
            Lack::Absent,
            Lack::Down { device: "rt1".to_owned() },
            Lack::Room { room: 1_300 },
            Lack::Exit,
        ];
        let others = [
            Fault::NoUplink { node },
            Fault::NoGateway,
            Fault::Silent { node },
            Fault::Trouble { node, said: "nft is not there".to_owned() },
            Fault::Untold { site },
            Fault::NoEnd { network, site },
            Fault::EndWithoutGateway { network, site },
            Fault::Uncallable { site },
            Fault::Unmade { node, site },
        ];
        let lacks = lacks.map(|lack| Fault::Host { network, node, lack });
        others.into_iter().chain(ways).chain(lacks)
    }

    #[test]
    fn every_fault_says_what_is_broken_and_the_next_step() {
        let empty = Site::default();
        let text: String = every_fault()
            .map(|fault| said(&Names::of(&empty), &fault))
            .map(|Broken { what, next }| format!("{what}:\n    {next}\n"))
            .collect();
        expect![[r#"
            node 2 has not said where others reach its host:
                set 'underlay' in [network] of its configuration to an address of the host
            the site has no gateway: its networks reach no other site:
                see by 'reservoir site node ls' that its nodes are reached
            node 2 does not say what it sees:
                see by 'reservoir site node ls' that it runs and is reached
            the networks of node 2 are not as they should be: nft is not there:
                put that right on its host; it is tried again by itself
            07070707 has not heard yet what this site says of its networks:
                wait a moment; if it stays, see 'reservoir peer ls'
            07070707 has not said how it is reached on 00000000-0000-0000-0000-000000000005:
                wait a moment; if it stays, have 'reservoir network check' run there
            07070707 is on 00000000-0000-0000-0000-000000000005 and has no gateway:
                have 'reservoir network check' run there
            neither this site's gateway nor that of 07070707 can be called:
                set 'external' in [network] at one of them, to an address that the other reaches
            the tunnel of node 2 does not lead to 07070707:
                wait a moment; if it stays, see the node's log
            07070707 answers nothing that node 2 sends:
                open the tunnel's UDP port at both sites: 51820, if no other is configured
            07070707 answers nothing that node 2 sends:
                they spoke a moment ago: see that both gateways run, that the tunnel's UDP port is open still, and ICMPv6 within the tunnel
            07070707 answers node 2 with packets of up to 1280 bytes and with none of 1420:
                a link between the sites carries less than 1500 bytes: raise its MTU
            3 of 10 packets from node 2 to 07070707 do not come back:
                a link between them is overloaded or faulty
            node 3 answers nothing that node 2 sends:
                see that the wire between their hosts is up, and that ICMP and UDP 8472 pass
            node 3 answers nothing that node 2 sends:
                see that the wire between their hosts is up, and that ICMP and UDP 8472 pass
            node 3 answers node 2 with packets of up to 1280 bytes and with none of 1420:
                raise the MTU of the wire between their hosts: VXLAN takes more than guests send
            3 of 10 packets from node 2 to node 3 do not come back:
                a link between them is overloaded or faulty
            00000000-0000-0000-0000-000000000005 is not on the host of node 2, where it should be:
                wait a moment; if it stays, see the node's log
            rt1, a device of 00000000-0000-0000-0000-000000000005 at node 2, is down:
                wait a moment: it is raised again; if it stays, see the node's log
            00000000-0000-0000-0000-000000000005: the tunnel of node 2 takes 1300 bytes, too few for its guests:
                raise the MTU of the tunnel's interface there
            00000000-0000-0000-0000-000000000005 has no way out to the public network at node 2:
                set 'outside' in [network] of its configuration to the interface that leads there
        "#]].assert_eq(&text);
    }
}
