//! What it costs a peer to send too much, or rubbish.
//!
//! What finds no token (`meter`) is excess, and what no honest peer sends is a lot of it. It lowers the
//! site's score in gossipsub (gossipsub v1.1, section "Peer Scoring"), as forged adverts do; far too
//! much of it ends the connections.
//!
//! Of gossipsub's score only the penalties are used. Peers are admitted by policy, so there is nobody
//! to prefer for having been here long; and adverts are so few that their absence proves nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{
    PeerScoreParams, PeerScoreThresholds, TopicScoreParams, score_parameter_decay,
};
use protocol::ids::SiteId;

use super::behaviour::topic;
use super::task::Task;
use crate::Refusal;

/// Below it a peer's adverts and control messages are dropped unread.
pub(super) const GRAYLIST: f64 = -80.0;

/// How long a forged advert is held against the peer that passed it on.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

pub(super) fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        // One forged advert may be a fault of software: the peer is believed less readily.
        gossip_threshold: -5.0,
        publish_threshold: -50.0,
        // Three within ten minutes are not, nor are eighty adverts beyond what is allowed.
        graylist_threshold: GRAYLIST,
        // Peers are configured, not exchanged.
        accept_px_threshold: f64::MAX,
        opportunistic_graft_threshold: 0.0,
    }
}

pub(super) fn parameters() -> PeerScoreParams {
    let topic_parameters = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Times the square of their number: 10, 40, 90.
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: score_parameter_decay(FORGIVEN_AFTER),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: [(topic().hash(), topic_parameters)].into(),
        // The application's part is the excess that was metered.
        app_specific_weight: 1.0,
        // Sites behind one NAT, or one host's namespaces, share an address.
        ip_colocation_factor_weight: 0.0,
        // Breaches of gossipsub's own rules; a few happen as connections come and go.
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(FORGIVEN_AFTER),
        // Being slow is no offence.
        slow_peer_weight: 0.0,
        retain_score: FORGIVEN_AFTER,
        ..PeerScoreParams::default()
    }
}

/// A score in whole points, as an operator sees it, and whether its peer is dropped unread.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float ends at the type's bounds")]
pub(super) fn shown(score: Option<f64>) -> (i32, bool) {
    let score = score.unwrap_or_default();
    (score.floor() as i32, score < GRAYLIST)
}

impl Task {
    /// Whether one more connection to a site is taken.
    pub(super) fn check_site(&self, site: SiteId) -> Result<(), Refusal> {
        if self.meters.is_shunned(site) {
            return Err(Refusal::Flooding);
        }
        let count = self.lines.to_site(site).len();
        if site != self.me.site && count >= self.limits.connections_per_site {
            return Err(Refusal::Crowded);
        }
        Ok(())
    }

    /// A site has sent too much. Adverts feel it at once; beyond a bound no connection is kept, so
    /// that what it sends is not even read.
    pub(super) fn on_excess(&mut self, site: SiteId) {
        self.apply_score(site);
        if self.meters.is_shunned(site) {
            tracing::warn!(%site, "a peer sends far too much; it is shunned for a while");
            for connection in self.lines.to_site(site) {
                self.expel(connection);
            }
        }
    }

    /// A site has sent what no honest peer sends; its connection has been closed. It is not counted
    /// against our own nodes, without which the site could not go on.
    pub(super) fn on_offence(&mut self, site: SiteId) {
        if site != self.me.site {
            self.meters.offends(site);
            self.on_excess(site);
        }
    }

    /// Whether the log has room for another line about a site, or about a stranger.
    pub(super) fn is_worth_a_word(&mut self, site: Option<SiteId>) -> bool {
        self.meters.admits_word(site, Instant::now())
    }

    pub(super) fn fade(&mut self) {
        self.meters.fade();
        let sites: BTreeSet<SiteId> = self.lines.callers().iter().map(|it| it.site).collect();
        for site in sites {
            self.apply_score(site);
        }
    }

    fn apply_score(&mut self, site: SiteId) {
        let score = -f64::from(self.meters.excess(site));
        let gossip = &mut self.swarm.behaviour_mut().gate.inner.gossip;
        for peer in self.lines.iter().filter(|(_, line)| line.caller().site == site) {
            gossip.set_application_score(&peer.1.peer, score);
        }
    }
}
