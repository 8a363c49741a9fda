//! A server, the table of who is where, and a client that speaks HTTP by hand.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use metadata::{Instance, Limits, NotTaken, Server, Serving, Source};
use protocol::ids::MachineName;
use protocol::kpi::Kpi;
use rustix::net::{AddressFamily, SocketType};
use tokio::runtime::Runtime;

use crate::example::key;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many names of KPIs the table keeps for a machine.
pub(crate) const NAMES_MAX: usize = 2;

/// The machines of a network.
#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Mutex<BTreeMap<IpAddr, Arc<Instance>>>,
    kpis: Mutex<BTreeMap<MachineName, BTreeMap<String, String>>>,
    /// Whether it does not answer who is there; whether it does not take what they say.
    pub(crate) stalled: [AtomicBool; 2],
}

impl Table {
    pub(crate) fn put(&self, address: impl Into<IpAddr>, instance: Instance) {
        self.places
            .lock()
            .expect("no test panics under it")
            .insert(address.into(), Arc::new(instance));
    }

    pub(crate) fn remove(&self, address: impl Into<IpAddr>) {
        self.places.lock().expect("no test panics under it").remove(&address.into());
    }

    /// What a machine has said of itself.
    pub(crate) fn said(&self, machine: MachineName) -> Vec<(String, String)> {
        let kpis = self.kpis.lock().expect("no test panics under it");
        kpis.get(&machine).into_iter().flatten().map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

#[async_trait]
impl Source for Table {
    async fn instance(&self, address: IpAddr) -> Option<Arc<Instance>> {
        if self.stalled[0].load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.places.lock().expect("no test panics under it").get(&address).cloned()
    }

    async fn push(&self, instance: &Instance, kpi: Kpi) -> Result<(), NotTaken> {
        if self.stalled[1].load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let mut kpis = self.kpis.lock().expect("no test panics under it");
        let mine = kpis.entry(instance.machine).or_default();
        if mine.len() == NAMES_MAX && !mine.contains_key(kpi.name.as_str()) {
            return Err(NotTaken::Names { max: NAMES_MAX });
        }
        mine.insert(kpi.name.to_string(), kpi.value.to_string());
        Ok(())
    }
}

/// A server of one network.
pub(crate) struct Scene {
    pub(crate) table: Arc<Table>,
    pub(crate) address: SocketAddr,
    _serving: Vec<Serving>,
    _runtime: Runtime,
}

impl Scene {
    /// Serves on loopback.
    pub(crate) fn new(limits: Limits) -> Result<Self> {
        Self::on([TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?], limits)
    }

    /// Serves on these, the first of which is the one that [`ask`](Self::ask) goes to.
    pub(crate) fn on<const N: usize>(listeners: [TcpListener; N], limits: Limits) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = listeners[0].local_addr()?;
        let (server, table) = (Server::new(key(), limits), Arc::new(Table::default()));
        let serving = {
            let _entered = runtime.enter();
            let source: Arc<dyn Source> = Arc::<Table>::clone(&table);
            let serve = |listener| server.serve(listener, Arc::clone(&source));
            listeners.into_iter().map(serve).collect::<std::io::Result<_>>()?
        };
        Ok(Self { table, address, _serving: serving, _runtime: runtime })
    }

    /// A connection from the last of the addresses 127.0.0.x.
    pub(crate) fn connect(&self, from: u8) -> Result<Client> {
        self.connect_from(guest(from))
    }

    pub(crate) fn connect_from(&self, from: IpAddr) -> Result<Client> {
        let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
        rustix::net::connect(&socket, &self.address)?;
        Client::new(socket.into())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, from: u8, request: &str) -> Result<Response> {
        self.connect(from)?.ask(request)?.context("hung up without an answer")
    }
}

/// A guest's address.
pub(crate) fn guest(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
}

/// A request for a token.
pub(crate) fn put_token(seconds: u32) -> String {
    format!(
        "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nContent-Length: 0\r\n\
         X-aws-ec2-metadata-token-ttl-seconds: {seconds}\r\n\r\n"
    )
}

/// A request that shows a token.
pub(crate) fn get_with(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n"
    )
}

/// A push of a KPI.
pub(crate) fn put_kpi(name: &str, value: &str) -> String {
    let length = value.len();
    format!(
        "PUT /latest/kpi/{name} HTTP/1.1\r\nHost: 169.254.169.254\r\n\
         Content-Length: {length}\r\n\r\n{value}"
    )
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The headers, their names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to the service.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }

    /// Sends a request, and reads what comes back; nothing if it is hung up.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Option<Response>> {
        // It may have been hung up already; then nothing comes back either.
        let _ = self.send(request.as_bytes());
        self.read(request.starts_with("HEAD"))
    }

    /// Waits until it is hung up, and answers what came before that.
    pub(crate) fn end(mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if !is_end(&error) => bail!("not hung up: {error}"),
            Ok(_) | Err(_) => Ok(rest),
        }
    }

    /// The first byte that has come already, if any has.
    pub(crate) fn waiting(&mut self) -> Result<Option<u8>> {
        self.0.get_ref().set_nonblocking(true)?;
        match self.0.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            come => Ok(come?.first().copied()),
        }
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line.trim_end().to_owned())),
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn read(&mut self, is_head: bool) -> Result<Option<Response>> {
        let Some(status) = self.line()? else { return Ok(None) };
        let status = status.split(' ').nth(1).context("no status")?.parse()?;
        let mut headers = BTreeMap::new();
        while let Some(line) = self.line()?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").context("not a header")?;
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |text| text.parse())?;
        let mut body = vec![0; if is_head { 0 } else { length }];
        self.0.read_exact(&mut body)?;
        Ok(Some(Response { status, headers, body }))
    }
}

/// Whether the other side has hung up.
fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

/// Calls `look` until it answers, or the deadline has passed.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("waited in vain for {what}")
}
