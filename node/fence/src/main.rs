//! `reservoir-fence --data DIR`: the fence as a process of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [flag, data] = arguments.as_slice() else {
        return usage();
    };
    if flag != "--data" {
        return usage();
    }
    let data = Path::new(data);
    let ready = |refused: &[&'static str]| {
        say(&format!("watches over {}", data.display()));
        for what in refused {
            say(&format!("the kernel refuses {what}: see that it runs with all of root's rights"));
        }
    };
    let Err(error) = fence::watch(data, ready);
    say(&chain(&error));
    match error {
        // Nothing is wrong: guests are watched over.
        fence::Error::Watched { .. } => ExitCode::from(3),
        fence::Error::File { .. }
        | fence::Error::Written { .. }
        | fence::Error::Boot(_)
        | fence::Error::Kernel { .. } => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    say("usage: reservoir-fence --data DIR, where DIR is a node's directory");
    ExitCode::from(2)
}

/// A line for whoever started it. It is not waited for whether anybody reads it.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "reservoir-fence: {line}"));
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
