//! The engine's notices in words, for the log and for the status.

use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use tracing::field::display;
use tracing::{info, warn};

use super::behind::Behind;
use crate::age::Age;
use crate::engine::{BackendId, DescriptorSlot, Gone, HealthNotice, Notice, ServiceId};
use crate::names::{Introductions, Names};
use crate::repeats::Occurrence;

/// A notice in words.
#[derive(Clone, Debug)]
pub struct Words {
    /// The kind of notice, which keeps its name: for instance `BACKEND_FOUND`.
    pub id: &'static str,
    /// True if something did not work, or if an operator should act.
    pub is_warning: bool,
    /// The service; `None` if it is about none, or about all.
    pub service: Option<ServiceId>,
    /// The backend; `None` if it is about none.
    pub backend: Option<BackendId>,
    /// One sentence, without a full stop. It need not have the names of the service and the backend.
    pub text: String,
    details: Details,
}

/// The fields of a log line that are neither text nor names.
#[derive(Clone, Debug, Default)]
struct Details {
    /// True if the text has the name of the backend.
    is_named: bool,
    slot: Option<DescriptorSlot>,
    points: Option<usize>,
    /// An HSDir, or the source that tor chose.
    hsdir: Option<String>,
    /// The number of HSDirs, or their fingerprints.
    hsdirs: Option<String>,
    after: Option<Duration>,
    repeating: Repeating,
    /// True if the reason is that the signer does not answer.
    is_of_signer: bool,
}

/// The relation to earlier notices.
#[derive(Clone, Copy, Debug, Default)]
enum Repeating {
    /// It is news.
    #[default]
    None,
    /// It may repeat an earlier one of this topic.
    Of(&'static str),
    /// It is the end of this topic, for its service or its backend.
    Ends(&'static str),
}

impl Words {
    /// A notice in words, by these names.
    pub fn of(notice: &Notice, names: &Names) -> Self {
        match notice {
            Notice::BackendFound { backend, points, after } => Self::found(backend, *points, *after, names),
            Notice::BackendBack { backend, points, after } => {
                let text = format!("backend {} is back after {}", names.backend(backend), Age(*after));
                Self::info("BACKEND_BACK", text).naming_it().of_backend(backend).points(*points)
            }
            Notice::BackendChanged { backend, points } => {
                let text = "backend has other introduction points";
                Self::info("BACKEND_CHANGED", text).of_backend(backend).points(*points)
            }
            Notice::BackendNotFound { backend } => {
                let name = names.backend(backend);
                let text = format!(
                    "cannot find backend {name}: none of its HSDirs gave a descriptor. Is its tor running?"
                );
                Self::warning("BACKEND_NOT_FOUND", text).naming_it().of_backend(backend)
            }
            Notice::BackendGone { backend, why } => Self::gone(backend, *why, names),
            Notice::BackendInvalid { backend, source, reason } => {
                let text = format!("skipped a descriptor of this backend: {reason}");
                Self::warning("BACKEND_INVALID", text).of_backend(backend).at(source).repeating(INVALID)
            }
            Notice::BackendValid { backend, source } => {
                let text = "HSDir gives a valid descriptor of this backend again";
                Self::info("BACKEND_VALID", text).of_backend(backend).at(source).ending(INVALID)
            }
            Notice::DescriptorComplete { service, slot, hsdirs, after } => {
                let words = Self::info(COMPLETE, "published descriptor");
                words.of_descriptor(service, *slot).among(hsdirs.to_string()).within(*after)
            }
            Notice::HsdirRefuses { service, slot, hsdir, reason } => {
                let text = format!(
                    "HSDir refuses the descriptor: {reason}. Mostly it holds a higher revision, which is looked up"
                );
                Self::upload("HSDIR_REFUSES", text, service, *slot).at(hsdir)
            }
            Notice::HsdirsSilent { service, slot, hsdirs } => {
                let text = "HSDirs did not answer an upload of the descriptor; trying again";
                Self::upload("HSDIRS_SILENT", text, service, *slot).among(list(hsdirs))
            }
            Notice::HsdirHasNone { service, slot, hsdir } => {
                let text = "HSDir acknowledged the descriptor and does not have it; trying again";
                Self::upload("HSDIR_HAS_NONE", text, service, *slot).at(hsdir)
            }
            Notice::HsdirHasOther { service, slot, hsdir, later } => {
                let text = if *later { HAS_LATER } else { HAS_OTHER };
                Self::upload("HSDIR_HAS_OTHER", text, service, *slot).at(hsdir)
            }
            Notice::OtherPublisher { service, slot, hsdir } => {
                let text = "HSDir has a descriptor of the service that this balancer did not publish. Does another one \
                            publish it?";
                Self::upload("OTHER_PUBLISHER", text, service, *slot).at(hsdir)
            }
            Notice::NotPosted { service, slot, problem } => {
                let text = format!("descriptor not published: {problem}; trying again");
                Self::upload("NOT_POSTED", text, service, *slot)
            }
            Notice::AllStored { service, after } => {
                let text = format!("all descriptors are on all their HSDirs again after {}", Age(*after));
                Self::info("ALL_STORED", text).of_service(service).ending(UPLOADS)
            }
            Notice::NothingToPublish { service } => {
                Self::warning("NOTHING_TO_PUBLISH", NOTHING).of_service(service)
            }
            Notice::KeepingLastSet { service } => {
                Self::warning("KEEPING_LAST_SET", LAST_SET_STAYS).of_service(service)
            }
            Notice::LastSetDropped { service } => {
                Self::warning("LAST_SET_DROPPED", LAST_SET_ENDS).of_service(service)
            }
            Notice::DrainedServe { service } => {
                Self::warning("DRAINED_SERVE", DRAINED_SERVE).of_service(service)
            }
            Notice::DrainedRest { service, after } => {
                let text = format!("drained backends get no visitors again after {}", Age(*after));
                Self::info("DRAINED_REST", text).of_service(service)
            }
            Notice::Health(notice) => Self::of_health(notice, names),
            Notice::BackendDrained { service, backend, until } => {
                Self::drained(service, backend, *until, names)
            }
            Notice::BackendEnabled { service, backend } => Self::enabled(service, backend, names),
            Notice::DrainEnded { service, backend } => Self::drain_ended(service, backend, names),
            Notice::Behind { load } => Self::warning("BEHIND", Behind(load).to_string()),
            Notice::CaughtUp { after } => {
                let text = format!("tor keeps up with what there is to do again after {}", Age(*after));
                Self::info("CAUGHT_UP", text)
            }
        }
    }

    /// A notice about health checks in words.
    fn of_health(notice: &HealthNotice, names: &Names) -> Self {
        match notice {
            HealthNotice::Unwell { backend, port, reason } => {
                let name = names.backend(backend);
                let text = format!(
                    "backend {name} is unwell: {reason} (port {port}); it gets no visitors until it answers"
                );
                Self::warning("BACKEND_UNWELL", text).naming_it().of_backend(backend)
            }
            HealthNotice::Well { backend, port, after } => {
                let name = names.backend(backend);
                let text = format!("backend {name} answers on port {port} again after {}", Age(*after));
                Self::info("BACKEND_WELL", text).naming_it().of_backend(backend)
            }
            HealthNotice::AllUnwell { service } => {
                Self::warning("ALL_BACKENDS_UNWELL", ALL_UNWELL).of_service(service)
            }
            HealthNotice::SomeWell { service, after } => {
                let text = format!("unwell backends get no visitors again after {}", Age(*after));
                Self::info("BACKENDS_WELL", text).of_service(service)
            }
        }
    }

    /// These words, if the reason is that the signer does not answer.
    pub(super) fn because_of_signer(mut self) -> Self {
        self.details.is_of_signer = true;
        self
    }

    /// The id of the problem of which this is a warning, as in the status; `None` if it is not one.
    fn problem(&self) -> Option<&'static str> {
        Some(match self.id {
            _ if !self.is_warning => return None,
            _ if self.details.is_of_signer => "SIGNER_UNREACHABLE",
            "BEHIND" => "TOR_OVERLOADED",
            "NOTHING_TO_PUBLISH" => "NOT_PUBLISHED",
            "KEEPING_LAST_SET" | "LAST_SET_DROPPED" => "ALL_BACKENDS_GONE",
            "HSDIR_REFUSES" | "HSDIRS_SILENT" | "HSDIR_HAS_NONE" | "HSDIR_HAS_OTHER" | "NOT_POSTED" => {
                "DESCRIPTOR_INCOMPLETE"
            }
            of_backend => of_backend,
        })
    }

    /// True for what happens every hour if all is well.
    pub(super) fn is_routine(&self) -> bool {
        self.id == COMPLETE
    }

    /// The topic, the reason and the subject under which it is counted; `None` if it does not repeat.
    pub(super) fn repeats(&self) -> Option<(&'static str, String, &str)> {
        let Repeating::Of(topic) = self.details.repeating else { return None };
        let subject = self.subject();
        // The same reason for several services is one; that for several backends is not.
        let of = self.backend.as_ref().map_or("", |backend| &*backend.0);
        Some((topic, format!("{} {of}: {}", self.id, self.text), subject))
    }

    /// The topic and the subject that it ends; `None` if it is not an end.
    pub(super) fn ends(&self) -> Option<(&'static str, &str)> {
        let Repeating::Ends(topic) = self.details.repeating else { return None };
        Some((topic, self.subject()))
    }

    /// The address of its service, or else of its backend; empty without both.
    fn subject(&self) -> &str {
        let service = self.service.as_ref().map(|service| &*service.0);
        service.or(self.backend.as_ref().map(|backend| &*backend.0)).unwrap_or_default()
    }

    /// Logs them. A backend's address follows its name the first time. `has_replicas` is true if replicas are
    /// different documents, so that lines have to name them.
    ///
    /// `occurrence` says how often they have repeated; if several services are affected, none is named.
    pub(super) fn log(&self, occurrence: Occurrence, known: &mut Introductions, has_replicas: bool) {
        let Self { text, is_warning, details, .. } = self;
        let (name, address) = self.backend.as_ref().map(|backend| known.introduce(backend)).unzip();
        let (told, backend) = if details.is_named { (name, None) } else { (None, name) };
        let service = self.service.as_ref().filter(|_| !occurrence.is_shared);
        let service = service.map(|service| known.names().service(service));
        let (told, backend) = (told.map(display), backend.map(display));
        let (address, service) = (address.flatten().map(display), service.map(display));
        let problem = self.problem();
        let Details { slot, points, hsdir, hsdirs, after, .. } = details;
        let slot = slot.filter(|_| !occurrence.is_shared);
        let period = slot.map(|slot| slot.period);
        let replica = slot.filter(|_| has_replicas).map(|slot| slot.replica);
        let (hsdir, hsdirs) = (hsdir.as_ref().map(display), hsdirs.as_ref().map(display));
        let after_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        if *is_warning {
            warn!(
                problem,
                text.backend = told,
                service,
                period,
                replica,
                backend,
                address,
                points,
                hsdir,
                hsdirs,
                after_ms,
                "{text}{occurrence}"
            );
        } else {
            info!(
                text.backend = told,
                service, period, replica, backend, address, points, hsdir, hsdirs, after_ms, "{text}"
            );
        }
    }

    fn info(id: &'static str, text: impl Into<String>) -> Self {
        let (service, backend) = (None, None);
        Self { id, is_warning: false, service, backend, text: text.into(), details: Details::default() }
    }

    fn warning(id: &'static str, text: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::info(id, text) }
    }

    /// A warning that a descriptor does not get to its HSDirs.
    fn upload(id: &'static str, text: impl Into<String>, service: &ServiceId, slot: DescriptorSlot) -> Self {
        Self::warning(id, text).of_descriptor(service, slot).repeating(UPLOADS)
    }

    fn found(backend: &BackendId, points: usize, after: Option<Duration>, names: &Names) -> Self {
        let words = match after {
            None => Self::info("BACKEND_FOUND", "found backend"),
            Some(after) => {
                let text = format!("found backend {} after {}", names.backend(backend), Age(after));
                Self::info("BACKEND_FOUND", text).naming_it()
            }
        };
        words.of_backend(backend).points(points)
    }

    fn gone(backend: &BackendId, why: Gone, names: &Names) -> Self {
        let why = match why {
            Gone::TooOld => "it has not published for hours",
            Gone::NotFound => "none of its HSDirs has its descriptor any more",
        };
        let text = format!("dropped backend {}: {why}. Is its tor running?", names.backend(backend));
        Self::warning("BACKEND_GONE", text).naming_it().of_backend(backend)
    }

    fn drained(service: &ServiceId, backend: &BackendId, until: Option<UnixTime>, names: &Names) -> Self {
        let until = until.map(|until| format!(" until {until} UTC")).unwrap_or_default();
        let text = format!("drained backend {} by command{until}", names.backend(backend));
        Self::info("BACKEND_DRAINED", text).of_drain(service, backend)
    }

    fn enabled(service: &ServiceId, backend: &BackendId, names: &Names) -> Self {
        let text = format!("enabled backend {} by command", names.backend(backend));
        Self::info("BACKEND_ENABLED", text).of_drain(service, backend)
    }

    fn drain_ended(service: &ServiceId, backend: &BackendId, names: &Names) -> Self {
        let text = format!("the drain of backend {} has ended", names.backend(backend));
        Self::info("DRAIN_ENDED", text).of_drain(service, backend)
    }

    /// Notes that it is about a drain by command, and that the text has the name of the backend.
    fn of_drain(self, service: &ServiceId, backend: &BackendId) -> Self {
        self.naming_it().of_service(service).of_backend(backend)
    }

    fn of_service(self, service: &ServiceId) -> Self {
        Self { service: Some(service.clone()), ..self }
    }

    fn of_descriptor(mut self, service: &ServiceId, slot: DescriptorSlot) -> Self {
        self.details.slot = Some(slot);
        self.of_service(service)
    }

    /// Notes that it may repeat an earlier one of this topic.
    fn repeating(mut self, topic: &'static str) -> Self {
        self.details.repeating = Repeating::Of(topic);
        self
    }

    /// Notes that it is the end of this topic.
    fn ending(mut self, topic: &'static str) -> Self {
        self.details.repeating = Repeating::Ends(topic);
        self
    }

    /// Notes that the text has the name of the backend.
    fn naming_it(mut self) -> Self {
        self.details.is_named = true;
        self
    }

    fn of_backend(self, backend: &BackendId) -> Self {
        Self { backend: Some(backend.clone()), ..self }
    }

    fn points(mut self, points: usize) -> Self {
        self.details.points = Some(points);
        self
    }

    fn at(mut self, hsdir: &impl ToString) -> Self {
        self.details.hsdir = Some(hsdir.to_string());
        self
    }

    fn among(mut self, hsdirs: String) -> Self {
        self.details.hsdirs = Some(hsdirs);
        self
    }

    fn within(mut self, time: Duration) -> Self {
        self.details.after = Some(time);
        self
    }
}

fn list(hsdirs: &[Fingerprint]) -> String {
    let hsdirs: Vec<_> = hsdirs.iter().map(ToString::to_string).collect();
    hsdirs.join(",")
}

/// The topic of descriptors of backends that are not valid.
const INVALID: &str = "invalid";
/// The topic of uploads that do not succeed.
const UPLOADS: &str = "uploads";
/// The kind of [`Notice::DescriptorComplete`].
const COMPLETE: &str = "DESCRIPTOR_COMPLETE";
const NOTHING: &str = "nothing to publish yet: no backend was found";
const LAST_SET_STAYS: &str = "all backends are gone: the last introduction points stay published for now";
const LAST_SET_ENDS: &str = "all backends have been gone for too long: the service is not published any more";
const DRAINED_SERVE: &str =
    "no backend is live but drained ones: they get all visitors until another one is live";
const ALL_UNWELL: &str =
    "the probes of all backends fail: all get visitors, as if there were no health checks";
const HAS_OTHER: &str = "HSDir has another descriptor of the service than the one that it acknowledged; trying \
                         again. Does another balancer publish it, with other backends?";
const HAS_LATER: &str = "HSDir has a descriptor of the service with a later publication time, which it keeps \
                         until then; trying again. Does another balancer publish it, with a clock that is ahead?";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use onionbalance_proto::relay::Fingerprint;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use tokio::time::Instant;

    use super::*;
    use crate::engine::{Load, Source};
    use crate::names::NamesBuilder;
    use crate::repeats::Repeats;

    /// The logged text.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(notices: &[Notice], known: &mut Introductions) -> String {
        logged_by(|| {
            for notice in notices {
                let words = Words::of(notice, known.names());
                words.log(Occurrence::ONLY, known, false);
            }
        })
    }

    fn logged_by(work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let format = crate::log::lines().without_time().with_ansi(false).with_writer(lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(format), work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_warning_has_a_problem_that_the_manual_explains() {
        let manual = include_str!("../../../docs/operations.md");
        let (slot, hsdir) = (DescriptorSlot { period: 7, replica: 0 }, Fingerprint([1; 20]));
        let (service, backend) = (|| ServiceId::from("a.onion"), || BackendId::from("b.onion"));
        let source = Source::Hsdir { hsdir, replica: 0 };
        for notice in [
            Notice::BackendNotFound { backend: backend() },
            Notice::BackendGone { backend: backend(), why: Gone::TooOld },
            Notice::BackendInvalid { backend: backend(), source, reason: String::new() },
            Notice::HsdirRefuses { service: service(), slot, hsdir, reason: String::new() },
            Notice::HsdirsSilent { service: service(), slot, hsdirs: vec![] },
            Notice::HsdirHasNone { service: service(), slot, hsdir },
            Notice::HsdirHasOther { service: service(), slot, hsdir, later: true },
            Notice::NotPosted { service: service(), slot, problem: String::new() },
            Notice::NothingToPublish { service: service() },
            Notice::KeepingLastSet { service: service() },
            Notice::LastSetDropped { service: service() },
            Notice::DrainedServe { service: service() },
            Notice::Behind { load: Load::default() },
        ] {
            let words = Words::of(&notice, &Names::default());
            for words in [words.clone(), words.because_of_signer()] {
                let problem = words.problem().unwrap();
                assert!(manual.contains(&format!("### `{problem}`\n")), "{notice:?}: {problem}");
            }
        }
        let end = Notice::BackendBack { backend: backend(), points: 3, after: MINUTES };
        assert_eq!(Words::of(&end, &Names::default()).problem(), None);
    }

    const MINUTES: Duration = Duration::from_mins(12);

    #[test]
    fn a_backend_is_called_by_its_name_and_its_address_is_told_once() {
        let mut builder = NamesBuilder::default();
        builder.backend(&"front.onion".into(), &"a.onion".into(), &"web3".parse().unwrap());
        let mut known = Introductions::new(builder.build());
        let backend = || "a.onion".into();
        let source = || Source::Hsdir { hsdir: Fingerprint([1; 20]), replica: 0 };
        let told = logged(
            &[
                Notice::BackendNotFound { backend: backend() },
                Notice::BackendFound { backend: backend(), points: 3, after: Some(MINUTES) },
                Notice::BackendGone { backend: backend(), why: Gone::TooOld },
                Notice::BackendGone { backend: backend(), why: Gone::NotFound },
                Notice::BackendBack { backend: backend(), points: 3, after: MINUTES },
                Notice::BackendChanged { backend: backend(), points: 2 },
                Notice::BackendInvalid { backend: backend(), source: source(), reason: "not signed".into() },
                Notice::BackendValid { backend: backend(), source: source() },
                Notice::BackendFound { backend: "b.onion".into(), points: 3, after: None },
            ],
            &mut known,
        );
        assert_eq!(told, include_str!("../../tests/data/log/backends.txt"));
    }

    /// The topic, the reason and the subject of a notice that repeats.
    fn repeats(notice: &Notice) -> (&'static str, String, String) {
        let words = Words::of(notice, &Names::default());
        let (topic, reason, subject) = words.repeats().unwrap();
        (topic, reason, subject.to_owned())
    }

    #[test]
    fn a_reason_is_one_for_all_services_and_hsdirs() {
        let refused = |service: &str, replica, hsdir| {
            let (slot, hsdir) = (DescriptorSlot { period: 7, replica }, Fingerprint([hsdir; 20]));
            let reason = "400 Bad Request".into();
            repeats(&Notice::HsdirRefuses { service: service.into(), slot, hsdir, reason })
        };
        let (one, other) = (refused("a.onion", 0, 1), refused("b.onion", 1, 2));
        assert_eq!((one.0, &one.1), (other.0, &other.1));
        assert_eq!((&*one.2, &*other.2), ("a.onion", "b.onion"));
        let end =
            Words::of(&Notice::AllStored { service: "a.onion".into(), after: MINUTES }, &Names::default());
        assert_eq!(end.ends(), Some((one.0, "a.onion")));
    }

    #[test]
    fn a_reason_is_another_for_each_backend() {
        let source = |hsdir| Source::Hsdir { hsdir: Fingerprint([hsdir; 20]), replica: 0 };
        let invalid = |backend: &str, hsdir| {
            let (source, reason) = (source(hsdir), "not signed".into());
            repeats(&Notice::BackendInvalid { backend: backend.into(), source, reason })
        };
        assert_eq!(invalid("a.onion", 1), invalid("a.onion", 2));
        assert_ne!(invalid("a.onion", 1).1, invalid("b.onion", 1).1);
        let end = Notice::BackendValid { backend: "a.onion".into(), source: source(1) };
        assert_eq!(Words::of(&end, &Names::default()).ends(), Some((invalid("a.onion", 1).0, "a.onion")));
    }

    #[test]
    fn a_reason_that_services_share_names_none_of_them() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let slot = DescriptorSlot { period: 7, replica: 0 };
        let mut known = Introductions::new(Names::default());
        let notice = |service: &str| Notice::NotPosted {
            service: service.into(),
            slot,
            problem: "tor is busy".into(),
        };
        let lines = logged_by(|| {
            for (service, second) in [("a.onion", 0), ("b.onion", 1), ("b.onion", 60)] {
                let words = Words::of(&notice(service), known.names());
                let (topic, reason, subject) = words.repeats().unwrap();
                if let Some(times) =
                    repeats.note(topic, &reason, subject, start + Duration::from_secs(second))
                {
                    words.log(times, &mut known, false);
                }
            }
        });
        let wanted = " WARN descriptor not published: tor is busy; trying again service=a.onion period=7\n \
                      WARN descriptor not published: tor is busy; trying again (3 times)\n";
        assert_eq!(lines, wanted);
    }

    #[test]
    fn what_goes_wrong_with_a_service_and_its_end_are_told() {
        let mut builder = NamesBuilder::default();
        builder.service(&"front.onion".into(), Some(&"shop".parse().unwrap()));
        let mut known = Introductions::new(builder.build());
        let service = || "front.onion".into();
        let slot = DescriptorSlot { period: 7, replica: 0 };
        let hsdir = Fingerprint([1; 20]);
        let told = logged(
            &[
                Notice::NothingToPublish { service: service() },
                Notice::DescriptorComplete {
                    service: service(),
                    slot,
                    hsdirs: 8,
                    after: Duration::from_millis(370),
                },
                Notice::HsdirRefuses { service: service(), slot, hsdir, reason: "400 Bad Request".into() },
                Notice::HsdirsSilent { service: service(), slot, hsdirs: vec![hsdir] },
                Notice::HsdirHasNone { service: service(), slot, hsdir },
                Notice::HsdirHasOther { service: service(), slot, hsdir, later: false },
                Notice::HsdirHasOther { service: service(), slot, hsdir, later: true },
                Notice::NotPosted { service: service(), slot, problem: "the signer is away".into() },
                Notice::AllStored { service: service(), after: MINUTES },
                Notice::KeepingLastSet { service: service() },
                Notice::LastSetDropped { service: service() },
                Notice::LastSetDropped { service: "other.onion".into() },
                Notice::DrainedServe { service: service() },
                Notice::DrainedRest { service: service(), after: MINUTES },
                Notice::BackendDrained {
                    service: service(),
                    backend: "a.onion".into(),
                    until: Some(UnixTime(1_795_953_600)),
                },
                Notice::BackendDrained { service: service(), backend: "a.onion".into(), until: None },
                Notice::BackendEnabled { service: service(), backend: "a.onion".into() },
                Notice::DrainEnded { service: service(), backend: "a.onion".into() },
                Notice::Behind {
                    load: Load {
                        posts_waiting: 12,
                        looks_waiting: 6900,
                        longest_wait: Duration::from_mins(20),
                        ..Load::default()
                    },
                },
                Notice::CaughtUp { after: MINUTES },
            ],
            &mut known,
        );
        assert_eq!(told, include_str!("../../tests/data/log/services.txt"));
    }
}
