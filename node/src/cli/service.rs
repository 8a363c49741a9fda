//! `reservoir service`

use std::io::{self, Read as _};
use std::path::Path;

use axum::http::Method;
use protocol::machine::{Goal, State};
use protocol::manifest;

use super::arguments::Service;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::follow::{Screen, poll};
use super::machine;
use super::output::{Output, age, facts, price, short, since, table};
use super::security;
use crate::api::shapes::problem::{Fault, Problem};
use crate::api::shapes::service::{Plan, Stage, Summary};
use crate::api::shapes::{Moment, Taken, service as shapes};

/// What a manifest is sent as.
const KIND: &str = "application/yaml";

pub(super) async fn run(
    verb: Service,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Service::Submit { file, plan, best_effort, detach } => {
            let text = read(&file)?;
            let name = file.display().to_string();
            check(&name, &text)?;
            if plan {
                let plan: Plan = post(client, "/v1/services/plan", &name, text).await?;
                return output.say(&plan, |_| planned(&plan));
            }
            let mode = if best_effort { "best-effort" } else { "all-or-nothing" };
            let path = format!("/v1/services?mode={mode}");
            let taken: Taken = post(client, &path, &name, text).await?;
            if detach {
                return output.say(&taken, |_| format!("service {} is submitted\n", taken.id));
            }
            let service = follow(client, &taken).await?;
            output.say(&service, |now| shown(&service, now))?;
            verdict(&service)
        }
        Service::Ls => {
            let services: Vec<Summary> = client.list("/v1/services").await?;
            output.say(&services, |now| listed(&services, now))
        }
        Service::Show { service } => {
            let summary: Summary = find(&client.list("/v1/services").await?, &service)?;
            let path = format!("/v1/services/{}", summary.id);
            let service: shapes::Service = client.get(&path).await?;
            output.say(&service, |now| shown(&service, now))
        }
        Service::Scale { service, component, replicas, detach } => {
            let summary: Summary = find(&client.list("/v1/services").await?, &service)?;
            let path = format!("/v1/services/{}", summary.id);
            let scale = shapes::Scale { replicas };
            let part = format!("{path}/components/{component}");
            let taken: Taken = client.ask(Method::PUT, &part, Some(&scale)).await?;
            if detach {
                let said = format!("component {component} is to have {replicas} machines\n");
                return output.say(&taken, |_| said);
            }
            let service = scaled(client, &path).await?;
            output.say(&service, |now| shown(&service, now))?;
            scale_verdict(&service, component.as_str())
        }
        Service::Security(verb) => security::run(verb, client, output).await,
        Service::End { service, detach } => {
            let summary: Summary = find(&client.list("/v1/services").await?, &service)?;
            end(client, &summary, detach, output).await
        }
    }
}

async fn end(
    client: &Client,
    summary: &Summary,
    detach: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let path = format!("/v1/services/{}", summary.id);
    let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
    if detach {
        return output.say(&taken, |_| format!("service {} is being ended\n", summary.name));
    }
    let screen = Screen::new();
    let mut service: shapes::Service = client.get(&path).await?;
    while service.summary.stage != Stage::Ended {
        service.machines.iter().try_for_each(|machine| screen.show(machine))?;
        service = poll(client, &path, service.index).await?;
    }
    drop(screen);
    output.say(&service, |_| format!("service {} has ended\n", summary.name))
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: file.to_owned(), source };
    if file == Path::new("-") {
        let mut text = Vec::new();
        // One byte more than is allowed shows that it is too long.
        let limit = u64::try_from(manifest::LENGTH_MAX).unwrap_or(u64::MAX).saturating_add(1);
        io::stdin().take(limit).read_to_end(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read(file).map_err(failed)
}

/// Finds the faults that need no site to be found, and shows them in the text.
fn check(file: &str, text: &[u8]) -> Result<(), Error> {
    manifest::parse(text).map(drop).map_err(|faults| Error::Manifest {
        shown: faults.render(file, text),
        problem: Box::new(Problem {
            code: crate::api::error::Code::BadManifest.as_str().to_owned(),
            message: faults.to_string(),
            faults: faults.iter().map(Fault::from).collect(),
            omitted: faults.omitted(),
            ..Problem::default()
        }),
    })
}

async fn post<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    file: &str,
    text: Vec<u8>,
) -> Result<T, Error> {
    match client.send(Method::POST, path, Some((KIND, text))).await {
        Err(Error::Site { problem, .. }) if !problem.faults.is_empty() => {
            Err(Error::Manifest { shown: rendered(file, &problem), problem })
        }
        answered => answered,
    }
}

/// The faults that a site has found, each at its place in the file.
pub(super) fn rendered(file: &str, problem: &Problem) -> String {
    let faults = problem.faults.iter().map(|fault| {
        let Fault { line, column, path, message, hint, .. } = fault;
        format!("{file}:{line}:{column}: {path}: {message}\n  = hint: {hint}\n")
    });
    faults.collect()
}

/// Follows a deployment until nothing more happens by itself.
async fn follow(client: &Client, taken: &Taken) -> Result<shapes::Service, Error> {
    let path = format!("/v1/services/{}", taken.id);
    let screen = Screen::new();
    let mut service: shapes::Service = client.get(&path).await?;
    loop {
        service.machines.iter().try_for_each(|machine| screen.show(machine))?;
        if has_settled(&service) {
            return Ok(service);
        }
        service = poll(client, &path, service.index).await?;
    }
}

/// Follows a scaled service until the machines that are missing run or have found no place, and
/// nothing is left of those that were too many.
async fn scaled(client: &Client, path: &str) -> Result<shapes::Service, Error> {
    let screen = Screen::new();
    let mut service: shapes::Service = client.get(path).await?;
    loop {
        let standing = service.machines.iter().filter(|machine| machine.ended.is_none());
        standing.clone().try_for_each(|machine| screen.show(machine))?;
        let going = standing.clone().any(|machine| machine.goal == Goal::Destroyed);
        if has_settled(&service) && !going {
            return Ok(service);
        }
        service = poll(client, path, service.index).await?;
    }
}

/// Whether the machines of a scaled component run, as far as their tenant wants them to.
fn scale_verdict(service: &shapes::Service, component: &str) -> Result<(), Error> {
    let amiss = service.machines.iter().find(|machine| {
        machine.component.as_deref() == Some(component)
            && machine.ended.is_none()
            && matches!(machine.state, State::Failed | State::Placing)
    });
    amiss.map_or(Ok(()), |machine| {
        let what = format!("machine {} does not run", machine.name);
        Err(Error::Ended { what, reason: format!("it is {}: {}", machine.state, machine.reason) })
    })
}

/// Whether a deployment has come to its end, good or bad: a machine that has failed although it
/// has a place, or one that was lost and for which there is no other place, keeps its service from
/// running, once nothing else is on its way.
pub(super) fn has_settled(service: &shapes::Service) -> bool {
    match service.summary.stage {
        Stage::Running | Stage::Refused | Stage::Ending | Stage::Ended => true,
        Stage::Reserving | Stage::Committing => false,
        Stage::Starting => service.machines.iter().all(|machine| match machine.state {
            State::Active
            | State::Paused
            | State::Suspended
            | State::Migrating
            | State::Failed
            | State::Destroyed => true,
            State::Placing => !machine.reason.is_empty(),
            State::Defined | State::Staging => false,
        }),
    }
}

fn verdict(service: &shapes::Service) -> Result<(), Error> {
    let Summary { name, stage, .. } = &service.summary;
    if *stage == Stage::Running {
        return Ok(());
    }
    let first = service.machines.iter().find(|machine| machine.state == State::Failed);
    let reason = first.map_or_else(
        || format!("it is {stage}"),
        |machine| format!("it is {stage}: {}: {}", machine.name, machine.reason),
    );
    Err(Error::Ended { what: format!("service {name} does not run"), reason })
}

/// Services as people see them.
pub(super) fn listed(services: &[Summary], now: Moment) -> String {
    table(
        &["NAME", "STAGE", "ACTIVE", "SINCE", "AGE", "ID"],
        services.iter().map(|service| {
            vec![
                service.name.clone(),
                service.stage.to_string(),
                format!("{}/{}", service.active_count, service.machine_count),
                service.since.to_string(),
                age(now, service.created),
                short(&service.id).to_owned(),
            ]
        }),
    )
}

/// A service as people see it.
pub(super) fn shown(service: &shapes::Service, now: Moment) -> String {
    let summary = &service.summary;
    let text = facts(&[
        ("service", summary.name.clone()),
        ("id", summary.id.clone()),
        ("stage", format!("{}, {}", summary.stage, since(now, summary.since))),
        ("submitted", since(now, summary.created)),
    ]);
    format!("{text}\n{}", machine::listed(&service.machines, now))
}

/// A plan as people see it.
pub(super) fn planned(plan: &Plan) -> String {
    table(
        &["MACHINE", "SITE", "HOST", "PRICE", "WHY"],
        plan.machines.iter().map(|machine| {
            let place = machine.place.as_ref();
            vec![
                machine.name.clone(),
                place.map(|place| place.site.clone()).unwrap_or_default(),
                place.and_then(|place| place.host.clone()).unwrap_or_default(),
                price(machine.price.as_deref(), machine.currency.as_deref()),
                machine.why.clone(),
            ]
        }),
    )
}
