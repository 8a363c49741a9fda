//! Claims about the remote protocol, against a libvirtd that says whatever a claim needs.

use proptest::prelude::*;
use tokio::net::UnixListener;

use super::message::{HEADER, MESSAGE_MAX, call, header, refusal};
use super::*;

const SHORT: Duration = Duration::from_millis(50);

fn guest() -> Domain {
    Domain { name: "guest".to_owned(), uuid: Uuid::from_bytes([7; 16]), id: 3 }
}

fn reply(serial: u32, status: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap();
    let header = Writer::default().unsigned(length).unsigned(0x2000_8086).unsigned(1);
    let header = header.signed(0).signed(1).unsigned(serial).unsigned(status).finish();
    [header, body.to_vec()].concat()
}

/// A client whose two first calls were answered, and what it speaks to from then on.
async fn open() -> (Client, UnixStream) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for serial in 1..=2 {
            asked(&mut stream).await;
            stream.write_all(&reply(serial, 0, &[])).await.unwrap();
        }
        stream
    };
    let (client, server) = tokio::join!(Client::open(&path), server);
    (client.unwrap(), server)
}

/// The body of what is asked for next.
async fn asked(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = [0; HEADER];
    stream.read_exact(&mut bytes).await.unwrap();
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    let mut body = vec![0; usize::try_from(length).unwrap() - HEADER];
    stream.read_exact(&mut body).await.unwrap();
    body
}

#[test]
fn a_call_is_written_as_libvirt_reads_it() {
    let body = write_domain(&guest())
        .parameters(&[Parameter::memory(Path::new("/m")), Parameter::connections(4)])
        .unsigned(Flags::LIVE.and(Flags::OVERLAYS).0)
        .finish();
    let written = call(Procedure::Begin, 5, &body);
    let words: Vec<String> =
        written.chunks(4).map(|it| it.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    expect_test::expect![[r#"
        00000088 20008086 00000001 0000012e 00000000 00000005 00000000
        00000005 67756573 74000000
        07070707 07070707 07070707 07070707 00000003 00000002
        0000000b 6d696772 6174655f 75726900 00000007 00000009 756e6978 3a2f2f2f
        6d000000 00000014 70617261 6c6c656c 2e636f6e 6e656374 696f6e73 00000001 00000004 00000081
    "#]]
    .assert_eq(&format!(
        "{}\n{}\n{}\n{}\n{}\n",
        words[..7].join(" "),
        words[7..10].join(" "),
        words[10..16].join(" "),
        words[16..24].join(" "),
        words[24..].join(" ")
    ));
}

#[tokio::test]
async fn what_nobody_asked_for_is_passed_over() {
    let (mut client, mut server) = open().await;
    let serve = async {
        asked(&mut server).await;
        let mut event = reply(0, 0, b"news");
        event[19] = 2;
        server.write_all(&event).await.unwrap();
        server.write_all(&reply(2, 0, b"late")).await.unwrap();
        server.write_all(&reply(3, 0, &write_domain(&guest()).finish())).await.unwrap();
    };
    let (found, ()) = tokio::join!(client.lookup(guest().uuid), serve);
    assert_eq!(found.unwrap(), guest());
}

#[tokio::test]
async fn a_refusal_is_told_in_libvirts_words_and_leaves_the_connection_whole() {
    let (mut client, mut server) = open().await;
    let words = Writer::default().signed(42).signed(10).optional_text(Some("no such domain"));
    let refused = words.unsigned(0).unsigned(0).finish();
    let serve = async {
        asked(&mut server).await;
        server.write_all(&reply(3, 1, &refused)).await.unwrap();
        asked(&mut server).await;
        server.write_all(&reply(4, 0, &write_domain(&guest()).finish())).await.unwrap();
    };
    let ask = async {
        let fault = client.lookup(guest().uuid).await.unwrap_err();
        let told = "libvirt did not do 'look up' (error 42): no such domain";
        assert_eq!(fault.to_string(), told);
        client.lookup(guest().uuid).await.unwrap()
    };
    assert_eq!(tokio::join!(ask, serve).0, guest());
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_not_taken_for_another() {
    let (mut client, mut server) = open().await;
    let late = client.perform(&guest(), &[], &[], Flags::LIVE, SHORT).await.unwrap_err();
    assert!(matches!(late, Error::Late { procedure: Procedure::Perform, .. }), "{late}");
    server.write_all(&reply(3, 0, &Writer::default().opaque(b"late").finish())).await.unwrap();
    let spent = client.lookup(guest().uuid).await.unwrap_err();
    assert!(matches!(spent, Error::Spent), "{spent}");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_open_whether_it_was_done() {
    let (mut client, mut server) = open().await;
    let serve = async {
        asked(&mut server).await;
        drop(server);
    };
    let guest = guest();
    let (lost, ()) = tokio::join!(client.confirm(&guest, &[], Flags::LIVE, false), serve);
    assert!(matches!(lost, Err(Error::Lost { procedure: Procedure::Confirm, .. })), "{lost:?}");
    let spent = client.lookup(guest.uuid).await.unwrap_err();
    assert!(matches!(spent, Error::Spent), "{spent}");
}

#[tokio::test]
async fn what_is_longer_than_anything_of_ours_is_not_read() {
    let (mut client, mut server) = open().await;
    let huge = Writer::default().unsigned(MESSAGE_MAX + 1).fixed([0; 24]).finish();
    let serve = async {
        asked(&mut server).await;
        server.write_all(&huge).await.unwrap();
    };
    let (refused, ()) = tokio::join!(client.lookup(guest().uuid), serve);
    let source = Malformed::TooLong { length: MESSAGE_MAX + 1, most: MESSAGE_MAX };
    assert!(matches!(refused, Err(Error::Malformed { source: it, .. }) if it == source));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        number in any::<u32>(),
        signed in any::<i32>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        text in prop::option::of(".{0,20}"),
    ) {
        let written = Writer::default().unsigned(number).signed(signed).opaque(&bytes);
        let written = written.optional_text(text.as_deref()).finish();
        prop_assert_eq!(written.len() % 4, 0);
        let mut reader = Reader::new(&written);
        prop_assert_eq!(reader.unsigned(), Ok(number));
        prop_assert_eq!(reader.signed(), Ok(signed));
        prop_assert_eq!(reader.opaque(40), Ok(&bytes[..]));
        prop_assert_eq!(reader.optional_text(80), Ok(text));
        prop_assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = refusal(&bytes);
        let mut reader = Reader::new(&bytes);
        let _ = domain(&mut reader);
        let _ = reader.optional_text(64);
        let _ = reader.end();
        if let Some(start) = bytes.first_chunk::<HEADER>() {
            let _ = header(*start);
        }
    }
}
