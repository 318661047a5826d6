//! A publication on its way: composed, signed, checked, posted.

use onionbalance_proto::relay::Fingerprint;

use crate::engine::{DescriptorSlot, PublicationId, ServiceId};
use crate::onion_version::{OnionVersion, Order, SignError, Signed};
use crate::signer::SharedSigner;

/// A publication with a new revision, which the signer determines.
pub(super) struct Publication<V: OnionVersion> {
    pub(super) id: PublicationId,
    pub(super) service: ServiceId,
    pub(super) slot: DescriptorSlot,
    pub(super) order: Order<V>,
    /// The numbers of the sets, each with the HSDirs that get it.
    pub(super) to: Vec<(usize, Vec<Fingerprint>)>,
}

impl<V: OnionVersion> Publication<V> {
    /// The service and the slot of the descriptor.
    pub(super) fn descriptor(&self) -> (ServiceId, DescriptorSlot) {
        (self.service.clone(), self.slot)
    }

    /// Has all sets signed; waits for its turn at the signer.
    pub(super) async fn sign(&self, signer: &SharedSigner) -> Result<Signed, SignError<V::FrontendError>> {
        let mut signer = signer.for_order().await;
        V::sign(&self.order, &mut signer, onionbalance_process::now()).await
    }
}
