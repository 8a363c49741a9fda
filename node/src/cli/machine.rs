//! `reservoir machine`

use std::path::PathBuf;

use axum::http::{Method, StatusCode};
use data_encoding::BASE64;
use futures::future::try_join_all;
use protocol::machine::{State, Verb};

use super::arguments::{Define, Machine, Which};
use super::client::Client;
use super::console;
use super::error::Error;
use super::find::find;
use super::follow::{Screen, poll};
use super::output::{Output, age, facts, price, short, since, table};
use crate::api::shapes::machine::{New, Observed, Seen, Shown};
use crate::api::shapes::{Moment, Size, Taken, machine as shapes};
use crate::observe::chain;

const PATH: &str = "/v1/machines";

pub(super) async fn run(
    verb: Machine,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Machine::Define(define) => define_one(define, client, output).await,
        Machine::Activate(which) => update(Verb::Activate, which, client, output).await,
        Machine::Pause(which) => update(Verb::Pause, which, client, output).await,
        Machine::Suspend(which) => update(Verb::Suspend, which, client, output).await,
        Machine::Shutdown(which) => update(Verb::Shutdown, which, client, output).await,
        Machine::Destroy(which) => update(Verb::Destroy, which, client, output).await,
        Machine::Ls { all } => {
            let mut machines: Vec<shapes::Machine> = client.list(PATH).await?;
            machines.retain(|machine| all || machine.ended.is_none());
            output.say(&machines, |now| listed(&machines, now))
        }
        Machine::Show { machine } => {
            let machine: shapes::Machine = find(&client.list(PATH).await?, &machine)?;
            let shown = observed(machine, client).await;
            output.say(&shown, |now| self::shown(&shown, now))
        }
        Machine::Console { machine, seconds } => {
            let machine: shapes::Machine = find(&client.list(PATH).await?, &machine)?;
            console::attach(&machine, seconds, client, output).await
        }
    }
}

async fn define_one(define: Define, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let size = Size { vcpus: define.vcpus, memory_mib: define.memory.0, disk_mib: define.disk.0 };
    let Define { name, image, sites, on_partition, sla, user_data, .. } = define;
    let read = |path: PathBuf| match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(source) => Err(Error::File { path, source }),
    };
    let user_data = user_data.map(read).transpose()?;
    let user_data = user_data.map(|bytes| BASE64.encode(&bytes));
    let new = New { name, image, size, sites, on_partition, sla, user_data };
    let taken: Taken = client.ask(Method::POST, PATH, Some(&new)).await?;
    output.say(&taken, |_| format!("machine {} is defined as {}\n", new.name, taken.id))
}

/// Leads machines to where a verb leads, and waits until they are there.
async fn update(
    verb: Verb,
    which: Which,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let known: Vec<shapes::Machine> = client.list(PATH).await?;
    let machines: Vec<shapes::Machine> =
        which.machines.iter().map(|machine| find(&known, machine)).collect::<Result<_, _>>()?;
    for machine in &machines {
        let path = format!("{PATH}/{}/{verb}", machine.id);
        let _: Taken = client.ask(Method::POST, &path, None::<&()>).await?;
    }
    if which.detach {
        return output.say(&machines, |_| {
            machines
                .iter()
                .map(|it| format!("machine {}: {verb} is under way\n", it.name))
                .collect()
        });
    }
    let screen = Screen::new();
    let led = machines.iter().map(|before| until_there(verb, before, client, &screen));
    let led = try_join_all(led).await?;
    drop(screen);
    output.say(&led, |now| listed(&led, now))
}

/// Waits until a machine is where a verb leads.
async fn until_there(
    verb: Verb,
    before: &shapes::Machine,
    client: &Client,
    screen: &Screen,
) -> Result<shapes::Machine, Error> {
    let path = format!("{PATH}/{}", before.id);
    let ended = |reason: String| Error::Ended {
        what: format!("machine {} is not {}", before.name, verb.goal()),
        reason,
    };
    let mut seen: Seen = match client.get(&path).await {
        Err(error) => return gone(verb, before, error),
        Ok(seen) => seen,
    };
    loop {
        let machine = &seen.machine;
        screen.show(machine)?;
        if is_there(verb, machine.state) {
            return Ok(seen.machine);
        }
        if machine.goal != verb.goal() {
            return Err(ended(format!("somebody else leads it to {}", machine.goal)));
        }
        // What was wrong before the verb is no answer to it.
        let is_old = before.state == State::Failed && before.since == machine.since;
        if machine.state == State::Failed && verb != Verb::Destroy && !is_old {
            return Err(ended(machine.reason.clone()));
        }
        seen = match poll(client, &path, seen.index).await {
            Err(error) => return gone(verb, before, error),
            Ok(seen) => seen,
        };
    }
}

/// A destroyed machine may have been forgotten already.
fn gone(verb: Verb, before: &shapes::Machine, error: Error) -> Result<shapes::Machine, Error> {
    match error {
        Error::Site { status: StatusCode::NOT_FOUND, .. } if verb == Verb::Destroy => {
            Ok(shapes::Machine { state: State::Destroyed, place: None, ..before.clone() })
        }
        error => Err(error),
    }
}

const fn is_there(verb: Verb, state: State) -> bool {
    match verb {
        Verb::Activate => matches!(state, State::Active),
        Verb::Pause => matches!(state, State::Paused),
        Verb::Suspend => matches!(state, State::Suspended),
        Verb::Shutdown => matches!(state, State::Defined),
        Verb::Destroy => matches!(state, State::Destroyed),
    }
}

/// Machines as people see them.
pub(super) fn listed(machines: &[shapes::Machine], now: Moment) -> String {
    let heading =
        ["NAME", "STATE", "SITE", "HOST", "ADDRESS", "SINCE", "AGE", "PRICE", "ID", "REASON"];
    table(
        &heading,
        machines.iter().map(|machine| {
            let place = machine.place.as_ref();
            vec![
                machine.name.clone(),
                machine.state.to_string(),
                place.map(|place| place.site.clone()).unwrap_or_default(),
                place.and_then(|place| place.host.clone()).unwrap_or_default(),
                machine.address.clone().unwrap_or_default(),
                machine.since.to_string(),
                age(now, machine.since),
                price(machine.price.as_deref(), machine.currency.as_deref()),
                short(&machine.id).to_owned(),
                machine.reason.clone(),
            ]
        }),
    )
}

/// A machine with what it says of itself. That this cannot be asked where it runs keeps nobody from
/// seeing the rest.
async fn observed(machine: shapes::Machine, client: &Client) -> Shown {
    match client.get::<Observed>(&format!("{PATH}/{}/kpis", machine.id)).await {
        Ok(observed) => Shown { machine, observed, kpis_unknown: None },
        Err(fault) => {
            let (observed, kpis_unknown) = (Observed::default(), Some(chain(&fault)));
            Shown { machine, observed, kpis_unknown }
        }
    }
}

/// A machine as people see it.
pub(super) fn shown(shown: &Shown, now: Moment) -> String {
    let Shown { machine, observed, kpis_unknown } = shown;
    let place = machine.place.as_ref();
    let site = place.map(|place| format!("{} ({})", place.site, place.site_id));
    let mut lines = vec![
        ("name", machine.name.clone()),
        ("id", machine.id.clone()),
        ("service", machine.service.clone().unwrap_or_default()),
        ("state", format!("{}, {}", machine.state, since(now, machine.since))),
        ("goal", machine.goal.to_string()),
        ("reason", machine.reason.clone()),
        ("site", site.unwrap_or_default()),
        ("host", place.and_then(|place| place.host.clone()).unwrap_or_default()),
        ("address", machine.address.clone().unwrap_or_default()),
        ("price", price(machine.price.as_deref(), machine.currency.as_deref())),
        ("image", format!("{} ({})", machine.image, machine.image_id)),
        ("size", machine.size.to_string()),
        ("on partition", machine.on_partition.to_string()),
        ("sla", machine.sla.to_string()),
        ("epoch", machine.epoch.clone()),
        ("user data", machine.user_data_bytes.map(|it| format!("{it} bytes")).unwrap_or_default()),
        ("defined", since(now, machine.created)),
    ];
    let kpis = observed.kpis.iter();
    let kpis = kpis.map(|kpi| vec![kpi.name.clone(), kpi.value.clone(), age(now, kpi.at)]);
    if kpis.len() > 0 {
        return format!("{}\n{}", facts(&lines), table(&["KPI", "VALUE", "AGE"], kpis));
    }
    let unknown = kpis_unknown.as_ref().map(|why| format!("not known: {why}"));
    lines.push(("kpis", unknown.unwrap_or_default()));
    facts(&lines)
}
