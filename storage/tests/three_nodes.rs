//! Three replicas of one site, in one process, over a network that can be cut.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use protocol::ids::NodeId;
use storage::replica::{Error, Members, Progress};
use storage::transport::{self, Transport};
use storage::{Replica, Timing};
use tally::{Count, Tally};
use tempfile::TempDir;

type Node = Arc<Replica<Tally>>;

/// Long for what a replica does, short for a person who waits.
const DEADLINE: Duration = Duration::from_secs(60);

const TIMING: Timing = Timing {
    heartbeat: Duration::from_millis(200),
    election_min: Duration::from_millis(800),
    election_max: Duration::from_millis(1_600),
    snapshot_every: 50,
    keep: 10,
    ..Timing::peers()
};

/// How a message with a chunk of a snapshot begins: it is the third of its kind.
const SNAPSHOT_KIND: u8 = 2;

/// The network between the nodes.
#[derive(Debug, Default)]
struct Network {
    nodes: Mutex<BTreeMap<NodeId, Weak<Replica<Tally>>>>,
    cut: Mutex<BTreeSet<NodeId>>,
    snapshot_chunks: AtomicUsize,
}

#[derive(Debug)]
struct Wire {
    from: NodeId,
    network: Arc<Network>,
}

#[async_trait::async_trait]
impl Transport for Wire {
    async fn send(&self, to: NodeId, rpc: Vec<u8>) -> Result<Vec<u8>, transport::Error> {
        let node = {
            let cut = self.network.cut.lock().unwrap();
            let node = self.network.nodes.lock().unwrap().get(&to).and_then(Weak::upgrade);
            node.filter(|_| !cut.contains(&to) && !cut.contains(&self.from))
        };
        let gone = || transport::Error::Unreachable { to, source: "cut".into() };
        if rpc.first() == Some(&SNAPSHOT_KIND) {
            self.network.snapshot_chunks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(node.ok_or_else(gone)?.receive(&rpc).await)
    }
}

struct Site {
    network: Arc<Network>,
    dirs: BTreeMap<NodeId, TempDir>,
    nodes: BTreeMap<NodeId, Node>,
}

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

impl Site {
    /// Three nodes, all of them voters, founded by the first.
    async fn of_three() -> Self {
        let mut site = Self {
            network: Arc::default(),
            dirs: [ONE, TWO, THREE].map(|node| (node, tempfile::tempdir().unwrap())).into(),
            nodes: BTreeMap::new(),
        };
        for node in [ONE, TWO, THREE] {
            site.start(node).await;
        }
        site.node(ONE).found().await.unwrap();
        site.node(ONE).add_learner(TWO).await.unwrap();
        site.node(ONE).add_learner(THREE).await.unwrap();
        let learners = Members { voters: [ONE].into(), learners: [TWO, THREE].into() };
        assert_eq!(site.node(ONE).members(), learners);
        site.node(ONE).promote([TWO, THREE].into()).await.unwrap();
        site
    }

    async fn start(&mut self, node: NodeId) {
        let wire = Wire { from: node, network: Arc::clone(&self.network) };
        let dir: &Path = self.dirs[&node].path();
        let replica = Replica::open(dir, node, Arc::new(wire), TIMING).await.unwrap();
        let replica = Arc::new(replica);
        self.network.nodes.lock().unwrap().insert(node, Arc::downgrade(&replica));
        self.nodes.insert(node, replica);
    }

    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[&node]
    }

    fn cut(&self, node: NodeId) {
        self.network.cut.lock().unwrap().insert(node);
    }

    fn heal(&self) {
        self.network.cut.lock().unwrap().clear();
    }

    async fn wait(&self, node: NodeId, what: &str, ready: impl FnMut(&Progress) -> bool) {
        let mut progress = self.node(node).watch();
        let waited = tokio::time::timeout(DEADLINE, progress.wait_for(ready)).await;
        assert!(waited.is_ok(), "{node} in time {what}: {:?}", self.nodes);
        waited.unwrap().unwrap();
    }

    /// Which of two nodes leads, once one does.
    async fn elected(&self, [one, other]: [NodeId; 2]) -> NodeId {
        let leads = |progress: &Progress| progress.is_leader;
        let (mut first, mut second) = (self.node(one).watch(), self.node(other).watch());
        let elected = async {
            tokio::select! {
                led = first.wait_for(leads) => led.map(|_| one).unwrap(),
                led = second.wait_for(leads) => led.map(|_| other).unwrap(),
            }
        };
        tokio::time::timeout(DEADLINE, elected).await.unwrap()
    }

    /// Every node has applied what the leader has, and has the same rows.
    async fn converge(&self, leader: NodeId) {
        let applied = self.node(leader).barrier().await.unwrap();
        let rows = self.node(leader).read(Tally::all);
        for node in [ONE, TWO, THREE] {
            self.wait(node, "converges", |progress| progress.applied >= applied).await;
            assert_eq!(self.node(node).read(Tally::all), rows, "node {node}");
        }
    }
}

async fn propose(node: &Node, keys: std::ops::Range<u64>) {
    for key in keys {
        assert_eq!(node.propose(&Count::of(vec![key])).await.unwrap(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_have_what_the_leader_has_and_say_who_leads() {
    let site = Site::of_three().await;
    propose(site.node(ONE), 0..120).await;
    site.converge(ONE).await;
    let refused = site.node(TWO).propose(&Count::of(vec![0])).await.unwrap_err();
    assert!(matches!(refused, Error::NotLeader { leader: Some(ONE) }), "{refused}");
    assert!(refused.is_transient());
    let refused = site.node(TWO).barrier().await.unwrap_err();
    assert!(matches!(refused, Error::NotLeader { leader: Some(ONE) }), "{refused}");
    let voters = Members { voters: [ONE, TWO, THREE].into(), learners: BTreeSet::new() };
    assert_eq!(site.node(THREE).members(), voters);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_leader_is_replaced_and_follows_when_it_is_back() {
    let site = Site::of_three().await;
    propose(site.node(ONE), 0..20).await;
    site.cut(ONE);
    let refused = site.node(ONE).barrier().await.unwrap_err();
    assert!(matches!(refused, Error::NoQuorum), "{refused}");

    let leader = site.elected([TWO, THREE]).await;
    propose(site.node(leader), 20..40).await;
    site.node(ONE).read(|tally| assert_eq!(tally.of(20), 0));

    site.heal();
    site.wait(ONE, "follows", |progress| progress.leader == Some(leader)).await;
    site.converge(leader).await;
    site.node(ONE).read(|tally| assert!((0..40).all(|key| tally.of(key) == 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lost_its_disk_comes_back_by_a_snapshot() {
    let mut site = Site::of_three().await;
    propose(site.node(ONE), 0..100).await;
    site.node(ONE).remove(THREE).await.unwrap();
    site.node(THREE).close().await.unwrap();
    site.nodes.remove(&THREE);
    site.dirs.insert(THREE, tempfile::tempdir().unwrap());
    propose(site.node(ONE), 100..400).await;
    assert_eq!(site.network.snapshot_chunks.load(Ordering::Relaxed), 0);

    site.start(THREE).await;
    site.node(ONE).add_learner(THREE).await.unwrap();
    site.wait(THREE, "catches up", |progress| progress.applied >= 400).await;
    site.node(ONE).promote([THREE].into()).await.unwrap();
    propose(site.node(ONE), 400..420).await;
    site.converge(ONE).await;
    assert!(site.network.snapshot_chunks.load(Ordering::Relaxed) > 0, "by the log alone");
    site.node(THREE).read(|tally| assert!((0..420).all(|key| tally.of(key) == 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_on_request_and_takes_every_write_along() {
    let site = Site::of_three().await;
    propose(site.node(ONE), 0..20).await;
    let two = site.node(TWO);
    let gap = site.node(ONE).hand_over(TWO, async { two.stand().await.unwrap() }).await.unwrap();
    writeln!(std::io::stderr(), "the site took no writes for {gap:?}").unwrap();
    site.wait(TWO, "leads", |progress| progress.is_leader).await;
    propose(two, 20..40).await;
    site.converge(TWO).await;
    let refused = site.node(ONE).propose(&Count::of(vec![0])).await.unwrap_err();
    assert!(matches!(refused, Error::NotLeader { leader: Some(TWO) }), "{refused}");
    let back = site.node(ONE);
    two.hand_over(ONE, async { back.stand().await.unwrap() }).await.unwrap();
    propose(back, 40..50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_in_a_term_that_is_over_changes_nothing() {
    let site = Site::of_three().await;
    let one = site.node(ONE);
    let decided_in = one.watch().borrow().term;
    assert_eq!(one.propose_in(decided_in, &Count::of(vec![0])).await.unwrap(), 1);
    // It leads again, and a task of its own comes late with what it had decided before.
    let two = site.node(TWO);
    one.hand_over(TWO, async { two.stand().await.unwrap() }).await.unwrap();
    site.wait(TWO, "leads", |progress| progress.is_leader).await;
    two.hand_over(ONE, async { one.stand().await.unwrap() }).await.unwrap();
    site.wait(ONE, "leads again", |progress| progress.is_leader).await;
    let refused = one.propose_in(decided_in, &Count::of(vec![0])).await.unwrap_err();
    assert!(matches!(refused, Error::Overtaken), "{refused}");
    let now = one.watch().borrow().term;
    assert_eq!(one.propose_in(now, &Count::of(vec![1])).await.unwrap(), 1);
    site.converge(ONE).await;
    site.node(THREE).read(|tally| assert_eq!((tally.of(0), tally.of(1)), (1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_stays_if_the_other_does_not_stand_or_has_no_vote() {
    let mut site = Site::of_three().await;
    site.node(ONE).remove(THREE).await.unwrap();
    let refused = site.node(ONE).hand_over(THREE, async {}).await.unwrap_err();
    assert!(matches!(refused, Error::NoVoter { node: THREE }), "{refused}");
    let refused = site.node(TWO).hand_over(ONE, async {}).await.unwrap_err();
    assert!(matches!(refused, Error::NotLeader { leader: Some(ONE) }), "{refused}");
    site.node(TWO).close().await.unwrap();
    site.nodes.remove(&TWO);
    let refused = site.node(ONE).hand_over(TWO, async {}).await.unwrap_err();
    assert!(matches!(refused, Error::NotElected { node: TWO }), "{refused}");
    site.start(TWO).await;
    site.wait(ONE, "still leads", |progress| progress.is_leader).await;
    propose(site.node(ONE), 0..5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_leaves_a_site_that_works() {
    let site = Site::of_three().await;
    propose(site.node(ONE), 0..10).await;
    site.node(ONE).remove(ONE).await.unwrap();
    let leader = site.elected([TWO, THREE]).await;
    propose(site.node(leader), 10..20).await;
    let voters = Members { voters: [TWO, THREE].into(), learners: BTreeSet::new() };
    assert_eq!(site.node(leader).members(), voters);
    assert!(!site.node(leader).lags().contains_key(&ONE));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_stays() {
    let site = Site::of_three().await;
    site.node(ONE).remove(TWO).await.unwrap();
    site.node(ONE).remove(THREE).await.unwrap();
    let refused = site.node(ONE).remove(ONE).await.unwrap_err();
    assert!(matches!(refused, Error::Members { .. }), "{refused}");
    propose(site.node(ONE), 0..5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_answered_and_change_nothing() {
    let site = Site::of_three().await;
    propose(site.node(ONE), 0..5).await;
    site.converge(ONE).await;
    let before = site.node(TWO).read(Tally::all);
    for seed in 0_usize..200 {
        let noise: Vec<u8> = (0..seed).map(|at| (at * 31 + seed * 17).to_le_bytes()[0]).collect();
        assert!(!site.node(TWO).receive(&noise).await.is_empty());
    }
    assert!(!site.node(TWO).receive(&vec![0; transport::MESSAGE_BYTES_MAX + 1]).await.is_empty());
    assert_eq!(site.node(TWO).read(Tally::all), before);
    propose(site.node(ONE), 5..10).await;
    site.converge(ONE).await;
}
