//! Parts of a state to be shown.

use std::time::Duration;

use crate::engine::{
    BackendState, BackendStatus, DescriptorSlot, DescriptorStatus, HsdirStatus, ServiceStatus, UploadState,
};
use crate::relay::Fingerprint;

/// A service with three introduction points, without descriptors and backends.
pub(super) fn service(name: &str) -> ServiceStatus {
    ServiceStatus { service: name.into(), points: 3, stale_for: None, descriptors: vec![], backends: vec![] }
}

/// A descriptor that is stored at its one HSDir, and was published so many seconds ago.
pub(super) fn descriptor(period: u64, replica: u8, published_ago: Option<u64>) -> DescriptorStatus {
    let hsdir = HsdirStatus { hsdir: Fingerprint([1; 20]), state: UploadState::Stored, revision: Some(9) };
    DescriptorStatus {
        slot: DescriptorSlot { period, replica },
        published_ago: published_ago.map(Duration::from_secs),
        revision: Some(9),
        hsdirs: vec![hsdir],
    }
}

/// A living backend whose descriptor was received so many seconds ago.
pub(super) fn backend(name: &str, received_ago: Option<u64>) -> BackendStatus {
    let received_ago = received_ago.map(Duration::from_secs);
    BackendStatus {
        backend: name.into(),
        state: BackendState::Live,
        period: Some(7),
        revision: Some(5),
        published: None,
        received_ago,
        changed_ago: received_ago,
        points: 3,
        sources: vec![],
    }
}
