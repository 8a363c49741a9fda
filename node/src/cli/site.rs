//! `reservoir site`

use std::io::{self, Read as _};
use std::path::Path;

use axum::http::Method;
use serde::Serialize;

use super::arguments::Site;
use super::client::Client;
use super::context::{self, Context};
use super::error::Error;
use super::host;
use super::output::{Output, classes, facts, since, table};
use super::site_node as node;
use crate::api::secret::Secret;
use crate::api::shapes::{self, Moment, Taken};
use crate::api::tls::Pin;
use crate::config;
use crate::keys::Keys;
use crate::membership::join;

/// The most bytes that are read of a secret: a key has 68, a token with a long URL some hundred.
const SECRET_MAX: u64 = 2_048;

/// A node that has joined its site.
#[derive(Serialize)]
struct Joined {
    site: String,
    node: u64,
}

/// A site that was founded or is used from now on.
#[derive(Serialize)]
struct Known {
    id: String,
    name: String,
}

pub(super) async fn run(verb: Site, output: &mut Output<'_>) -> Result<(), Error> {
    match verb {
        Site::Init { data, name } => {
            let keys = Keys::open_or_make(&data, Some(&name))?;
            let known = Known { id: keys.site().to_string(), name: keys.name().to_owned() };
            output.say(&known, |_| format!("{}\n", known.id))
        }
        Site::Invite { name, learner, url } => {
            node::invite(shapes::node::Invite { name, learner, url }, output).await
        }
        Site::Join { token, data, config, name } => {
            let name = name.as_deref().map(node::label).transpose()?;
            let token = node::token(&secret(token)?)?;
            let config = config::read(config::find(config, &data).as_deref())?;
            let number = join::join(&token, &data, &config, name.as_ref()).await?;
            output.say(&Joined { site: token.site.to_string(), node: number.0 }, |_| {
                let run = format!("reservoir node run --data {}", data.display());
                format!("this is node {number} now; '{run}' starts it\n")
            })
        }
        Site::Node(verb) => node::run(verb, &super::connect()?, output).await,
        Site::Show => {
            let site: shapes::site::Site = super::connect()?.get("/v1/site").await?;
            output.say(&site, |now| shown(&site, now))
        }
        Site::Reserve { share } => {
            let asked = shapes::site::Reserve { share: share.to_string() };
            let client = super::connect()?;
            let taken: Taken = client.ask(Method::PUT, "/v1/site/reserve", Some(&asked)).await?;
            output.say(&taken, |_| format!("{share} of the site is kept for its own tenants\n"))
        }
        Site::Use { place, key, pin } => {
            let mut context = if place.contains("://") {
                remote(&place, key, pin).await?
            } else {
                let mut context = Context::read(&Path::new(&place).join(context::FILE))?;
                context.key = match key {
                    Some(key) => secret(key)?,
                    None if context.key.is_empty() => key_in_use(&context.site)?,
                    None => context.key,
                };
                context.pin = pin.unwrap_or(context.pin);
                context
            };
            let site: shapes::site::Site = Client::new(&context)?.get("/v1/site").await?;
            context.site.clone_from(&site.name);
            context.write(&context::path()?)?;
            let role = if site.inside.is_some() { "an operator" } else { "a tenant" };
            let known = Known { id: site.id, name: site.name };
            output.say(&known, |_| {
                format!("using site {} at {} as {role}\n", known.name, context.url)
            })
        }
    }
}

/// The key for a node that has joined its site and was left none: the one that is in use for that
/// site already.
fn key_in_use(site: &str) -> Result<String, Error> {
    let known = Context::read(&context::path()?).ok();
    known.filter(|known| known.site == site).map(|known| known.key).ok_or(Error::Usage(
        "the node in this directory has joined its site and has no key of its own: give --key",
    ))
}

/// The context of a site that is not on this machine. Its certificate is pinned only once somebody
/// has compared it.
async fn remote(url: &str, key: Option<String>, pin: Option<String>) -> Result<Context, Error> {
    let key = secret(key.ok_or(Error::Usage("a site that is not on this machine needs --key"))?)?;
    let unreadable = |given: &str, source: crate::api::tls::Error| Error::Argument {
        what: "pin",
        given: given.to_owned(),
        source: Box::new(source),
    };
    let pin: Option<Pin> =
        pin.map(|pin| pin.parse().map_err(|error| unreadable(&pin, error))).transpose()?;
    let parsed: Secret = key.parse().map_err(|error| Error::Argument {
        what: "key",
        given: "...".to_owned(),
        source: Box::new(error),
    })?;
    let client = Client::speaking(url, parsed, pin)?;
    let Some(pin) = pin else {
        // Nobody is trusted yet, so this fails, and says what was shown.
        let nobody: Result<shapes::site::Site, Error> = client.get("/v1/site").await;
        return Err(nobody.err().unwrap_or(Error::Usage("--pin is needed")));
    };
    let url = client.url().to_owned();
    Ok(Context { site: String::new(), url, key, pin: pin.to_string() })
}

fn secret(given: String) -> Result<String, Error> {
    if given != "-" {
        return Ok(given);
    }
    let mut text = String::new();
    io::stdin().take(SECRET_MAX).read_to_string(&mut text).map_err(Error::Terminal)?;
    Ok(text.trim().to_owned())
}

/// A site as people see it.
pub(super) fn shown(site: &shapes::site::Site, now: Moment) -> String {
    let node = &site.node;
    let role = match node.leader {
        _ if node.is_leader => "leads".to_owned(),
        Some(leader) => format!("follows node {leader}"),
        None => "knows of no leader".to_owned(),
    };
    let tariff = &site.tariff;
    let mut told = vec![
        ("name", site.name.clone()),
        ("id", site.id.clone()),
        ("founded", since(now, site.founded)),
        ("vcpu", format!("{} {}/h", tariff.vcpu_hour, tariff.currency)),
        ("memory", format!("{} {}/h for a GiB", tariff.memory_gib_hour, tariff.currency)),
        ("disk", format!("{} {}/h for a GiB", tariff.disk_gib_hour, tariff.currency)),
        ("classes", classes(tariff)),
        ("reserve", site.reserve.clone()),
        ("node", format!("{} {role}, term {}, index {}", node.id, node.term, node.index)),
    ];
    let Some(inside) = &site.inside else { return facts(&told) };
    told.push(("services", inside.services.to_string()));
    told.push(("machines", inside.machines.to_string()));
    told.push(("certificates", node::certificates(&inside.certificates)));
    let mut text = facts(&told);
    text.push('\n');
    text.push_str(&node::listed(&inside.nodes, now));
    text.push('\n');
    text.push_str(&host::listed(&inside.hosts, now));
    if !inside.refused.is_empty() {
        text.push('\n');
        text.push_str(&table(
            &["TURNED AWAY", "ADDRESS", "CLAIMED", "BY", "REASON"],
            inside.refused.iter().map(|refused| {
                vec![
                    refused.at.to_string(),
                    refused.address.clone(),
                    refused
                        .claimed
                        .as_deref()
                        .map_or_else(String::new, |id| id.chars().take(8).collect()),
                    if refused.by_us { "us" } else { "them" }.to_owned(),
                    refused.reason.clone(),
                ]
            }),
        ));
    }
    text
}
