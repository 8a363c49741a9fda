//! Networks of many hosts and sites: who is where.
//!
//! A plain wire stands for the tunnel: what comes out of the tunnel's device has been decrypted,
//! and its inner source address is the peer's.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use fabric::Change;
use fabric::networks::{At, Cause, Error, Lan, Tunnel, Vni, Wanted};

use crate::scene::{Card, Guest, Host, Scene, inside, lan, wait_for};

/// Alpha has two hosts, of which the first is its gateway; beta has one.
pub(crate) struct World {
    pub(crate) gateway: Host,
    pub(crate) other: Host,
    pub(crate) beta: Host,
}

/// What each of the three has of the network, and all that it wants.
pub(crate) type Views = [(Lan, Wanted); 3];

/// The numbers of the network at alpha and at beta.
pub(crate) const ALPHA: u8 = 5;
const BETA: u8 = 9;

impl World {
    pub(crate) fn new(scene: &Scene) -> Result<Self> {
        let (gateway, other, beta) = (scene.host("g")?, scene.host("o")?, scene.host("b")?);
        Scene::wire((&gateway, "eth0", "192.0.2.1/24"), (&other, "eth0", "192.0.2.2/24"))?;
        Scene::wire((&gateway, "wg0", "fd99::1/64"), (&beta, "wg0", "fd99::2/64"))?;
        Ok(Self { gateway, other, beta })
    }

    fn tunnel(address: &str) -> Result<Option<Tunnel>> {
        Ok(Some(Tunnel { device: "wg0".parse()?, address: address.parse()? }))
    }

    /// One network, with a card at each of the three.
    fn converge(&self) -> Result<Views> {
        let host = |address: &str| -> Result<At> { Ok(At::Host { underlay: address.parse()? }) };
        let site = |address: &str, number: u8| -> Result<At> {
            let vni = Vni::new(number.into()).context("a number")?;
            Ok(At::Site { gateway: address.parse()?, vni })
        };
        let beta = site("fd99::2", BETA)?;
        let alpha = site("fd99::1", ALPHA)?;
        let all = [
            (
                vec![Card(1).here(), Card(2).at(host("192.0.2.2")?), Card(3).at(beta)],
                ALPHA,
                Some("192.0.2.1"),
                Self::tunnel("fd99::1")?,
            ),
            (
                vec![
                    Card(1).at(host("192.0.2.1")?),
                    Card(2).here(),
                    Card(3).at(host("192.0.2.1")?),
                ],
                ALPHA,
                Some("192.0.2.2"),
                None,
            ),
            (
                vec![Card(1).at(alpha.clone()), Card(2).at(alpha), Card(3).here()],
                BETA,
                None,
                Self::tunnel("fd99::2")?,
            ),
        ];
        let mut made = Vec::new();
        for (host, (members, number, underlay, tunnel)) in
            [&self.gateway, &self.other, &self.beta].into_iter().zip(all)
        {
            let mut network = lan(1, members);
            network.vni = Vni::new(number.into()).context("a number")?;
            let underlay = underlay.map(str::parse).transpose()?;
            let lans = vec![network.clone()];
            let wanted = Wanted { lans, underlay, tunnel, ..Wanted::default() };
            host.converge(&wanted)?;
            made.push((network, wanted));
        }
        made.try_into().ok().context("three hosts")
    }

    /// The same, with the guests plugged in.
    pub(crate) fn populate(&self) -> Result<([Guest; 3], Views)> {
        let made = self.converge()?;
        let guests = [
            self.gateway.plug(&made[0].0, &Card(1))?,
            self.other.plug(&made[1].0, &Card(2))?,
            self.beta.plug(&made[2].0, &Card(3))?,
        ];
        self.converge()?;
        for (host, (_, wanted)) in [&self.gateway, &self.other, &self.beta].iter().zip(&made) {
            assert_eq!(host.converge(wanted)?, Change::Nothing, "{}", host.name);
        }
        Ok((guests, made))
    }
}

#[test]
fn guests_of_one_network_meet_across_hosts_and_sites() -> Result<()> {
    inside("many_hosts::guests_of_one_network_meet_across_hosts_and_sites", |scene| {
        let world = World::new(&scene)?;
        let (guests, made) = world.populate()?;
        for guest in &guests {
            for card in [1, 2, 3].map(Card) {
                assert!(guest.reaches(card.v4().context("v4")?)?, "v4 of card {}", card.0);
                assert!(guest.reaches(card.v6().context("v6")?)?, "v6 of card {}", card.0);
            }
            // DHCP and DNS are answered by the guest's own host, for all cards.
            assert!(guest.asks_dhcp()?.is_some());
            assert!(guest.resolves("c3.service.internal", "A")?.contains("10.0.0.13"));
        }
        // The wire carries 2000 bytes, of which VXLAN takes 70.
        let state = world.gateway.state(&made[0].1)?;
        assert_eq!(state.lans[0].room_between_sites, Some(1930));
        assert_eq!(world.other.state(&made[1].1)?.lans[0].room_between_sites, None);
        Ok(())
    })
}

#[test]
fn what_is_large_arrives_whole() -> Result<()> {
    inside("many_hosts::what_is_large_arrives_whole", |scene| {
        let world = World::new(&scene)?;
        let ([_first, second, third], _) = world.populate()?;
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(16 << 20).collect();
        // From a host that is no gateway to another site, in both families and both ways.
        for (from, to, address) in [
            (&second, &third, "10.0.0.13:5001"),
            (&second, &third, "[fd00:1::13]:5001"),
            (&third, &second, "10.0.0.12:5001"),
        ] {
            let listener = to.listens(address)?;
            let mut stream = from.connects(address)?.context("no connection")?;
            let (mut accepted, _) = listener.accept()?;
            let same = std::thread::scope(|scope| -> Result<bool> {
                let bytes = &bytes;
                let sent = scope.spawn(move || stream.write_all(bytes));
                let mut arrived = Vec::new();
                accepted.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
                accepted.read_to_end(&mut arrived)?;
                sent.join().ok().context("the sender panicked")??;
                Ok(arrived == *bytes)
            })?;
            assert!(same, "{address}");
        }
        // A packet that does not fit any more is cut up, and put together again.
        assert!(second.run("busybox ping -c 1 -W 5 -s 4000 10.0.0.13")?.0);
        assert!(second.run("busybox ping -c 1 -W 5 -s 4000 fd00:1::13")?.0);
        Ok(())
    })
}

#[test]
fn only_tunnelled_frames_of_guests_cross_between_sites() -> Result<()> {
    inside("many_hosts::only_tunnelled_frames_of_guests_cross_between_sites", |scene| {
        let world = World::new(&scene)?;
        let ([first, _, third], made) = world.populate()?;
        // A guest looks for everything that its host has to answer by itself.
        let seen = || -> Result<u64> {
            let state = world.beta.state(&made[2].1)?;
            let device = state.lans[0].devices.iter().find(|it| it.name.starts_with("rsy"));
            Ok(device.context("a device among sites")?.received)
        };
        let before = seen()?;
        first.asks_dhcp()?;
        assert!(first.reaches([10, 0, 0, 1])?);
        first.ip("neigh flush all")?;
        first.run("busybox arping -c 1 -w 1 -I eth0 10.0.0.13")?;
        assert_eq!(seen()?, before);
        assert!(first.reaches([10, 0, 0, 13])?);
        assert!(seen()? > before);
        // Both hosts have the gateway, and neither sees the other's.
        assert!(third.reaches([10, 0, 0, 1])?);
        Ok(())
    })
}

#[test]
fn a_card_that_moved_is_found_where_it_is() -> Result<()> {
    inside("many_hosts::a_card_that_moved_is_found_where_it_is", |scene| {
        let world = World::new(&scene)?;
        let ([first, second, _third], made) = world.populate()?;
        assert!(second.reaches([10, 0, 0, 13])?);
        // Card 3 moves from beta to alpha's gateway, with its addresses.
        world.beta.run(&format!("ip link del {}", Card(3).tap()))?;
        let mut gateway = made[0].1.clone();
        gateway.lans[0].members[2] = Card(3).here();
        world.gateway.converge(&gateway)?;
        let mut moved = lan(1, vec![]);
        moved.vni = Vni::new(77).context("a number")?;
        let third = world.gateway.plug(&moved, &Card(3))?;
        world.gateway.converge(&gateway)?;
        for guest in [&first, &second] {
            assert!(guest.reaches([10, 0, 0, 13])?);
        }
        assert!(third.reaches([10, 0, 0, 12])?);
        Ok(())
    })
}

#[test]
fn a_card_that_is_awaited_stays_closed_and_is_reached_where_it_is() -> Result<()> {
    inside("many_hosts::a_card_that_is_awaited_stays_closed_and_is_reached_where_it_is", |scene| {
        let world = World::new(&scene)?;
        let ([first, _second, third], made) = world.populate()?;
        // Card 2 is to leave the host it is alone on; all that serves guests goes with it.
        let mut left = made[1].1.clone();
        left.lans[0].members[1] = Card(2).at(At::Host { underlay: "192.0.2.1".parse()? });
        left.lans[0].awaited.clear();
        world.other.converge(&left)?;
        // Card 3 is on its way there from beta: its guest stands, and does not run yet.
        let mut awaited = left.clone();
        awaited.lans[0].awaited.insert(Card(3).tap());
        world.other.converge(&awaited)?;
        let mut there = lan(1, vec![]);
        there.vni = Vni::new(78).context("a number")?;
        let coming = world.other.plug(&there, &Card(3))?;
        world.other.converge(&awaited)?;
        assert_eq!(world.other.converge(&awaited)?, Change::Nothing);
        assert!(first.reaches([10, 0, 0, 13])?, "it is reached where it is");
        assert!(third.reaches([10, 0, 0, 11])?);
        let before = world.other.drops(&awaited, Cause::UnknownPort)?;
        assert!(!coming.reaches([10, 0, 0, 11])?, "it does not talk before it is here");
        assert!(world.other.drops(&awaited, Cause::UnknownPort)? > before);
        // It is here: all hear of it, and it talks.
        let mut here = awaited.clone();
        here.lans[0].awaited.clear();
        here.lans[0].members[2] = Card(3).here();
        world.other.converge(&here)?;
        let mut gateway = made[0].1.clone();
        gateway.lans[0].members[2] = Card(3).at(At::Host { underlay: "192.0.2.2".parse()? });
        world.gateway.converge(&gateway)?;
        assert!(first.reaches([10, 0, 0, 13])?);
        assert!(coming.reaches([10, 0, 0, 11])?);
        assert!(coming.asks_dhcp()?.is_some());
        Ok(())
    })
}

#[test]
fn a_card_that_runs_is_announced_on_its_host_and_nowhere_else() -> Result<()> {
    inside("many_hosts::a_card_that_runs_is_announced_on_its_host_and_nowhere_else", |scene| {
        let world = World::new(&scene)?;
        let ([_first, _second, third], [(_, gateway), _, (_, mut wanted)]) = world.populate()?;
        // A second card comes to beta, where the first one has a wrong idea of it.
        wanted.lans[0].members[1] = Card(2).here();
        let wanted = &wanted;
        world.beta.converge(wanted)?;
        world.beta.plug(&wanted.lans[0], &Card(2))?;
        world.beta.converge(wanted)?;
        let addresses = ["10.0.0.12", "fd00:1::12"];
        for address in addresses {
            let wrong = format!("neigh replace {address} lladdr 52:00:00:00:00:66 dev eth0");
            third.ip(&format!("{wrong} nud stale"))?;
        }
        let neighbour = || world.gateway.drops(&gateway, Cause::Neighbour);
        let before = neighbour()?;
        for _ in 0..2 {
            world.beta.announce(wanted, &Card(2).tap())?;
            for address in addresses {
                wait_for(address, || {
                    let known = third.ip(&format!("neigh show {address}"))?;
                    Ok(known.contains(&Card(2).mac().to_string()).then_some(()))
                })?;
            }
        }
        // The frames went out before those that come back now.
        assert!(third.reaches([10, 0, 0, 11])?);
        assert_eq!(neighbour()?, before);
        // What is not here is not announced, and what has no network here cannot be.
        world.beta.announce(wanted, &Card(1).tap())?;
        assert!(world.other.announce(wanted, &Card(2).tap()).is_ok());
        assert!(scene.host("x")?.announce(wanted, &Card(2).tap()).is_err());
        Ok(())
    })
}

#[test]
fn without_a_tunnel_the_rest_goes_on_and_with_a_new_one_all_does() -> Result<()> {
    let test = "many_hosts::without_a_tunnel_the_rest_goes_on_and_with_a_new_one_all_does";
    inside(test, |scene| {
        let world = World::new(&scene)?;
        let ([first, second, _third], made) = world.populate()?;
        world.gateway.run("ip link del wg0")?;
        let refused = world.gateway.converge(&made[0].1).expect_err("there is no tunnel");
        let fault = refused.downcast_ref::<Error>().context("another error")?;
        assert!(matches!(fault, Error::NoTunnel(_)), "{fault}");
        assert!(first.reaches([10, 0, 0, 12])? && second.reaches([10, 0, 0, 11])?);
        assert!(!first.reaches([10, 0, 0, 13])?);

        Scene::wire((&world.gateway, "wg0", "fd99::1/64"), (&world.beta, "wg0", "fd99::2/64"))?;
        world.converge()?;
        for guest in [&first, &second] {
            assert!(guest.reaches([10, 0, 0, 13])?);
        }
        Ok(())
    })
}
