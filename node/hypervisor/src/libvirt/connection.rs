//! The connection to libvirtd: opened when it is needed, dropped when it is dead, opened again.
//!
//! Whether it is dead is found out by libvirt's keepalive, which needs libvirt's event loop: one
//! thread for the whole process. A call that waits for a libvirtd that no longer answers ends
//! when the keepalive gives up.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};
use virt::connect::Connect;
use virt::event::{event_register_default_impl, event_run_default_impl};

use crate::Error;

/// Seconds between two keepalive questions.
const KEEPALIVE_INTERVAL_S: i32 = 5;

/// Unanswered questions after which libvirtd counts as dead: with the interval, 15 to 20 s.
const KEEPALIVE_COUNT: u32 = 3;

/// How long the event loop rests after an error, so that one that lasts fills no log.
const EVENT_LOOP_REST: Duration = Duration::from_secs(1);

/// An open connection; closed when its last user lets it go.
#[derive(Debug)]
pub(super) struct Live(Connect);

impl Live {
    pub(super) const fn connect(&self) -> &Connect {
        &self.0
    }

    /// Whether the connection still stands; no message is sent to find out.
    pub(super) fn is_alive(&self) -> bool {
        self.0.is_alive().unwrap_or(false)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            warn!(%error, "could not close the connection to libvirtd");
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    uri: String,
    live: Mutex<Option<Arc<Live>>>,
}

impl Connection {
    pub(super) fn new(uri: &str) -> Self {
        Self { uri: uri.to_owned(), live: Mutex::new(None) }
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// The open connection, or a new one. Those who come meanwhile wait for the one attempt: a
    /// libvirtd that hangs is asked once.
    pub(super) fn get(&self) -> Result<Arc<Live>, Error> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = live.as_ref().filter(|open| open.is_alive()) {
            return Ok(Arc::clone(open));
        }
        *live = None;
        let open = Arc::new(self.open().map_err(|source| self.unreachable(Some(source)))?);
        info!(uri = self.uri, "connected to libvirtd");
        *live = Some(Arc::clone(&open));
        Ok(open)
    }

    pub(super) fn unreachable(&self, source: Option<virt::error::Error>) -> Error {
        Error::Unreachable { uri: self.uri.clone(), source }
    }

    fn open(&self) -> Result<Live, virt::error::Error> {
        start_event_loop()?;
        let live = Live(Connect::open(Some(&self.uri))?);
        live.0.set_keep_alive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)?;
        Ok(live)
    }
}

/// Starts the process's one event loop. It never ends: libvirt has no way to take it back.
fn start_event_loop() -> Result<(), virt::error::Error> {
    static STARTED: OnceLock<Result<(), virt::error::Error>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            // libvirt would print each error on the terminal; they are returned as well.
            virt::error::clear_error_callback();
            event_register_default_impl()?;
            thread::Builder::new()
                .name("libvirt-events".to_owned())
                .spawn(run_event_loop)
                .expect("a process that cannot start a thread cannot run");
            Ok(())
        })
        .clone()
}

fn run_event_loop() {
    loop {
        if let Err(error) = event_run_default_impl() {
            warn!(%error, "libvirt's event loop stumbled");
            thread::sleep(EVENT_LOOP_REST);
        }
    }
}
