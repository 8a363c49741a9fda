//! Keeps certificates in force: this node's own, and what is known of peers'.
//!
//! A node's certificate is renewed at half of its life, and before the site honours it no more: the
//! node asks whoever has the root key. It is on disk before it is used, and used before the site is
//! told; so the site never counts on one that the node might not have.
//!
//! What peers say that they still honour is heard at the gate of any node. It is in force there at
//! once, and at the others as soon as it is in the state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::identity::{CertificateError, NodeCertificate, Scope};
use protocol::ids::SiteId;
use protocol::membership::Standing;
use protocol::membership::serials::Presented;
use protocol::site::{Command, Outcome};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::root::Silent;
use crate::desk::Desk;
use crate::keys;
use crate::observe::{chain, now};

/// How often it is looked whether a certificate is due, if nothing has changed, and so how often the
/// root key is looked for: an operator who brings it back for a moment waits that long.
const LOOK: Duration = Duration::from_secs(10);

/// How long a warning is not repeated.
const WARN_AGAIN: Duration = Duration::from_secs(3_600);

/// A certificate cannot be renewed now.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error("the certificate that was issued does not hold here")]
    Certificate(#[source] CertificateError),
    #[error("the certificate that was issued is another site's, or no newer one")]
    Useless,
    #[error("the certificate cannot be kept")]
    Keys(#[source] keys::Error),
    #[error("the bus does not take the certificate")]
    Bus(#[source] federation::Error),
}

/// What peers were heard to honour, as lowest serials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    lowest: Arc<Mutex<BTreeMap<SiteId, u64>>>,
    news: Arc<Notify>,
}

const HEARD: &str = "nothing that holds the map panics";

impl Heard {
    /// Takes note of what a node of an admitted site has said.
    pub(crate) fn note(&self, site: SiteId, lowest: u64) {
        let mut known = self.lowest.lock().expect(HEARD);
        let heard = known.entry(site).or_default();
        if lowest > *heard {
            *heard = lowest;
            self.news.notify_one();
        }
    }

    fn of(&self, site: SiteId) -> u64 {
        self.lowest.lock().expect(HEARD).get(&site).copied().unwrap_or_default()
    }

    fn all(&self) -> BTreeMap<SiteId, u64> {
        self.lowest.lock().expect(HEARD).clone()
    }

    /// Forgets what the state has.
    fn retain(&self, open: impl Fn(SiteId, u64) -> bool) {
        self.lowest.lock().expect(HEARD).retain(|site, lowest| open(*site, *lowest));
    }
}

impl Desk {
    /// The lowest serial of another site's certificates that it still honours, as far as any node of
    /// this site has heard and the state has it, or this one has heard just now. Of its own site's
    /// nodes a node knows by their keys which of them were taken out.
    pub(crate) fn honoured(&self, site: SiteId) -> u64 {
        let known = self.read(|state| state.peer(site).map_or(0, |peer| peer.honoured));
        known.max(self.heard().of(site))
    }
}

/// Keeps certificates until `closing` turns true.
pub(crate) async fn run(desk: Desk, mut closing: watch::Receiver<bool>) {
    let mut progress = desk.watch();
    let news = Arc::clone(&desk.heard().news);
    let mut own = Own { desk: desk.clone(), failed: None, warned: None };
    while !*closing.borrow() {
        progress.borrow_and_update();
        settle_heard(&desk).await;
        own.look().await;
        let woken = async {
            tokio::select! {
                _ = progress.changed() => {}
                () = news.notified() => {}
                _ = closing.changed() => {}
            }
        };
        // Not being woken is an answer too.
        let _ = timeout(LOOK, woken).await;
    }
}

/// Brings into the state what was heard.
async fn settle_heard(desk: &Desk) {
    // Nothing is kept of who is no peer any more: it is not admitted either.
    desk.heard().retain(|site, lowest| {
        desk.read(|state| state.peer(site).is_some_and(|peer| peer.honoured < lowest))
    });
    for (peer, lowest) in desk.heard().all() {
        info!(%peer, lowest, "a peer has revoked certificates");
        if let Err(fault) = desk.propose(Command::Honours { peer, lowest }).await {
            debug!(%peer, fault = chain(&fault), "what was heard has to wait");
        }
    }
}

/// This node's own certificate.
struct Own {
    desk: Desk,
    failed: Option<Instant>,
    warned: Option<Instant>,
}

impl Own {
    async fn look(&mut self) {
        let me = self.desk.node();
        let known = self.desk.read(|site| {
            let row = site.node(me).filter(|row| row.standing != Standing::Leaving)?;
            Some((row.certificate, site.serials().revoked()))
        });
        // Nobody speaks for a node that leaves, or is not known yet.
        let Some((known, revoked)) = known else { return };
        let mut presented = self.desk.signer().presented();
        let is_time = self.failed.is_none_or(|at| at.elapsed() >= LOOK);
        // A directory that was restored has an older one than the site was told of.
        let is_old = known.is_some_and(|known| known.serial > presented.serial);
        if (is_old || presented.is_due(revoked, now())) && is_time {
            match renew(&self.desk).await {
                Ok(renewed) => {
                    info!(serial = renewed.serial, "this node's certificate is renewed");
                    (presented, self.failed) = (renewed, None);
                }
                Err(fault) => {
                    self.failed = Some(Instant::now());
                    self.tell(presented, &fault);
                }
            }
        }
        if known.is_none_or(|known| known.serial < presented.serial) {
            self.say(presented).await;
        }
    }

    /// Warns of a certificate that cannot be renewed, now and then.
    fn tell(&mut self, presented: Presented, fault: &Error) {
        if self.warned.is_some_and(|at| at.elapsed() < WARN_AGAIN) {
            return;
        }
        self.warned = Some(Instant::now());
        let days = presented.not_after.since(now()).as_millis() / 86_400_000;
        warn!(
            days,
            fault = chain(fault),
            "this node's certificate has to be renewed, and cannot be"
        );
    }

    /// Says which certificate this node presents.
    async fn say(&self, certificate: Presented) {
        let node = self.desk.node();
        match self.desk.propose(Command::Presents { node, certificate }).await {
            Ok(Outcome::Refused(refusal)) => debug!(%refusal, "the site knows of no such node"),
            Ok(_) => {}
            Err(fault) => debug!(fault = chain(&fault), "the site could not be told"),
        }
    }
}

/// Has the root key speak for this node's key again, and uses its word from now on.
async fn renew(desk: &Desk) -> Result<Presented, Error> {
    let holder = desk.find_root().await?;
    let certificate: NodeCertificate = desk.certify(holder, desk.node()).await?;
    let signer = desk.signer();
    let site = certificate.check_presented(signer.key.public(), Scope::Speak, now());
    let renewed = Presented::from(certificate.certificate());
    if site.map_err(Error::Certificate)? != signer.site
        || renewed.serial <= signer.presented().serial
    {
        return Err(Error::Useless);
    }
    desk.root().keep(&certificate).map_err(Error::Keys)?;
    signer.renew(certificate.clone());
    desk.peers().present(certificate).await.map_err(Error::Bus)?;
    Ok(renewed)
}
