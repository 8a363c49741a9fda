//! Console streams: opening ours, and taking in the peers'.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::OpenStreamError;
use tokio::sync::Semaphore;

use super::task::Task;
use super::work::{Outcome, Owed};
use super::{Command, Federation};
use crate::ask::Addressee;
use crate::codec::{self, Frame};
use crate::stream::{Counted, Duplex, Error, HEADER_LIMIT, PROTOCOL};

/// How long a stream may take to open, header and all.
const OPEN_TIME: Duration = Duration::from_secs(10);

pub(super) async fn open(
    federation: &Federation,
    whom: Addressee,
    header: Vec<u8>,
) -> Result<Duplex, Error> {
    if header.len() > HEADER_LIMIT {
        return Err(Error::TooLong { length: header.len() });
    }
    let peer = federation
        .command(|reply| Command::Route { whom, reply })
        .await
        .ok_or(Error::Closed)?
        .ok_or(Error::Unreachable { whom })?;
    let mut control = federation.streams.clone();
    let opening = async {
        let protocol = StreamProtocol::new(PROTOCOL);
        let mut stream = control.open_stream(peer, protocol).await.map_err(not_taken)?;
        codec::write(&mut stream, &header).await?;
        Ok(stream)
    };
    match tokio::time::timeout(OPEN_TIME, opening).await {
        Ok(Ok(stream)) => Ok(Box::new(Counted::new(stream, None))),
        Ok(Err(source)) => Err(Error::NotTaken { whom, source }),
        Err(_) => Err(Error::NotTaken { whom, source: io::ErrorKind::TimedOut.into() }),
    }
}

fn not_taken(error: OpenStreamError) -> io::Error {
    match error {
        OpenStreamError::Io(source) => source,
        other => io::Error::other(other),
    }
}

impl Task {
    /// A peer has opened a console stream.
    pub(super) fn on_stream(&mut self, peer: PeerId, mut stream: libp2p::Stream) {
        // The gate lets no one else's through; the line may be gone by now.
        let Some(caller) = self.lines.caller_of(peer) else { return };
        let site = caller.site;
        let bound = self.limits.streams_in;
        let room = self.streams.entry(site).or_insert_with(|| Arc::new(Semaphore::new(bound)));
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
            tracing::warn!(%site, bound, "a console stream is refused: the peer holds too many");
            self.book.of(site).busy += 1;
            return;
        };
        self.book.of(site).streams_in += 1;
        let handler = Arc::clone(&self.handler);
        let serving = async move {
            let header = codec::read(&mut stream, HEADER_LIMIT);
            match tokio::time::timeout(OPEN_TIME, header).await {
                Ok(Ok(Frame::Whole(header))) => {
                    let stream = Box::new(Counted::new(stream, Some(permit)));
                    handler.console(caller, header, stream).await;
                    Outcome::Served
                }
                Ok(Ok(Frame::Oversize)) => Outcome::Oversize,
                Ok(Err(_)) | Err(_) => Outcome::Malformed,
            }
        };
        self.serve(Owed::Console { site, peer }, serving);
    }
}
