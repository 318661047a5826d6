//! The HSDirs of a descriptor. They are few, and most events concern all of them: a list costs less than a map.

use onionbalance_proto::relay::Fingerprint;

use super::super::upload::Upload;

/// HSDirs in the order of their fingerprints, each with its upload.
pub(super) struct Hsdirs(Vec<(Fingerprint, Upload)>);

impl Hsdirs {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, fingerprint: &Fingerprint) -> Option<&mut Upload> {
        self.iter_mut().find(|(known, _)| *known == fingerprint).map(|(_, upload)| upload)
    }

    /// Adds an HSDir if it is not there.
    pub(super) fn add(&mut self, fingerprint: Fingerprint, upload: impl FnOnce() -> Upload) {
        if let Err(place) = self.0.binary_search_by_key(&fingerprint, |(known, _)| *known) {
            self.0.insert(place, (fingerprint, upload()));
        }
    }

    /// Removes the HSDirs that do not pass.
    pub(super) fn retain(&mut self, passes: impl Fn(&Fingerprint) -> bool) {
        self.0.retain(|(fingerprint, _)| passes(fingerprint));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Fingerprint> {
        self.iter().map(|(fingerprint, _)| fingerprint)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Upload> {
        self.iter().map(|(_, upload)| upload)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Upload> {
        self.iter_mut().map(|(_, upload)| upload)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Fingerprint, &Upload)> {
        self.0.iter().map(|(fingerprint, upload)| (fingerprint, upload))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Fingerprint, &mut Upload)> {
        self.0.iter_mut().map(|(fingerprint, upload)| (&*fingerprint, upload))
    }
}
