//! Stream: bytes both ways between two nodes, for a machine's console.
//!
//! A stream opens with a header of bounded length that says what is wanted. Nothing is answered
//! to it here: whether the console exists is said in the stream, in the words of its two ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use crate::ask::Addressee;

/// The protocol of console streams.
pub const PROTOCOL: &str = "/reservoir/console/1";

/// The most bytes of a header: a machine's name, its epoch, and some room.
pub const HEADER_LIMIT: usize = 1 << 10;

/// What is read from and written to.
pub trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// A stream of bytes both ways; dropping it ends it.
pub type Duplex = Box<dyn ReadWrite>;

/// Why a stream did not open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to it is up.
    #[error("{whom} is not connected at the moment")]
    Unreachable {
        /// Whom the stream was for.
        whom: Addressee,
    },
    /// The header is longer than allowed.
    #[error("a stream header of {length} bytes is longer than the {HEADER_LIMIT} allowed")]
    TooLong {
        /// Bytes of the header.
        length: usize,
    },
    /// The other end did not take the stream.
    #[error("{whom} did not take the stream")]
    NotTaken {
        /// Whom the stream was for.
        whom: Addressee,
        /// What became of it.
        #[source]
        source: std::io::Error,
    },
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
}

/// A stream of libp2p's with tokio's traits, which counts against its peer until it is dropped.
///
/// libp2p speaks the traits of `futures`, the rest of the node tokio's.
pub(crate) struct Counted<S> {
    inner: S,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Counted<S> {
    pub(crate) const fn new(inner: S, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { inner, _permit: permit }
    }
}

impl<S: futures::AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer.initialize_unfilled());
        buffer.advance(ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

impl<S: futures::AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
