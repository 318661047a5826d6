//! Requests and replies about version-3 frontends.
//!
//! A request has the parts of the backends' certificates instead of their descriptors. Each point is proven
//! by a chain from its backend's address, which the signer knows from its own configuration:
//!
//! ```text
//! backend's address, period --> blinded key
//!     blinded key       --BackendProof::cert, type 08------> BackendProof::signing_key
//!     signing_key       --ProvenPoint::auth_cert, type 09--> ProvenPoint::auth_key
//!     signing_key       --ProvenPoint::enc_cert, type 0B---> ProvenPoint::enc_key in its ed25519 form
//! ```
//!
//! The signer certifies both keys of each point again, with the frontend's descriptor-signing key.
//!
//! ```
//! use onionbalance_proto::time::UnixTime;
//! use onionbalance_proto::v3::document::{PeriodKeys, open};
//! use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
//! use onionbalance_proto::wire::{BackendProof, FrontendRequest, ProvenPoint, Request, frame};
//!
//! let frontend: OnionAddress = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion".parse()?;
//! let backend: OnionAddress = "th4zxt6h4k7tcv2jwe7y3rid42pptskjmofdmt2tnwzd2n4gsotrjoid.onion".parse()?;
//! let now = UnixTime(1_795_336_050);
//! let period = TimePeriod::at(now, PeriodLength::try_from(8)?, 4);
//! let text = std::fs::read_to_string("testdata/v3/backend0.desc")?;
//! let descriptor = open(&text, &PeriodKeys::derive(&backend, period), now)?;
//!
//! // One descriptor with the three points of one backend.
//! let request = FrontendRequest {
//!     service: *frontend.identity(),
//!     period_length: period.length.into(),
//!     period_number: period.number,
//!     backends: vec![BackendProof::new(&backend, period.number, &descriptor.signing_cert)],
//!     points: descriptor.inner.points.iter().map(|point| ProvenPoint::new(0, point)).collect(),
//!     sets: vec![vec![0, 1, 2]],
//!     flow_control: descriptor.inner.flow_control,
//!     single_onion: false,
//!     revision_seen: 0,
//! };
//! // The descriptor has 14 kB; its parts that prove the points have a tenth of that.
//! assert!(frame::encode(&Request::FrontendV3(request))?.len() < text.len() / 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use ed25519_dalek::Signature;
use serde::{Deserialize, Serialize};

use crate::v3::cert::{CertType, Certificate, Claim, ExpiryHour};
use crate::v3::document::inner::IntroductionPoint;
use crate::v3::{FlowControl, OnionAddress};

/// A request to render and sign all of a frontend's descriptors of one period.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FrontendRequest {
    /// The frontend's identity key, 32 bytes.
    pub service: [u8; 32],
    /// The time period's length in minutes, 5 to 14400.
    pub period_length: u16,
    /// The time period's number: see [`TimePeriod`](crate::v3::TimePeriod).
    pub period_number: u64,
    /// The backends that the points belong to, no more than there are points.
    pub backends: Vec<BackendProof>,
    /// The points of all sets, each once: at most 160, eight sets of 20.
    pub points: Vec<ProvenPoint>,
    /// For each distinct descriptor the indices of its points in `points`: 1 to 8 sets of 1 to 20 points.
    pub sets: Vec<Vec<u8>>,
    /// The `flow-control` line; `None`: the descriptors have none.
    pub flow_control: Option<FlowControl>,
    /// True: the descriptors have the line `single-onion-service`.
    pub single_onion: bool,
    /// The revision counter that the signer has to exceed: the highest for this service and period that it
    /// gave before, or that an HSDir is known or assumed to hold; 0 if there is none. The signer counts no
    /// further than to the value that its counter has an hour later.
    pub revision_seen: u64,
}

/// A backend's type-08 certificate: its blinded key certifies its descriptor-signing key.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BackendProof {
    /// The backend's identity key.
    pub identity: [u8; 32],
    /// The number of the time period of its blinded key, of the frontend's length: the frontend's period or
    /// one next to it.
    pub period_number: u64,
    /// The descriptor-signing key that is certified.
    pub signing_key: [u8; 32],
    /// The expiry and the signature of the certificate.
    pub cert: CertProof,
}

impl BackendProof {
    /// The proof that `certificate` gives for the backend at `address` in the period of this number.
    pub fn new(address: &OnionAddress, period_number: u64, certificate: &Certificate) -> Self {
        let signing_key = certificate.claim.certified;
        Self { identity: *address.identity(), period_number, signing_key, cert: certificate.into() }
    }
}

/// An introduction point with its backend's certificates.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ProvenPoint {
    /// The backend's index in [`FrontendRequest::backends`], from 0.
    pub backend: u8,
    /// The link specifiers, in their binary form: see [`LinkSpecifiers`](crate::v3::LinkSpecifiers).
    pub link_specifiers: Vec<u8>,
    /// The relay's ntor onion key. Like the link specifiers it is covered by no certificate.
    pub onion_key: [u8; 32],
    /// The point's authentication key.
    pub auth_key: [u8; 32],
    /// The service's encryption key.
    pub enc_key: [u8; 32],
    /// The type-09 certificate of the authentication key.
    pub auth_cert: CertProof,
    /// The type-0B certificate of the encryption key.
    pub enc_cert: CertProof,
}

impl ProvenPoint {
    /// The point as the descriptor of the backend with this index lists it.
    pub fn new(backend: u8, point: &IntroductionPoint) -> Self {
        Self {
            backend,
            link_specifiers: point.link_specifiers.as_bytes().to_vec(),
            onion_key: *point.onion_key.as_bytes(),
            auth_key: *point.auth_key.as_bytes(),
            enc_key: *point.enc_key.as_bytes(),
            auth_cert: (&point.auth_cert).into(),
            enc_cert: (&point.enc_cert).into(),
        }
    }
}

/// The parts of a certificate besides the keys, which the request has anyway. The signer rebuilds the
/// certificate from both, so that it parses none. 68 bytes instead of 140.
///
/// ```
/// use ed25519_dalek::{Signer, SigningKey};
/// use onionbalance_proto::v3::cert::{CertType, Certificate, Claim, ExpiryHour};
/// use onionbalance_proto::wire::CertProof;
///
/// let key = SigningKey::from_bytes(&[1; 32]);
/// let (expires, signed_by) = (ExpiryHour(498_000), key.verifying_key().to_bytes());
/// let claim = Claim { kind: CertType::AuthKey, expires, certified: [7; 32], signed_by };
/// let cert = Certificate { claim, signature: key.sign(&claim.signed_bytes()) };
///
/// let proof = CertProof::from(&cert);
/// assert_eq!(proof.certificate(CertType::AuthKey, [7; 32], signed_by), cert);
/// ```
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct CertProof {
    /// The hour at which the certificate expires.
    pub expires: ExpiryHour,
    /// The signature, 64 bytes, by a key that the request names elsewhere.
    pub signature: Signature,
}

impl CertProof {
    /// The certificate with this expiry and signature, for the key `certified` by the key `signed_by`. It is
    /// not verified: a proof with other keys makes a certificate with a wrong signature.
    pub fn certificate(&self, kind: CertType, certified: [u8; 32], signed_by: [u8; 32]) -> Certificate {
        let claim = Claim { kind, expires: self.expires, certified, signed_by };
        Certificate { claim, signature: self.signature }
    }
}

impl From<&Certificate> for CertProof {
    fn from(certificate: &Certificate) -> Self {
        Self { expires: certificate.claim.expires, signature: certificate.signature }
    }
}

/// Signed descriptors of one frontend and one period.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignedFrontend {
    /// The revision counter that all of them share.
    pub revision: u64,
    /// One text for each set of the request, in its order: less than 50 000 bytes each.
    pub texts: Vec<String>,
}
