//! `/v1/machines/{id}/console`: a machine's serial console as a WebSocket of binary frames.
//!
//! The console is attached before the connection becomes a WebSocket, so that a machine without
//! one is an error like any other.

use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use federation::stream::Duplex;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use protocol::ids::{MachineId, MachineName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{interval, timeout};

use super::error::{Code, Error};
use super::gate::{Caller, Server, Turn};
use super::{input, machines};

/// The most bytes of a frame either way: what somebody pastes.
const FRAME_MAX: usize = 64 << 10;

/// What is read from the console at once: some screens.
const CHUNK: usize = 8 << 10;

/// How often a client is asked whether it is still there; a console may be silent for days.
const PING: Duration = Duration::from_secs(30);

/// How long a client may take to take a frame. One that does not keeps a console that somebody
/// else may want.
const SEND_TIME: Duration = Duration::from_secs(30);

/// `AttachConsole`
pub(super) async fn attach(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Extension(turn): Extension<Turn>,
    Path(id): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let machine: MachineId = input::id(&id)?;
    let upgrade =
        upgrade.map_err(|rejection| Error::new(Code::UpgradeRequired, rejection.to_string()))?;
    let desk = &server.desk;
    desk.current().await?;
    desk.read(|site| machines::own(site, machine, caller.tenant).map(drop))?;
    let console = desk.console(MachineName { home: desk.site(), machine }).await?;
    let upgrade = upgrade.max_message_size(FRAME_MAX).max_frame_size(FRAME_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        tracing::info!(%machine, key = %caller.key, "a console is attached");
        relay(socket, console).await;
        tracing::info!(%machine, key = %caller.key, "a console is detached");
        drop(turn);
    }))
}

/// Carries bytes both ways until either end is done.
async fn relay(socket: WebSocket, console: Duplex) {
    let (to_client, from_client) = socket.split();
    let (from_guest, to_guest) = tokio::io::split(console);
    tokio::select! {
        () = show(from_guest, to_client) => {}
        () = type_in(from_client, to_guest) => {}
    }
}

async fn show(mut guest: ReadHalf<Duplex>, mut client: SplitSink<WebSocket, Message>) {
    let mut ping = interval(PING);
    let mut buffer = vec![0; CHUNK];
    loop {
        let message = tokio::select! {
            read = guest.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(length) => Message::Binary(buffer[..length].to_vec().into()),
            },
            _ = ping.tick() => Message::Ping(axum::body::Bytes::new()),
        };
        if !matches!(timeout(SEND_TIME, client.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
    // The console has ended. Whether the client hears that in a frame or by the connection's end
    // is the same to it.
    let _ = timeout(SEND_TIME, client.close()).await;
}

async fn type_in(mut client: SplitStream<WebSocket>, mut guest: WriteHalf<Duplex>) {
    while let Some(Ok(message)) = client.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if guest.write_all(&bytes).await.is_err() || guest.flush().await.is_err() {
            return;
        }
    }
}
