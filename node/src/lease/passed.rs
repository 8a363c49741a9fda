//! Questions about leases that reach a node which does not lead: passed on to the one that does.

use protocol::ids::SiteId;
use protocol::wire::v1::lease::{HostRenewal, Refusal, RenewHost, RenewSession, SessionRenewal};
use protocol::wire::v1::{NodeAnswer, NodeRequest};

use super::leader;
use crate::desk::Desk;

impl Desk {
    /// Asks whoever leads the site whether a host may run what is assigned to it.
    pub(super) async fn renew_host(&self, asked: RenewHost) -> HostRenewal {
        match self.leader_elsewhere() {
            Ok(None) => leader::renew_host(self, self.leases(), asked).await,
            Ok(Some(leader)) => {
                match self.ask_leader(leader, &NodeRequest::RenewHost(asked)).await {
                    Ok(NodeAnswer::HostRenewed(renewal)) => renewal,
                    Ok(_) | Err(_) => HostRenewal::Refused(Refusal::Later),
                }
            }
            Err(_) => HostRenewal::Refused(Refusal::Later),
        }
    }

    /// Asks whoever leads the site what a provider may go on running.
    pub(crate) async fn renew_session(
        &self,
        provider: SiteId,
        asked: RenewSession,
    ) -> SessionRenewal {
        match self.leader_elsewhere() {
            Ok(None) => leader::renew_session(self, self.leases(), provider, &asked).await,
            Ok(Some(leader)) => {
                let request = NodeRequest::RenewSession { provider, asked };
                match self.ask_leader(leader, &request).await {
                    Ok(NodeAnswer::SessionRenewed(renewal)) => renewal,
                    Ok(_) | Err(_) => SessionRenewal::Later,
                }
            }
            Err(_) => SessionRenewal::Later,
        }
    }
}
