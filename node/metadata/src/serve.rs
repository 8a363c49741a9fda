//! The loop around the decision: connections, their limits and their ends.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT_RANGES, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::kpi::Kpi;
use protocol::time::Timestamp;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::answer::{self, Answer, Ask, Decision, decide};
use crate::guests::{Guests, Visit};
use crate::instance::{HopLimit, Instance};
use crate::limits::{BODY_MAX, BUFFER_MAX, HEADERS_MAX, Limits};
use crate::token::Key;
use crate::{NotTaken, Source};

/// How long the loop rests when the kernel has no connection to give although there is one, as
/// when the process has too many files open.
const REST: Duration = Duration::from_millis(100);

/// What all networks of a host are served with: the key of the tokens, and the limits of each
/// machine, which count over all of its networks.
#[derive(Clone, Debug)]
pub struct Server {
    key: Key,
    limits: Limits,
    guests: Guests,
}

impl Server {
    /// A server that serves nothing yet.
    #[must_use]
    pub fn new(key: Key, limits: Limits) -> Self {
        Self { key, limits, guests: Guests::new(limits) }
    }

    /// Serves one network, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// If the listener cannot be used.
    pub fn serve(&self, listener: TcpListener, source: Arc<dyn Source>) -> io::Result<Serving> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let task = tokio::spawn(accept(self.clone(), listener, source));
        Ok(Serving(task.abort_handle()))
    }
}

/// A network, while it is served. Dropping it hangs up on everybody and closes the listener. A
/// network namespace goes only when nobody listens in it any more.
#[derive(Debug)]
#[must_use = "a network is served only as long as this is kept"]
pub struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes in connections, as far as there is room for them. They end with this.
async fn accept(server: Server, listener: tokio::net::TcpListener, source: Arc<dyn Source>) {
    let room = Arc::new(Semaphore::new(server.limits.connections));
    let mut connections = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (server, source) = (server.clone(), Arc::clone(&source));
                connections.spawn(connection(server, source, stream, peer, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken in");
                tokio::time::sleep(REST).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One connection and whose it is.
struct Connection {
    server: Server,
    source: Arc<dyn Source>,
    address: IpAddr,
    visit: Visit,
    /// The socket that the answers go out by.
    socket: OwnedFd,
    /// How many hops they travel.
    hops: AtomicU8,
}

/// The machine at an address. A site that does not say in time knows nobody.
async fn known(server: &Server, source: &dyn Source, address: IpAddr) -> Option<Arc<Instance>> {
    timeout(server.limits.source_time, source.instance(address)).await.ok().flatten()
}

async fn connection(
    server: Server,
    source: Arc<dyn Source>,
    stream: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
) {
    let address = peer.ip();
    let Some(instance) = known(&server, source.as_ref(), address).await else {
        tracing::debug!(%address, "nobody is known at this address");
        return;
    };
    let Some(visit) = server.guests.enter(instance.machine, Instant::now()) else {
        tracing::debug!(machine = %instance.machine, "has too many connections");
        return;
    };
    let limits = server.limits;
    let Ok(socket) = prepare(&stream, limits.close_time) else { return };
    let hops = AtomicU8::new(u8::MAX);
    let connection = &Connection { server, source, address, visit, socket, hops };
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_MAX)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| connection.respond(request)),
            )
    );
    let ended = if let Ok(ended) = timeout(limits.connection_time, serving.as_mut()).await {
        ended
    } else {
        serving.as_mut().graceful_shutdown();
        timeout(limits.close_time, serving).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        let machine = connection.visit.machine();
        tracing::debug!(%machine, %error, "a connection ended badly");
    }
}

/// Sets a socket up, and answers another handle of it, through which its hop limit is set.
fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<OwnedFd> {
    stream.set_nodelay(true)?;
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, millis)?;
    stream.as_fd().try_clone_to_owned()
}

/// The connection does not go on: the address is somebody else's now, or nobody's.
#[derive(Debug, thiserror::Error)]
#[error("the machine has left its address")]
struct Left;

impl Connection {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Left> {
        if !self.visit.request(Instant::now()) {
            return Ok(closing(Answer::error(StatusCode::SERVICE_UNAVAILABLE)));
        }
        let instance = known(&self.server, self.source.as_ref(), self.address).await;
        let instance = instance.filter(|instance| instance.machine == self.visit.machine());
        let instance = instance.ok_or(Left)?;
        let (head, body) = request.into_parts();
        let body = match self.read(body).await {
            Ok(body) => body,
            Err(status) => return Ok(closing(Answer::error(status))),
        };
        let (method, path, headers) = (&head.method, head.uri.path(), &head.headers);
        let ask = Ask { method, path, headers, body: &body };
        let answer = match decide(&instance, &self.server.key, &ask, now()) {
            Decision::Answer(answer) => answer,
            Decision::Push(kpi) => self.push(&instance, kpi).await,
        };
        if let Some(hops) = answer.hops
            && let Err(error) = self.lower(hops)
        {
            tracing::warn!(%error, "a token is not given, since its hop limit cannot be set");
            return Ok(closing(Answer::error(StatusCode::INTERNAL_SERVER_ERROR)));
        }
        Ok(render(answer))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, StatusCode> {
        // One that says how long it is need not be waited for.
        if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length <= BODY_MAX) {
            self.collect(body).await
        } else {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        }
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, StatusCode> {
        let whole = Limited::new(body, BODY_MAX).collect();
        let Ok(read) = timeout(self.server.limits.body_time, whole).await else {
            return Err(StatusCode::REQUEST_TIMEOUT);
        };
        match read {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }

    async fn push(&self, instance: &Instance, kpi: Kpi) -> Answer {
        if !self.visit.push(Instant::now()) {
            return Answer::error(StatusCode::TOO_MANY_REQUESTS);
        }
        let taken = timeout(self.server.limits.source_time, self.source.push(instance, kpi));
        match taken.await.unwrap_or(Err(NotTaken::Unavailable)) {
            Ok(()) => Answer::text(StatusCode::NO_CONTENT, ""),
            Err(error @ NotTaken::Names { .. }) => {
                Answer::text(StatusCode::CONFLICT, format!("{error}\n"))
            }
            Err(error @ NotTaken::Unavailable) => {
                Answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
            }
        }
    }

    /// Lets what is sent from now on travel no further than `hops`. It is never raised again: what
    /// was sent under the lower limit may have to be sent again, and would then travel on.
    fn lower(&self, hops: HopLimit) -> rustix::io::Result<()> {
        let hops = hops.get();
        // A connection has one request at a time, so nobody else changes it in between.
        if self.hops.load(Ordering::Relaxed) <= hops {
            return Ok(());
        }
        match self.address {
            IpAddr::V4(_) => sockopt::set_ip_ttl(&self.socket, hops.into())?,
            IpAddr::V6(_) => sockopt::set_ipv6_unicast_hops(&self.socket, Some(hops))?,
        }
        self.hops.store(hops, Ordering::Relaxed);
        Ok(())
    }
}

/// The wall clock: tokens outlive restarts, and are known on other nodes.
fn now() -> Timestamp {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
}

fn render(answer: Answer) -> Response<Full<Bytes>> {
    let Answer { status, content, body, token_ttl, allow, hops: _ } = answer;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.media_type()));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    }
    if let Some(seconds) = token_ttl {
        headers.insert(answer::TTL, seconds.into());
    }
    if let Some(allow) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An answer after which the connection ends: what is still to be read of the request is not.
fn closing(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = render(answer);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
