//! The command line: `reservoir NOUN VERB`.
//!
//! It has no power of its own: what it does, it asks of a site's REST interface with the key in
//! its [`context`], as any other program would. Only `node run`, `fence` and `site init` work
//! on this machine itself.

pub mod arguments;
pub mod client;
pub mod context;
pub mod error;
pub mod output;

mod address;
mod agreement;
mod console;
mod fence;
mod find;
mod follow;
mod host;
mod image;
mod key;
mod machine;
mod network;
mod node;
mod peer;
mod security;
mod service;
mod site;
mod site_node;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use arguments::{Line, Noun};
use client::Client;
use context::Context;
use error::{Error, Exit};
use output::{Format, Output};

/// Does what the process was called for.
#[must_use]
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // A terminal that does not take the message will not take another one.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done.into(),
                _ => Exit::Usage.into(),
            };
        }
    };
    let format = line.output;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Error::Output(error), format).into(),
    };
    let mut stdout = io::stdout();
    let now = crate::observe::now().into();
    let done = runtime.block_on(run(line.noun, &mut Output::new(format, now, &mut stdout)));
    // Whatever still waits for a terminal or a disk is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => Exit::Done.into(),
        Err(error) => complain(&error, format).into(),
    }
}

async fn run(noun: Noun, output: &mut Output<'_>) -> Result<(), Error> {
    match noun {
        Noun::Node(verb) => node::run(verb, output).await,
        Noun::Fence { data } => fence::run(&data),
        Noun::Site(verb) => site::run(verb, output).await,
        Noun::Agreement(verb) => agreement::run(verb, &connect()?, output).await,
        Noun::Peer(verb) => peer::run(verb, &connect()?, output).await,
        Noun::Service(verb) => service::run(verb, &connect()?, output).await,
        Noun::Machine(verb) => machine::run(verb, &connect()?, output).await,
        Noun::Address(verb) => address::run(verb, &connect()?, output).await,
        Noun::Image(verb) => image::run(verb, &connect()?, output).await,
        Noun::Key(verb) => key::run(verb, &connect()?, output).await,
        Noun::Network(verb) => network::run(verb, &connect()?, output).await,
        Noun::Host(verb) => host::run(verb, &connect()?, output).await,
    }
}

/// The site in use.
fn connect() -> Result<Client, Error> {
    Client::new(&Context::read(&context::path()?)?)
}

/// Says what went wrong, to standard error.
fn complain(error: &Error, format: Format) -> Exit {
    let exit = error.exit();
    if exit != Exit::Done {
        let text = match format {
            Format::Table => error.for_people(),
            Format::Json => serde_json::to_string_pretty(&error.for_programs())
                .map_or_else(|_| error.for_people(), |text| text + "\n"),
        };
        // If even that cannot be written, the exit code still tells.
        let _ = io::stderr().write_all(text.as_bytes());
    }
    exit
}
