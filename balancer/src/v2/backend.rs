//! A backend's descriptor: opened and verified here, because tor checks nothing of an encrypted one.

use std::sync::Arc;

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::document::{self, DocumentError};
use onionbalance_proto::v2::{OnionAddress, PointKey, TimePeriod};

use crate::engine::{DescriptorCopy, Point};

/// An introduction point with everything that the signer demands of it. No certificate covers a point, only
/// its backend's whole descriptor.
#[derive(Clone, Debug)]
pub struct BackendPoint {
    /// The introduction point itself.
    pub point: IntroductionPoint,
    /// The index of the point in the descriptor.
    pub index: u8,
    /// The descriptor that lists the point.
    pub backend: Arc<BackendDescriptor>,
}

/// A descriptor as its backend signed it.
#[derive(Debug)]
pub struct BackendDescriptor {
    /// The backend's onion address.
    pub address: OnionAddress,
    /// The signed text.
    pub text: String,
}

impl Point for BackendPoint {
    type Id = (Fingerprint, PointKey);

    // True in version 2 (tor: `rend_client_report_intro_point_failure`).
    const FAILED_IS_STRUCK_OFF: bool = true;

    /// The service key: a backend that restarts may choose the same relay again, with another key.
    fn id(&self) -> Self::Id {
        (self.relay(), self.point.service_key)
    }

    /// The relay that tor looks for (tor: `find_rp_for_intro`).
    fn relay(&self) -> Fingerprint {
        self.point.relay
    }
}

/// Opens the descriptor `text` of `backend`. It should be of `period`, or of the period next to it if tor's
/// clock differs from ours. Everything that can be verified at `now` is verified.
///
/// # Errors
/// The text is not the backend's descriptor of these periods, or was published in the future.
pub fn open(
    backend: &InstanceV2,
    period: TimePeriod,
    text: &str,
    now: UnixTime,
) -> Result<DescriptorCopy<BackendPoint>, BackendError> {
    let periods = [period, period.next(), period.previous()];
    let descriptor = document::open(text, &backend.address, &periods, backend.auth.as_ref())?;
    if descriptor.published > now.plus(MAX_AHEAD) {
        return Err(BackendError::Ahead(descriptor.published));
    }
    let signed = Arc::new(BackendDescriptor { address: backend.address, text: text.to_owned() });
    let point = |(index, point)| BackendPoint { point, index, backend: Arc::clone(&signed) };
    Ok(DescriptorCopy {
        // The publication time is all that orders two descriptors of a period, to the hour.
        revision: descriptor.published.0,
        published: descriptor.published,
        period: descriptor.period.0.into(),
        // A descriptor has ten points at most.
        points: (0..=u8::MAX).zip(descriptor.points).map(point).collect(),
    })
}

/// The reason for which a text is not the backend's present descriptor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The text is not a descriptor of the backend, or cannot be opened.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The publication time is in the future: later descriptors would count as older until then.
    #[error(
        "descriptor was published at {0}, which is ahead of this machine's clock: is one of the clocks wrong?"
    )]
    Ahead(UnixTime),
}

/// The longest time by which two clocks may differ, in seconds.
const MAX_AHEAD: u64 = 3600;

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::v2::Backend;
    use onionbalance_proto::v2::document::{Descriptor, Readers};
    use onionbalance_proto::v2::layer::LayerError;
    use onionbalance_proto::v2::{AuthType, Cookie};
    use rand_core::OsRng;

    use super::*;

    const NOW: UnixTime = UnixTime(1_795_336_111);
    const KEY: &str = include_str!("../../../proto/testdata/v2/pem-plain.key");

    fn backend() -> Backend {
        Backend::from_pem(KEY)
    }

    fn instance(auth: Option<Cookie>) -> InstanceV2 {
        InstanceV2 { auth, ..InstanceV2::new(backend().address()) }
    }

    fn period() -> TimePeriod {
        TimePeriod::at(NOW, &backend().address())
    }

    fn published(points: usize) -> Descriptor {
        backend().publish(NOW, points, &mut OsRng)
    }

    fn text(descriptor: &Descriptor) -> String {
        backend().text(descriptor, Readers::Everyone, &mut OsRng)
    }

    fn open_at(text: &str, period: TimePeriod) -> Result<DescriptorCopy<BackendPoint>, BackendError> {
        open(&instance(None), period, text, NOW)
    }

    #[test]
    fn takes_this_period_and_those_next_to_it() {
        let text = text(&published(3));
        for expected in [period(), period().next(), period().previous()] {
            let copy = open_at(&text, expected).unwrap();
            assert_eq!((copy.period, copy.points.len()), (period().0.into(), 3));
            assert_eq!(copy.revision, NOW.0 - NOW.0 % 3600);
            assert_eq!(copy.published.0, copy.revision);
            let indices: Vec<u8> = copy.points.iter().map(|point| point.index).collect();
            assert_eq!(indices, [0, 1, 2]);
        }
        let error = open_at(&text, period().next().next()).unwrap_err();
        assert_eq!(error, DocumentError::Period.into());
    }

    #[test]
    fn a_new_key_at_the_same_relay_is_another_point_at_the_same_place() {
        let before = published(1);
        let mut after = published(1);
        after.points[0].relay = before.points[0].relay;
        let [before, after] =
            [before, after].map(|it| open_at(&text(&it), period()).unwrap().points.remove(0));
        assert_eq!(before.relay(), after.relay());
        assert_ne!(before.id(), after.id());
    }

    #[test]
    fn opens_with_the_cookie_only() {
        let cookies = [1, 2].map(|byte| Cookie::new([byte; 16], AuthType::Basic));
        let text = backend().text(&published(2), Readers::Basic(&cookies), &mut OsRng);
        let open = |auth| open(&instance(auth), period(), &text, NOW);
        assert_eq!(open(Some(cookies[1].clone())).unwrap().points.len(), 2);
        assert_eq!(open(None).unwrap_err(), DocumentError::Layer(LayerError::NoCookie).into());
        let other = Cookie::new([3; 16], AuthType::Basic);
        assert_eq!(open(Some(other)).unwrap_err(), DocumentError::Layer(LayerError::Cookie).into());
    }

    #[test]
    fn each_lie_is_found_out() {
        let foreign = Backend::generate(&mut OsRng);
        let foreign_text = foreign.text(&foreign.publish(NOW, 1, &mut OsRng), Readers::Everyone, &mut OsRng);
        assert_eq!(
            open_at(&foreign_text, period()).unwrap_err(),
            DocumentError::OtherService(foreign.address()).into()
        );
        let honest = text(&published(2));
        assert_eq!(
            open_at(&(honest.clone() + &honest), period()).unwrap_err(),
            DocumentError::AfterSignature.into()
        );
        let forged = honest.replacen("protocol-versions 2,3", "protocol-versions 2,4", 1);
        assert_eq!(open_at(&forged, period()).unwrap_err(), DocumentError::Signature.into());
        assert_eq!(open_at(&"A".repeat(30_000), period()).unwrap_err(), DocumentError::Length(30_000).into());
        let mut ahead = published(1);
        ahead.published = ahead.published.plus(3 * 3600);
        assert_eq!(open_at(&text(&ahead), period()).unwrap_err(), BackendError::Ahead(ahead.published));
    }
}
