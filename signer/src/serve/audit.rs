//! One log line for each request for signatures: the request, its peer, and the outcome.

use std::fmt::Display;
use std::time::Duration;

use data_encoding::HEXLOWER;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::OnionAddress as OnionAddressV2;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::{Refusal, Reply, v2, v3};
use rand_core::OsRng;
use sha2::{Digest, Sha256};

use super::listen::Peer;
use crate::service::Service;
use crate::v2::service::Service as ServiceV2;
use crate::v3::service::Service as ServiceV3;

/// A request for signatures, of either version.
pub trait FrontendRequest {
    /// A service of this version.
    type Service;

    /// The service as one of this version, if the request is for it.
    fn service<'a>(&self, service: &'a mut Service) -> Option<&'a mut Self::Service>;

    /// Judges the request at `now`, and signs. Returns the reply and its part of the audit line.
    fn sign(&self, service: &mut Self::Service, now: UnixTime) -> Result<(Reply, String), Refusal>;

    /// The request's part of the audit line.
    fn asked(&self) -> String;
}

impl FrontendRequest for v2::FrontendRequest {
    type Service = ServiceV2;

    fn service<'a>(&self, service: &'a mut Service) -> Option<&'a mut ServiceV2> {
        match service {
            Service::V2(held) if *held.address().permanent_id() == self.service => Some(held),
            _ => None,
        }
    }

    fn sign(&self, service: &mut ServiceV2, now: UnixTime) -> Result<(Reply, String), Refusal> {
        let signed = service.sign(self, now, &mut OsRng)?;
        let backends = list(service.backends_in(self).into_iter());
        let told = format!("backend_addresses={backends} sha256={}", sha256(&signed.text));
        Ok((Reply::FrontendV2(signed), told))
    }

    fn asked(&self) -> String {
        format!(
            "service={} period={} replica={} published={} backends={} points={} client_authorization={}",
            OnionAddressV2::from_permanent_id(self.service),
            self.period,
            self.replica,
            self.published.0,
            self.backends.len(),
            self.points.len(),
            self.client_authorization,
        )
    }
}

impl FrontendRequest for v3::FrontendRequest {
    type Service = ServiceV3;

    fn service<'a>(&self, service: &'a mut Service) -> Option<&'a mut ServiceV3> {
        match service {
            Service::V3(held) if *held.address().identity() == self.service => Some(held),
            _ => None,
        }
    }

    fn sign(&self, service: &mut ServiceV3, now: UnixTime) -> Result<(Reply, String), Refusal> {
        let signed = service.sign(self, now, &mut OsRng)?;
        let digests = list(signed.texts.iter().map(|text| sha256(text)));
        let told = format!("revision={} sha256={digests}", signed.revision);
        Ok((Reply::FrontendV3(signed), told))
    }

    fn asked(&self) -> String {
        format!(
            "service={} period={}/{} sets={} points={} backend_addresses={} revision_seen={}",
            name(self.service),
            self.period_number,
            self.period_length,
            self.sets.len(),
            self.points.len(),
            list(self.backends.iter().map(|proof| name(proof.identity))),
            self.revision_seen,
        )
    }
}

/// The line about a request that was signed, of which `told` is to say.
pub fn signed(request: &impl FrontendRequest, told: &str, peer: Peer, took: Duration) -> String {
    format!("signed {} {peer} us={} {told}", request.asked(), took.as_micros())
}

/// The line about a request that was refused.
pub fn refused(request: &impl FrontendRequest, refusal: Refusal, peer: Peer, took: Duration) -> String {
    let (asked, code, reason) = (request.asked(), u16::from(refusal), refusal.text());
    format!("refused {asked} {peer} us={} code={code} reason=\"{reason}\"", took.as_micros())
}

/// Items that are listed; a hostile request may have more than a line holds.
const MAX_LISTED: usize = 32;

/// Items with commas between, at most [`MAX_LISTED`], and how many there are more.
fn list(items: impl ExactSizeIterator<Item: Display>) -> String {
    let more = items.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<String> = items.take(MAX_LISTED).map(|item| item.to_string()).collect();
    if more > 0 {
        listed.push(format!("+{more}"));
    }
    listed.join(",")
}

fn sha256(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

/// The address; a key that makes none, since nobody has checked it yet, in hexadecimal.
fn name(identity: [u8; 32]) -> String {
    OnionAddress::from_identity(identity)
        .map_or_else(|_| HEXLOWER.encode(&identity), |address| address.to_string())
}
