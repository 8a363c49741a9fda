//! `reservoir node`

use serde::Serialize;

use super::arguments::Node;
use super::error::Error;
use super::output::Output;
use crate::{config, daemon};

/// What a check of a configuration tells.
#[derive(Serialize)]
struct Checked {
    name: Option<String>,
    api_listen: String,
    peers: usize,
}

pub(super) async fn run(verb: Node, output: &mut Output<'_>) -> Result<(), Error> {
    let Node::Run { data, config, check } = verb;
    let config = config::read(config::find(config, &data).as_deref())?;
    if !check {
        return Ok(daemon::run(&data, config).await?);
    }
    let checked = Checked {
        name: config.name.clone(),
        api_listen: config.api_listen.to_string(),
        peers: config.peers.len(),
    };
    output.say(&checked, |_| "the configuration can be used\n".to_owned())
}
