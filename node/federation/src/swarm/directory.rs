//! The directory: where sites are, by Kademlia (Maymounkov and Mazieres, 2002) among those who have
//! greeted.
//!
//! The nodes of a site say at their peers where they are reached, under the site's id; whoever
//! looks for a site asks its own peers. Only provider records are used, and libp2p's Kademlia is
//! held to less than it could do:
//!
//! * It dials nobody. A query goes to nodes that are connected, which have passed the hello; where
//!   it would go on to others it is told that they cannot be reached. So one finds the peers of
//!   one's peers, and a peer found is asked in turn.
//! * Its routing table holds names without addresses: a peer that asks for a site learns where that
//!   site is, and nothing about anybody else.
//! * A record is kept only from a node of the very site that it is about. The task sees to that.
//! * Values are not stored, and records end after half an hour unless they are said again.
//!
//! **What a lie costs.** No word of the directory is believed: it leads to one dial, whose handshake
//! and hello show who is there. A peer that answers falsely (poison) costs each asker a bounded
//! number of dials, which are counted; it cannot stand for the site, since it does not hold a key
//! certified by it. A node can choose its key to be near a site's id (eclipse), but only peers are
//! asked, at most twenty at once and nearest first: as long as a site has fewer, all of them are. An
//! attacker who is all of one's peers can hide a site, as it could cut any other way to it; a
//! configured address, and one that has proven true, work without the directory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, multiaddr::Protocol};
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig, RecordStore as _};
use libp2p::kad::{self, GetProvidersOk, ProviderRecord, QueryId, QueryResult, RecordKey};
use libp2p::swarm::behaviour::DialFailure;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use protocol::ids::SiteId;

/// The protocol of the directory.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/reservoir/directory/1");

/// How long one search may take.
const QUERY_TIME: Duration = Duration::from_secs(15);

/// How long a record is believed, and how often it is said again: twice may be missed.
const RECORD_TIME: Duration = Duration::from_secs(30 * 60);
const REPEAT_TIME: Duration = Duration::from_secs(10 * 60);

/// Sites that are remembered for others: more than a policy admits in practice.
const SITES_KEPT: usize = 1024;

/// Nodes of one site that are remembered.
const NODES_KEPT: usize = 16;

/// The most bytes of one message: a dozen nodes with their addresses.
const MESSAGE_LIMIT: usize = 16 << 10;

/// The most addresses of one node that are taken from one answer.
const ADDRESSES_LIMIT: usize = 16;

/// Searches at once.
pub(super) const SEARCHES: usize = 4;

/// What the directory tells the task.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node that is connected takes part.
    Joined,
    /// A node wants a record kept.
    Offered(ProviderRecord),
    /// Somebody says where a node of a site is.
    Heard { site: SiteId, peer: PeerId, addresses: Vec<Multiaddr> },
    /// A search has ended; `is_known` says whether anything was found.
    Searched { site: SiteId, is_known: bool },
}

struct Search {
    site: SiteId,
    is_known: bool,
}

/// Kademlia, held to what the bus needs.
pub(crate) struct Directory {
    kad: kad::Behaviour<MemoryStore>,
    me: PeerId,
    searches: HashMap<QueryId, Search>,
    /// The nodes that are connected and take part.
    members: BTreeSet<PeerId>,
    events: VecDeque<Event>,
}

impl Directory {
    pub(super) fn new(me: PeerId, site: SiteId) -> Self {
        let mut config = kad::Config::new(PROTOCOL);
        config
            .set_query_timeout(QUERY_TIME)
            .set_substreams_timeout(QUERY_TIME)
            .set_provider_record_ttl(Some(RECORD_TIME))
            .set_provider_publication_interval(Some(REPEAT_TIME))
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_caching(kad::Caching::Disabled)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            .set_periodic_bootstrap_interval(None)
            .set_max_packet_size(MESSAGE_LIMIT);
        let store = MemoryStoreConfig {
            max_records: 0,
            max_value_bytes: 0,
            max_providers_per_key: NODES_KEPT,
            max_provided_keys: SITES_KEPT,
        };
        let store = MemoryStore::with_config(me, store);
        let mut directory = Self {
            kad: kad::Behaviour::with_config(me, store, config),
            me,
            searches: HashMap::new(),
            members: BTreeSet::new(),
            events: VecDeque::new(),
        };
        directory.publish(site);
        directory
    }

    /// Says to the peers that take part where this node is, under its site's id.
    pub(crate) fn publish(&mut self, site: SiteId) {
        // The own record is the first in the store, which has room for it.
        if let Err(error) = self.kad.start_providing(key(site)) {
            tracing::error!(%error, "the site is not published");
        }
    }

    /// Asks the peers that take part where a site is.
    pub(super) fn search(&mut self, site: SiteId) {
        let query = self.kad.get_providers(key(site));
        self.searches.insert(query, Search { site, is_known: false });
    }

    /// How many searches may begin now; none if nobody is there to be asked.
    pub(super) fn room(&self) -> usize {
        if self.members.is_empty() { 0 } else { SEARCHES.saturating_sub(self.searches.len()) }
    }

    /// Keeps a record, if it is about `site`, for which the node that offers it speaks; otherwise
    /// answers no.
    pub(crate) fn keep(&mut self, mut record: ProviderRecord, site: SiteId) -> bool {
        if record.key != key(site) {
            return false;
        }
        record.addresses.truncate(ADDRESSES_LIMIT);
        if let Err(error) = self.kad.store_mut().add_provider(record) {
            tracing::warn!(%site, %error, "where a site is was not kept");
        }
        true
    }

    /// What Kademlia reports, in our words.
    fn translate(&mut self, event: kad::Event) {
        match event {
            kad::Event::UnroutablePeer { peer } | kad::Event::RoutablePeer { peer, .. } => {
                self.kad.add_address(&peer, nowhere());
                self.members.insert(peer);
                self.events.push_back(Event::Joined);
            }
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => self.events.push_back(Event::Offered(record)),
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                if let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders {
                    providers,
                    ..
                })) = result
                {
                    for peer in providers {
                        self.on_provider(id, peer);
                    }
                }
                if step.last
                    && let Some(Search { site, is_known }) = self.searches.remove(&id)
                {
                    self.events.push_back(Event::Searched { site, is_known });
                }
            }
            _ => {}
        }
    }

    fn on_provider(&mut self, query: QueryId, peer: PeerId) {
        if peer == self.me {
            return;
        }
        // The addresses that came with the answer are known to the query, which lasts as long as
        // its event has not been taken; it hands them out as to a dial.
        let dial = ConnectionId::new_unchecked(usize::MAX);
        let known =
            self.kad.handle_pending_outbound_connection(dial, Some(peer), &[], Endpoint::Dialer);
        let mut addresses = known.unwrap_or_default();
        let key = self.searches.get(&query).map(|search| key(search.site));
        let kept = key.map(|key| self.kad.store_mut().providers(&key)).unwrap_or_default();
        let kept = kept.into_iter().filter(|record| record.provider == peer);
        addresses.extend(kept.flat_map(|record| record.addresses));
        addresses.retain(|address| address.iter().any(|part| !matches!(part, Protocol::P2p(_))));
        addresses.truncate(ADDRESSES_LIMIT);
        let Some(search) = self.searches.get_mut(&query).filter(|_| !addresses.is_empty()) else {
            return;
        };
        search.is_known = true;
        self.events.push_back(Event::Heard { site: search.site, peer, addresses });
    }

    /// Kademlia wants to dial somebody, and is told that nobody is there.
    fn refuse(&mut self, dial: &DialOpts) {
        self.kad.on_swarm_event(FromSwarm::DialFailure(DialFailure {
            peer_id: dial.get_peer_id(),
            error: &DialError::Aborted,
            connection_id: dial.connection_id(),
        }));
    }
}

/// The key under which the nodes of a site are found.
pub(crate) fn key(site: SiteId) -> RecordKey {
    RecordKey::new(site.as_bytes())
}

/// The address of nodes in the routing table, and of connections as Kademlia sees them: it hands
/// out what it knows.
fn nowhere() -> Multiaddr {
    Multiaddr::empty()
}

impl NetworkBehaviour for Directory {
    type ConnectionHandler = THandler<kad::Behaviour<MemoryStore>>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let (here, there) = (nowhere(), nowhere());
        self.kad.handle_established_inbound_connection(connection, peer, &here, &there)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let there = nowhere().with(Protocol::P2p(peer));
        self.kad.handle_established_outbound_connection(connection, peer, &there, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(_)
            | FromSwarm::ExternalAddrConfirmed(_)
            | FromSwarm::ExternalAddrExpired(_) => self.kad.on_swarm_event(event),
            FromSwarm::ConnectionClosed(closed) => {
                let (peer, remaining) = (closed.peer_id, closed.remaining_established);
                self.kad.on_swarm_event(event);
                if remaining == 0 {
                    self.kad.remove_peer(&peer);
                    self.members.remove(&peer);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.kad.on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            let Poll::Ready(event) = self.kad.poll(cx) else { return Poll::Pending };
            match event {
                ToSwarm::GenerateEvent(event) => self.translate(event),
                ToSwarm::Dial { opts } => self.refuse(&opts),
                ToSwarm::NotifyHandler { peer_id, handler, event } => {
                    return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
                }
                _ => {}
            }
        }
    }
}
