//! Names that are not a network's own: asked where the machine runs, if its network has a way out.

use anyhow::Result;
use fabric::Change;
use fabric::networks::{Cause, Outside, bridge};

use crate::outside::World;
use crate::scene::{Guest, Host, Scene, inside, wait_for};

/// What each resolver says of every name.
const ANSWERS: [(&str, &str); 2] =
    [("203.0.113.9", "198.51.100.1"), ("203.0.114.9", "198.51.100.2")];

/// Resolvers outside, one on alpha's way out and one on beta's.
fn resolve(scene: &World) -> Result<()> {
    Scene::wire((&scene.beta, "wan", "203.0.114.1/24"), (&scene.far, "eth1", "203.0.114.9/24"))?;
    for (resolver, answer) in ANSWERS {
        resolver_at(&scene.far, resolver, answer)?;
    }
    Ok(())
}

fn resolver_at(host: &Host, address: &str, answer: &str) -> Result<()> {
    host.run(&format!(
        "dnsmasq --conf-file=/dev/null --pid-file= --no-resolv --no-hosts --bind-interfaces \
         --listen-address={address} --address=/#/{answer}"
    ))?;
    Ok(())
}

fn says(guest: &Guest, name: &str, answer: &str) -> Result<bool> {
    Ok(guest.resolves(name, "A")?.contains(&format!("Address: {answer}")))
}

#[test]
fn other_names_are_asked_where_the_machine_runs() -> Result<()> {
    inside("names::other_names_are_asked_where_the_machine_runs", |scene| {
        let world = World::new(&scene)?;
        resolve(&world)?;
        let mut all = World::wanted()?;
        for (site, (resolver, _)) in [0, 2].into_iter().zip(ANSWERS) {
            all[site].outside = Some(Outside { interface: "wan".parse()?, closed: vec![] });
            all[site].resolvers = vec![resolver.parse()?];
        }
        let [first, second, third] = world.populate(&all)?;
        for (guest, (_, answer)) in [&first, &third].into_iter().zip(ANSWERS) {
            wait_for("an answer", || Ok(says(guest, "example.org", answer)?.then_some(())))?;
            // What is the network's own is not asked elsewhere, nor what means something only here.
            assert!(says(guest, "c3.service.internal", "10.0.0.13")?);
            for name in ["c9.service.internal", "printer"] {
                assert!(!says(guest, name, answer)?, "{name}");
            }
        }
        // A host without resolvers goes on as before.
        assert!(!second.resolves("example.org", "A")?.contains("198.51.100."));
        assert!(says(&second, "c3.service.internal", "10.0.0.13")?);

        // Another resolver, which is the host itself; and none.
        all[2].resolvers = vec!["203.0.114.1".parse()?];
        resolver_at(&world.beta, "203.0.114.1", "198.51.100.3")?;
        world.beta.converge(&all[2])?;
        assert_eq!(world.beta.converge(&all[2])?, Change::Nothing);
        wait_for("another", || Ok(says(&third, "example.org", "198.51.100.3")?.then_some(())))?;
        all[2].resolvers.clear();
        world.beta.converge(&all[2])?;
        assert_eq!(world.beta.converge(&all[2])?, Change::Nothing);
        assert!(!third.resolves("example.org", "A")?.contains("198.51.100."));
        assert!(!world.beta.run("ip -br link")?.contains("rsd"));
        Ok(())
    })
}

#[test]
fn the_services_reach_nothing_but_resolvers() -> Result<()> {
    inside("names::the_services_reach_nothing_but_resolvers", |scene| {
        let world = World::new(&scene)?;
        resolve(&world)?;
        let mut all = World::wanted()?;
        all[0].resolvers = vec![ANSWERS[0].0.parse()?];
        let [first, ..] = world.populate(&all)?;
        wait_for("an answer", || Ok(says(&first, "a.example", ANSWERS[0].1)?.then_some(())))?;
        // Not even from inside their namespace, where the server runs that reads what guests send.
        let closed = || world.gateway.drops(&all[0], Cause::ClosedDestination);
        let name = bridge(all[0].lans[0].identity).replacen("rsb", "rsn", 1);
        let services = |line: &str| {
            world.gateway.run(&format!("nsenter --net=/run/reservoir/g/{name} {line}"))
        };
        for address in ["203.0.113.9", "203.0.113.1"] {
            let before = closed()?;
            services(&format!("ip route replace {address} via 169.254.1.1 dev out onlink"))?;
            assert!(services(&format!("busybox ping -c 1 -W 1 {address}")).is_err(), "{address}");
            assert!(closed()? > before, "{address}");
        }
        // What was changed there is put right.
        assert_eq!(world.gateway.converge(&all[0])?, Change::Made);
        assert_eq!(world.gateway.converge(&all[0])?, Change::Nothing);
        Ok(())
    })
}
