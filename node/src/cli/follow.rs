//! Following machines until they are where they should be, and showing that meanwhile.
//!
//! On a terminal each machine has a line that changes; elsewhere each change is a line, so that a
//! log tells the story. Both go to standard error.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::Error;
use super::output::price;
use crate::api::shapes::machine::Machine;

/// How long a site may be out of reach while something is followed: a node that is started again
/// is back by then.
const OUTAGE: Duration = Duration::from_secs(60);

/// How often the moving sign of a line moves.
const TICK: Duration = Duration::from_millis(120);

/// The lines of the machines that are followed.
pub(super) struct Screen {
    bars: Option<MultiProgress>,
    lines: Mutex<BTreeMap<String, Line>>,
}

#[derive(Default)]
struct Line {
    text: String,
    bar: Option<ProgressBar>,
}

impl Screen {
    /// Standard error.
    pub(super) fn new() -> Self {
        let bars = io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, lines: Mutex::default() }
    }

    /// Shows how a machine is, if that is news.
    pub(super) fn show(&self, machine: &Machine) -> Result<(), Error> {
        self.line(&machine.name, &line(machine))
    }

    /// Shows the line of something.
    pub(super) fn line(&self, name: &str, text: &str) -> Result<(), Error> {
        let mut lines = self.lines.lock().expect("nothing that holds the lock panics");
        let line = lines.entry(name.to_owned()).or_default();
        if line.text == text {
            return Ok(());
        }
        text.clone_into(&mut line.text);
        let Some(bars) = &self.bars else {
            writeln!(io::stderr(), "{name}  {text}")?;
            return Ok(());
        };
        let bar = line.bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(name.to_owned()));
            let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}");
            bar.set_style(style.expect("the template is well-formed"));
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(text.to_owned());
        Ok(())
    }
}

impl Drop for Screen {
    /// The result says it all again, so the lines go.
    fn drop(&mut self) {
        if let Some(bars) = &self.bars
            && bars.clear().is_err()
        {
            tracing::debug!("the terminal has gone");
        }
    }
}

/// A machine on one line.
pub(super) fn line(machine: &Machine) -> String {
    let place = machine.place.as_ref().map_or("", |place| place.site.as_str());
    let price = price(machine.price.as_deref(), machine.currency.as_deref());
    let parts = [machine.state.to_string(), place.to_owned(), price, machine.reason.clone()];
    let told: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    told.join("  ")
}

/// Looks again once there is news, through short outages of the site.
pub(super) async fn poll<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    index: u64,
) -> Result<T, Error> {
    let deadline = tokio::time::Instant::now() + OUTAGE;
    loop {
        match client.poll(path, index).await {
            Err(Error::Unreachable { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            seen => return seen,
        }
    }
}
