//! Routes: where what leaves a network goes, if not to its exit. They are written as
//! `10.9.0.0/16 via 10.1.0.5`, `0.0.0.0/0 via exit` and `10.0.0.0/8 via nobody`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Prefix4, Prefix6};
use crate::security::{BadRule, Block};
use crate::text::excerpt;

/// The most routes of a group of networks: EC2's limit for a table of them. Each is a rule that a
/// packet on its way out is held against.
pub const ROUTES_MAX: usize = 50;

/// Where what is for a prefix goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The prefix.
    pub to: Block,
    /// Where.
    pub hop: Hop,
}

/// The next one on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Hop {
    /// The machine that has this address; nobody while there is none.
    Machine(IpAddr),
    /// The way to the public network.
    Exit,
    /// Nobody: it is dropped.
    Nobody,
}

/// The routes of a network. Of several that a packet fits, the one with the longest prefix counts.
///
/// **Invariant.** At most [`ROUTES_MAX`], no two to the same prefix, and each by an address of the
/// same version of IP as its prefix.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Route>", into = "Vec<Route>")]
pub struct Routes(Vec<Route>);

/// The text is no route, or the route could not be one among others.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRoute {
    /// Not a prefix, 'via', and who is next.
    #[error("'{text}' is no route")]
    Malformed {
        /// What is given.
        text: String,
    },
    /// A prefix that no route can lead to.
    #[error(transparent)]
    To(BadRule),
    /// Its prefix and its next address are of two versions of IP.
    #[error("what is for {to} cannot go by {by}, which is of another version of IP")]
    Versions {
        /// The prefix.
        to: IpNet,
        /// The address.
        by: IpAddr,
    },
    /// Two routes to one prefix.
    #[error("there is a route to {to} already")]
    Twice {
        /// The prefix.
        to: IpNet,
    },
    /// More than there may be.
    #[error("{count} routes are more than {ROUTES_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl BadRoute {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { .. } => {
                "write a prefix, via, and an address, exit or nobody: 10.9.0.0/16 via 10.1.0.5"
                    .to_owned()
            }
            Self::To(_) => "write a prefix, of addresses that machines can have".to_owned(),
            Self::Versions { .. } => "write a prefix and an address of one version".to_owned(),
            Self::Twice { .. } => "leave one of them out".to_owned(),
            Self::TooMany { .. } => format!("keep at most {ROUTES_MAX}"),
        }
    }
}

impl Routes {
    /// The routes of a network.
    ///
    /// # Errors
    ///
    /// If there are too many, two to the same prefix, or one that cannot be.
    pub fn new(routes: Vec<Route>) -> Result<Self, BadRoute> {
        if routes.len() > ROUTES_MAX {
            return Err(BadRoute::TooMany { count: routes.len() });
        }
        let mut seen = BTreeSet::new();
        for route in &routes {
            route.check()?;
            if !seen.insert(route.to) {
                return Err(BadRoute::Twice { to: route.to.net() });
            }
        }
        Ok(Self(routes))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Those of a group's routes that count on one network of it: by the machines that are on it, by
    /// its exit if it has one, and by nobody; and none into the network itself.
    #[must_use]
    pub fn on(&self, (prefix, prefix6): (Prefix4, Prefix6), outbound: bool) -> Self {
        let nets = [IpNet::from(prefix.net()), IpNet::from(prefix6.net())];
        let counts = |route: &&Route| {
            let leads = match route.hop {
                Hop::Machine(address) => nets.iter().any(|net| net.contains(&address)),
                Hop::Exit => outbound,
                Hop::Nobody => true,
            };
            leads && !nets.iter().any(|net| net.contains(&route.to.net()))
        };
        Self(self.0.iter().filter(counts).copied().collect())
    }
}

impl Route {
    fn check(&self) -> Result<(), BadRoute> {
        let to = self.to.net();
        match self.hop {
            Hop::Machine(by) if by.is_ipv4() != to.addr().is_ipv4() => {
                Err(BadRoute::Versions { to, by })
            }
            Hop::Machine(_) | Hop::Exit | Hop::Nobody => Ok(()),
        }
    }
}

impl TryFrom<Vec<Route>> for Routes {
    type Error = BadRoute;

    fn try_from(routes: Vec<Route>) -> Result<Self, BadRoute> {
        Self::new(routes)
    }
}

impl From<Routes> for Vec<Route> {
    fn from(routes: Routes) -> Self {
        routes.0
    }
}

impl FromStr for Route {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, BadRoute> {
        let malformed = || BadRoute::Malformed { text: excerpt(text) };
        let words: Vec<&str> = text.split_whitespace().take(4).collect();
        let [to, "via", hop] = words[..] else { return Err(malformed()) };
        let to: IpNet = to.parse().map_err(|_| malformed())?;
        let hop = match hop {
            "exit" => Hop::Exit,
            "nobody" => Hop::Nobody,
            address => Hop::Machine(address.parse().map_err(|_| malformed())?),
        };
        let route = Self { to: to.try_into().map_err(BadRoute::To)?, hop };
        route.check()?;
        Ok(route)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} via ", self.to.net())?;
        match self.hop {
            Hop::Machine(address) => address.fmt(f),
            Hop::Exit => f.write_str("exit"),
            Hop::Nobody => f.write_str("nobody"),
        }
    }
}
