//! A daemon of a site: started, killed, started again, and found again by another testnet
//! process, which is how it outlives its supervisor.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tracing::{info, warn};

use crate::process::Process;
use crate::wait::wait_for;

/// One daemon, running or not.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The file name of what it runs.
    program: String,
    /// How it is run: the first word is the site's `enter`. By the others it is found again.
    words: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    /// Whether it is started again when it ends.
    is_wanted: bool,
}

impl Daemon {
    /// A daemon that runs `words` through `enter`; its words go to a file in `logs`.
    pub(crate) fn new(enter: &Path, words: &[&str], logs: &Path) -> Self {
        let path = words.first().copied().unwrap_or_default();
        let program = path.rsplit('/').next().unwrap_or(path).to_owned();
        let log = logs.join(format!("{program}.log"));
        let enter = enter.to_string_lossy().into_owned();
        let words = [enter].into_iter().chain(words.iter().map(|&word| word.to_owned())).collect();
        Self { program, words, log, process: None, is_wanted: false }
    }

    /// Starts it, unless it runs already, also from an earlier supervisor.
    pub(crate) fn start(&mut self, namespace: &Path) -> Result<()> {
        self.is_wanted = true;
        if self.is_alive() {
            return Ok(());
        }
        self.process = self.find(namespace)?;
        if self.process.is_some() {
            info!(program = self.program, "found running");
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        let again = log.try_clone().context("share a log")?;
        let child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .current_dir("/")
            // What the terminal sends to the supervisor is not meant for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .with_context(|| format!("start {}", self.program))?;
        self.process = Some(Process::of_child(child)?);
        Ok(())
    }

    /// Kills it with SIGKILL. It is not started again until told.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.is_wanted = false;
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts it again if it should run and does not.
    pub(crate) fn tend(&mut self, namespace: &Path) -> Result<()> {
        if self.is_wanted && !self.is_alive() {
            warn!(program = self.program, "ended, and is started again");
            self.start(namespace)?;
        }
        Ok(())
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_alive)
    }

    pub(crate) fn pid(&mut self) -> Option<i32> {
        self.process.as_mut().and_then(|process| process.is_alive().then(|| process.pid()))
    }

    /// Waits until `answers` says so, as long as it lives; else its last words are the error.
    pub(crate) fn wait_for(
        &mut self,
        patience: Duration,
        mut answers: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let program = self.program.clone();
        wait_for(&program, patience, || {
            ensure!(self.is_alive(), "it has ended:\n{}", self.last_words());
            Ok(answers()?.then_some(()))
        })
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        const LINES: usize = 15;
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// The oldest process in the namespace that was started with the same words; its children may
    /// have them too. The program alone does not tell: a node's command line is the same one.
    fn find(&self, namespace: &Path) -> Result<Option<Process>> {
        let mut found = Process::all_in(namespace)?;
        found.retain(|process| process.words() == self.words[1..]);
        let ids: Vec<i32> = found.iter().map(Process::pid).collect();
        found.retain(|process| process.parent().is_none_or(|parent| !ids.contains(&parent)));
        Ok(found.pop())
    }
}
