//! The runtime on a simulated network, in paused time. The version of onion services is made up, too: its
//! descriptors consist of their revision and the numbers of their points.

mod made_up;
mod replicas;

use std::collections::BTreeMap;
use std::time::Duration;

use onionbalance_proto::config::Tuning;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use self::made_up::{BACKEND, HSDIRS, MadeUp, MadeUpNetwork, SIGNATURE, Stage, address, copy};
use super::*;
use crate::engine::{BackendState, UploadProblem, UploadState, Weights};
use crate::names::NamesBuilder;
use crate::network::Verdict;
use crate::signer::{SignerClient, SignerPlace};

const MINUTE: Duration = Duration::from_mins(1);

/// A running runtime and its surroundings.
struct World<V: OnionVersion = MadeUp> {
    stage: Stage,
    signer: SharedSigner,
    inquirer: mpsc::Sender<Inquiry>,
    configurations: mpsc::UnboundedSender<Configuration<V>>,
}

impl World {
    /// A world with this number of frontends of one backend. The network is not there yet.
    fn begin(frontends: u16) -> Self {
        let (runtime, stage) = World::runtime(frontends);
        Self::around(runtime, stage)
    }

    /// A runtime with this number of frontends of one backend, which has not begun.
    fn runtime(frontends: u16) -> (Runtime<MadeUp, MadeUpNetwork>, Stage) {
        let frontend = |number| Frontend {
            address: address(number),
            backends: vec![address(BACKEND)],
            weights: Weights::default(),
            checks: BTreeMap::new(),
        };
        runtime((1..=frontends).map(frontend).collect())
    }
}

/// A runtime with these frontends, which has not begun.
fn runtime<V: OnionVersion>(frontends: Vec<Frontend<V>>) -> (Runtime<V, MadeUpNetwork>, Stage) {
    let (network, stage) = MadeUpNetwork::new();
    let signer = SharedSigner::new(SignerClient::new(SignerPlace::Socket("/nonexistent".into())));
    let names = NamesBuilder::default().build();
    let configuration = Configuration { frontends, tuning: Tuning::default(), names, kept_bytes: 1 << 20 };
    let (memory, presence) = (Memory::default(), Presence::new(Arc::default()));
    (Runtime::new(configuration, network, signer, memory, presence, Directories::default()), stage)
}

impl<V: OnionVersion> World<V> {
    fn around(runtime: Runtime<V, MadeUpNetwork>, stage: Stage) -> Self {
        let signer = runtime.signer.clone();
        let (configurations, from_us) = mpsc::unbounded_channel();
        let (inquirer, inquiries) = mpsc::channel(1);
        tokio::spawn(runtime.run(Vec::new(), from_us, inquiries));
        Self { stage, signer, inquirer, configurations }
    }

    async fn state(&self) -> TorState {
        let (inquiry, answer) = oneshot::channel();
        self.inquirer.send(inquiry).await.unwrap();
        answer.await.unwrap()
    }

    /// The upload states of all descriptors at all their HSDirs.
    /// The time since another publisher of the service was seen.
    async fn other_publisher(&self) -> Option<Duration> {
        self.state().await.services[0].status.descriptors[0].other_ago
    }

    async fn uploads(&self) -> Vec<UploadState> {
        let services = self.state().await.services;
        let descriptors = services.into_iter().flat_map(|service| service.status.descriptors);
        descriptors.flat_map(|descriptor| descriptor.hsdirs).map(|hsdir| hsdir.state).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn publishes_what_the_backend_has_on_all_hsdirs() {
    let world = World::begin(1);
    sleep(MINUTE).await;
    assert!(!world.state().await.is_ready && world.stage.posts() == 0);
    world.stage.come(&copy(7, &[1, 2, 3]));
    sleep(MINUTE).await;
    let state = world.state().await;
    assert!(state.is_ready);
    assert_eq!(state.services[0].status.backends[0].state, BackendState::Live);
    assert_eq!(world.uploads().await, [UploadState::Stored; HSDIRS]);
    let slot = state.services[0].status.descriptors[0].slot;
    assert_eq!(state.rings.unwrap().places(slot).len(), HSDIRS);
    assert!(world.stage.held(1).iter().all(|text| text.ends_with(" 1 2 3")), "{:?}", world.stage.held(1));
    assert_eq!(world.stage.posts(), 1);
    // A change is seen at the next look.
    world.stage.backend_has(&copy(8, &[2, 3, 4]));
    sleep(MINUTE * 15).await;
    assert!(world.stage.held(1).iter().all(|text| text.ends_with(" 2 3 4")));
}

#[tokio::test(start_paused = true)]
async fn an_hsdir_that_refuses_is_read_back_and_exceeded() {
    let world = World::begin(1);
    world.stage.holds(1, 0, copy(1_000_000, &[9]));
    world.stage.come(&copy(7, &[1, 2]));
    sleep(MINUTE).await;
    assert_eq!(world.uploads().await, [UploadState::Stored; HSDIRS]);
    let held = world.stage.held(1);
    assert_eq!(held[0], copy(1_000_001, &[1, 2]));
    // The other HSDirs needed no second post.
    assert_eq!(world.stage.posts(), 2);
    // An earlier run of this balancer may have left it there.
    assert_eq!(world.other_publisher().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_higher_revision_after_ours_is_of_another_publisher() {
    let world = World::begin(1);
    world.stage.come(&copy(7, &[1, 2]));
    sleep(MINUTE).await;
    world.stage.holds(1, 0, copy(1_000_000, &[9]));
    world.stage.backend_has(&copy(8, &[3]));
    sleep(MINUTE * 15).await;
    assert_eq!(world.stage.held(1)[0], copy(1_000_001, &[3]));
    assert!(world.other_publisher().await.is_some_and(|ago| ago < MINUTE * 15));
}

#[tokio::test(start_paused = true)]
async fn an_hsdir_that_fails_gets_it_when_it_recovers() {
    let world = World::begin(1);
    world.stage.answer(3, Some(Verdict::Failed));
    world.stage.come(&copy(7, &[1]));
    sleep(MINUTE * 10).await;
    let uploads = world.uploads().await;
    assert!(uploads[3] != UploadState::Stored && world.stage.posts() > 2, "{uploads:?}");
    assert_eq!(uploads.iter().filter(|state| **state == UploadState::Stored).count(), HSDIRS - 1);
    let problems = async || {
        let descriptors = world.state().await.services.remove(0).status.descriptors;
        descriptors[0].hsdirs.iter().map(|hsdir| hsdir.problem).collect::<Vec<_>>()
    };
    let mut wanted = [None; HSDIRS];
    wanted[3] = Some(UploadProblem::Failed);
    assert_eq!(problems().await, wanted);
    world.stage.answer(3, None);
    sleep(MINUTE * 6).await;
    assert_eq!(world.uploads().await, [UploadState::Stored; HSDIRS]);
    assert_eq!(problems().await, [None; HSDIRS]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_network_is_asked_nothing_and_gets_the_rest_when_it_is_back() {
    let world = World::begin(1);
    world.stage.come(&copy(7, &[1]));
    // This ends after the signature.
    sleep(SIGNATURE / 2).await;
    world.stage.go();
    sleep(MINUTE * 30).await;
    assert!(!world.state().await.is_ready);
    assert_eq!((world.stage.posts(), world.stage.asked_while_away()), (0, 0));
    world.stage.come(&copy(8, &[2]));
    sleep(MINUTE).await;
    assert_eq!(world.uploads().await, [UploadState::Stored; HSDIRS]);
    assert_eq!(world.stage.posts(), 1);
    assert!(world.stage.held(1).iter().all(|text| text.ends_with(" 2")));
}

/// The network is lost after its directory has been read, but before the survey has ended.
#[tokio::test]
async fn a_network_that_is_lost_while_its_directory_is_read_is_not_ready() {
    let (mut runtime, stage) = World::runtime(1);
    stage.backend_has(&copy(7, &[1]));
    runtime.on_network(Message::Ready { uptime: None, version: None });
    let Message::Directory(directory) = runtime.network.next().await else { panic!("another message") };
    runtime.on_network(Message::Directory(directory));
    runtime.on_network(Message::Lost);
    let surveyed = runtime.reports.received.recv().await.unwrap();
    runtime.on_report(surveyed);
    assert_eq!(stage.asked_while_away(), 0);
    assert_eq!(runtime.engine.load(runtime.now()).in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_posts_that_a_process_of_tor_has_taken_are_counted() {
    let world = World::begin(1);
    world.stage.come(&copy(7, &[1]));
    sleep(MINUTE).await;
    let PostLoad { since_start, last_day, is_restart_due, .. } = world.state().await.posts;
    assert_eq!((since_start, last_day, is_restart_due), (1, 1, false));
    let tuning = Tuning { tor_restart_hint: Some(1), ..Tuning::default() };
    let frontends = vec![Frontend {
        address: address(1),
        backends: vec![address(BACKEND)],
        weights: Weights::default(),
        checks: BTreeMap::new(),
    }];
    let configuration =
        Configuration { frontends, tuning, names: NamesBuilder::default().build(), kept_bytes: 1 << 20 };
    world.configurations.send(configuration).unwrap();
    sleep(MINUTE).await;
    assert!(world.state().await.posts.is_restart_due);
    // Tor's process is a new one, which has taken nothing yet.
    world.stage.go();
    world.stage.come(&copy(7, &[1]));
    sleep(MINUTE).await;
    let PostLoad { since_start, last_day, is_restart_due, .. } = world.state().await.posts;
    assert_eq!((since_start, last_day, is_restart_due), (0, 1, false));
}

/// With 30 services at 9 s a signature, each is signed once, and then when it is due. A question does not
/// wait for all of them.
#[tokio::test(start_paused = true)]
async fn a_slow_signer_gets_each_descriptor_once() {
    const SERVICES: u16 = 30;
    let world = World::begin(SERVICES);
    world.stage.come(&copy(7, &[1]));
    sleep(SIGNATURE * 3).await;
    let asked = Instant::now();
    drop(world.signer.for_question().await);
    assert!(asked.elapsed() <= SIGNATURE, "{:?}", asked.elapsed());
    sleep(SIGNATURE * u32::from(SERVICES)).await;
    assert!(world.uploads().await.iter().all(|state| *state == UploadState::Stored));
    assert_eq!(world.stage.posts(), usize::from(SERVICES));
    sleep(MINUTE * 60 * 12).await;
    let posts = world.stage.posts() / usize::from(SERVICES);
    assert!((6..=13).contains(&posts), "{posts}");
}

/// A newer publication replaces one that waits, which is not signed.
#[tokio::test(start_paused = true)]
async fn what_is_replaced_while_it_waits_is_not_posted() {
    const SERVICES: u16 = 30;
    let world = World::begin(SERVICES);
    world.stage.come(&copy(7, &[1]));
    sleep(SIGNATURE * 7 / 2).await;
    let before = world.stage.posts();
    // When tor is back, the published descriptors are out of date. Publications for them wait for the signer
    // from then on.
    world.stage.go();
    sleep(SIGNATURE / 9).await;
    world.stage.come(&copy(8, &[2]));
    sleep(SIGNATURE * (u32::from(SERVICES) + 5)).await;
    // A text that was signed before may be posted once more.
    let posts = world.stage.posts() - before - usize::from(SERVICES);
    assert!(posts <= before, "{posts} of {before}");
    for service in 1..=SERVICES {
        assert!(world.stage.held(service).iter().all(|text| text.ends_with(" 2")), "{service}");
    }
}

/// Tor lacks one microdescriptor for hours, which is common. Everything is published meanwhile, and its
/// directory, of 10 MB on the public network, is not read every few seconds.
#[tokio::test(start_paused = true)]
async fn a_directory_that_is_never_whole_is_read_more_and_more_rarely() {
    let world = World::begin(1);
    world.stage.lacks(1);
    world.stage.come(&copy(7, &[1]));
    sleep(MINUTE).await;
    assert_eq!(world.uploads().await, [UploadState::Stored; HSDIRS]);
    // At 0, 5, 15, 35, 75, 155 and 315 s, and then every 320 s.
    assert_eq!(world.stage.readings(), 4);
    sleep(MINUTE * 59).await;
    assert_eq!(world.stage.readings(), 7 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_grows_is_read_soon() {
    let world = World::begin(1);
    world.stage.lacks(3);
    world.stage.come(&copy(7, &[1]));
    sleep(MINUTE * 30).await;
    world.stage.lacks(2);
    // The reading at 1915 s was not in vain.
    sleep(Duration::from_secs(117)).await;
    let readings = world.stage.readings();
    world.stage.lacks(0);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.stage.readings(), readings + 1);
    sleep(MINUTE * 60).await;
    assert_eq!(world.stage.readings(), readings + 1);
}
