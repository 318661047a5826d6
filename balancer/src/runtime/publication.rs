//! A publication on its way: composed, signed, checked, posted.

use onionbalance_proto::relay::Fingerprint;

use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::generation::{Generation, Order, SignError, Signed};
use crate::signer::SharedSigner;

/// A publication with a new revision, which the signer determines.
pub(super) struct Publication<G: Generation> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) slot: DescriptorSlot,
    pub(super) order: Order<G>,
    /// The numbers of the sets, each with the HSDirs that get it.
    pub(super) to: Vec<(usize, Vec<Fingerprint>)>,
}

impl<G: Generation> Publication<G> {
    /// The service and the slot of the descriptor.
    pub(super) fn descriptor(&self) -> (ServiceId, DescriptorSlot) {
        (self.service.clone(), self.slot)
    }

    /// Has all sets signed; waits for its turn at the signer.
    pub(super) async fn sign(&self, signer: &SharedSigner) -> Result<Signed, SignError<G::FrontendError>> {
        let mut signer = signer.for_order().await;
        G::sign(&self.order, &mut signer, onionbalance_process::now()).await
    }
}
