//! openraft's own suite for those who store its log.

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::tally::Tally;
use crate::entry::TypeConfig;
use crate::log::Log;
use crate::machine::Machine;

struct Builder;

impl StoreBuilder<TypeConfig<Tally>, Log<Tally>, Machine<Tally>, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Log<Tally>, Machine<Tally>), StorageError<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let parts = super::open(dir.path()).unwrap();
        Ok((dir, parts.log, parts.machine))
    }
}

#[test]
fn the_store_does_what_openraft_asks_of_one() {
    Suite::test_all(Builder).unwrap();
}
