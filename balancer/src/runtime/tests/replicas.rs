//! V2 backends on a network so small that each HSDir is responsible for both replicas.

use std::collections::{BTreeMap, HashMap};

use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::fixture::v2::Backend;
use onionbalance_proto::v2::document::Readers;
use onionbalance_proto::v2::{DescriptorId, TimePeriod};

use super::*;
use crate::engine::{Gone, Weights};
use crate::network::{Documents, Fetched};
use crate::v2::V2;
use crate::v2::schedule::DescriptorTerm;

const ROUTER_STATUSES: &str = include_str!("../../../tests/data/ns-all.txt");
const KEY: &str = include_str!("../../../../proto/testdata/v2/pem-plain.key");

/// Three HSDirs: each is responsible for each descriptor.
fn documents() -> Documents {
    let statuses = ROUTER_STATUSES.split_inclusive('\n').fold(Vec::new(), |mut statuses, line| {
        if line.starts_with("r ") {
            statuses.push(String::new());
        }
        statuses.last_mut().expect("a status begins with its router").push_str(line);
        statuses
    });
    let router_statuses = statuses.into_iter().filter(|status| status.contains(" HSDir")).take(3).collect();
    let now = onionbalance_process::now();
    let times = [now, now.plus(3600), now.plus(3 * 3600)].map(|time| time.to_string());
    Documents::V2 { router_statuses, times }
}

/// These answers for the two replicas of the backend's descriptor, by id.
fn answers(backend: &Backend, of_replicas: &[Fetched; 2]) -> HashMap<DescriptorId, Fetched> {
    let period = TimePeriod::at(onionbalance_process::now(), &backend.address());
    // The period may end during the test.
    let named = |period| {
        let ids = DescriptorTerm::both(period).map(|term| term.id(&backend.address()));
        ids.into_iter().zip(of_replicas.clone())
    };
    [period, period.next()].into_iter().flat_map(named).collect()
}

/// The backend's state after a quarter of an hour of each of these pairs of answers.
async fn states<const N: usize>(of_replicas: [[Fetched; 2]; N]) -> [BackendState; N] {
    let backend = Backend::from_pem(KEY);
    let balanced = InstanceV2::new(backend.address());
    let frontend = Frontend::<V2> {
        address: "jyvfq5umznvka34v".parse().unwrap(),
        backends: vec![balanced],
        weights: Weights::default(),
        checks: BTreeMap::new(),
    };
    let (runtime, stage) = runtime(vec![frontend]);
    let world = World::around(runtime, stage);
    let mut states = Vec::new();
    for answered in of_replicas {
        world.stage.is_of_version_2(documents(), answers(&backend, &answered));
        if states.is_empty() {
            world.stage.come("");
        }
        sleep(MINUTE * 15).await;
        states.push(world.state().await.services[0].status.backends[0].state);
    }
    states.try_into().expect("one state for each")
}

fn text() -> Fetched {
    let backend = Backend::from_pem(KEY);
    let descriptor = backend.publish(onionbalance_process::now(), 3, &mut OsRng);
    Fetched::Text(backend.text(&descriptor, Readers::Everyone, &mut OsRng))
}

#[tokio::test(start_paused = true)]
async fn either_replica_is_enough() {
    for missing in [Fetched::NotFound, Fetched::Failed(None), Fetched::Unreadable] {
        assert_eq!(
            states([[missing.clone(), text()]]).await,
            [BackendState::Live],
            "the first is {missing:?}"
        );
        assert_eq!(
            states([[text(), missing.clone()]]).await,
            [BackendState::Live],
            "the second is {missing:?}"
        );
    }
    assert_eq!(states([[Fetched::NotFound, Fetched::NotFound]]).await, [BackendState::NotFound]);
}

/// A replica that could not be fetched may exist.
#[tokio::test(start_paused = true)]
async fn a_backend_is_gone_when_hsdirs_deny_both_replicas() {
    let (text, denied, failed) = (text(), Fetched::NotFound, Fetched::Failed(None));
    let found = [text.clone(), text];
    let reached =
        states([found, [denied.clone(), failed.clone()], [failed, denied.clone()], [denied.clone(), denied]]);
    let (live, gone) = (BackendState::Live, BackendState::Gone(Gone::NotFound));
    assert_eq!(reached.await, [live, live, live, gone]);
}
