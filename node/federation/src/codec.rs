//! Frames: a length of four bytes, most significant first, then that many bytes.
//!
//! The length is checked before anything is read or allocated. A frame that is too long is not an
//! error of the stream but a value, since the swarm's own errors do not say which connection to
//! close.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response;

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
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let announced = u32::from_be_bytes(length);
    let Some(length) = usize::try_from(announced).ok().filter(|length| *length <= limit) else {
        return Ok(Frame::Oversize);
    };
    // The buffer grows with what arrives: an announced length alone costs nothing.
    let mut body = Vec::new();
    stream.take(u64::from(announced)).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Frame::Whole(body))
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

/// Frames as libp2p's requests and answers.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    /// The most bytes of a frame.
    pub(crate) limit: usize,
}

impl Frames {
    async fn send<S>(stream: &mut S, frame: Frame) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        match frame {
            Frame::Whole(body) => write(stream, &body).await,
            Frame::Oversize => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl request_response::Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Frame;
    type Response = Frame;

    async fn read_request<S>(&mut self, _: &StreamProtocol, stream: &mut S) -> io::Result<Frame>
    where
        S: AsyncRead + Unpin + Send,
    {
        read(stream, self.limit).await
    }

    async fn read_response<S>(&mut self, _: &StreamProtocol, stream: &mut S) -> io::Result<Frame>
    where
        S: AsyncRead + Unpin + Send,
    {
        read(stream, self.limit).await
    }

    async fn write_request<S>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut S,
        frame: Frame,
    ) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        Self::send(stream, frame).await
    }

    async fn write_response<S>(
        &mut self,
        _: &StreamProtocol,
        stream: &mut S,
        frame: Frame,
    ) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + Send,
    {
        Self::send(stream, frame).await
    }
}
