//! The engine's notices as log lines.

use tracing::{info, warn};

use crate::engine::{Gone, Notice};

pub(super) fn log(notice: &Notice) {
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
        Notice::BackendInvalid { backend, hsdir, reason } => {
            warn!(%backend, %hsdir, "skipped a descriptor of this backend: {reason}");
        }
        Notice::DescriptorComplete { service, slot, hsdirs, after } => {
            info!(%service, period = slot.period, hsdirs, after_ms = after.as_millis(), "published descriptor");
        }
        Notice::HsdirRefuses { service, slot, hsdir, reason } => {
            warn!(%service, period = slot.period, %hsdir, "HSDir refuses the descriptor: {reason}; mostly it holds a higher revision, which is now looked up");
        }
        Notice::NotPosted { service, slot, problem } => {
            warn!(%service, period = slot.period, "descriptor not published: {problem}; trying again");
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
