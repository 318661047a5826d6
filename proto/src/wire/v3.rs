//! Requests and replies about version-3 frontends.

use ed25519_dalek::Signature;
use serde::{Deserialize, Serialize};

use crate::v3::cert::{CertType, Certificate, Claim, ExpiryHour};
use crate::v3::document::inner::IntroductionPoint;
use crate::v3::{FlowControl, OnionAddress};

/// A request to render and sign all of a frontend's descriptors of one period.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FrontendRequest {
    /// The frontend's identity key.
    pub service: [u8; 32],
    /// The time period's length in minutes.
    pub period_length: u16,
    /// The time period's number.
    pub period_number: u64,
    /// The backends that the points belong to.
    pub backends: Vec<BackendProof>,
    /// The points of all sets, each once.
    pub points: Vec<ProvenPoint>,
    /// For each distinct descriptor the indices of its points in `points`.
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
    /// The number of the time period of its blinded key.
    pub period_number: u64,
    /// The descriptor-signing key that is certified.
    pub signing_key: [u8; 32],
    /// The certificate.
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
    /// The backend's index in [`FrontendRequest::backends`].
    pub backend: u8,
    /// The link specifiers, in their binary form.
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
/// certificate from both, so that it parses none.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct CertProof {
    /// The hour at which the certificate expires.
    pub expires: ExpiryHour,
    /// The signature.
    pub signature: Signature,
}

impl CertProof {
    /// The certificate with this expiry and signature, for the key `certified` by the key `signed_by`.
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

/// Signed descriptors.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignedFrontend {
    /// The revision counter that all of them share.
    pub revision: u64,
    /// One text for each set of the request, in its order.
    pub texts: Vec<String>,
}
