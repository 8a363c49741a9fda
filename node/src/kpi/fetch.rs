//! What a machine has said of itself, asked for wherever it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use federation::{Channel, ask};
use protocol::codec;
use protocol::ids::{MachineId, MachineName, NodeId, SiteId};
use protocol::kpi::{Name, Observed};
use protocol::site::state::Place;
use protocol::wire::v1::machine::{self, Answer, Question};
use protocol::wire::v1::{NodeAnswer, NodeRequest};
use tokio::time::timeout;

use crate::desk::Desk;
use crate::lease;

/// How long another site may take: whoever looks at a machine does not want to wait for this.
const SITE_TIME: Duration = Duration::from_secs(5);

/// How long another node of the same site may take. It is shorter, so that a provider whose own node
/// is silent can say so in time.
const NODE_TIME: Duration = Duration::from_secs(2);

/// It cannot be learned what a machine says of itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such machine here.
    #[error("there is no machine {name} here")]
    Unknown {
        /// The machine.
        name: MachineName,
    },
    /// The node that runs it does not answer.
    #[error("node {node} of this site, which runs machine {name}, does not answer")]
    OtherNode {
        /// The machine.
        name: MachineName,
        /// The node.
        node: NodeId,
    },
    /// The site that runs it cannot be asked now, or refuses.
    #[error("site {site}, which runs the machine, does not answer")]
    Unanswered {
        /// The site.
        site: SiteId,
        /// Why.
        #[source]
        source: Box<ask::Error>,
    },
    /// The site that runs it does not answer in time.
    #[error("site {site}, which runs the machine, did not answer within {SITE_TIME:?}")]
    TooSlow {
        /// The site.
        site: SiteId,
    },
    /// The site that runs it cannot ask the host.
    #[error("site {site}, which runs the machine, does not reach the host that does")]
    Away {
        /// The site.
        site: SiteId,
    },
    /// The site does not run it, or not any more.
    #[error("site {site} has no such machine of this site")]
    Closed {
        /// The site.
        site: SiteId,
    },
    /// The answer is none.
    #[error("site {site}, which runs the machine, gives an answer that cannot be read")]
    Unreadable {
        /// The site.
        site: SiteId,
    },
}

impl Desk {
    /// What a machine of this site has said last of each measure, and how long ago, by the clock of
    /// the host that runs it; nothing, if it runs nowhere.
    ///
    /// # Errors
    ///
    /// If there is no such machine, or whoever runs it does not say.
    pub async fn latest_kpis(&self, machine: MachineId) -> Result<BTreeMap<Name, Observed>, Error> {
        let name = MachineName { home: self.site(), machine };
        if self.node_of(name).is_some() {
            return of_guest(self, name).await;
        }
        match self.read(|site| site.machine(machine).map(|row| row.place.clone())) {
            Some(Place::There { site, .. }) => at_peer(self, site, machine).await,
            Some(
                Place::Nowhere
                | Place::Postponed
                | Place::Sought { .. }
                | Place::Held(_)
                | Place::Accepted(_)
                | Place::Here(_),
            ) => Ok(BTreeMap::new()),
            None => Err(Error::Unknown { name }),
        }
    }
}

/// What a machine of another site's has said that runs at this one, for its home: nobody else can
/// name it.
pub(crate) async fn tell(desk: &Desk, name: MachineName) -> Answer {
    match of_guest(desk, name).await {
        Ok(latest) => Answer::Kpis(latest),
        Err(Error::Unknown { .. }) => Answer::Closed,
        Err(_) => Answer::Away,
    }
}

/// What a machine has said that runs at this site, on whichever of its hosts.
async fn of_guest(desk: &Desk, name: MachineName) -> Result<BTreeMap<Name, Observed>, Error> {
    let node = desk.node_of(name).ok_or(Error::Unknown { name })?;
    if node == desk.node() {
        return Ok(desk.kpis().of(name, lease::now()));
    }
    let request = NodeRequest::Kpis { name };
    match timeout(NODE_TIME, desk.ask_node(node, &request)).await {
        Ok(Some(NodeAnswer::Kpis(latest))) => Ok(latest),
        Ok(Some(_) | None) | Err(_) => Err(Error::OtherNode { name, node }),
    }
}

async fn at_peer(
    desk: &Desk,
    site: SiteId,
    machine: MachineId,
) -> Result<BTreeMap<Name, Observed>, Error> {
    let question = codec::encode(&Question::Kpis { machine });
    let asked = timeout(SITE_TIME, desk.peers().ask(site, Channel::Machine, question)).await;
    let answer = asked
        .map_err(|_| Error::TooSlow { site })?
        .map_err(|source| Error::Unanswered { site, source: Box::new(source) })?;
    match machine::answer(&answer) {
        Ok(Answer::Kpis(latest)) => Ok(latest),
        Ok(Answer::Closed) => Err(Error::Closed { site }),
        Ok(Answer::Away) => Err(Error::Away { site }),
        Ok(Answer::Site(_)) | Err(_) => Err(Error::Unreadable { site }),
    }
}
