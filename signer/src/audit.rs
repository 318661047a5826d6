//! One log line for each request for signatures: the request, its peer, and the outcome.

use std::fmt::Display;

use data_encoding::HEXLOWER;
use onionbalance_proto::v2::OnionAddress as OnionAddressV2;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::{Refusal, Request, v2, v3};
use sha2::{Digest, Sha256};

/// The part of the line that describes the request.
pub fn asked(request: &Request) -> String {
    match request {
        Request::Services { from } => format!("services from={from}"),
        Request::FrontendV2(request) => format!(
            "service={} period={} replica={} published={} backends={} points={} client_authorization={}",
            OnionAddressV2::from_permanent_id(request.service),
            request.period,
            request.replica,
            request.published.0,
            request.backends.len(),
            request.points.len(),
            request.client_authorization,
        ),
        Request::FrontendV3(request) => format!(
            "service={} period={}/{} sets={} points={} backend_addresses={} revision_seen={}",
            name(request.service),
            request.period_number,
            request.period_length,
            request.sets.len(),
            request.points.len(),
            list(request.backends.iter().map(|proof| name(proof.identity))),
            request.revision_seen,
        ),
    }
}

/// The outcome of a v2 request that was signed, with the descriptors of these backends in it.
pub fn outcome_v2(signed: &v2::SignedFrontend, backends: Vec<OnionAddressV2>) -> String {
    format!("backend_addresses={} sha256={}", list(backends.into_iter()), sha256(&signed.text))
}

/// The outcome of a v3 request that was signed.
pub fn outcome_v3(signed: &v3::SignedFrontend) -> String {
    format!("revision={} sha256={}", signed.revision, list(signed.texts.iter().map(sha256)))
}

/// The outcome of a request that was refused.
pub fn refused(refusal: Refusal) -> String {
    format!("code={} reason=\"{}\"", u16::from(refusal), refusal.text())
}

/// The most items of a list in a line: a hostile request may have more than a line holds.
const MAX_LISTED: usize = 32;

/// The first [`MAX_LISTED`] items with commas between them, then `+N` if N more follow.
fn list(items: impl ExactSizeIterator<Item: Display>) -> String {
    let more = items.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<String> = items.take(MAX_LISTED).map(|item| item.to_string()).collect();
    if more > 0 {
        listed.push(format!("+{more}"));
    }
    listed.join(",")
}

fn sha256(text: &String) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// The onion address of `identity`; in hexadecimal if the key, which is not checked yet, has no address.
fn name(identity: [u8; 32]) -> String {
    OnionAddress::from_identity(identity)
        .map_or_else(|_| HEXLOWER.encode(&identity), |address| address.to_string())
}
