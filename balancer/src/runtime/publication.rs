//! One publication on its way: composed, signed, looked at, posted.

use std::sync::Arc;

use onionbalance_proto::time::UnixTime;
use tokio::sync::Mutex;
use tracing::warn;

use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::generation::{Frontend, Generation, Order, SignError, Signed};
use crate::relay::Fingerprint;
use crate::signer::SignerClient;
use crate::tor::Connection;
use crate::tor::hsdir::HsPostError;

/// What the engine wants published.
pub(super) struct Publication<G: Generation> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) slot: DescriptorSlot,
    pub(super) source: Source<G>,
    /// To whom each text goes, and the number of its set.
    pub(super) posts: Vec<(usize, Vec<Fingerprint>)>,
}

/// Where the texts of a publication come from.
pub(super) enum Source<G: Generation> {
    /// They have to be signed, one for each post.
    Signer(Order<G>),
    /// They were signed before with this revision; one for each post.
    Kept { frontend: Arc<Frontend<G>>, revision: u64, texts: Vec<Arc<str>> },
}

/// What became of it.
pub(super) enum Outcome {
    /// Tor uploads it.
    Posted(Posted),
    /// Nothing was uploaded.
    NotPosted(String),
}

/// What tor took.
pub(super) struct Posted {
    pub(super) revision: u64,
    /// One for each post.
    pub(super) texts: Vec<Arc<str>>,
    /// The HSDirs that tor does not know.
    pub(super) unknown: Vec<Fingerprint>,
    /// The HSDirs of those posts that tor did not take.
    pub(super) failed: Vec<Fingerprint>,
}

/// Why nothing was uploaded.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Post(#[from] HsPostError),
}

impl<G: Generation> Publication<G> {
    /// The HSDirs that it goes to.
    pub(super) fn hsdirs(&self) -> Vec<Fingerprint> {
        self.posts.iter().flat_map(|(_, to)| to.iter().copied()).collect()
    }

    /// Has the texts signed at `now`, if that was not done before, and hands them to tor.
    pub(super) async fn carry_out(
        &self,
        signer: &Mutex<SignerClient>,
        tor: &Connection,
        now: UnixTime,
    ) -> Outcome {
        let posted = async {
            let (revision, texts) = self.texts(signer, now).await?;
            self.post(tor, revision, texts).await
        };
        match posted.await {
            Ok(posted) => Outcome::Posted(posted),
            Err(problem) => Outcome::NotPosted(problem.to_string()),
        }
    }

    async fn texts(
        &self,
        signer: &Mutex<SignerClient>,
        now: UnixTime,
    ) -> Result<(u64, Vec<Arc<str>>), Problem> {
        match &self.source {
            Source::Kept { revision, texts, .. } => Ok((*revision, texts.clone())),
            Source::Signer(order) => {
                let Signed { texts, revision } = G::sign(order, &mut *signer.lock().await, now).await?;
                Ok((revision, texts.into_iter().map(Arc::from).collect()))
            }
        }
    }

    /// One HSPOST for all HSDirs of a text: tor leaks the descriptor's size with each.
    async fn post(&self, tor: &Connection, revision: u64, texts: Vec<Arc<str>>) -> Result<Posted, Problem> {
        let frontend = match &self.source {
            Source::Signer(order) => &order.frontend,
            Source::Kept { frontend, .. } => frontend,
        };
        let address = G::hs_address(&frontend.address);
        let (mut unknown, mut failed, mut taken) = (Vec::new(), Vec::new(), 0);
        let mut problem = None;
        for ((_, to), text) in self.posts.iter().zip(&texts) {
            match tor.hs_post(address, to, text).await {
                Ok(posted) => {
                    unknown.extend(posted.unknown);
                    taken += 1;
                }
                Err(error) => {
                    failed.extend(to);
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(error) if taken == 0 => return Err(error.into()),
            Some(error) => {
                warn!(service = %frontend.address, hsdirs = failed.len(), "tor did not take a post: {error}");
            }
            None => {}
        }
        Ok(Posted { revision, texts, unknown, failed })
    }
}
