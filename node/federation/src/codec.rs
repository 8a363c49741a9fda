//! Frames: a length of four bytes, most significant first, then that many bytes.
//!
//! The length is checked before anything is read or allocated. A frame that is too long is not an
//! error of the stream but a value, since the swarm's own errors do not say which connection to
//! close.
//!
//! Requests and answers take up room while they are read and worked on, and a connection has so
//! much of it on each channel: however many requests the other end begins at once, what does not
//! fit waits unread, at its own end.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a frame turned out to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// All of it.
    Whole(Vec<u8>),
    /// Longer than the limit; nothing of it was read.
    Oversize,
}

/// Reads one frame.
///
/// # Errors
///
/// If the stream ends or breaks before the frame does.
pub(crate) async fn read<S>(stream: &mut S, limit: usize) -> io::Result<Frame>
where
    S: AsyncRead + Unpin + Send + ?Sized,
{
    let announced = announced(stream).await?;
    if !fits(announced, limit) {
        return Ok(Frame::Oversize);
    }
    body(stream, announced).await.map(Frame::Whole)
}

async fn announced<S>(stream: &mut S) -> io::Result<u32>
where
    S: AsyncRead + Unpin + Send + ?Sized,
{
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    Ok(u32::from_be_bytes(length))
}

fn fits(announced: u32, limit: usize) -> bool {
    usize::try_from(announced).is_ok_and(|length| length <= limit)
}

/// The buffer grows with what arrives: an announced length alone costs nothing.
async fn body<S>(stream: &mut S, announced: u32) -> io::Result<Vec<u8>>
where
    S: AsyncRead + Unpin + Send + ?Sized,
{
    let mut body = Vec::new();
    let count = stream.take(u64::from(announced)).read_to_end(&mut body).await?;
    if count as u64 == u64::from(announced) {
        Ok(body)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Writes one frame and flushes it.
///
/// # Errors
///
/// If the stream breaks, or the body is longer than four bytes can say.
pub(crate) async fn write<S>(stream: &mut S, body: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin + Send + ?Sized,
{
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Carried {
    /// What it says.
    pub(crate) frame: Frame,
    /// What it takes of its connection's room, given back when this is dropped; none if it is our
    /// own.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

impl From<Vec<u8>> for Carried {
    fn from(body: Vec<u8>) -> Self {
        Self { frame: Frame::Whole(body), room: None }
    }
}

/// Frames as libp2p's requests and answers.
#[derive(Debug)]
pub(crate) struct Frames {
    /// The most bytes of a frame.
    limit: usize,
    /// The room of each connection, in bytes.
    room: usize,
    /// What is left of the connection's; none in the codec that those of connections are made from.
    left: Option<Arc<Semaphore>>,
}

impl Frames {
    /// Frames of so many bytes at the most, and so many bytes of frames at once on a connection.
    pub(crate) const fn new(limit: usize, room: usize) -> Self {
        assert!(limit <= room, "a frame that never fits would wait for ever");
        Self { limit, room, left: None }
    }

    async fn receive<S>(&self, stream: &mut S) -> io::Result<Carried>
    where
        S: AsyncRead + Unpin + Send,
    {
        let announced = announced(stream).await?;
        if !fits(announced, self.limit) {
            return Ok(Carried { frame: Frame::Oversize, room: None });
        }
        let room = match &self.left {
            Some(left) => {
                let taken = Arc::clone(left).acquire_many_owned(announced).await;
                Some(taken.map_err(io::Error::other)?)
            }
            None => None,
        };
        let frame = Frame::Whole(body(stream, announced).await?);
        Ok(Carried { frame, room })
    }

    async fn send<S>(stream: &mut S, carried: Carried) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        match carried.frame {
            Frame::Whole(body) => write(stream, &body).await,
            Frame::Oversize => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// libp2p clones a channel's codec for each connection, and that one for each of its streams: the
/// first of these makes the room that the others share.
impl Clone for Frames {
    fn clone(&self) -> Self {
        let left = self.left.clone().unwrap_or_else(|| Arc::new(Semaphore::new(self.room)));
        Self { limit: self.limit, room: self.room, left: Some(left) }
    }
}

impl request_response::Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Carried;
    type Response = Carried;

    async fn read_request<S>(&mut self, _: &StreamProtocol, stream: &mut S) -> io::Result<Carried>
    where
        S: AsyncRead + Unpin + Send,
    {
        self.receive(stream).await
    }

    async fn read_response<S>(&mut self, _: &StreamProtocol, stream: &mut S) -> io::Result<Carried>
    where
        S: AsyncRead + Unpin + Send,
    {
        self.receive(stream).await
    }

    async fn write_request<S>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut S,
        carried: Carried,
    ) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        Self::send(stream, carried).await
    }

    async fn write_response<S>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut S,
        carried: Carried,
    ) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        Self::send(stream, carried).await
    }
}
