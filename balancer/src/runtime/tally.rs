//! The counts of fetches, uploads and signatures by their results, and of what the line of a day tells, since
//! the start of the process.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::durations::{Durations, PROBE_BOUNDS, PUBLICATION_BOUNDS, SIGNATURE_BOUNDS};
use super::notice::Words;
use super::signing::Answer;
use crate::engine::{BackendId, DescriptorSlot, FetchOutcome, Notice, ServiceId};
use crate::network::{Probed, Verdict};
use crate::onion_version::{OnionVersion, SignError};
use crate::signer::SignerError;

/// The most descriptors of a service at a time: two replicas in each of two time periods (version 2).
const MOST_SLOTS: usize = 4;

/// The counts of one runtime.
#[derive(Debug, Default)]
pub(super) struct Tally {
    signatures: Signatures,
    uploads: HashMap<ServiceId, Uploads>,
    publications: HashMap<ServiceId, Publications>,
    /// The sizes of each service's last descriptors, the latest last.
    sizes: HashMap<ServiceId, VecDeque<(DescriptorSlot, usize)>>,
    fetches: HashMap<BackendId, Fetches>,
    probes: HashMap<BackendId, Probes>,
    activities: HashMap<ServiceId, Activity>,
    /// The warnings about each backend.
    faults: HashMap<BackendId, u64>,
}

/// The publications and warnings of a service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Activity {
    /// Descriptors that were handed to tor.
    pub published: u64,
    /// Warnings about the service, or about one of its backends.
    pub faults: u64,
}

/// The times from the choice of a service's introduction points until a descriptor with them is at all its
/// HSDirs.
pub type Publications = Durations<{ PUBLICATION_BOUNDS.len() }>;

/// The signer's answers to publications.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signatures {
    /// Publications that it signed.
    pub signed: u64,
    /// Publications that it refused by one of its rules.
    pub refused: u64,
    /// Publications for which it did not answer, or whose descriptor clients could not use.
    pub failed: u64,
    /// The times that these took, without the waits for the signer's turn.
    pub took: Durations<{ SIGNATURE_BOUNDS.len() }>,
}

/// The uploads of a service's descriptors, one for each HSDir.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Uploads {
    /// Uploads that were handed to tor. Those that are in no other count are under way, or got no answer.
    pub begun: u64,
    /// Uploads that the HSDir acknowledged.
    pub acknowledged: u64,
    /// Uploads that the HSDir refused.
    pub refused: u64,
    /// Uploads that did not reach the HSDir.
    pub failed: u64,
}

/// The fetches of a backend's descriptor, one for each HSDir.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fetches {
    /// Fetches that were handed to tor. Those that are in no other count are under way, or got no answer.
    pub begun: u64,
    /// Fetches of a valid descriptor.
    pub copy: u64,
    /// Fetches from an HSDir that has none.
    pub not_found: u64,
    /// Fetches that did not reach the HSDir.
    pub failed: u64,
    /// Fetches of a text that is not a valid descriptor.
    pub invalid: u64,
}

/// The probes of a backend.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Probes {
    /// The number of probes with each result, by the name of [`Probed::label`].
    pub results: BTreeMap<&'static str, u64>,
    /// The times that those which succeeded took.
    pub took: Durations<{ PROBE_BOUNDS.len() }>,
}

impl Tally {
    /// Counts an answer of the signer.
    pub(super) fn signature<V: OnionVersion>(&mut self, answer: &Answer<V>) {
        let signatures = &mut self.signatures;
        *match &answer.outcome {
            Ok(_) => &mut signatures.signed,
            Err(SignError::Signer(SignerError::Refused(_))) => &mut signatures.refused,
            Err(SignError::Signer(_) | SignError::Frontend(_)) => &mut signatures.failed,
        } += 1;
        signatures.took.count(&SIGNATURE_BOUNDS, answer.took);
    }

    /// The signer's answers.
    pub(super) fn signatures(&self) -> Signatures {
        self.signatures
    }

    /// Notes that a descriptor was signed, and its largest text has this number of bytes.
    pub(super) fn signed(&mut self, service: &ServiceId, slot: DescriptorSlot, bytes: usize) {
        let sizes = self.sizes.entry(service.clone()).or_default();
        sizes.retain(|(known, _)| *known != slot);
        if sizes.len() >= MOST_SLOTS {
            sizes.pop_front();
        }
        sizes.push_back((slot, bytes));
    }

    /// The size of a descriptor's largest text in bytes; `None` before it was signed.
    pub(super) fn size_of(&self, service: &ServiceId, slot: DescriptorSlot) -> Option<usize> {
        let (_, bytes) = self.sizes.get(service)?.iter().find(|(known, _)| *known == slot)?;
        Some(*bytes)
    }

    /// Counts uploads to this number of HSDirs.
    pub(super) fn uploads(&mut self, service: &ServiceId, hsdirs: usize) {
        // A number of HSDirs fits.
        self.of_service(service).begun += hsdirs as u64;
    }

    /// Counts the answer to an upload.
    pub(super) fn uploaded(&mut self, service: &ServiceId, verdict: &Verdict) {
        let uploads = self.of_service(service);
        *match verdict {
            Verdict::Stored | Verdict::Unclear => &mut uploads.acknowledged,
            Verdict::Refused(_) => &mut uploads.refused,
            Verdict::Failed | Verdict::Unknown => &mut uploads.failed,
        } += 1;
    }

    /// Counts a descriptor that is handed to tor.
    pub(super) fn published(&mut self, service: &ServiceId) {
        self.activity(service).published += 1;
    }

    /// Counts a descriptor that is at all its HSDirs if the notice is of that, and a warning if its words are
    /// one.
    pub(super) fn notice(&mut self, notice: &Notice, words: &Words) {
        if let Notice::DescriptorComplete { service, after, .. } = notice {
            self.publications.entry(service.clone()).or_default().count(&PUBLICATION_BOUNDS, *after);
        }
        match (&words.backend, &words.service) {
            _ if !words.is_warning => {}
            (Some(backend), _) => *self.faults.entry(backend.clone()).or_default() += 1,
            (None, Some(service)) => self.activity(service).faults += 1,
            (None, None) => {}
        }
    }

    /// Counts a fetch.
    pub(super) fn fetch(&mut self, backend: &BackendId) {
        self.of_backend(backend).begun += 1;
    }

    /// Counts the answer to a fetch.
    pub(super) fn fetched<P>(&mut self, backend: &BackendId, outcome: &FetchOutcome<P>) {
        let fetches = self.of_backend(backend);
        *match outcome {
            FetchOutcome::Copy(_) => &mut fetches.copy,
            FetchOutcome::NotFound => &mut fetches.not_found,
            FetchOutcome::Failed => &mut fetches.failed,
            FetchOutcome::Invalid(_) => &mut fetches.invalid,
        } += 1;
    }

    /// Counts the end of a probe.
    pub(super) fn probed(&mut self, backend: &BackendId, probed: &Probed) {
        let known = self.probes.entry(backend.clone()).or_default();
        *known.results.entry(probed.label()).or_default() += 1;
        if let Probed::Succeeded(took) = probed {
            known.took.count(&PROBE_BOUNDS, *took);
        }
    }

    /// Forgets services and backends that are no longer configured.
    pub(super) fn retain(
        &mut self,
        service: impl Fn(&ServiceId) -> bool,
        backend: impl Fn(&BackendId) -> bool,
    ) {
        self.uploads.retain(|id, _| service(id));
        self.publications.retain(|id, _| service(id));
        self.sizes.retain(|id, _| service(id));
        self.fetches.retain(|id, _| backend(id));
        self.probes.retain(|id, _| backend(id));
        self.activities.retain(|id, _| service(id));
        self.faults.retain(|id, _| backend(id));
    }

    /// The uploads of a service.
    pub(super) fn uploads_of(&self, service: &ServiceId) -> Uploads {
        self.uploads.get(service).copied().unwrap_or_default()
    }

    /// The publications of a service.
    pub(super) fn publications_of(&self, service: &ServiceId) -> Publications {
        self.publications.get(service).copied().unwrap_or_default()
    }

    /// The fetches of a backend.
    pub(super) fn fetches_of(&self, backend: &BackendId) -> Fetches {
        self.fetches.get(backend).copied().unwrap_or_default()
    }

    /// The probes of a backend.
    pub(super) fn probes_of(&self, backend: &BackendId) -> Probes {
        self.probes.get(backend).cloned().unwrap_or_default()
    }

    /// The activity of a service with these backends.
    pub(super) fn activity_of<'a>(
        &self,
        service: &ServiceId,
        backends: impl Iterator<Item = &'a BackendId>,
    ) -> Activity {
        let own = self.activities.get(service).copied().unwrap_or_default();
        let of_backends: u64 = backends.filter_map(|backend| self.faults.get(backend)).sum();
        Activity { faults: own.faults + of_backends, ..own }
    }

    fn activity(&mut self, service: &ServiceId) -> &mut Activity {
        self.activities.entry(service.clone()).or_default()
    }

    fn of_service(&mut self, service: &ServiceId) -> &mut Uploads {
        self.uploads.entry(service.clone()).or_default()
    }

    fn of_backend(&mut self, backend: &BackendId) -> &mut Fetches {
        self.fetches.entry(backend.clone()).or_default()
    }
}
