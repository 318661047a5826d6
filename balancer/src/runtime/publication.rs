//! One descriptor on its way: composed, signed, looked at, posted.

use onionbalance_proto::time::UnixTime;
use tokio::sync::Mutex;

use crate::engine::{PublicationId, ServiceId};
use crate::generation::{Generation, Order, SignError};
use crate::relay::Fingerprint;
use crate::signer::SignerClient;
use crate::tor::Connection;
use crate::tor::hsdir::HsPostError;

/// What the engine wants published.
pub(super) struct Publication<G: Generation> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) order: Order<G>,
    pub(super) to: Vec<Fingerprint>,
}

/// What became of it.
pub(super) enum Outcome {
    /// Tor uploads it.
    Posted { revision: u64, unknown: Vec<Fingerprint> },
    /// Nothing was uploaded.
    NotPosted(String),
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
    /// Has the descriptor signed at `now` and hands it to tor.
    pub(super) async fn carry_out(
        &self,
        signer: &Mutex<SignerClient>,
        tor: &Connection,
        now: UnixTime,
    ) -> Outcome {
        match self.post(signer, tor, now).await {
            Ok(posted) => posted,
            Err(problem) => Outcome::NotPosted(problem.to_string()),
        }
    }

    async fn post(
        &self,
        signer: &Mutex<SignerClient>,
        tor: &Connection,
        now: UnixTime,
    ) -> Result<Outcome, Problem> {
        let descriptor = G::sign(&self.order, &mut *signer.lock().await, now).await?;
        // One HSPOST for all HSDirs: tor leaks the descriptor's size with each.
        let address = G::hs_address(&self.order.frontend.address);
        let posted = tor.hs_post(address, &self.to, &descriptor.text).await?;
        Ok(Outcome::Posted { revision: descriptor.revision, unknown: posted.unknown })
    }
}
