//! The house is in order: what a reader relies on, checked on the tree itself.
//!
//! | rule | file |
//! | --- | --- |
//! | files begin by saying what they are, stay short, and leave nothing for later | [`sources`] |
//! | inside `protocol`, arrows run one way | [`layers`] |
//! | `protocol` depends on nothing that does I/O; heavy neighbours stay in their crates | [`dependencies`] |
//! | the README's map shows the house as it is | [`map`] |

mod dependencies;
mod layers;
mod map;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate is a folder of the workspace").to_path_buf()
}

/// A file of the tree.
struct Tracked {
    /// Its path from the root.
    path: String,
    bytes: Vec<u8>,
    executable: bool,
}

impl Tracked {
    /// Its text; none if it is not text.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

/// Every file that git tracks or would track. A file that is gone from the tree and still in the
/// index is passed over.
fn tracked() -> Vec<Tracked> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files of the tree");
    assert!(listed.status.success(), "git lists the files of the tree: {listed:?}");
    let names = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let mut paths: Vec<&str> = names.split_terminator('\0').collect();
    paths.sort_unstable();
    paths.dedup();
    let files: Vec<Tracked> = paths
        .into_iter()
        .filter_map(|path| {
            let place = root().join(path);
            let bytes = std::fs::read(&place).ok()?;
            let executable = is_executable(&place);
            Some(Tracked { path: path.to_owned(), bytes, executable })
        })
        .collect();
    assert!(files.len() > 50, "the tree was found: {} files", files.len());
    files
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o111 == 0o111)
}

/// Fails with one line for each fault.
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
