//! One descriptor on its way: composed, signed, looked at, posted.

use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::generation::{Generation, Order, SignError, Signed};
use crate::relay::Fingerprint;
use crate::signer::SharedSigner;

use super::wall_clock;

/// What the engine wants published.
pub(super) struct Publication<G: Generation> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) slot: DescriptorSlot,
    pub(super) order: Order<G>,
    pub(super) to: Vec<Fingerprint>,
}

impl<G: Generation> Publication<G> {
    /// Which descriptor of which service it is.
    pub(super) fn descriptor(&self) -> (ServiceId, DescriptorSlot) {
        (self.service.clone(), self.slot)
    }

    /// Has the descriptor signed when its turn comes.
    pub(super) async fn sign(&self, signer: &SharedSigner) -> Result<Signed, SignError> {
        let mut signer = signer.for_order().await;
        G::sign(&self.order, &mut signer, wall_clock()).await
    }
}
