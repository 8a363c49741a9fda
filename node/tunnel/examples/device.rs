//! A tunnel from the command line, to measure one or to look at one.
//!
//! `device NAME PORT ADDRESS/PREFIX MTU OWN PEER [ENDPOINT]`, where OWN and PEER are numbers from 1 to
//! 255 that keys are made of: nobody's traffic is safe under these. The peer's inner address is the
//! own one with PEER as its last byte. It runs until its standard input ends, and then prints what
//! has gone through.
#![expect(clippy::print_stdout, reason = "a person or a script reads it")]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use anyhow::{Context, Result};
use tunnel::{Embedded, Kernel, Peer, PrivateKey, Tunnel, Wanted};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let wanted = wanted(std::env::args().skip(1))?;
    // In this process, so that its end is the tunnel's.
    let tunnel: Box<dyn Tunnel> = if Kernel::is_available().await {
        Box::new(Kernel::new())
    } else {
        Box::new(Embedded::new())
    };
    tunnel.converge(&wanted).await?;
    println!("ready");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    println!("{:#?}", tunnel.state().await?);
    tunnel.close().await?;
    Ok(())
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted> {
    let mut next = |what: &'static str| arguments.next().context(what);
    let name = next("a name")?.parse()?;
    let listen_port = next("a port")?.parse()?;
    let place = next("an address and a prefix")?;
    let (address, prefix) = place.split_once('/').context("an address with its prefix")?;
    let address: IpAddr = address.parse()?;
    let mtu = next("an MTU")?.parse()?;
    let own: u8 = next("the own number")?.parse()?;
    let other: u8 = next("the peer's number")?.parse()?;
    let endpoint = next("an endpoint").ok().map(|text| text.parse::<SocketAddr>()).transpose()?;
    let key = |number| PrivateKey::from_bytes([number; 32]);
    let inner = match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, other])
        }
        IpAddr::V6(address) => {
            let mut bytes = address.octets();
            bytes[15] = other;
            IpAddr::from(bytes)
        }
    };
    let peer = Peer {
        public_key: key(other).public(),
        endpoint,
        addresses: vec![inner],
        keepalive: NonZeroU16::new(25).filter(|_| endpoint.is_some()),
    };
    let (private_key, prefix, peers) = (key(own), prefix.parse()?, vec![peer]);
    Ok(Wanted { name, private_key, listen_port, address, prefix, mtu, peers })
}
