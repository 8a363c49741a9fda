//! Names in the addresses of nodes, made numbers before the bus dials them.
//!
//! The bus dials numbers. A name is asked for as any program of this machine asks for it, its hosts
//! file and its resolver included, and asked for again while it is wished for: what is behind a name
//! moves. Asking may take long, so it is done beside, and the last answer stands meanwhile; without
//! any, the node is looked for as one whose address is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long an answer is good: as long as those who move a name usually let its records live.
const FRESH: Duration = Duration::from_secs(60);

/// The most numbers of one name that are tried.
const NUMBERS_MAX: usize = 4;

/// Which numbers of a name are wanted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Family {
    Any,
    Four,
    Six,
}

impl Family {
    fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Four => ip.is_ipv4(),
            Self::Six => ip.is_ipv6(),
        }
    }
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Answer {
    numbers: Vec<IpAddr>,
    /// When it was asked for last; none if that was never.
    asked: Option<Instant>,
    under_way: bool,
}

/// The names in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, Answer>,
    asking: JoinSet<Found>,
}

/// A name, and what came of asking for it.
type Found = (String, std::io::Result<Vec<IpAddr>>);

impl Names {
    /// The addresses with numbers in the place of names, as far as these are known; what is not
    /// known, or not any more for certain, is asked for.
    pub(super) fn numbered(&mut self, addresses: &[String]) -> Vec<String> {
        self.take_answers();
        let mut numbered = Vec::new();
        for address in addresses {
            match named(address) {
                None => numbered.push(address.clone()),
                Some((family, name, rest)) => {
                    let numbers = self.numbers(name).iter().filter(|ip| family.has(**ip));
                    numbered.extend(numbers.take(NUMBERS_MAX).map(|ip| {
                        let kind = if ip.is_ipv4() { "ip4" } else { "ip6" };
                        format!("/{kind}/{ip}/{rest}")
                    }));
                }
            }
        }
        numbered
    }

    /// Forgets names that are in no address any more.
    pub(super) fn retain<'a>(&mut self, addresses: impl Iterator<Item = &'a String>) {
        let wished = addresses.filter_map(|address| named(address));
        let wished: BTreeSet<&str> = wished.map(|(_, name, _)| name).collect();
        self.known.retain(|known, _| wished.contains(known.as_str()));
    }

    /// Ends what is under way.
    pub(super) async fn close(&mut self) {
        self.asking.shutdown().await;
    }

    fn numbers(&mut self, name: &str) -> &[IpAddr] {
        let answer = self.known.entry(name.to_owned()).or_default();
        let is_fresh = answer.asked.is_some_and(|at| at.elapsed() < FRESH);
        if !is_fresh && !answer.under_way {
            (answer.asked, answer.under_way) = (Some(Instant::now()), true);
            let name = name.to_owned();
            self.asking.spawn(async move {
                // The port is part of the question and means nothing.
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                let found = found.map(|all| all.map(|address| address.ip()).collect());
                (name, found)
            });
        }
        &answer.numbers
    }

    fn take_answers(&mut self) {
        while let Some(Ok(ended)) = self.asking.try_join_next() {
            self.take(ended);
        }
    }

    fn take(&mut self, (name, found): Found) {
        let Some(answer) = self.known.get_mut(&name) else { return };
        answer.under_way = false;
        match found {
            Ok(numbers) => {
                debug!(name, ?numbers, "a name is known");
                answer.numbers = numbers;
            }
            Err(fault) => warn!(name, %fault, "a name in an address is not known"),
        }
    }
}

/// The parts of an address that begins with a name: which numbers, of which name, and what follows.
fn named(address: &str) -> Option<(Family, &str, &str)> {
    let mut parts = address.strip_prefix('/')?.splitn(3, '/');
    let family = match parts.next()? {
        "dns" => Family::Any,
        "dns4" => Family::Four,
        "dns6" => Family::Six,
        _ => return None,
    };
    Some((family, parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of addresses once their names are known.
    async fn known(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<String> = addresses.iter().map(|it| (*it).to_owned()).collect();
        let mut names = Names::default();
        names.numbered(&addresses);
        while let Some(ended) = names.asking.join_next().await {
            names.take(ended.expect("asking does not panic"));
        }
        names.numbered(&addresses)
    }

    #[tokio::test]
    async fn a_name_becomes_the_numbers_that_this_machine_knows_it_by() {
        let plain = "/ip4/192.0.2.1/tcp/7401";
        let numbered = known(&[plain, "/dns4/localhost/tcp/7401"]).await;
        assert_eq!(numbered, [plain, "/ip4/127.0.0.1/tcp/7401"]);
        let nowhere = known(&["/dns6/127.0.0.1/tcp/7401", "/dns/127.0.0.1/udp/1/quic-v1"]).await;
        assert_eq!(nowhere, ["/ip4/127.0.0.1/udp/1/quic-v1"], "it has no number of that family");
    }

    #[tokio::test]
    async fn what_is_wished_for_no_more_is_forgotten() {
        let mut names = Names::default();
        let [one, other] = ["/dns4/one.invalid/tcp/1", "/dns/localhost/tcp/1"].map(str::to_owned);
        names.numbered(&[one, other.clone()]);
        names.retain([other].iter());
        assert_eq!(names.known.into_keys().collect::<Vec<_>>(), ["localhost"]);
    }
}
