//! The binary `reservoir`: the node and the command line, both in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    reservoir::cli::main()
}
