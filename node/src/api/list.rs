//! Lists: what a site has of one kind, and the state that they were read from.

use protocol::site::Site;

use super::error::Error;
use super::shapes::List;
use crate::desk::Desk;

/// Reads a list from a state that is not behind what anybody was told.
pub(super) async fn list<T>(
    desk: &Desk,
    look: impl FnOnce(&Site) -> Vec<T>,
) -> Result<List<T>, Error> {
    desk.current().await?;
    let index = desk.watch().borrow().applied;
    Ok(List { index, items: desk.read(look) })
}
