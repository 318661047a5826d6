//! The computation of all responsible HSDirs by one directory, in a thread: with ten thousand backends it
//! takes more than a second the first time.

use std::collections::HashMap;
use std::sync::Arc;

use onionbalance_proto::time::UnixTime;
use tokio::sync::{Semaphore, mpsc};

use super::Report;
use crate::aside::aside;
use crate::engine::{BackendId, NetworkView, ServiceId};
use crate::onion_version::{Directory, Frontend, Known, OnionVersion};

/// The surveys of one runtime, one at a time. The next one begins when the present one has ended, with the
/// newest input.
pub(super) struct Surveys<V: OnionVersion> {
    /// Results of earlier surveys; `None` during a survey, which has them.
    known: Option<V::Known>,
    /// True if the input of the present survey is out of date.
    outdated: bool,
}

/// One turn to survey at a time for all runtimes that have a clone of this. Each survey makes large tables,
/// and the C library keeps the memory of threads that run at the same time apart.
#[derive(Clone, Debug)]
pub(super) struct SurveyTurns(Arc<Semaphore>);

/// The input of a survey.
pub(super) struct Survey<V: OnionVersion> {
    pub(super) directory: Arc<V::Directory>,
    pub(super) frontends: Arc<HashMap<ServiceId, Arc<Frontend<V>>>>,
    pub(super) backends: Arc<HashMap<BackendId, V::Backend>>,
    pub(super) now: UnixTime,
}

/// The result of a survey.
pub(super) struct Surveyed<V: OnionVersion> {
    known: V::Known,
    pub(super) view: View,
    pub(super) network: NetworkView,
}

/// The view of the network that the engine was shown, by one consensus and at one time.
#[derive(Debug)]
pub(super) struct View {
    pub(super) made: UnixTime,
    /// The time at which it gets out of date by the clock alone. `None` if it does not, and during a survey.
    pub(super) until: Option<UnixTime>,
}

impl View {
    /// The view before the first directory.
    pub(super) fn new(now: UnixTime) -> Self {
        Self { made: now, until: None }
    }
}

impl<V: OnionVersion> Default for Surveys<V> {
    /// The state before the first survey.
    fn default() -> Self {
        Self { known: Some(V::Known::default()), outdated: false }
    }
}

impl Default for SurveyTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl<V: OnionVersion> Surveys<V> {
    /// Begins a survey when its turn has come; its end is reported. If one has begun, that one is marked as
    /// out of date instead.
    pub(super) fn begin(
        &mut self,
        survey: Survey<V>,
        SurveyTurns(turns): &SurveyTurns,
        reports: mpsc::UnboundedSender<Report<V>>,
    ) {
        match self.known.take() {
            Some(known) => {
                let turns = turns.clone();
                tokio::spawn(async move {
                    let _turn = turns.acquire().await;
                    let surveyed = aside(move || survey.carry_out(known)).await;
                    // The receiver is gone only at the end.
                    let _ = reports.send(Report::Surveyed(Box::new(surveyed)));
                });
            }
            None => self.outdated = true,
        }
    }

    /// Takes the end of a survey. `None` if it is out of date, and another one has to begin.
    pub(super) fn end(&mut self, surveyed: Surveyed<V>) -> Option<(View, NetworkView)> {
        let Surveyed { known, view, network } = surveyed;
        self.known = Some(known);
        (!std::mem::take(&mut self.outdated)).then_some((view, network))
    }
}

impl<V: OnionVersion> Survey<V> {
    fn carry_out(&self, mut known: V::Known) -> Surveyed<V> {
        let Self { directory, frontends, backends, now } = self;
        let mut view = View::new(*now);
        let mut network = NetworkView {
            period_length: directory.period_length(),
            valid_after: directory.lifetime().valid_after(),
            services: [].into(),
            backends: [].into(),
        };
        let mut changes = Vec::new();
        for (id, frontend) in &**frontends {
            let slots = directory.published(&mut known, &frontend.address, *now);
            network.services.insert(id.clone(), slots.into_iter().collect());
            changes.extend(directory.changes_at(&frontend.address, *now));
        }
        for (id, backend) in &**backends {
            network.backends.insert(id.clone(), directory.backend(&mut known, backend, *now));
            changes.extend(directory.changes_at(&V::backend_address(backend), *now));
        }
        view.until = changes.into_iter().min();
        known.end_look();
        Surveyed { known, view, network }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use onionbalance_proto::fixture::Backend;
    use onionbalance_proto::v3::OnionAddress;

    use super::super::{backends, by_service};
    use super::*;
    use crate::engine::{Source, Weights};
    use crate::v3::V3;
    use crate::v3::directory::Directory as DirectoryV3;

    const CONSENSUS: &str = include_str!("../../tests/data/consensus-microdesc.txt");
    const MICRODESCRIPTORS: &str = include_str!("../../tests/data/md-all.txt");

    fn address(number: u64) -> OnionAddress {
        Backend::new(number).address()
    }

    /// The survey of a frontend with this number of backends.
    fn survey(count: u64) -> Survey<V3> {
        let directory = DirectoryV3::new(CONSENSUS.as_bytes(), MICRODESCRIPTORS.as_bytes(), true).unwrap();
        let frontends = vec![Frontend {
            address: address(0),
            backends: (1..=count).map(address).collect(),
            weights: Weights::default(),
            checks: BTreeMap::new(),
        }];
        Survey {
            directory: Arc::new(directory),
            backends: Arc::new(backends(&frontends)),
            frontends: Arc::new(by_service(frontends)),
            now: UnixTime(1_795_336_111),
        }
    }

    #[test]
    fn everything_is_where_it_is_stored_and_fetched() {
        let survey = survey(3);
        let Surveyed { network, .. } = survey.carry_out(<V3 as OnionVersion>::Known::default());
        let places = &network.services[&ServiceId::of(&address(0))];
        for (term, hsdirs) in survey.directory.store(&address(0)) {
            assert_eq!(places[&term.slot()], hsdirs);
        }
        for number in 1..=3 {
            let found = &network.backends[&BackendId::of(&address(number))];
            let (period, hsdirs) = survey.directory.fetch(&address(number));
            assert_eq!(found.period, period.number);
            let sources = hsdirs.into_iter().map(|hsdir| Source::Hsdir { hsdir, replica: 0 });
            assert!(found.sources.iter().copied().eq(sources));
        }
    }

    #[tokio::test]
    async fn one_is_under_way_and_what_is_out_of_date_is_not_taken() {
        let (reports, mut reported) = mpsc::unbounded_channel();
        let (mut surveys, turns) = (Surveys::<V3>::default(), SurveyTurns::default());
        for (begun, known) in [(vec![1, 2, 3], None), (vec![3], Some(3))] {
            for count in begun {
                surveys.begin(survey(count), &turns, reports.clone());
            }
            let Some(Report::Surveyed(surveyed)) = reported.recv().await else { panic!("another report") };
            assert_eq!(surveys.end(*surveyed).map(|(_, network)| network.backends.len()), known);
            assert!(reported.try_recv().is_err(), "two surveys were under way");
        }
    }
}
