//! In which order commands that wait go into entries.

use super::{Line, Queue};
use crate::entry::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};
use crate::tests::tally::{Count, FOREIGN, Tally};

/// Puts commands on the queues, one after the other; nobody answers them.
async fn put(queue: &'static Queue<Tally>, commands: Vec<Count>) {
    for command in commands {
        let waits = tokio::spawn(async move { queue.propose(&command, None).await });
        // On a runtime of one thread, it has gone as far as it can once the others had their turn.
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "nobody has answered");
    }
}

async fn next(line: &mut Line<Tally>) -> Vec<u64> {
    let gathered = line.gather().await.expect("somebody waits");
    let key = |it: &crate::entry::Proposal| it.command.decode::<Tally>().unwrap().keys[0];
    gathered.proposals.iter().map(key).collect()
}

fn queues() -> (&'static Queue<Tally>, Line<Tally>) {
    let (queue, line) = Queue::new();
    (Box::leak(Box::new(queue)), line)
}

fn counts(keys: impl Iterator<Item = u64>) -> Vec<Count> {
    keys.map(|key| Count::of(vec![key])).collect()
}

#[tokio::test]
async fn the_sites_own_work_goes_before_that_of_others() {
    let (queue, mut line) = queues();
    put(queue, counts(FOREIGN..FOREIGN + 3)).await;
    put(queue, counts(0..3)).await;
    assert_eq!(next(&mut line).await, [0, FOREIGN, 1, 2, FOREIGN + 1, FOREIGN + 2]);
}

#[tokio::test]
async fn however_busy_a_site_is_it_hears_its_peers() {
    let (queue, mut line) = queues();
    let full = BATCH_COMMANDS_MAX as u64;
    put(queue, counts(0..2 * full)).await;
    put(queue, counts(FOREIGN..FOREIGN + 2)).await;
    for expected in [FOREIGN, FOREIGN + 1] {
        let entry = next(&mut line).await;
        assert_eq!(entry.len(), BATCH_COMMANDS_MAX);
        let foreign: Vec<u64> = entry.into_iter().filter(|key| *key >= FOREIGN).collect();
        assert_eq!(foreign, [expected]);
    }
}

#[tokio::test]
async fn what_does_not_fit_begins_the_next_entry() {
    let (queue, mut line) = queues();
    let long = |key| Count { keys: vec![key], padding: vec![0; BATCH_BYTES_MAX / 2] };
    put(queue, vec![long(0), long(1), long(FOREIGN)]).await;
    assert_eq!(next(&mut line).await, [0]);
    assert_eq!(next(&mut line).await, [FOREIGN]);
    assert_eq!(next(&mut line).await, [1]);
}
