//! Names in the kernel, all derived here: a network's devices and chains, and a card's tap.
//!
//! An interface's name has at most 15 characters, and ids are longer. So a name is three letters
//! for the kind of thing and 48 bits of a hash over whom it belongs to. Two networks of one host
//! that got the same 48 bits are refused before anything is touched.

use std::fmt;
use std::str::FromStr;

use protocol::hull::Mac;
use protocol::ids::{MachineName, NetworkId, SiteId};

/// Which network, in the whole world: its home and its id there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// The site that owns the network.
    pub home: SiteId,
    /// Its id there.
    pub network: NetworkId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.home.short(), self.network)
    }
}

/// What a name is given to. The letters are the first three of the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The bridge of a network.
    Bridge,
    /// The VXLAN device of a network among the hosts of a site.
    Underlay,
    /// The VXLAN device of a network among sites.
    Tunnel,
    /// The end of the services' pair that is plugged into the bridge.
    Services,
    /// The services' network namespace.
    Namespace,
    /// The end of the exit's pair that is plugged into the bridge.
    Exit,
    /// The end of the exit's other pair that stays on the host.
    Door,
    /// The end of the pair that stays on the host, by which the services ask for others' names.
    Asking,
    /// The exit's network namespace.
    ExitNamespace,
    /// The end of the router's pair that is plugged into the bridge.
    Router,
    /// The network namespace of the router between networks, named after the first of them.
    RouterNamespace,
}

impl Kind {
    pub(super) const fn letters(self) -> &'static str {
        match self {
            Self::Bridge => "rsb",
            Self::Underlay => "rsx",
            Self::Tunnel => "rsy",
            Self::Services => "rsv",
            Self::Namespace => "rsn",
            Self::Exit => "rse",
            Self::Door => "rso",
            Self::Asking => "rsd",
            Self::ExitNamespace => "rsm",
            Self::Router => "rsr",
            Self::RouterNamespace => "rsq",
        }
    }
}

/// What the names of one network have in common.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key([u8; 6]);

impl Key {
    pub(super) fn of(identity: Identity) -> Self {
        let context = "reservoir 2026 names of a network on a host";
        let network = identity.network.as_uuid();
        Self(digest(context, &[identity.home.as_bytes(), network.as_bytes()]))
    }

    pub(super) fn name(self, kind: Kind) -> String {
        format!("{}{self}", kind.letters())
    }

    /// Recognizes a name that was given to a thing of this kind.
    pub(super) fn of_name(kind: Kind, name: &str) -> Option<Self> {
        let digits = name.strip_prefix(kind.letters())?;
        let known = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if digits.len() != 12 || !digits.bytes().all(known) {
            return None;
        }
        let mut key = [0; 6];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// The MAC address of the network's gateway: the same on every host, so that a guest that
    /// moved finds its gateway where it was. Locally administered, unicast.
    pub(super) const fn gateway(self) -> [u8; 6] {
        let Self([a, b, c, d, e, _]) = self;
        [0x56, a, b, c, d, e]
    }

    /// The MAC address of the network's bridge, which never sends or takes a frame by itself.
    pub(super) const fn bridge(self) -> [u8; 6] {
        let Self([a, b, c, d, e, _]) = self;
        [0x5a, a, b, c, d, e]
    }

    /// The MAC address of the network's exit, which routes to the public network.
    pub(super) const fn exit(self) -> [u8; 6] {
        let Self([a, b, c, d, e, _]) = self;
        [0x5e, a, b, c, d, e]
    }

    /// The MAC address that the router between this network and others has on it, the same on
    /// every host.
    pub(super) const fn router(self) -> [u8; 6] {
        let Self([a, b, c, d, e, _]) = self;
        [0x6a, a, b, c, d, e]
    }

    /// The MAC addresses of a pair from a namespace of the network to the host: the host's end, and
    /// the other.
    pub(super) const fn door(self) -> [[u8; 6]; 2] {
        let Self([a, b, c, d, e, _]) = self;
        [[0x62, a, b, c, d, e], [0x66, a, b, c, d, e]]
    }

    /// Fifteen bits, the first candidate for the network's zone of connections.
    pub(super) const fn zone(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]]) & 0x7fff
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The name of a card's tap, which libvirt makes and plugs into the network's bridge. It follows
/// from the card, so that filters can stand before the tap does.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tap(String);

/// The first letters of every tap of ours; the filters know a stranger by them.
pub(super) const TAP: &str = "rst";

impl Tap {
    /// The tap of a machine's card, counted from zero.
    #[must_use]
    pub fn of(machine: MachineName, card: u8) -> Self {
        let MachineName { home, machine } = machine;
        let context = "reservoir 2026 tap of a machine's card";
        let machine = machine.as_uuid();
        let parts: [&[u8]; 3] = [home.as_bytes(), machine.as_bytes(), &[card]];
        Self(format!("{TAP}{}", Key(digest(context, &parts))))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bridge of a network on any host: what a guest's tap is plugged into.
#[must_use]
pub fn bridge(identity: Identity) -> String {
    Key::of(identity).name(Kind::Bridge)
}

/// The name of an interface that is not ours, as the kernel allows it and the filters can say it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of an interface.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not an interface's name: write 1 to 15 letters, digits, hyphens, dots and '_'")]
pub struct MalformedInterfaceName(String);

impl FromStr for InterfaceName {
    type Err = MalformedInterfaceName;

    fn from_str(text: &str) -> Result<Self, MalformedInterfaceName> {
        // The kernel's limit is IFNAMSIZ without the closing zero. It allows more than these
        // letters; a name reaches paths and filters, where some of those mean something.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=15).contains(&text.len())
            && text.bytes().all(known)
            && !text.starts_with(['-', '.']);
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedInterfaceName(text.to_owned()))
        }
    }
}

/// The link-local address that a card gives itself (RFC 4291, appendix A): the only one that it
/// may use.
pub(super) fn link_local(mac: [u8; 6]) -> std::net::Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let bits = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    std::net::Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(bits))
}

/// The text of a MAC address.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A card's MAC address as bytes.
pub(super) const fn mac_bytes(mac: Mac) -> [u8; 6] {
    *mac.as_bytes()
}

fn digest(context: &str, parts: &[&[u8]]) -> [u8; 6] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut short = [0; 6];
    hasher.finalize_xof().fill(&mut short);
    short
}
