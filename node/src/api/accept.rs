//! Connections: how many there are at once, and how long one may stay silent before it speaks.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// Connections at once. Each costs a socket and some ten kilobytes; a site has hundreds of people
/// and programs, not thousands. One more is closed at once, which a client sees as such.
const CONNECTIONS_MAX: usize = 1_024;

/// How long the TLS handshake may take: three round trips on a slow link.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long a client may stay silent before the first byte of its first request. Afterwards the
/// time for a request's head counts.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(20);

/// Takes connections in, as far as there is room for them.
#[derive(Clone, Debug)]
pub(super) struct Door {
    room: Arc<Semaphore>,
    tls: RustlsAcceptor,
}

impl Door {
    pub(super) fn new(config: ServerConfig) -> Self {
        let config = RustlsConfig::from_config(Arc::new(config));
        Self {
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tls: RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE_TIME),
        }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Door {
    type Stream = Admitted;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Admitted, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let tls = self.tls.clone();
        Box::pin(async move {
            let permit = permit.map_err(|_| {
                tracing::warn!(limit = CONNECTIONS_MAX, "a connection is closed: too many");
                io::Error::other("too many connections")
            })?;
            stream.set_nodelay(true)?;
            let (stream, service) = tls.accept(stream, service).await?;
            let silence = Some(Box::pin(sleep(FIRST_BYTE_TIME)));
            Ok((Admitted { stream, silence, _permit: permit }, service))
        })
    }
}

/// A connection that has been taken in, and counts until it ends.
#[derive(Debug)]
pub(super) struct Admitted {
    stream: TlsStream<TcpStream>,
    /// Ends the connection, unless it says something first.
    silence: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.silence = None;
        } else if let Some(silence) = &mut self.silence
            && silence.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
