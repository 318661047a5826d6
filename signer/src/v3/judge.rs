//! May this version 3 frontend be signed? A pure function of the request, the allowed backends and the time.
//!
//! The approved request is built of parsed keys alone and holds only what was proven, so the renderer cannot
//! get anything else. Link specifiers and the relay's onion key are covered by no certificate, and are
//! checked for their form: a wrong relay can deny service, but cannot open what is encrypted to a backend's
//! key.

use std::collections::HashSet;

use ed25519_dalek::VerifyingKey;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CertError, CertType};
use onionbalance_proto::v3::document::MAX_POINTS;
use onionbalance_proto::v3::keys::{AuthKey, DescriptorSigningKey, EncKey, OnionKey};
use onionbalance_proto::v3::{
    BlindedKey, FlowControl, LinkSpecifiers, OnionAddress, PeriodLength, TimePeriod,
};
use onionbalance_proto::wire::{BackendProof, FrontendRequest, ProvenPoint, Refusal};

/// The most sets of a request. A frontend has two replicas of four HSDirs each, which need no more distinct
/// descriptors.
pub const MAX_SETS: usize = 8;
/// The largest usual offset at which a period begins, in minutes. It depends on the voting interval, which
/// the signer does not know: 12 hours on the public network, half a period on testing networks (tor:
/// `hs_get_time_period_num`).
const LARGEST_USUAL_OFFSET_MINUTES: u64 = 720;
/// The greatest age of a usable consensus, in seconds: it is used for a day after its end (tor:
/// `REASONABLY_LIVE_TIME`), which is three voting intervals of at most an hour after its beginning. So is the
/// period that it names.
const OLDEST_CONSENSUS_SECS: u64 = 27 * 3600;

/// A request that may be signed.
#[derive(Debug)]
pub struct Approved {
    /// The period to sign for.
    pub period: TimePeriod,
    /// The highest revision that the balancer saw elsewhere.
    pub revision_seen: u64,
    /// The proven points.
    pub points: Vec<ApprovedPoint>,
    /// For each descriptor the indices of its points in `points`.
    pub sets: Vec<Vec<u8>>,
    /// The `flow-control` line; `None` to leave it out.
    pub flow_control: Option<FlowControl>,
    /// True to write the line `single-onion-service`.
    pub single_onion: bool,
}

/// A point that was proven to be a configured backend's own.
#[derive(Clone, Debug)]
pub struct ApprovedPoint {
    /// The addresses and keys by which its relay is reached.
    pub link_specifiers: LinkSpecifiers,
    /// The relay's onion key.
    pub onion_key: OnionKey,
    /// The point's authentication key, certified by the backend.
    pub auth_key: AuthKey,
    /// The point's encryption key, certified by the backend.
    pub enc_key: EncKey,
}

/// Judges a request for the service whose allowed backends are `backends`.
///
/// # Errors
/// The rule that the request breaks.
pub fn judge(
    request: &FrontendRequest,
    backends: &[OnionAddress],
    now: UnixTime,
) -> Result<Approved, Refusal> {
    let period = judge_period(request, now)?;
    judge_sets(request)?;
    if request.flow_control.is_some_and(|flow_control| !flow_control.is_well_formed()) {
        return Err(Refusal::FlowControl);
    }
    let signers = request
        .backends
        .iter()
        .map(|proof| judge_backend(proof, period, backends, now))
        .collect::<Result<Vec<VerifyingKey>, Refusal>>()?;
    let points = request
        .points
        .iter()
        .map(|point| judge_point(point, &signers, now))
        .collect::<Result<Vec<_>, Refusal>>()?;
    Ok(Approved {
        period,
        revision_seen: request.revision_seen,
        points,
        sets: request.sets.clone(),
        flow_control: request.flow_control,
        single_onion: request.single_onion,
    })
}

fn judge_period(request: &FrontendRequest, now: UnixTime) -> Result<TimePeriod, Refusal> {
    let length = PeriodLength::try_from(request.period_length).map_err(|_| Refusal::PeriodLength)?;
    let period = TimePeriod { length, number: request.period_number };
    if is_published(period, now) { Ok(period) } else { Err(Refusal::Period) }
}

/// True if an honest publisher may publish a descriptor of this period at `now`. The time begins when the
/// period may be the next one, and ends when no late consensus names it any more.
pub fn is_published(period: TimePeriod, now: UnixTime) -> bool {
    let length = period.length;
    // The offset is at most a period: the period that has begun by an offset of 0 is the present one or the
    // next.
    let latest = TimePeriod::at(now, length, 0).next();
    // Descriptors of the past mislead no client: a late consensus is given its day.
    let earliest_now = now.minus(OLDEST_CONSENSUS_SECS);
    let earliest =
        TimePeriod::at(earliest_now, length, LARGEST_USUAL_OFFSET_MINUTES.max(length.minutes())).previous();
    (earliest.number..=latest.number).contains(&period.number)
}

fn judge_sets(request: &FrontendRequest) -> Result<(), Refusal> {
    if request.sets.is_empty() {
        return Err(Refusal::NoSets);
    }
    if request.sets.len() > MAX_SETS {
        return Err(Refusal::TooManySets);
    }
    if request.points.len() > MAX_SETS * MAX_POINTS || request.backends.len() > request.points.len() {
        return Err(Refusal::TooManyPoints);
    }
    for set in &request.sets {
        if set.is_empty() {
            return Err(Refusal::EmptySet);
        }
        if set.len() > MAX_POINTS {
            return Err(Refusal::SetTooLarge);
        }
        // A point is identified by its authentication key: a relay has one circuit for each.
        let mut keys = HashSet::new();
        for member in set {
            let point = request.points.get(usize::from(*member)).ok_or(Refusal::SetMember)?;
            if !keys.insert(point.auth_key) {
                return Err(Refusal::SetMember);
            }
        }
    }
    Ok(())
}

/// The descriptor-signing key that a configured backend certified.
fn judge_backend(
    proof: &BackendProof,
    period: TimePeriod,
    allowed: &[OnionAddress],
    now: UnixTime,
) -> Result<VerifyingKey, Refusal> {
    let backend = allowed
        .iter()
        .find(|address| *address.identity() == proof.identity)
        .ok_or(Refusal::UnknownBackend)?;
    if proof.period_number.abs_diff(period.number) > 1 {
        return Err(Refusal::BackendPeriod);
    }
    let blinded = BlindedKey::derive(backend, TimePeriod { number: proof.period_number, ..period });
    let signing_key = DescriptorSigningKey::try_from(proof.signing_key).map_err(|_| Refusal::BackendCert)?;
    proof
        .cert
        .certificate(CertType::DescriptorSigning, proof.signing_key, *blinded.as_bytes())
        .verify(&proof.signing_key, blinded.verifying_key(), now)
        .map_err(|error| refuse(error, Refusal::BackendCert, Refusal::BackendCertExpired))?;
    Ok(*signing_key.verifying_key())
}

fn judge_point(
    point: &ProvenPoint,
    signers: &[VerifyingKey],
    now: UnixTime,
) -> Result<ApprovedPoint, Refusal> {
    let signer = signers.get(usize::from(point.backend)).ok_or(Refusal::UnknownBackend)?;
    let approved = ApprovedPoint {
        link_specifiers: LinkSpecifiers::try_from(point.link_specifiers.clone())
            .map_err(|_| Refusal::LinkSpecifiers)?,
        onion_key: OnionKey::try_from(point.onion_key).map_err(|_| Refusal::OnionKey)?,
        auth_key: AuthKey::try_from(point.auth_key).map_err(|_| Refusal::AuthKey)?,
        enc_key: EncKey::try_from(point.enc_key).map_err(|_| Refusal::EncKey)?,
    };
    point
        .auth_cert
        .certificate(CertType::AuthKey, point.auth_key, signer.to_bytes())
        .verify(&point.auth_key, signer, now)
        .map_err(|error| refuse(error, Refusal::AuthCert, Refusal::AuthCertExpired))?;
    // Tor's clients never compare the `enc-key` line with its certificate (tor: `decode_introduction_point`).
    // An attacker whose own key is in that line would be the service. The certificate is therefore rebuilt
    // from the line's key.
    let certified = approved.enc_key.to_ed25519();
    point
        .enc_cert
        .certificate(CertType::EncKey, certified, signer.to_bytes())
        .verify(&certified, signer, now)
        .map_err(|error| refuse(error, Refusal::EncCert, Refusal::EncCertExpired))?;
    Ok(approved)
}

fn refuse(error: CertError, wrong: Refusal, expired: Refusal) -> Refusal {
    if error == CertError::Expired { expired } else { wrong }
}

#[cfg(test)]
mod tests;
