//! One line for each answer: what was asked, by whom, and what came of it.

use std::fmt;
use std::time::Duration;

use data_encoding::HEXLOWER;
use onionbalance_proto::v2::OnionAddress as OnionAddressV2;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::{Refusal, v2, v3};
use sha2::{Digest, Sha256};

/// Who asks, by the kernel's word (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Process id.
    pub pid: i32,
    /// User id.
    pub uid: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer_pid={} peer_uid={}", self.pid, self.uid)
    }
}

/// The line about a v2 frontend that was asked for.
pub fn frontend_v2(
    request: &v2::FrontendRequest,
    outcome: &Result<v2::SignedFrontend, Refusal>,
    peer: Peer,
    took: Duration,
) -> String {
    let asked = format!(
        "service={} period={} replica={} published={} backends={} points={} client_authorization={} {peer} us={}",
        OnionAddressV2::from_permanent_id(request.service),
        request.period,
        request.replica,
        request.published.0,
        request.backends.len(),
        request.points.len(),
        request.client_authorization,
        took.as_micros(),
    );
    match outcome {
        Ok(signed) => format!("signed {asked} sha256={}", sha256(&signed.text)),
        Err(refusal) => refused(&asked, *refusal),
    }
}

/// The line about a v3 frontend that was asked for.
pub fn frontend_v3(
    request: &v3::FrontendRequest,
    outcome: &Result<v3::SignedFrontend, Refusal>,
    peer: Peer,
    took: Duration,
) -> String {
    let asked = format!(
        "service={} period={}/{} sets={} points={} {peer} us={}",
        service_name(request.service),
        request.period_number,
        request.period_length,
        request.sets.len(),
        request.points.len(),
        took.as_micros(),
    );
    match outcome {
        Ok(signed) => {
            let digests: Vec<String> = signed.texts.iter().map(|text| sha256(text)).collect();
            format!("signed {asked} revision={} sha256={}", signed.revision, digests.join(","))
        }
        Err(refusal) => refused(&asked, *refusal),
    }
}

fn refused(asked: &str, refusal: Refusal) -> String {
    format!("refused {asked} code={} reason=\"{}\"", u16::from(refusal), refusal.text())
}

fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// The address; a key that makes none, since nobody has checked it yet, in hexadecimal.
fn service_name(identity: [u8; 32]) -> String {
    OnionAddress::from_identity(identity)
        .map_or_else(|_| HEXLOWER.encode(&identity), |address| address.to_string())
}
