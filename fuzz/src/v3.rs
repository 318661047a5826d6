//! Version 3: a frontend, its backend, and the backend's descriptor layer by layer.

use std::sync::LazyLock;

use data_encoding::BASE64_NOPAD;
use ed25519_dalek::Signer;
use onionbalance_proto::fixture::{self, Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::document::PeriodKeys;
use onionbalance_proto::v3::document::middle::ClientLines;
use onionbalance_proto::v3::document::outer::Unsigned;
use onionbalance_proto::v3::layer::{Layer, LayerContext};
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::FrontendRequest;
use onionbalance_signer::v3::secret::IdentitySecret;

use crate::{NOW, rng};

/// The seed of the frontend's secret, as in a PKCS#8 file.
const FRONTEND_SEED: [u8; 32] = [7; 32];

/// The backend's descriptor, with two introduction points.
pub static PUBLISHED: LazyLock<Published> = LazyLock::new(|| published(NOW));

/// The period keys of this descriptor.
pub static KEYS: LazyLock<PeriodKeys> =
    LazyLock::new(|| PeriodKeys::derive(&PUBLISHED.address, PUBLISHED.period));

/// The backend's publication at `now`.
pub fn published(now: UnixTime) -> Published {
    let length = PeriodLength::try_from(1440).expect("a usual length");
    Backend::new(1).publish(TimePeriod::at(now, length, 720), now, 2, &mut rng(1))
}

/// The frontend's secret.
pub fn frontend() -> IdentitySecret {
    IdentitySecret::from_seed(&FRONTEND_SEED).expect("a key of our own")
}

/// An honest balancer's request for the backend's publication.
pub fn request(frontend: &OnionAddress, published: &Published) -> FrontendRequest {
    fixture::request(frontend, published.period, std::slice::from_ref(published))
}

/// The descriptor with this innermost layer.
pub fn around_inner(inner: &[u8]) -> String {
    around_middle(middle(inner).as_bytes())
}

/// The middle layer around an innermost one.
pub fn middle(inner: &[u8]) -> String {
    ClientLines::made_up(&mut rng(2)).encode(&Layer::Inner.encrypt(&layers(), [1; 16], inner))
}

/// The descriptor with this middle layer.
pub fn around_middle(middle: &[u8]) -> String {
    let superencrypted = Layer::Middle.encrypt(&layers(), [2; 16], middle);
    let unsigned =
        Unsigned::new(&PUBLISHED.descriptor.signing_cert, PUBLISHED.descriptor.revision, &superencrypted);
    let signature = PUBLISHED.signing.sign(&unsigned.signed_bytes());
    unsigned.finish(&signature)
}

/// `text`, followed by the descriptor-signing key's signature.
pub fn signed(text: &str) -> String {
    let signature =
        PUBLISHED.signing.sign(&[b"Tor onion service descriptor sig v3", text.as_bytes()].concat());
    format!("{text}signature {}\n", BASE64_NOPAD.encode(&signature.to_bytes()))
}

fn layers() -> LayerContext {
    LayerContext {
        blinded: KEYS.blinded,
        subcredential: KEYS.subcredential,
        revision: PUBLISHED.descriptor.revision,
    }
}
