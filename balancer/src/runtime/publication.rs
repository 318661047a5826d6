//! One descriptor on its way: composed, signed, looked at, posted.

use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use tokio::sync::Mutex;

use crate::engine::PublicationId;
use crate::relay::Fingerprint;
use crate::signer::{SignerClient, SignerError};
use crate::tor::Connection;
use crate::tor::hsdir::HsPostError;
use crate::v3::backend::BackendPoint;
use crate::v3::frontend::{self, FrontendError};
use crate::v3::schedule::DescriptorTerm;

/// What the engine wants published.
pub(super) struct Publication {
    pub(super) id: PublicationId,
    pub(super) service: OnionAddress,
    pub(super) term: DescriptorTerm,
    pub(super) points: Vec<BackendPoint>,
    pub(super) to: Vec<Fingerprint>,
    pub(super) revision_seen: u64,
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
    Signer(#[from] SignerError),
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    #[error("the signer returned no descriptor")]
    NoText,
    #[error(transparent)]
    Post(#[from] HsPostError),
}

impl Publication {
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
        let request = frontend::compose(&self.service, &self.term, &self.points, self.revision_seen);
        let reply = signer.lock().await.sign(request).await?;
        let text = reply.texts.first().ok_or(Problem::NoText)?;
        frontend::check(text, &self.service, &self.term, &self.points, now)?;
        // One HSPOST for all HSDirs: tor leaks the descriptor's size with each.
        let posted = tor.hs_post(&self.service, &self.to, text).await?;
        Ok(Outcome::Posted { revision: reply.revision, unknown: posted.unknown })
    }
}
