//! The engine's notices as log lines.

use tracing::{info, warn};

use crate::engine::{DescriptorSlot, Gone, Notice};

/// Logs a notice. `replicas` is whether they are different documents, which have to be told apart.
pub(super) fn log(notice: &Notice, replicas: bool) {
    let replica = |slot: &DescriptorSlot| replicas.then_some(slot.replica);
    match notice {
        Notice::BackendFound { backend, points } => info!(%backend, points, "found backend"),
        Notice::BackendChanged { backend, points } => {
            info!(%backend, points, "backend has other introduction points");
        }
        Notice::BackendNotFound { backend } => {
            warn!(%backend, "no HSDir has a descriptor of this backend: is its tor running and connected?");
        }
        Notice::BackendGone { backend, why: Gone::TooOld } => {
            warn!(%backend, "dropped backend: it has not published for hours; is its tor running?");
        }
        Notice::BackendGone { backend, why: Gone::NotFound } => {
            warn!(%backend, "dropped backend: no HSDir has its descriptor any more; is its tor running?");
        }
        Notice::BackendInvalid { backend, source, reason } => {
            warn!(%backend, hsdir = %source, "skipped a descriptor of this backend: {reason}");
        }
        Notice::DescriptorComplete { service, slot, hsdirs, after } => {
            info!(%service, period = slot.period, replica = replica(slot), hsdirs, after_ms = after.as_millis(), "published descriptor");
        }
        Notice::HsdirRefuses { service, slot, hsdir, reason } => {
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir refuses the descriptor: {reason}; mostly it holds a higher revision, which is now looked up");
        }
        Notice::HsdirsSilent { service, slot, hsdirs } => {
            let hsdirs: Vec<_> = hsdirs.iter().map(ToString::to_string).collect();
            warn!(%service, period = slot.period, replica = replica(slot), hsdirs = hsdirs.join(","), "HSDirs did not answer an upload of the descriptor; trying again");
        }
        Notice::HsdirHasNone { service, slot, hsdir } => {
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir said that it had stored the descriptor and does not have it; trying again");
        }
        Notice::HsdirHasOther { service, slot, hsdir, later: false } => {
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir has another descriptor of the service than the one it said it had stored; trying again: does another balancer publish it, with other backends?");
        }
        Notice::HsdirHasOther { service, slot, hsdir, later: true } => {
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir has a descriptor of the service with a later publication time, which it keeps until then; trying again: does another balancer publish it, with a clock that is ahead?");
        }
        Notice::NotPosted { service, slot, problem } => {
            warn!(%service, period = slot.period, replica = replica(slot), "descriptor not published: {problem}; trying again");
        }
        Notice::NothingToPublish { service } => {
            warn!(%service, "nothing to publish yet: no backend was found");
        }
        Notice::KeepingLastSet { service } => {
            warn!(%service, "all backends are gone: the last introduction points stay published for now");
        }
        Notice::LastSetDropped { service } => {
            warn!(%service, "all backends have been gone for too long: the service is not published any more");
        }
    }
}
