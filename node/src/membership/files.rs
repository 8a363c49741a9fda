//! Files of images, fetched from whichever node of the site has them.
//!
//! A file is registered at one node, and a machine that starts from it may be placed at any, also
//! when that one is lost. So every node fetches what the catalogue names as soon as it can, and a
//! host that still lacks a file fetches it whole before it makes the machine. The file is named by
//! its hash: what arrives is what was wanted, or it is not kept.

use std::time::Duration;

use federation::stream::Duplex;
use protocol::codec;
use protocol::ids::NodeId;
use protocol::images::{Blob, Image};
use protocol::wire::v1::StreamHeader;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info};

use crate::desk::Desk;
use crate::observe::chain;

/// The pause between two looks at the catalogue: the state changes often, and images seldom.
const PACE: Duration = Duration::from_millis(500);

/// How long a file that no node could give is left before the nodes are asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What has come of fetching an image's files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Brought {
    /// All of them are here.
    All,
    /// One is at no node of the site.
    Nowhere,
    /// One is not here, and some node could not be asked.
    Later,
}

/// Keeps the files of all images of the catalogue at this node, until `closing` turns true.
pub(crate) async fn keep(desk: Desk, mut closing: watch::Receiver<bool>) {
    tokio::select! {
        () = keep_all(&desk) => {}
        // A file that is under way is fetched anew at the next start.
        _ = closing.wait_for(|closes| *closes) => {}
    }
}

async fn keep_all(desk: &Desk) {
    let mut progress = desk.watch();
    loop {
        progress.borrow_and_update();
        let images: Vec<Image> =
            desk.read(|site| site.images().map(|(_, row)| row.image.clone()).collect());
        let mut lacking = false;
        for image in &images {
            lacking |= bring(desk, image).await != Brought::All;
        }
        if lacking {
            sleep(AGAIN).await;
        } else {
            sleep(PACE).await;
            if progress.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Brings the files of an image to this node, one machine's at a time, so that several machines of
/// one image do not fetch it several times.
pub(crate) async fn bring(desk: &Desk, image: &Image) -> Brought {
    let files = match image {
        Image::Disk { blob, .. } => vec![*blob],
        Image::Kernel { kernel, initrd, .. } => vec![*kernel, *initrd],
    };
    if files.iter().all(|blob| desk.blobs().holds(*blob)) {
        return Brought::All;
    }
    let _turn = desk.fetching().lock().await;
    for blob in files {
        if desk.blobs().holds(blob) {
            continue;
        }
        match fetch(desk, blob).await {
            Brought::All => {}
            failed @ (Brought::Nowhere | Brought::Later) => return failed,
        }
    }
    Brought::All
}

async fn fetch(desk: &Desk, blob: Blob) -> Brought {
    let mut unasked = false;
    for (node, key) in desk.directory().all().into_iter().filter(|(node, _)| *node != desk.node()) {
        let header = codec::encode(&StreamHeader::Blob { id: blob.id });
        match desk.peers().open_node(key, header).await {
            Ok(stream) => match receive(desk, blob, stream, node).await {
                Received::Whole => return Brought::All,
                Received::Broken => unasked = true,
                Received::NotThere => {}
            },
            Err(fault) => {
                debug!(%node, fault = chain(&fault), "a node cannot be asked for a file");
                unasked = true;
            }
        }
    }
    if unasked { Brought::Later } else { Brought::Nowhere }
}

enum Received {
    Whole,
    Broken,
    NotThere,
}

async fn receive(desk: &Desk, blob: Blob, stream: Duplex, from: NodeId) -> Received {
    match desk.blobs().receive_named(blob, stream).await {
        Ok(()) => {
            info!(node = %from, blob = %blob.id, bytes = blob.length, "a file has been fetched");
            Received::Whole
        }
        Err(crate::blobs::Error::Empty) => Received::NotThere,
        Err(fault) => {
            debug!(node = %from, fault = chain(&fault), "a file did not arrive");
            Received::Broken
        }
    }
}

/// Gives a file to another node of the site; nothing, if it is not here.
pub(crate) async fn give(desk: &Desk, id: protocol::ids::BlobId, mut stream: Duplex) {
    // Whoever wants the file sees from its hash whether it has come whole.
    if let Ok(mut file) = tokio::fs::File::open(desk.blobs().path(id)).await {
        let _ = tokio::io::copy(&mut file, &mut stream).await;
    }
    let _ = stream.shutdown().await;
}
