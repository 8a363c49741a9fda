//! Claims about a peer that lies, errs or replays, against a whole node: what it is answered, and
//! what the node's operator reads of it. What no honest site sends gets no answer: its connection
//! ends, and it is counted. What an honest site may send in error is answered with the reason.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use axum::http::StatusCode;
use federation::stream::Duplex;
use federation::{Caller, Channel, Handler, PeerAddress, Peers as _, Verdict, ask, fake};
use protocol::agreement::{Acceptance, Message, Refusal, Terms};
use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use protocol::ids::{HoldId, HullId, ImageId, MachineId, MachineName, SiteId};
use protocol::kpi::Kpi;
use protocol::lease::Moment;
use protocol::manifest::OnPartition;
use protocol::market::{Advert, LIFETIME};
use protocol::sla::{Catalogue, Class};
use protocol::time::{Span, Timestamp};
use protocol::units::{Currency, Mebibytes, Micros, Price, Size, Tariff};
use protocol::wire::v1::lease::{RenewSession, SessionRenewal, session_renewal};
use protocol::wire::v1::machine::{self, Answer, Question};
use protocol::wire::v1::{self, Delivery, RECEIPT_BYTES_MAX, Receipt};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{MANIFEST, World, text};

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.expect("the clock is set").as_millis();
    Timestamp::from_millis(u64::try_from(since).expect("it is no later than that"))
}

const fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// What the liar has been told, and takes up as any site would; and what it says of a machine when it
/// is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear(Arc<Mutex<Vec<Message>>>, Arc<Mutex<Vec<u8>>>);

impl Ear {
    /// What it has been told of this kind, if anything.
    pub(crate) fn heard<T>(&self, pick: impl Fn(&Message) -> Option<T>) -> Option<T> {
        self.0.lock().expect("nobody panics").iter().find_map(pick)
    }

    /// What it answers from now on when it is asked about a machine.
    pub(crate) fn answers(&self, bytes: Vec<u8>) {
        *self.1.lock().expect("nobody panics") = bytes;
    }
}

#[async_trait]
impl Handler for Ear {
    async fn ask(
        &self,
        from: Caller,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Refused> {
        if channel == Channel::Machine {
            return Ok(self.1.lock().expect("nobody panics").clone());
        }
        let delivery = v1::delivery(&body).map_err(|_| ask::Refused::new("no delivery"))?;
        let mut last = 0;
        for signed in delivery.messages {
            let word = signed.verify(liar_key().public().site(), now(), |_| 0);
            let word = word.map_err(|_| ask::Refused::new("not signed"))?;
            assert_eq!(word.statement().issuer, from.site);
            last = word.statement().sequence;
            self.0.lock().expect("nobody panics").push(word.body().clone());
        }
        Ok(codec::encode(&Receipt::Through(last)))
    }

    async fn gossip(&self, _from: Caller, _body: Vec<u8>) -> Verdict {
        Verdict::Ignore
    }

    async fn console(&self, _from: Caller, _header: Vec<u8>, _stream: Duplex) {}
}

fn liar_key() -> SecretKey {
    SecretKey::from_bytes(&[66; 32])
}

/// A site that says what it likes.
pub(crate) struct Liar {
    pub(crate) site: SiteId,
    victim: SiteId,
    key: SecretKey,
    certificate: NodeCertificate,
    pub(crate) bus: fake::Node,
    pub(crate) ear: Ear,
}

impl Liar {
    pub(crate) async fn meet(world: &World) -> Self {
        let (root, key) = (liar_key(), SecretKey::from_bytes(&[67; 32]));
        let certificate = Certificate {
            root: root.public(),
            node: key.public(),
            scopes: Scopes::NODE,
            serial: 1,
            not_before: Timestamp::default(),
            not_after: now() + Span::from_secs(3_600),
        };
        let site = root.public().site();
        let (victim, ear) = (world.me.site, Ear::default());
        let me = Caller { site, node: key.public() };
        let bus = world.network.join(me, "liar", Arc::new(ear.clone()));
        let wish = PeerAddress { site: Some(victim), node: None, addresses: vec![] };
        bus.set_peers(vec![wish]).await.expect("one peer is not too many");
        let certificate = NodeCertificate::issue(certificate, &root);
        Self { site, victim, key, certificate, bus, ear }
    }

    /// Says something that is taken up.
    pub(crate) async fn says(&self, sequence: u64, body: Message) {
        let taken = self.deliver(vec![self.sign(&self.word(sequence, body))]).await;
        assert_eq!(taken, Ok(Receipt::Through(sequence)));
    }

    /// A true word.
    fn word(&self, sequence: u64, body: Message) -> Statement<Message> {
        let (issued_at, expires_at) = (now(), now() + Span::from_secs(60));
        let (issuer, audience) = (self.site, Some(self.victim));
        Statement { issuer, audience, incarnation: 0, sequence, issued_at, expires_at, body }
    }

    fn sign(&self, statement: &Statement<Message>) -> Signed<Message> {
        Signed::sign(statement, &self.certificate, &self.key)
    }

    /// What a delivery is answered; nothing, if the connection ends instead.
    async fn deliver(&self, messages: Vec<Signed<Message>>) -> Result<Receipt, String> {
        let body = codec::encode(&Delivery { messages });
        let answer = self.ask(Channel::Outbox, body).await?;
        Ok(codec::decode(&answer, RECEIPT_BYTES_MAX).expect("it is a receipt"))
    }

    async fn ask(&self, channel: Channel, body: Vec<u8>) -> Result<Vec<u8>, String> {
        match self.bus.ask(self.victim, channel, body).await {
            Ok(answer) => Ok(answer),
            Err(ask::Error::Refused { source, .. }) => Err(source.to_string()),
            Err(ask::Error::Lost { .. }) => Err("the connection ended".to_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn advert(&self, sequence: u64, memory: u64) -> Vec<u8> {
        let (free, price) = (size(memory), Micros(1));
        let tariff = Tariff {
            currency: Currency::EUR,
            vcpu_hour: price,
            memory_gib_hour: price,
            disk_gib_hour: price,
            classes: Catalogue::NONE,
        };
        let (issued_at, expires_at) = (now(), now() + LIFETIME);
        let body = Advert { free, largest: free, tariff };
        let (issuer, audience) = (self.site, None);
        let statement =
            Statement { issuer, audience, incarnation: 0, sequence, issued_at, expires_at, body };
        codec::encode(&Signed::sign(&statement, &self.certificate, &self.key))
    }
}

const fn size(memory: u64) -> Size {
    Size { vcpus: 1, memory: Mebibytes(memory), disk: Mebibytes(1) }
}

fn decline(number: u128) -> Message {
    Message::Decline { hold: HoldId::from_uuid(uuid(number)), reason: Refusal::NotChosen }
}

/// What the operator reads of the liar.
async fn seen(world: &World, liar: &Liar) -> Value {
    let (_, peers) = world.get("/v1/peers").await;
    let id = liar.site.to_string();
    let all = peers["items"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|peer| peer["id"] == id.as_str()).unwrap_or_default()
}

pub(crate) async fn peer_with(world: &World, liar: &Liar) {
    let peer = json!({ "site": liar.site.to_string(), "name": "liar" });
    let (status, answer) = world.post("/v1/peers", &peer).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

const ENDED: &str = "the connection ended";

#[tokio::test]
async fn a_stranger_is_told_that_it_is_no_peer() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    let said = liar.deliver(vec![liar.sign(&liar.word(1, decline(1)))]).await;
    let reason = format!("site {} is not a peer of this site", liar.site);
    assert_eq!(said, Err(reason));
    world.close().await;
}

#[tokio::test]
async fn what_is_replayed_missing_or_contradicted_is_answered_so() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    let first = liar.sign(&liar.word(1, decline(1)));
    assert_eq!(liar.deliver(vec![first.clone()]).await, Ok(Receipt::Through(1)));
    assert_eq!(liar.deliver(vec![first]).await, Ok(Receipt::Through(1)), "a replay");
    let far = liar.sign(&liar.word(7, decline(7)));
    assert_eq!(liar.deliver(vec![far]).await, Ok(Receipt::Gap(1)));
    let other = liar.sign(&liar.word(1, decline(2)));
    assert_eq!(liar.deliver(vec![other]).await, Ok(Receipt::Contradicted(1)));
    let contradiction = &seen(&world, &liar).await["contradictions"][0];
    assert_eq!((&contradiction["of"], &contradiction["number"]), (&json!("messages"), &json!(1)));
    let next = liar.sign(&liar.word(2, decline(3)));
    assert_eq!(liar.deliver(vec![next]).await, Ok(Receipt::Through(2)), "the true stream goes on");
    world.close().await;
}

#[tokio::test]
async fn what_is_forged_expired_or_anothers_ends_the_connection_and_is_counted() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    let good = liar.word(1, decline(1));
    let another = SecretKey::from_bytes(&[9; 32]);
    let stranger = another.public().site();
    let hour = Span::from_secs(3_600);
    let lies = [
        ("forged", Signed::sign(&good, &liar.certificate, &another)),
        ("expired", liar.sign(&Statement { expires_at: now() - hour, ..good.clone() })),
        ("to another", liar.sign(&Statement { audience: Some(stranger), ..good.clone() })),
        ("by another", liar.sign(&Statement { issuer: stranger, ..good.clone() })),
    ];
    let count = lies.len();
    for (what, lie) in lies {
        assert_eq!(liar.deliver(vec![lie]).await, Err(ENDED.to_owned()), "{what}");
    }
    assert_eq!(seen(&world, &liar).await["counters"]["foul"], count);
    assert_eq!(liar.deliver(vec![liar.sign(&good)]).await, Ok(Receipt::Through(1)));
    world.close().await;
}

#[tokio::test]
async fn who_accepts_late_is_told_so_and_both_operators_can_read_it() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    let (hold, machine) = (HoldId::from_uuid(uuid(1)), MachineId::from_uuid(uuid(2)));
    let terms = Terms {
        home: liar.site,
        provider: liar.victim,
        machine,
        hull: HullId::from_bytes([3; 32]),
        size: size(64),
        image: ImageId::from_bytes([4; 32]),
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        price: Price { currency: Currency::EUR, hourly: Micros(0) },
        until: now() + Span::from_secs(3_600),
        notice: Span::from_secs(1),
        retention: Span::from_secs(1),
    };
    let late = Message::Accept(Acceptance { hold, terms, epoch: 1 });
    let taken = liar.deliver(vec![liar.sign(&liar.word(1, late))]).await;
    assert_eq!(taken, Ok(Receipt::Through(1)));
    let reason = Refusal::Lapsed;
    let lapsed = Message::Lapsed { hold, machine, reason };
    world
        .until("the liar is told", async |_| {
            liar.ear.heard(|told| (*told == lapsed).then_some(())).is_some()
        })
        .await;
    let refused = &seen(&world, &liar).await["refusals"][0];
    assert_eq!(refused["reason"], reason.to_string());
    assert_eq!((&refused["by_us"], &refused["count"]), (&json!(true), &json!(1)));
    world.close().await;
}

#[tokio::test]
async fn a_heartbeat_for_what_is_not_there_renews_nothing_and_noise_ends_the_connection() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    let asked = RenewSession { machines: vec![(MachineId::from_uuid(uuid(1)), 1)] };
    world
        .until("the leader grants leases", async |_| {
            let answer = liar.ask(Channel::Session, codec::encode(&asked)).await;
            match session_renewal(&answer.expect("it is answered")) {
                Ok(SessionRenewal::Renewed { machines, .. }) => {
                    assert_eq!(machines, [], "it runs no machine of this site");
                    true
                }
                Ok(SessionRenewal::Later) => false,
                Err(fault) => panic!("{fault}"),
            }
        })
        .await;
    let noise = liar.ask(Channel::Session, b"noise".to_vec()).await;
    assert_eq!(noise, Err(ENDED.to_owned()));
    world.close().await;
}

#[tokio::test]
async fn what_another_sites_machine_says_of_itself_is_not_told() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    world.until_field(&format!("/v1/services/{}", text(&taken["id"])), "stage", "RUNNING").await;
    let (_, machines) = world.get("/v1/machines").await;
    let machine = text(&machines["items"][0]["id"]).parse().expect("it is an id");
    let name = MachineName { home: world.desk().site(), machine };
    let kpi = Kpi { name: "Load".parse().expect("a name"), value: "1".parse().expect("a value") };
    assert_eq!(world.desk().kpis().keep(name, kpi, Moment::from_millis(0)), Ok(()));
    let asked = codec::encode(&Question::Kpis { machine });
    let answer = liar.ask(Channel::Machine, asked).await.expect("it is answered");
    assert_eq!(machine::answer(&answer).expect("it is an answer"), Answer::Closed);
    world.close().await;
}

#[tokio::test]
async fn forged_and_contradictory_adverts_are_not_believed_and_are_counted() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    peer_with(&world, &liar).await;
    liar.bus.publish(liar.advert(1, 64)).await.expect("it is heard");
    assert_eq!(seen(&world, &liar).await["advert"]["free"]["memory_mib"], 64);
    let mut forged = liar.advert(2, 4_096);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let contradiction = liar.advert(1, 128);
    for (rejected, lie) in (1..).zip([forged, contradiction]) {
        liar.bus.publish(lie).await.expect("it is heard");
        let peer = seen(&world, &liar).await;
        assert_eq!(peer["counters"]["adverts_rejected"], rejected);
        assert_eq!(peer["advert"]["free"]["memory_mib"], 64, "what was true stands");
    }
    assert_eq!(seen(&world, &liar).await["contradictions"][0]["of"], "adverts");
    world.close().await;
}
