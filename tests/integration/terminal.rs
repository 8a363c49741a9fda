//! A person at a terminal: what a guest's console does to it, and how it is left behind.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::world::until;

/// What detaches from a console: Ctrl-].
const DETACH: u8 = 0x1d;

/// What a terminal that is not raw makes a signal of: Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// A terminal with a program on it. What the program writes is read as it comes.
struct Terminal {
    keyboard: File,
    line: File,
    program: Child,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn with(program: &Path, arguments: &[&str]) -> Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("open a pty")?;
        grantpt(&keyboard).context("grant the pty")?;
        unlockpt(&keyboard).context("unlock the pty")?;
        let path = ptsname(&keyboard, Vec::new()).context("name the pty")?;
        let path = path.to_str().context("read the pty's name")?;
        let line = File::options().read(true).write(true).open(path).context("open the line")?;
        let end = || line.try_clone().map(Stdio::from);
        let mut command = Command::new(program);
        command.args(arguments).stdin(end()?).stdout(end()?).stderr(end()?);
        let program = command.spawn().context("start the program")?;
        let keyboard = File::from(keyboard);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut source, shown) = (keyboard.try_clone()?, Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // It ends when the terminal is gone.
            while let Ok(count) = source.read(&mut bytes)
                && count > 0
            {
                shown.lock().expect("nobody panics with it").extend(&bytes[..count]);
            }
        });
        Ok(Self { keyboard, line, program, screen })
    }

    fn is_raw(&self) -> Result<bool> {
        let modes = tcgetattr(self.line.as_fd()).context("ask the terminal")?.local_modes;
        Ok(!modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    fn press(&mut self, key: u8) -> Result<()> {
        self.keyboard.write_all(&[key]).context("press a key")
    }

    fn shows(&self, text: &str) -> bool {
        let screen = self.screen.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&screen).contains(text)
    }

    /// Waits until the program has ended; answers its exit code.
    fn ended(&mut self) -> Result<i32> {
        let mut code = None;
        until("the program's end", || {
            code = self.program.try_wait().context("look at the program")?;
            Ok(code.is_some())
        })?;
        Ok(code.and_then(|status| status.code()).unwrap_or(-1))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

/// A console takes every key but the one that detaches, and leaves the terminal as it was.
pub(crate) fn console_is_raw_until_detached(reservoir: &Path, machine: &str) -> Result<()> {
    let mut terminal = Terminal::with(reservoir, &["machine", "console", machine])?;
    until("the guest on the screen", || Ok(terminal.shows("reservoir-guest boot=")))?;
    ensure!(terminal.is_raw()?, "the keys are the guest's");
    terminal.press(INTERRUPT)?;
    // The guest's own terminal echoes what reaches it.
    until("the guest's echo", || Ok(terminal.shows("^C")))?;
    ensure!(terminal.program.try_wait()?.is_none(), "Ctrl-C ends the guest's program, not ours");
    terminal.press(DETACH)?;
    ensure!(terminal.ended()? == 0, "to detach is no failure");
    ensure!(!terminal.is_raw()?, "the terminal is left as it was");
    ensure!(terminal.shows(&format!("detached from {machine}")), "and says so");
    Ok(())
}
