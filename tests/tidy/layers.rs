//! Inside `protocol`, a module uses what stands above it in this table, and its own layer; never
//! what stands below.

use std::collections::BTreeSet;

use super::{none, tracked};

/// The layers, from what depends on nothing to the edge.
const LAYERS: [(&str, &[&str]); 6] = [
    (
        "words",
        &["codec", "epoch", "identity", "ids", "names", "rows", "sla", "text", "time", "units"],
    ),
    (
        "descriptions",
        &["elasticity", "hull", "images", "kpi", "manifest", "networks", "security", "user_data"],
    ),
    ("choices", &["accounting", "market", "membership", "placement"]),
    ("conversations", &["agreement", "lease", "machine", "migration", "peering", "settlement"]),
    ("site", &["site"]),
    ("wire", &["wire"]),
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

/// The modules of the crate that a file uses. Prose does not count: a document may refer to
/// anything.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
        .filter(|module: &String| !module.is_empty())
        .collect()
}

#[test]
fn inside_protocol_arrows_run_one_way() {
    let mut faults = Vec::new();
    let mut arrows = 0;
    for file in tracked() {
        let Some(place) = file.path.strip_prefix("protocol/src/") else { continue };
        // The root of the crate names all modules, and tests may use whatever helps them.
        if !file.is_rust() || place == "lib.rs" || place.contains("tests") {
            continue;
        }
        let module = place.split(['/', '.']).next().unwrap_or_default();
        let Some(from) = layer_of(module) else {
            faults.push(format!("{module}, of {}, stands in no layer", file.path));
            continue;
        };
        for other in used(file.text().unwrap_or_default()) {
            arrows += 1;
            match layer_of(&other) {
                None => faults.push(format!("{} uses {other}, of no layer", file.path)),
                Some(to) if to > from => faults.push(format!(
                    "{} is of the {} and uses {other}, of the {}",
                    file.path, LAYERS[from].0, LAYERS[to].0
                )),
                Some(_) => {}
            }
        }
    }
    assert!(arrows > 50, "arrows were found: {arrows}");
    none(&faults);
}
