//! Why something was dropped: each cause has a counter of its own.

use super::super::super::names::{Key, Kind};

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident, $text:literal;)*) => {
        /// Why something was dropped.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Cause {
            $($(#[$doc])* $name,)*
        }

        impl Cause {
            const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The cause in a word or two.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

causes! {
    /// A tap that is not in the table.
    UnknownPort, "unknown-port";
    /// A guest or a place sent as a card that is not there.
    ForeignMac, "foreign-mac";
    /// A card sent from an address that is not its own.
    ForeignAddress, "foreign-address";
    /// Neither IP nor ARP.
    OtherProtocol, "other-protocol";
    /// A guest or a place would be a DHCP server, or asked one beyond its host.
    Dhcp, "dhcp";
    /// A guest or a place would be a router.
    Router, "router";
    /// A place asked or told who has an address, which every host says for itself.
    Neighbour, "neighbour";
    /// Sent to a guest, and not meant for its addresses.
    NotForCard, "not-for-card";
    /// Faster than allowed.
    Speed, "speed";
    /// A guest said more to all, or to the services, than they can be asked to hear.
    Flood, "flood";
    /// A card, or a network's exit, has too many connections, or began too many at once.
    Connections, "connections";
    /// No group allows it.
    Group, "group";
    /// No part of any connection.
    NoConnection, "no-connection";
    /// A guest spoke to the host, or by the exit to where only the site and its hosts are.
    ClosedDestination, "closed-destination";
    /// For a prefix that leads nowhere.
    NoRoute, "no-route";
    /// From the public network to nobody who asked.
    Unasked, "unasked";
    /// VXLAN that did not come through the device it belongs to.
    WrongDevice, "wrong-device";
    /// VXLAN from a host or gateway that has nothing to do with this host.
    UnknownPeer, "unknown-peer";
    /// A network's number that is not for this sender.
    ForeignVni, "foreign-vni";
    /// A card that is not at the site that sent it.
    MisplacedMac, "misplaced-mac";
    /// Another site's gateway spoke to the host itself.
    HostClosed, "host-closed";
}

impl Cause {
    /// The counter of this cause, of one network or of the whole host.
    pub(super) fn counter(self, key: Option<Key>) -> String {
        let whose = key.map_or_else(|| "host".to_owned(), |key| key.name(Kind::Bridge));
        format!("{whose}-{}", self.name())
    }

    /// What a counter counts.
    pub(in super::super::super) fn of_counter(name: &str) -> Option<(Option<Key>, Self)> {
        let (whose, cause) = name.split_once('-')?;
        let cause = *Self::ALL.iter().find(|it| it.name() == cause)?;
        let key = Key::of_name(Kind::Bridge, whose);
        (key.is_some() || whose == "host").then_some((key, cause))
    }
}
