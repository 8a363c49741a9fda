//! The order in which components are started: what waits for nothing goes first.

use std::collections::{BTreeMap, BTreeSet};

use super::name::ComponentName;

/// For each component, those that it waits for; every one of them is a key as well.
pub(super) type Edges<'a> = BTreeMap<&'a ComponentName, BTreeSet<&'a ComponentName>>;

/// The components in waves: those of one wave wait for nothing but earlier waves. What is on a
/// cycle or behind one is in none.
pub(super) fn waves(mut edges: Edges<'_>) -> Vec<Vec<&ComponentName>> {
    let mut waves = Vec::new();
    while let Some(wave) = take_free(&mut edges) {
        waves.push(wave);
    }
    waves
}

/// The cycles, no component in two of them: each component waits for the next one, the last for
/// the first, which is the smallest by name.
pub(super) fn cycles(mut edges: Edges<'_>) -> Vec<Vec<&ComponentName>> {
    let mut cycles = Vec::new();
    loop {
        while take_free(&mut edges).is_some() {}
        let Some(start) = edges.keys().next().copied() else { return cycles };
        let cycle = walk(&edges, start);
        for name in &cycle {
            remove(&mut edges, name);
        }
        cycles.push(cycle);
    }
}

/// Takes out those that wait for nothing any more; none, if there are none.
fn take_free<'a>(edges: &mut Edges<'a>) -> Option<Vec<&'a ComponentName>> {
    let free: Vec<_> =
        edges.iter().filter(|(_, after)| after.is_empty()).map(|(name, _)| *name).collect();
    for name in &free {
        remove(edges, name);
    }
    (!free.is_empty()).then_some(free)
}

fn remove(edges: &mut Edges<'_>, name: &ComponentName) {
    edges.remove(name);
    for after in edges.values_mut() {
        after.remove(name);
    }
}

/// Follows the edges until a component comes up again. Every one waits for another here, so that
/// the walk ends in a cycle.
fn walk<'a>(edges: &Edges<'a>, start: &'a ComponentName) -> Vec<&'a ComponentName> {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        let next = edges
            .get(last)
            .and_then(|after| after.first())
            .copied()
            .expect("what waits for nothing has been taken out");
        if let Some(first) = path.iter().position(|name| *name == next) {
            let mut cycle = path.split_off(first);
            let smallest = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
            cycle.rotate_left(smallest);
            return cycle;
        }
        path.push(next);
    }
}
