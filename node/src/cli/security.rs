//! `reservoir service security`

use axum::http::Method;

use super::arguments::Security;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, table};
use crate::api::shapes::Taken;
use crate::api::shapes::security::{Group, Memberships, Rules};
use crate::api::shapes::service::Summary;

pub(super) async fn run(
    verb: Security,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Security::Ls { service } => {
            let path = at(client, &service).await?;
            let groups: Vec<Group> = client.list(&format!("{path}/security")).await?;
            output.say(&groups, |_| listed(&groups))
        }
        Security::Set { service, group, ingress, egress, no_egress } => {
            let path = format!("{}/security/{group}", at(client, &service).await?);
            let egress = (no_egress || !egress.is_empty()).then_some(egress);
            let rules = Rules { ingress, egress };
            let taken: Taken = client.ask(Method::PUT, &path, Some(&rules)).await?;
            output.say(&taken, |_| format!("security group {group} has these rules now\n"))
        }
        Security::Rm { service, group } => {
            let path = format!("{}/security/{group}", at(client, &service).await?);
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("security group {group} is gone\n"))
        }
        Security::Assign { service, component, groups } => {
            let path = format!("{}/components/{component}/security", at(client, &service).await?);
            let groups = groups.iter().map(ToString::to_string).collect();
            let memberships = Memberships { groups };
            let taken: Taken = client.ask(Method::PUT, &path, Some(&memberships)).await?;
            let named = memberships.groups.join(", ");
            output.say(&taken, |_| format!("component {component} is in {named} now\n"))
        }
    }
}

/// The path of a service.
async fn at(client: &Client, service: &str) -> Result<String, Error> {
    let summary: Summary = find(&client.list("/v1/services").await?, service)?;
    Ok(format!("/v1/services/{}", summary.id))
}

/// Security groups as people see them: a line for each rule.
pub(super) fn listed(groups: &[Group]) -> String {
    let rows = groups.iter().flat_map(|group| {
        let ingress = group.ingress.iter().map(|rule| ("ingress", rule.as_str()));
        let egress = group.egress.iter().map(|rule| ("egress", rule.as_str()));
        let mut rules: Vec<(&str, &str)> = ingress.chain(egress).collect();
        if rules.is_empty() {
            rules.push(("", ""));
        }
        rules.into_iter().enumerate().map(|(index, (direction, rule))| {
            let first = |text: String| if index == 0 { text } else { String::new() };
            vec![
                first(group.name.clone()),
                first(group.components.join(",")),
                direction.to_owned(),
                rule.to_owned(),
            ]
        })
    });
    table(&["GROUP", "COMPONENTS", "DIRECTION", "RULE"], rows)
}
