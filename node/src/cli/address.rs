//! `reservoir address`

use axum::http::Method;

use super::arguments::{Address, Pools};
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, table};
use crate::api::shapes::Taken;
use crate::api::shapes::address as shapes;
use crate::api::shapes::machine::Machine;

const PATH: &str = "/v1/addresses";
const POOLS: &str = "/v1/pools";

pub(super) async fn run(
    verb: Address,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Address::Ls => {
            let addresses: Vec<shapes::Address> = client.list(PATH).await?;
            output.say(&addresses, |_| listed(&addresses))
        }
        Address::Allocate => {
            let taken: Taken = client.ask(Method::POST, PATH, None::<&()>).await?;
            output.say(&taken, |_| format!("{}\n", taken.id))
        }
        Address::Associate { address, machine, network } => {
            let machine: Machine = find(&client.list("/v1/machines").await?, &machine)?;
            let path = format!("{PATH}/{address}/association");
            let network = network.map(|name| name.to_string());
            let association = shapes::Association { machine: machine.id, network };
            let taken: Taken = client.ask(Method::PUT, &path, Some(&association)).await?;
            output.say(&taken, |_| format!("{address} reaches machine {} now\n", machine.name))
        }
        Address::Disassociate { address } => {
            let path = format!("{PATH}/{address}/association");
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("{address} reaches nothing now\n"))
        }
        Address::Release { address } => {
            let path = format!("{PATH}/{address}");
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("{address} is given back\n"))
        }
        Address::Pool(verb) => pool(verb, client, output).await,
    }
}

async fn pool(verb: Pools, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    match verb {
        Pools::Ls => {
            let pools: Vec<shapes::Pool> = client.list(POOLS).await?;
            output.say(&pools, |_| pools_listed(&pools))
        }
        Pools::Add { prefix } => {
            let new = shapes::NewPool { prefix: prefix.to_string() };
            let taken: Taken = client.ask(Method::POST, POOLS, Some(&new)).await?;
            output.say(&taken, |_| format!("the addresses of {prefix} can be allocated now\n"))
        }
        Pools::Rm { prefix } => {
            let path = format!("{POOLS}/{prefix}");
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("pool {prefix} is gone\n"))
        }
    }
}

/// Public addresses as people see them.
pub(super) fn listed(addresses: &[shapes::Address]) -> String {
    table(
        &["ADDRESS", "MACHINE", "NETWORK", "INSIDE", "GOES"],
        addresses.iter().map(|address| {
            let of = |said: fn(&shapes::Reached) -> &String| {
                address.machine.as_ref().map(|it| said(it).clone()).unwrap_or_default()
            };
            let goes = if address.goes_with_machine { "with its machine" } else { "" };
            vec![
                address.address.clone(),
                of(|it| &it.name),
                of(|it| &it.network),
                of(|it| &it.address),
                goes.to_owned(),
            ]
        }),
    )
}

/// Pools of public addresses as people see them.
pub(super) fn pools_listed(pools: &[shapes::Pool]) -> String {
    table(
        &["POOL", "ALLOCATED"],
        pools
            .iter()
            .map(|pool| vec![pool.prefix.clone(), format!("{}/{}", pool.allocated, pool.size)]),
    )
}
