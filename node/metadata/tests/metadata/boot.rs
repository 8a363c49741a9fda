//! cloud-init, as it asks.
//!
//! What its EC2 data source does when a machine starts: it looks for a version that it knows,
//! newest first, takes the user data, follows every listing from `meta-data/` on, and reads the
//! identity document. On a machine that it takes for EC2's own, it does that with a token.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use expect_test::expect_file;
use metadata::{Instance, Limits, Tokens};

use crate::example::full;
use crate::scene::{Client, Scene, get, get_with, guest, put_token};

/// The versions that cloud-init looks for, in its order.
const WANTED: [&str; 3] = ["2021-03-23", "2018-09-24", "2016-09-02"];

/// A data source at work: one connection, and a token if it is to use one.
struct DataSource {
    client: Client,
    token: Option<String>,
}

impl DataSource {
    fn new(scene: &Scene, with_token: bool) -> Result<Self> {
        let mut client = scene.connect(1)?;
        let token = if with_token {
            let given = client.ask(&put_token(21_600))?.context("no answer")?;
            ensure!(given.status == 200, "no token: {given:?}");
            Some(given.text())
        } else {
            let path = "/2009-04-04/meta-data/instance-id";
            let seen = client.ask(&get(path))?.context("no answer")?;
            ensure!(seen.status == 200, "no service: {seen:?}");
            None
        };
        Ok(Self { client, token })
    }

    fn get(&mut self, path: &str) -> Result<(u16, String)> {
        let request = self.token.as_ref().map_or_else(|| get(path), |it| get_with(path, it));
        let answer = self.client.ask(&request)?.context("no answer")?;
        Ok((answer.status, answer.body.escape_ascii().to_string()))
    }

    /// A value that has to be there.
    fn need(&mut self, path: &str) -> Result<String> {
        let (status, text) = self.get(path)?;
        ensure!(status == 200, "{path}: {status}");
        Ok(text)
    }

    fn version(&mut self) -> Result<&'static str> {
        for version in WANTED {
            if self.get(&format!("/{version}/meta-data/instance-id"))?.0 == 200 {
                return Ok(version);
            }
        }
        Ok("2009-04-04")
    }

    /// Everything under a directory: a name with a slash is one, `0=name` is a public key.
    fn materialize(&mut self, path: &str, found: &mut BTreeMap<String, String>) -> Result<()> {
        for field in self.need(path)?.split("\\n") {
            if let Some(name) = field.strip_suffix('/') {
                self.materialize(&format!("{path}{name}/"), found)?;
            } else if let Some((number, name)) = field.split_once('=') {
                let key = self.need(&format!("{path}{number}/openssh-key"))?;
                found.insert(format!("{path}{name}"), key);
            } else {
                // Names in a path are quoted, but for slashes and colons.
                let quoted = field.replace('+', "%2B").replace('@', "%40");
                found.insert(format!("{path}{field}"), self.need(&format!("{path}{quoted}"))?);
            }
        }
        Ok(())
    }

    fn crawl(&mut self) -> Result<BTreeMap<String, String>> {
        let version = self.version()?;
        let mut found = BTreeMap::new();
        let user_data = self.need(&format!("/{version}/user-data"))?;
        found.insert("user-data".to_owned(), user_data);
        self.materialize(&format!("/{version}/meta-data/"), &mut found)?;
        let identity = format!("/{version}/dynamic/instance-identity");
        // It asks for this directory without the slash, and for what is in it with one.
        for field in self.need(&identity)?.split("\\n") {
            let path = format!("{identity}/{field}");
            found.insert(path.clone(), self.need(&path)?);
        }
        Ok(found)
    }
}

fn crawled(instance: Instance, with_token: bool) -> Result<BTreeMap<String, String>> {
    let scene = Scene::new(Limits::default())?;
    scene.table.put(guest(1), instance);
    DataSource::new(&scene, with_token)?.crawl()
}

#[test]
fn cloud_init_finds_its_data_with_a_token_and_without() -> Result<()> {
    let found = crawled(full(), true)?;
    let line = |(path, text): (&String, &String)| format!("{path} = {text}").trim_end().to_owned();
    let lines: Vec<String> = found.iter().map(line).collect();
    expect_file!["boot.txt"].assert_eq(&(lines.join("\n") + "\n"));
    assert_eq!(crawled(full(), false)?, found);
    Ok(())
}

#[test]
fn cloud_init_finds_its_data_where_tokens_are_required() -> Result<()> {
    let required = || Instance { tokens: Tokens::Required, ..full() };
    assert_eq!(crawled(required(), true)?, crawled(full(), true)?);
    assert!(crawled(required(), false).is_err());
    Ok(())
}
