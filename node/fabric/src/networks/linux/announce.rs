//! Who has an address now, said aloud: a gratuitous ARP (RFC 5227, section 3) and an unsolicited
//! neighbour advertisement (RFC 4861, section 7.2.6).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, socket};

use super::Error;

/// Says through an interface that a card has these addresses.
pub(super) fn announce(
    interface: &str,
    mac: [u8; 6],
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), Error> {
    let refused = |source| Error::Announce { interface: interface.to_owned(), source };
    let said = || -> io::Result<()> {
        let is_link = |it: nix::ifaddrs::InterfaceAddress| {
            (it.interface_name == interface).then_some(())?;
            it.address?.as_link_addr().copied()
        };
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let link = getifaddrs()?.find_map(is_link).ok_or_else(absent)?;
        let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        for address in addresses {
            let frame = match address {
                IpAddr::V4(address) => arp(mac, address),
                IpAddr::V6(address) => advertisement(mac, address),
            };
            sendto(raw.as_raw_fd(), &frame, &link, MsgFlags::empty())?;
        }
        Ok(())
    };
    said().map_err(refused)
}

/// A request for the address by the one who has it, which everyone hears.
fn arp(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// To all nodes on the link, saying that what was known before no longer is.
fn advertisement(mac: [u8; 6], address: Ipv6Addr) -> Vec<u8> {
    let everyone = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // Type 136, no checksum yet, the override flag; the target; its link-layer address.
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let sum = checksum(address, everyone, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    let length = u16::try_from(message.len()).expect("a message of 32 bytes");
    frame.extend(length.to_be_bytes());
    // ICMPv6, and the hop limit that says that nobody forwarded it.
    frame.extend([58, 255]);
    frame.extend(address.octets());
    frame.extend(everyone.octets());
    frame.extend(message);
    frame
}

/// The checksum of such a message (RFC 4443, section 2.3), over the pseudo-header as well.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).expect("a message of 32 bytes");
    let mut bytes = [from.octets(), to.octets()].concat();
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 58]);
    bytes.extend(message);
    let words = bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).expect("what was carried has been added")
}
