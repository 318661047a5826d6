//! A backend's descriptor: opened and verified here, because tor passes some on unchecked.

use std::sync::Arc;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CERT_LIFETIME_SECS, CertError, Certificate};
use onionbalance_proto::v3::document::inner::IntroductionPoint;
use onionbalance_proto::v3::document::{self, Descriptor, DocumentError, PeriodKeys};
use onionbalance_proto::v3::keys::{AuthKey, OnionKey};
use onionbalance_proto::v3::{FlowControl, LinkSpecifiers, OnionAddress, TimePeriod};
use onionbalance_proto::wire::{CertProof, ProvenPoint};

use crate::engine::{DescriptorCopy, Point};

/// An introduction point with the proof that it is its backend's own.
#[derive(Clone, Debug)]
pub struct BackendPoint {
    /// The point itself: 350 bytes, which the sets of all services that list it share.
    pub point: Arc<CertifiedPoint>,
    /// The statements of its descriptor about all points.
    pub backend: Arc<BackendClaims>,
}

/// An introduction point whose certificates were verified: as much of it as the signer has to be told.
#[derive(Clone, Debug)]
pub struct CertifiedPoint {
    link_specifiers: LinkSpecifiers,
    onion_key: OnionKey,
    id: PointId,
    auth_cert: CertProof,
    enc_cert: CertProof,
}

/// The identity of a point: its authentication key, and its encryption key as encoded.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PointId {
    auth_key: AuthKey,
    enc_key: [u8; 32],
}

/// The statements of a backend's descriptor besides its points.
#[derive(Clone, Debug)]
pub struct BackendClaims {
    /// The backend's onion address.
    pub address: OnionAddress,
    /// The period of its blinded key.
    pub period: TimePeriod,
    /// The certificate of its descriptor-signing key.
    pub signing_cert: Certificate,
    /// The backend's congestion control; `None` without one.
    pub flow_control: Option<FlowControl>,
    /// True if the backend gives up its own anonymity.
    pub single_onion: bool,
}

impl From<&IntroductionPoint> for PointId {
    fn from(point: &IntroductionPoint) -> Self {
        Self { auth_key: point.auth_key, enc_key: *point.enc_key.as_bytes() }
    }
}

impl From<IntroductionPoint> for CertifiedPoint {
    fn from(point: IntroductionPoint) -> Self {
        Self {
            id: (&point).into(),
            link_specifiers: point.link_specifiers,
            onion_key: point.onion_key,
            auth_cert: (&point.auth_cert).into(),
            enc_cert: (&point.enc_cert).into(),
        }
    }
}

impl CertifiedPoint {
    /// The point for a request to the signer, in which its backend has this index.
    pub fn proven(&self, backend: u8) -> ProvenPoint {
        ProvenPoint {
            backend,
            link_specifiers: self.link_specifiers.as_bytes().to_vec(),
            onion_key: *self.onion_key.as_bytes(),
            auth_key: *self.id.auth_key.as_bytes(),
            enc_key: self.id.enc_key,
            auth_cert: self.auth_cert,
            enc_cert: self.enc_cert,
        }
    }
}

impl Point for BackendPoint {
    type Id = PointId;

    // False in version 3: a failed point is not used again, but is found first at its relay (tor:
    // `handle_introduce_ack_bad`).
    const FAILED_IS_STRUCK_OFF: bool = false;

    fn id(&self) -> Self::Id {
        self.point.id
    }

    /// The relay that tor looks for (tor: `setup_intro_circ_auth_key`).
    fn relay(&self) -> Fingerprint {
        self.point.link_specifiers.rsa_identity()
    }
}

/// Opens the descriptor `text` of the backend at `address`. It should be of `period`, or of the period next
/// to it if tor has a newer or older consensus than we. Everything that can be verified at `now` is verified.
///
/// # Errors
/// The text is not a descriptor of the backend for these periods, or one of its certificates is not valid at
/// `now`.
pub fn open(
    address: &OnionAddress,
    period: TimePeriod,
    text: &str,
    now: UnixTime,
) -> Result<DescriptorCopy<BackendPoint>, DocumentError> {
    let mut failure = None;
    for period in [period, period.next(), period.previous()] {
        match document::open(text, &PeriodKeys::derive(address, period), now) {
            Ok(descriptor) if descriptor.inner.points.is_empty() => return Err(DocumentError::NoPoints),
            Ok(descriptor) => return Ok(copy(*address, period, descriptor, now)),
            // The blinded key is another one: of another period, or of another service.
            Err(error @ DocumentError::Cert(CertError::OtherKey)) => failure = failure.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or(DocumentError::Cert(CertError::OtherKey)))
}

fn copy(
    address: OnionAddress,
    period: TimePeriod,
    descriptor: Descriptor,
    now: UnixTime,
) -> DescriptorCopy<BackendPoint> {
    let Descriptor { signing_cert, revision, inner } = descriptor;
    // Each upload by tor has a new certificate, which therefore tells the time of the upload.
    // The certificate's hour is rounded up: the true time is up to an hour earlier. The error makes a backend
    // seem younger, so that a live one is never dropped for its age.
    let published = signing_cert.claim.expires.moment().minus(CERT_LIFETIME_SECS).min(now);
    let claims = BackendClaims {
        address,
        period,
        signing_cert,
        flow_control: inner.flow_control,
        single_onion: inner.single_onion,
    };
    let backend = Arc::new(claims);
    let point =
        |point| BackendPoint { point: Arc::new(CertifiedPoint::from(point)), backend: backend.clone() };
    // Not collected: that would go on with the allocation of the parsed points, which are 28 times as large.
    let mut points = Vec::with_capacity(inner.points.len());
    points.extend(inner.points.into_iter().map(point));
    DescriptorCopy { revision, published, period: period.number, points }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::fixture::{Backend, Published};
    use onionbalance_proto::v3::PeriodLength;
    use onionbalance_proto::v3::cert::{CertType, ExpiryHour};
    use rand_core::OsRng;

    use super::*;

    const NOW: UnixTime = UnixTime(1_795_336_111);

    fn period() -> TimePeriod {
        TimePeriod::at(NOW, PeriodLength::try_from(1440).unwrap(), 720)
    }

    fn open_at(
        published: &Published,
        period: TimePeriod,
    ) -> Result<DescriptorCopy<BackendPoint>, DocumentError> {
        open(&Backend::new(1).address(), period, &published.text(&mut OsRng), NOW)
    }

    fn published(points: usize) -> Published {
        Backend::new(1).publish(period(), NOW, points, &mut OsRng)
    }

    #[test]
    fn takes_this_period_and_those_next_to_it() {
        for expected in [period(), period().next(), period().previous()] {
            let copy = open_at(&published(3), expected).unwrap();
            assert_eq!((copy.period, copy.points.len()), (period().number, 3));
        }
        let error = open_at(&published(3), period().next().next()).unwrap_err();
        assert_eq!(error, CertError::OtherKey.into());
    }

    #[test]
    fn age_counts_from_the_certificate() {
        let copy = open_at(&published(3), period()).unwrap();
        assert!(NOW.since(copy.published) < 3600, "{:?}", copy.published);
        let mut old = published(3);
        let claim = old.descriptor.signing_cert.claim;
        let expires = ExpiryHour(claim.expires.0 - 5);
        let claim = onionbalance_proto::v3::cert::Claim { expires, ..claim };
        old.descriptor.signing_cert = Backend::new(1).certify_blinded(claim, period());
        let copy = open_at(&old, period()).unwrap();
        assert!((4 * 3600..=5 * 3600).contains(&NOW.since(copy.published)));
    }

    #[test]
    fn each_lie_is_found_out() {
        assert_eq!(open_at(&published(21), period()).unwrap_err(), DocumentError::TooManyPoints { most: 20 });
        assert_eq!(open_at(&published(0), period()).unwrap_err(), DocumentError::NoPoints);

        let foreign = Backend::new(2).publish(period(), NOW, 3, &mut OsRng);
        assert_eq!(open_at(&foreign, period()).unwrap_err(), CertError::OtherKey.into());

        let mut swapped = published(3);
        swapped.descriptor.inner.points[0].enc_key = published(1).descriptor.inner.points[0].enc_key;
        assert_eq!(open_at(&swapped, period()).unwrap_err(), CertError::OtherKey.into());

        let mut expired = published(3);
        let auth_key = *expired.descriptor.inner.points[0].auth_key.as_bytes();
        expired.descriptor.inner.points[0].auth_cert =
            expired.certify(CertType::AuthKey, auth_key, ExpiryHour::not_after(NOW));
        assert_eq!(open_at(&expired, period()).unwrap_err(), CertError::Expired.into());

        let mut zero = published(3);
        zero.descriptor.inner.points[0].auth_cert =
            zero.certify(CertType::AuthKey, [0; 32], ExpiryHour(u32::MAX));
        assert!(matches!(open_at(&zero, period()), Err(DocumentError::Key(_))));

        let text = published(3).text(&mut OsRng);
        let address = Backend::new(1).address();
        let open = |text: &str| open(&address, period(), text, NOW);
        assert_eq!(open(&"A".repeat(60_000)).unwrap_err(), DocumentError::Length(60_000));
        let truncated = text.replacen(
            "superencrypted\n-----BEGIN MESSAGE-----\n",
            "superencrypted\n-----BEGIN MESSAGE-----\nA",
            1,
        );
        assert!(matches!(open(&truncated), Err(DocumentError::Netdoc(_))));
        let forged = text.replacen("revision-counter 1\n", "revision-counter 2\n", 1);
        assert_eq!(open(&forged).unwrap_err(), DocumentError::Signature);
    }
}
