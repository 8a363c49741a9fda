//! The README's map of the house, against the house.
//!
//! The map is the section under the heading "The map of the house", up to the next heading; in
//! it, what stands in backticks and looks like a path is one, from the root of the tree.

use cargo_metadata::MetadataCommand;

use super::{none, root};

/// The section of the README with the map.
fn section() -> String {
    let text = std::fs::read_to_string(root().join("README.md")).expect("there is a README.md");
    let heading = |line: &str| line.starts_with('#') && line.contains("The map of the house");
    let body: Vec<&str> = text
        .lines()
        .skip_while(|line| !heading(line))
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .collect();
    assert!(!body.is_empty(), "README.md has a section 'The map of the house'");
    body.join("\n")
}

/// What stands in backticks.
fn quoted(section: &str) -> Vec<&str> {
    section.split('`').skip(1).step_by(2).collect()
}

#[test]
fn what_the_map_shows_exists() {
    let section = section();
    let paths: Vec<&str> = quoted(&section)
        .into_iter()
        .filter(|text| text.contains('/') && !text.contains([' ', ':', '<', '*', '{']))
        .collect();
    assert!(paths.len() > 5, "the map shows paths: {paths:?}");
    let missing: Vec<String> = paths
        .iter()
        .filter(|path| !root().join(path.trim_start_matches("./")).exists())
        .map(|path| format!("the map shows '{path}', which does not exist"))
        .collect();
    none(&missing);
}

#[test]
fn the_map_shows_every_member_and_every_concept() {
    let section = section();
    let shown = quoted(&section);
    let mut wanted = Vec::new();
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace");
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().expect("a manifest is in a folder");
        let path = folder.strip_prefix(root()).expect("a member is in the workspace");
        wanted.push(path.to_string());
    }
    let sources = std::fs::read_dir(root().join("protocol/src")).expect("protocol has sources");
    for entry in sources {
        let entry = entry.expect("a folder can be listed");
        if entry.path().is_dir() {
            wanted.push(format!("protocol/src/{}", entry.file_name().display()));
        }
    }
    assert!(wanted.len() > 10, "members and concepts were found: {wanted:?}");
    let missing: Vec<String> = wanted
        .iter()
        .filter(|path| {
            let concept = path.strip_prefix("protocol/src/").unwrap_or(path);
            !shown.iter().any(|text| {
                let text = text.trim_start_matches("./").trim_end_matches('/');
                text == path.as_str() || text == concept
            })
        })
        .map(|path| format!("the map does not show '{path}'"))
        .collect();
    none(&missing);
}
