//! `reservoir fence`

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::error::Error;
use crate::lease;

/// Becomes the fence, a program of its own that holds nothing of this one.
pub(super) fn run(data: &Path) -> Result<(), Error> {
    let program = lease::program().map_err(Error::Fence)?;
    Err(Error::Fence(Command::new(program).arg("--data").arg(data).exec()))
}
