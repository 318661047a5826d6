//! The engine's notices as log lines, with the names of services and backends. A backend's address follows
//! its name the first time.

use tracing::field::display;
use tracing::{info, warn};

use super::behind::Behind;
use crate::age::Age;
use crate::engine::{DescriptorSlot, Gone, Notice};
use crate::names::Introductions;

/// Logs a notice. `replicas` is true if replicas are different documents, so that lines have to name them.
pub(super) fn log(notice: &Notice, known: &mut Introductions, replicas: bool) {
    let replica = |slot: &DescriptorSlot| replicas.then_some(slot.replica);
    match notice {
        Notice::BackendFound { backend, points, after } => {
            let (name, address) = known.introduce(backend);
            let address = address.map(display);
            match after {
                None => info!(backend = %name, address, points, "found backend"),
                Some(after) => info!(address, points, "found backend {name} after {}", Age(*after)),
            }
        }
        Notice::BackendBack { backend, points, after } => {
            let (name, address) = known.introduce(backend);
            info!(address = address.map(display), points, "backend {name} is back after {}", Age(*after));
        }
        Notice::BackendChanged { backend, points } => {
            let (name, address) = known.introduce(backend);
            info!(backend = %name, address = address.map(display), points, "backend has other introduction points");
        }
        Notice::BackendNotFound { backend } => {
            let (name, address) = known.introduce(backend);
            warn!(
                address = address.map(display),
                "cannot find backend {name}: none of its HSDirs gave a descriptor. Is its tor running?"
            );
        }
        Notice::BackendGone { backend, why: Gone::TooOld } => {
            let (name, address) = known.introduce(backend);
            warn!(
                address = address.map(display),
                "dropped backend {name}: it has not published for hours. Is its tor running?"
            );
        }
        Notice::BackendGone { backend, why: Gone::NotFound } => {
            let (name, address) = known.introduce(backend);
            warn!(
                address = address.map(display),
                "dropped backend {name}: none of its HSDirs has its descriptor any more. Is its tor running?"
            );
        }
        Notice::BackendInvalid { backend, source, reason } => {
            let (name, address) = known.introduce(backend);
            warn!(backend = %name, address = address.map(display), hsdir = %source, "skipped a descriptor of this backend: {reason}");
        }
        Notice::BackendValid { backend, source } => {
            let (name, address) = known.introduce(backend);
            info!(backend = %name, address = address.map(display), hsdir = %source, "HSDir gives a valid descriptor of this backend again");
        }
        Notice::DescriptorComplete { service, slot, hsdirs, after } => {
            let service = known.names().service(service);
            info!(%service, period = slot.period, replica = replica(slot), hsdirs, after_ms = after.as_millis(), "published descriptor");
        }
        Notice::AllStored { service, after } => {
            let service = known.names().service(service);
            info!(%service, "all descriptors are on all their HSDirs again after {}", Age(*after));
        }
        Notice::HsdirRefuses { service, slot, hsdir, reason } => {
            let service = known.names().service(service);
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir refuses the descriptor: {reason}. Mostly it holds a higher revision, which is looked up");
        }
        Notice::HsdirsSilent { service, slot, hsdirs } => {
            let service = known.names().service(service);
            let hsdirs: Vec<_> = hsdirs.iter().map(ToString::to_string).collect();
            warn!(%service, period = slot.period, replica = replica(slot), hsdirs = %hsdirs.join(","), "HSDirs did not answer an upload of the descriptor; trying again");
        }
        Notice::HsdirHasNone { service, slot, hsdir } => {
            let service = known.names().service(service);
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir acknowledged the descriptor and does not have it; trying again");
        }
        Notice::HsdirHasOther { service, slot, hsdir, later: false } => {
            let service = known.names().service(service);
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir has another descriptor of the service than the one that it acknowledged; trying again. Does another balancer publish it, with other backends?");
        }
        Notice::HsdirHasOther { service, slot, hsdir, later: true } => {
            let service = known.names().service(service);
            warn!(%service, period = slot.period, replica = replica(slot), %hsdir, "HSDir has a descriptor of the service with a later publication time, which it keeps until then; trying again. Does another balancer publish it, with a clock that is ahead?");
        }
        Notice::NotPosted { service, slot, problem } => {
            let service = known.names().service(service);
            warn!(%service, period = slot.period, replica = replica(slot), "descriptor not published: {problem}; trying again");
        }
        Notice::NothingToPublish { service } => {
            let service = known.names().service(service);
            warn!(%service, "nothing to publish yet: no backend was found");
        }
        Notice::KeepingLastSet { service } => {
            let service = known.names().service(service);
            warn!(%service, "all backends are gone: the last introduction points stay published for now");
        }
        Notice::LastSetDropped { service } => {
            let service = known.names().service(service);
            warn!(%service, "all backends have been gone for too long: the service is not published any more");
        }
        Notice::Behind { load } => warn!("{}", Behind(load)),
        Notice::CaughtUp { after } => {
            info!("tor keeps up with what there is to do again after {}", Age(*after));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use onionbalance_proto::relay::Fingerprint;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::engine::{Load, Source};
    use crate::names::NamesBuilder;

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
        let lines = Lines::default();
        let format = tracing_subscriber::fmt().with_target(false).without_time().with_ansi(false);
        let subscriber = format.with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            for notice in notices {
                log(notice, known, false);
            }
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
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

    #[test]
    fn what_goes_wrong_with_a_service_and_its_end_are_told() {
        let mut builder = NamesBuilder::default();
        builder.service(&"front.onion".into(), &"shop".parse().unwrap());
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
