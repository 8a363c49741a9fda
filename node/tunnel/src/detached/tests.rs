//! Claims about what a node and its tunnel's process say to each other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use proptest::prelude::*;

use super::identity::Identity;
use super::words::{self, Answer, FRAME_MAX, Question, Said};
use crate::check::check;
use crate::{
    ADDRESSES_MAX, Change, Drops, Offloads, PEERS_MAX, Peer, PeerDrops, PeerState, PrivateKey,
    Provider, State, Traffic, Wanted,
};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// The most that can be wanted.
fn most() -> Wanted {
    let each = ADDRESSES_MAX / PEERS_MAX;
    let address = |number: usize| {
        IpAddr::V6(Ipv6Addr::from_bits((0xfd << 120) + u128::try_from(number).unwrap()))
    };
    let peer = |number: usize| {
        let mut key = [0xee; 32];
        // The first and the last byte are not the key's own (RFC 7748, section 5).
        key[8..16].copy_from_slice(&number.to_le_bytes());
        Peer {
            public_key: PrivateKey::from_bytes(key).public(),
            endpoint: Some(SocketAddr::new(address(number), u16::MAX)),
            addresses: (0..each).map(|n| address(number * each + n + 1)).collect(),
            keepalive: NonZeroU16::new(u16::MAX),
        }
    };
    Wanted {
        name: "fifteen-letters".parse().unwrap(),
        private_key: PrivateKey::from_bytes([0xab; 32]),
        listen_port: u16::MAX,
        address: address(0),
        prefix: 128,
        mtu: 1420,
        peers: (0..PEERS_MAX).map(peer).collect(),
    }
}

fn state_of(wanted: &Wanted) -> State {
    let traffic = Traffic { packets: Some(u64::MAX), bytes: u64::MAX };
    let count = u64::MAX;
    let drops =
        PeerDrops { wrong_source: count, replayed: count, unauthentic: 1, malformed: 2, unsent: 3 };
    let peer = |peer: &Peer| PeerState {
        public_key: peer.public_key,
        endpoint: peer.endpoint,
        last_handshake: Some(Duration::MAX),
        received: traffic,
        sent: traffic,
        drops: Some(drops),
    };
    State {
        provider: Provider::Embedded(Offloads::Tunnels),
        public_key: wanted.private_key.public(),
        listen_port: wanted.listen_port,
        peers: wanted.peers.iter().map(peer).collect(),
        drops: Some(Drops::default()),
    }
}

#[test]
fn what_is_asked_and_answered_arrives_as_it_was_said() {
    let wanted = most();
    assert_eq!(check(&wanted), Ok(()), "it can be wanted");
    let answers = [
        Answer::Converged(Change::Made),
        Answer::State(Some(state_of(&wanted))),
        Answer::State(None),
        Answer::Refused("the kernel does not like it".to_owned()),
    ];
    for (question, answer) in
        [Question::Converge(wanted), Question::State].into_iter().cycle().zip(answers)
    {
        block_on(async {
            let (mut node, mut process) = tokio::io::duplex(2 * FRAME_MAX);
            let answered = async {
                let said = words::hear(&mut process).await.unwrap();
                assert!(matches!(said, Said::Question(asked) if asked == question));
                words::answer(&mut process, &answer).await.unwrap();
            };
            let (heard, ()) = tokio::join!(words::ask(&mut node, &question), answered);
            assert_eq!(heard.unwrap(), answer);
        });
    }
}

#[test]
fn a_greeting_and_a_dismissal_have_the_bytes_that_every_build_knows() {
    block_on(async {
        let mut greeting = Vec::new();
        words::greet(&mut greeting, Identity([7; 32])).await.unwrap();
        assert_eq!(greeting, [b"rsvtunnl".as_slice(), &[7; 32]].concat());
        assert_eq!(words::greeted(&mut greeting.as_slice()).await.unwrap(), Identity([7; 32]));
        let mut dismissal = Vec::new();
        words::dismiss(&mut dismissal).await.unwrap();
        assert_eq!(dismissal, [0; 4]);
        assert!(matches!(words::hear(&mut dismissal.as_slice()).await, Ok(Said::Leave)));
    });
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
    let length = u32::try_from(FRAME_MAX + 1).unwrap().to_le_bytes();
    let refused = block_on(words::hear(&mut length.as_slice()));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

proptest! {
    #[test]
    fn any_bytes_are_a_word_or_are_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        is_framed in any::<bool>(),
    ) {
        let mut said = Vec::new();
        if is_framed {
            said.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        }
        said.extend(bytes);
        block_on(async {
            drop(words::hear(&mut said.as_slice()).await);
            drop(words::greeted(&mut said.as_slice()).await);
            let mut stream = tokio::io::join(said.as_slice(), tokio::io::sink());
            drop(words::ask(&mut stream, &Question::State).await);
        });
    }
}
