//! Which thing a person means: by name, by id, or by a part of the id.

use super::error::Error;
use crate::api::shapes::agreement::Agreement;
use crate::api::shapes::host::Host;
use crate::api::shapes::image::Image;
use crate::api::shapes::key::Key;
use crate::api::shapes::machine::Machine;
use crate::api::shapes::network::Network;
use crate::api::shapes::peer::Peer;
use crate::api::shapes::service::{Stage, Summary};

/// The fewest characters of an id that may stand for it.
const PART_MIN: usize = 4;

/// A thing that people name.
pub(super) trait Named {
    /// What it is called in messages.
    const KIND: &'static str;

    /// Its id.
    fn id(&self) -> &str;

    /// Its name.
    fn name(&self) -> &str;

    /// Whether it only can still be seen: a living thing of the same name comes first.
    fn is_over(&self) -> bool {
        false
    }
}

/// The thing that is meant: by its id, by its name, and only then by a part of its id. Of things
/// that are over and had the name, it is the latest: ids begin with the time.
pub(super) fn find<T: Named + Clone>(things: &[T], meant: &str) -> Result<T, Error> {
    let only = |is_meant: &dyn Fn(&T) -> bool| {
        let mut hits = things.iter().filter(|thing| is_meant(thing));
        match (hits.next(), hits.count()) {
            (first, 0) => Ok(first.cloned()),
            (_, more) => {
                let (kind, name) = (T::KIND, meant.to_owned());
                Err(Error::Ambiguous { kind, name, count: more + 1 })
            }
        }
    };
    if let Some(found) = only(&|thing| thing.id() == meant)? {
        return Ok(found);
    }
    if let Some(found) = only(&|thing| thing.name() == meant && !thing.is_over())? {
        return Ok(found);
    }
    let had_name = things.iter().filter(|thing| thing.name() == meant);
    if let Some(found) = had_name.max_by(|one, other| one.id().cmp(other.id())) {
        return Ok(found.clone());
    }
    let is_part = |id: &str| id.starts_with(meant) || id.ends_with(meant);
    let by_part = only(&|thing| meant.len() >= PART_MIN && is_part(thing.id()))?;
    by_part.ok_or_else(|| Error::NotFound { kind: T::KIND, name: meant.to_owned() })
}

impl Named for Machine {
    const KIND: &'static str = "machine";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_over(&self) -> bool {
        self.ended.is_some()
    }
}

impl Named for Summary {
    const KIND: &'static str = "service";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ending | Stage::Ended)
    }
}

impl Named for Image {
    const KIND: &'static str = "image";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Key {
    const KIND: &'static str = "key";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Host {
    const KIND: &'static str = "host";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Network {
    const KIND: &'static str = "network";

    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Agreement {
    const KIND: &'static str = "agreement";

    fn id(&self) -> &str {
        &self.id
    }

    /// Its machine, of which only one agreement stands.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.machine)
    }

    fn is_over(&self) -> bool {
        self.ended.is_some()
    }
}

impl Named for Peer {
    const KIND: &'static str = "peer";

    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or("")
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }
}
