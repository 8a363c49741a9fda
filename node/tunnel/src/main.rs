//! `reservoir-tunnel --data DIR`: the tunnel as a process of its own, which outlives its node.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rustix::stdio::dup2_stderr;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [flag, data] = arguments.as_slice() else {
        return usage();
    };
    if flag != "--data" {
        return usage();
    }
    let served = detach(Path::new(data)).and_then(|data| tunnel::serve(&data, fall_silent));
    let Err(error) = served else { return ExitCode::SUCCESS };
    say(&chain(&error));
    ExitCode::from(error.exit_code())
}

/// Keeps nothing of whoever started this: no session, no directory, no descriptors.
fn detach(data: &Path) -> Result<std::path::PathBuf, tunnel::Error> {
    let own = |what| move |source| tunnel::Error::Own { what, source };
    // Who leads a group already was started by a shell or a service manager, and may stay there.
    let _ = rustix::process::setsid();
    close_inherited().map_err(own("list its descriptors"))?;
    let data = std::path::absolute(data).map_err(own("find its directory"))?;
    std::env::set_current_dir("/").map_err(own("leave the directory that it was started in"))?;
    Ok(data)
}

/// Closes what libraries of the node have left open to its children. Nothing of ours is open yet.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The list itself is among them, and is closed by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Lets go of the standard error, by which whoever waits at the other end knows that this one serves.
fn fall_silent() -> io::Result<()> {
    dup2_stderr(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}

fn usage() -> ExitCode {
    say("usage: reservoir-tunnel --data DIR, where DIR is a node's directory");
    ExitCode::from(2)
}

/// A line for whoever started it. It is not waited for whether anybody reads it.
fn say(line: &str) {
    drop(writeln!(io::stderr(), "reservoir-tunnel: {line}"));
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
