//! Who depends on what.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use super::{none, root};

/// Everything that `protocol` is made of when it runs or is compiled, and why it may be. Nothing
/// here opens a file or a socket, reads a clock, starts a thread or draws a random number in the
/// features that `protocol` asks for.
const PROTOCOL: [(&str, &str); 50] = [
    ("annotate-snippets", "serde-saphyr: shows the place of an error in a text it is given"),
    ("anstyle", "annotate-snippets: colours, as data"),
    ("arraydeque", "granit-parser: a queue of fixed size"),
    ("arrayvec", "blake3: a vector of fixed size"),
    ("base64", "serde-saphyr: binary scalars of YAML"),
    ("bincode", "the codec of wire and disk"),
    ("blake3", "hashes; its threads are a feature that is off"),
    ("block-buffer", "digest: blocks of a hash"),
    ("cfg-if", "choice of code by target"),
    ("constant_time_eq", "blake3: comparison of hashes"),
    ("core_detect", "encoding: which instructions the processor has"),
    ("cpufeatures", "blake3, sha2: which instructions the processor has"),
    ("crypto-common", "digest: traits"),
    ("curve25519-dalek", "the curve of ed25519"),
    ("curve25519-dalek-derive", "curve25519-dalek: a macro"),
    ("digest", "sha2: traits"),
    ("ed25519", "the shape of signatures"),
    ("ed25519-dalek", "signatures; keys are drawn elsewhere"),
    ("encoding_rs", "serde-saphyr: text encodings"),
    ("encoding_rs_io", "serde-saphyr: text encodings, over readers that it is given"),
    ("granit-parser", "serde-saphyr: the grammar of YAML"),
    ("hybrid-array", "digest: arrays by type"),
    ("ipnet", "prefixes of networks"),
    ("multiversion_no_op", "encoding: a macro that does nothing here"),
    ("nohash-hasher", "serde-saphyr: a hasher for numbers; its order is not observed"),
    ("num-traits", "serde-saphyr: numbers"),
    ("proc-macro2", "macros"),
    ("protocol", "itself"),
    ("quote", "macros"),
    ("scopeguard", "curve25519-dalek: wiping on the way out"),
    ("serde", "one description of every shape"),
    ("serde-saphyr", "manifests in YAML, with places"),
    ("serde_core", "serde: its traits"),
    ("serde_derive", "serde: its macros"),
    ("sha2", "ed25519: SHA-512"),
    ("signature", "ed25519: traits"),
    ("simdutf8", "serde-saphyr: checks text"),
    ("smallvec", "serde-saphyr: short vectors"),
    ("strsim", "what a misspelt word was meant to be"),
    ("subtle", "ed25519: comparison in constant time"),
    ("syn", "macros"),
    ("thiserror", "errors"),
    ("thiserror-impl", "thiserror: its macros"),
    ("typenum", "digest: numbers as types"),
    ("unicode-ident", "macros"),
    ("unicode-width", "annotate-snippets: columns of text"),
    ("unty", "bincode: comparison of types"),
    ("uuid", "ids; the features that draw them are off"),
    ("zeroize", "wipes keys"),
    ("zmij", "serde-saphyr: text of numbers"),
];

/// What is heavy, and who may name it: one member of the product, and of interfaces two. The tests
/// speak libp2p as well, as a peer whose software is not ours.
const HEAVY: [(&str, &[&str]); 9] = [
    ("libp2p", &["federation", "tests"]),
    ("libp2p-stream", &["federation", "tests"]),
    ("nftables", &["fabric"]),
    ("openraft", &["storage"]),
    ("quick-xml", &["hypervisor"]),
    ("rocksdb", &["storage"]),
    ("rtnetlink", &["fabric", "tunnel"]),
    ("virt", &["hypervisor"]),
    ("virt-sys", &["hypervisor"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .expect("cargo describes the workspace")
}

fn names(packages: &[&Package]) -> BTreeSet<String> {
    packages.iter().map(|package| package.name.to_string()).collect()
}

/// The tree is cargo's own, for `protocol` alone: in the metadata of the workspace each crate has
/// the features that any member asks for.
#[test]
fn protocol_depends_on_nothing_that_does_io() {
    let listed = Command::new(env!("CARGO"))
        .args(["tree", "--package", "protocol", "--edges", "normal", "--prefix", "none"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo lists the tree of protocol");
    assert!(listed.status.success(), "cargo lists the tree of protocol: {listed:?}");
    let text = String::from_utf8(listed.stdout).expect("cargo writes UTF-8");
    let found: BTreeSet<&str> =
        text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let allowed: BTreeSet<&str> = PROTOCOL.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(new.is_empty(), "protocol has come to depend on {new:?}: say why, or do without");
    assert!(gone.is_empty(), "protocol depends on {gone:?} no more: strike them from the list");
}

#[test]
fn a_heavy_neighbour_is_named_by_its_crate_only() {
    let metadata = metadata();
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        let declared = package.dependencies.iter().map(|it| it.name.as_str());
        for (name, owners) in declared.filter_map(|name| HEAVY.iter().find(|it| it.0 == name)) {
            if !owners.contains(&package.name.as_str()) {
                let owner = owners[0];
                faults.push(format!("{} depends on {name}, which is {owner}'s", package.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn arrows_between_members_run_one_way() {
    // Each member, with the members it may name.
    let neighbours: &[&str] = &["protocol"];
    let node = [
        "fabric",
        "federation",
        "fence",
        "hypervisor",
        "metadata",
        "protocol",
        "storage",
        "tunnel",
    ];
    let above = [
        "fabric",
        "federation",
        "fence",
        "hypervisor",
        "metadata",
        "protocol",
        "reservoir",
        "storage",
        "tunnel",
    ];
    let all = [
        "fabric",
        "federation",
        "fence",
        "hypervisor",
        "metadata",
        "protocol",
        "reservoir",
        "storage",
        "testnet",
        "tunnel",
    ];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("protocol", [].as_slice()),
        ("storage", neighbours),
        ("fabric", neighbours),
        ("federation", neighbours),
        ("fence", [].as_slice()),
        ("hypervisor", neighbours),
        ("metadata", neighbours),
        ("tunnel", neighbours),
        ("reservoir", node.as_slice()),
        ("testnet", above.as_slice()),
        ("tests", all.as_slice()),
    ]);
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let members = names(&packages);
    let mut faults = Vec::new();
    for package in &packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            faults.push(format!("{} is new: say here what it may use", package.name));
            continue;
        };
        for name in package.dependencies.iter().map(|it| it.name.as_str()) {
            if members.contains(name) && !allowed.contains(&name) {
                faults.push(format!("{} may not depend on {name}", package.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_member_follows_the_lints_of_the_workspace() {
    let mut faults = Vec::new();
    for package in metadata().workspace_packages() {
        let text = std::fs::read_to_string(&package.manifest_path).expect("a manifest can be read");
        if !text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{} has no '[lints] workspace = true'", package.manifest_path));
        }
    }
    none(&faults);
}
