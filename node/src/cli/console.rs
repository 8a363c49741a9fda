//! `reservoir machine console`: a machine's serial console in this terminal.
//!
//! A terminal is put into raw mode, so that every key goes to the guest, and is left with Ctrl-].
//! Without a terminal, standard input is sent as it is, and what the guest says is shown until a
//! moment after its end.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, StatusCode};
use futures::{SinkExt as _, StreamExt as _};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use super::client::Client;
use super::error::Error;
use super::output::Output;
use crate::api::shapes::machine::Machine;
use crate::api::shapes::problem::Problem;

/// Ctrl-]
const ESCAPE: u8 = 0x1d;

/// How long a console may take to open: the way may lead over two sites.
const OPEN_TIME: Duration = Duration::from_secs(30);

/// How long the guest's answer is awaited once standard input has ended.
const GRACE: Duration = Duration::from_secs(3);

/// What is read of standard input at once.
const CHUNK: usize = 4 << 10;

/// Chunks of standard input that wait to be sent.
const QUEUE: usize = 16;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Attaches this terminal to a console until either end is done.
pub(super) async fn attach(
    machine: &Machine,
    seconds: Option<u64>,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let socket = timeout(OPEN_TIME, open(machine, client))
        .await
        .map_err(|_| client.unreachable("the console does not open"))??;
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        writeln!(io::stderr(), "attached to {}; Ctrl-] detaches\r", machine.name)?;
    }
    let raw = is_terminal.then(Raw::enter).transpose()?;
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let done = relay(socket, typed(), is_terminal, end, output).await;
    drop(raw);
    if is_terminal {
        writeln!(io::stderr(), "\ndetached from {}", machine.name)?;
    }
    done
}

async fn open(machine: &Machine, client: &Client) -> Result<Socket, Error> {
    let unreachable = |error: io::Error| client.unreachable(error);
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| Error::Console(error);
    let url = reqwest::Url::parse(client.url()).map_err(|error| broken(Box::new(error)))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
    let name = ServerName::try_from(host).map_err(|error| broken(Box::new(error)))?;
    let tls = TlsConnector::from(std::sync::Arc::new(client.pinned().client()));
    let stream = tls.connect(name, stream).await.map_err(unreachable)?;
    let base = client.url().replacen("https://", "wss://", 1);
    let mut request = format!("{base}/v1/machines/{}/console", machine.id)
        .into_client_request()
        .map_err(|error| broken(Box::new(error)))?;
    let authorization = HeaderValue::from_str(&client.authorization())
        .expect("a secret is made of visible characters");
    request.headers_mut().insert(AUTHORIZATION, authorization);
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(refused)) => Err(of_site(client, &refused)),
        Err(error) => Err(broken(Box::new(error))),
    }
}

/// The site's own words for why there is no console.
fn of_site(client: &Client, refused: &tungstenite::http::Response<Option<Vec<u8>>>) -> Error {
    let status = StatusCode::from_u16(refused.status().as_u16()).unwrap_or_default();
    let told = refused.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
    told.map_or_else(
        || Error::Garbled { url: client.url().to_owned(), status },
        |problem: Problem| Error::Site { status, problem: Box::new(problem) },
    )
}

/// Standard input, read by a thread of its own: a read of a terminal cannot be called off, and the
/// process does not wait for this one.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        let mut buffer = [0; CHUNK];
        while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn relay(
    socket: Socket,
    mut typed: mpsc::Receiver<Vec<u8>>,
    is_terminal: bool,
    end: Option<Instant>,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let (mut to_guest, mut from_guest) = socket.split();
    let broken = |error: tungstenite::Error| Error::Console(Box::new(error));
    let mut deadline = end;
    let mut open = true;
    loop {
        // Without a deadline the branch below is switched off, and the moment does not matter.
        let at = deadline.unwrap_or_else(Instant::now);
        tokio::select! {
            message = from_guest.next() => match message {
                Some(Ok(Message::Binary(bytes))) => output.raw(&bytes)?,
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
            },
            keys = typed.recv(), if open => match keys {
                Some(keys) => {
                    let escape = keys.iter().position(|key| is_terminal && *key == ESCAPE);
                    let sent = &keys[..escape.unwrap_or(keys.len())];
                    let message = Message::Binary(sent.to_vec().into());
                    to_guest.send(message).await.map_err(broken)?;
                    if escape.is_some() {
                        break;
                    }
                }
                None => {
                    open = false;
                    deadline = deadline.or_else(|| Some(Instant::now() + GRACE));
                }
            },
            () = sleep_until(at), if deadline.is_some() => break,
        }
    }
    // The site sees the end of the connection as well as this.
    let _ = timeout(GRACE, to_guest.close()).await;
    Ok(())
}

/// A terminal in raw mode, until it is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Self, Error> {
        let failed = |error: rustix::io::Errno| Error::Terminal(error.into());
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0) {
            tracing::warn!(%error, "the terminal cannot be put back: 'reset' does it");
        }
    }
}
