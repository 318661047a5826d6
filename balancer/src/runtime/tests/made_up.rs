//! A network in memory, and a made-up version of onion services whose formats are a line of numbers. The
//! network also carries descriptors of version 2, but only from HSDirs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use onionbalance_proto::config::Tuning;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::DescriptorId;
use onionbalance_proto::v3::{BlindedKey, OnionAddress, PeriodLength, TimePeriod};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::engine::{BackendView, DescriptorCopy, DescriptorSlot, Found, Point, Proof, Source, Timing};
use crate::network::{
    ClientLookup, DescriptorName, Documents, Fetched, Lookup, Message, Network, Post, Probe, ProbeFailure,
    Probed, RequestId, Verdict, Version,
};
use crate::onion_version::{
    ClientLine, Directory, DirectoryError, Frontend, OnionVersion, Order, Rings, SignError, Signed,
};
use crate::signer::SignerClient;
use crate::tor::documents::consensus::Lifetime;

/// The time that the signer takes for a signature.
pub(super) const SIGNATURE: Duration = Duration::from_secs(9);
/// The number of HSDirs, each of which is responsible for all descriptors.
pub(super) const HSDIRS: usize = 8;
/// The number of the backend's address.
pub(super) const BACKEND: u16 = 1000;
const SLOT: DescriptorSlot = DescriptorSlot { period: 1, replica: 0 };

/// The address of this number: the first key from there on that is valid.
pub(super) fn address(number: u16) -> OnionAddress {
    let key = |tries: u8| {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        key[2] = tries;
        OnionAddress::from_identity(key).ok()
    };
    (0..=u8::MAX).find_map(key).expect("no key")
}

/// The text of a descriptor.
pub(super) fn copy(revision: u64, points: &[u32]) -> String {
    let numbers = [revision].into_iter().chain(points.iter().map(|point| u64::from(*point)));
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn read(text: &str) -> Option<(u64, Vec<MadeUpPoint>)> {
    let mut words = text.split(' ');
    let revision = words.next()?.parse().ok()?;
    Some((revision, words.map(|word| word.parse().map(MadeUpPoint)).collect::<Result<_, _>>().ok()?))
}

fn hsdirs() -> Vec<Fingerprint> {
    (1..).take(HSDIRS).map(|number| Fingerprint([number; 20])).collect()
}

/// A point that is its number, at the relay of that number.
#[derive(Clone, Debug)]
pub(super) struct MadeUpPoint(u32);

impl Point for MadeUpPoint {
    type Id = u32;

    const FAILED_IS_STRUCK_OFF: bool = true;

    fn id(&self) -> u32 {
        self.0
    }

    fn relay(&self) -> Fingerprint {
        let mut relay = [0; 20];
        relay[..4].copy_from_slice(&self.0.to_be_bytes());
        Fingerprint(relay)
    }
}

/// The made-up version of onion services.
#[derive(Clone, Debug)]
pub(super) struct MadeUp;

impl OnionVersion for MadeUp {
    type Address = OnionAddress;
    type Backend = OnionAddress;
    type Point = MadeUpPoint;
    type Term = DescriptorSlot;
    type Known = ();
    type Directory = MadeUpDirectory;
    type FrontendError = Infallible;
    type DirectoryError = Infallible;

    const VERSION: Version = Version::V3;
    const PROOF: Proof = Proof::Word;
    const REPLICAS_DIFFER: bool = false;
    const UNPARSED: &'static str = "it is not made up";

    fn timing(_: &Tuning) -> Timing {
        Timing::default()
    }

    fn max_points(_: &Tuning) -> usize {
        20
    }

    fn backend_address(backend: &OnionAddress) -> OnionAddress {
        *backend
    }

    fn is_client(_: &OnionAddress) -> bool {
        false
    }

    fn client_line(_: &OnionAddress, _: &[OnionAddress]) -> Option<ClientLine> {
        None
    }

    fn name(address: &OnionAddress, _: DescriptorSlot) -> DescriptorName {
        let length = PeriodLength::try_from(1440).expect("a day is a period");
        let key = BlindedKey::derive(address, TimePeriod::at(UnixTime(0), length, 0));
        DescriptorName::V3 { address: *address, key }
    }

    /// Text in place of router statuses is the number of missing microdescriptors.
    fn directory(documents: &Documents) -> Result<MadeUpDirectory, DirectoryError<Infallible>> {
        let Documents::V2 { router_statuses, .. } = documents else { return Err(DirectoryError::Version) };
        let missing = router_statuses.parse().unwrap_or(0);
        let now = onionbalance_process::now();
        let lifetime = Lifetime::new(now, now.plus(3600), now.plus(3 * 3600));
        Ok(MadeUpDirectory { lifetime: lifetime.expect("a consensus has its times in their order"), missing })
    }

    fn open(
        _: &OnionAddress,
        _: &MadeUpDirectory,
        text: &str,
        now: UnixTime,
    ) -> Result<DescriptorCopy<MadeUpPoint>, String> {
        let (revision, points) = read(text).ok_or("no numbers")?;
        Ok(DescriptorCopy { revision, published: now, period: SLOT.period, points })
    }

    fn open_own(_: &Frontend<Self>, _: DescriptorSlot, text: &str, _: UnixTime) -> Option<Found<u32>> {
        let (revision, points) = read(text)?;
        Some(Found::Copy { revision, points: points.iter().map(Point::id).collect() })
    }

    async fn sign(
        order: &Order<Self>,
        _: &mut SignerClient,
        _: UnixTime,
    ) -> Result<Signed, SignError<Infallible>> {
        sleep(SIGNATURE).await;
        let revision = order.revision_floor + 1;
        let text =
            |points: &Vec<MadeUpPoint>| copy(revision, &points.iter().map(Point::id).collect::<Vec<_>>());
        Ok(Signed { texts: order.sets.iter().map(text).collect(), revision })
    }
}

/// Every descriptor belongs on all HSDirs.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct MadeUpDirectory {
    lifetime: Lifetime,
    missing: usize,
}

impl Rings for MadeUpDirectory {
    fn places(&self, _: DescriptorSlot) -> HashMap<Fingerprint, f64> {
        hsdirs().into_iter().map(|hsdir| (hsdir, f64::from(hsdir.0[0]) / 256.0)).collect()
    }
}

impl Directory<MadeUp> for MadeUpDirectory {
    fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    fn hsdirs(&self) -> usize {
        HSDIRS
    }

    fn missing(&self) -> usize {
        self.missing
    }

    fn period_length(&self) -> Duration {
        Duration::from_hours(24)
    }

    fn period(&self, _: &OnionAddress, _: DescriptorSlot) -> Range<UnixTime> {
        UnixTime(0)..UnixTime(86_400)
    }

    fn published(
        &self,
        (): &mut (),
        _: &OnionAddress,
        _: UnixTime,
    ) -> Vec<(DescriptorSlot, Vec<Fingerprint>)> {
        vec![(SLOT, hsdirs())]
    }

    fn term(&self, slot: DescriptorSlot) -> Option<DescriptorSlot> {
        Some(slot)
    }

    fn lookup_own(&self, address: &OnionAddress, _: DescriptorSlot) -> Option<Lookup> {
        Some(Lookup::V3(*address))
    }

    fn backend(&self, (): &mut (), _: &OnionAddress, _: UnixTime) -> BackendView {
        let sources = hsdirs().into_iter().map(|hsdir| Source::Hsdir { hsdir, replica: 0 });
        BackendView { period: SLOT.period, sources: sources.collect() }
    }

    fn lookup(&self, backend: &OnionAddress, _: u8, _: UnixTime) -> Option<Lookup> {
        Some(Lookup::V3(*backend))
    }

    fn client_lookup(&self, _: &OnionAddress, _: UnixTime) -> Option<ClientLookup> {
        None
    }

    fn changes_at(&self, _: &OnionAddress, _: UnixTime) -> Option<UnixTime> {
        None
    }
}

/// A network that answers at once.
pub(super) struct MadeUpNetwork {
    stage: Stage,
    messages: mpsc::UnboundedReceiver<Message<Infallible>>,
}

/// The network's state, and the sender of its messages.
#[derive(Clone)]
pub(super) struct Stage {
    state: Arc<Mutex<State>>,
    messages: mpsc::UnboundedSender<Message<Infallible>>,
}

#[derive(Default)]
struct State {
    is_there: bool,
    asked_while_away: usize,
    readings: usize,
    posts: usize,
    /// The descriptor that each HSDir holds of each service.
    held: HashMap<(OnionAddress, Fingerprint), String>,
    /// The verdict of HSDirs that give the same one for every upload.
    verdicts: HashMap<Fingerprint, Verdict>,
    /// The v2 directory; `None`: an empty one, which is enough for the made-up version.
    documents: Option<Documents>,
    /// The answer of all HSDirs for each v2 descriptor that they have.
    answers: HashMap<DescriptorId, Fetched>,
    /// The reason for which each unwell backend, named by its address, fails its probes.
    unwell: HashMap<String, ProbeFailure>,
}

impl MadeUpNetwork {
    pub(super) fn new() -> (Self, Stage) {
        let (to_us, messages) = mpsc::unbounded_channel();
        let stage = Stage { state: Arc::default(), messages: to_us };
        (Self { stage: stage.clone(), messages }, stage)
    }
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn say(&self, message: Message<Infallible>) {
        // A runtime that has ended receives nothing.
        let _ = self.messages.send(message);
    }

    /// Makes the network ready, with this descriptor of the backend.
    pub(super) fn come(&self, backend: &str) {
        self.backend_has(backend);
        self.state().is_there = true;
        self.say(Message::Ready { uptime: None, version: None });
    }

    /// Makes the network lost.
    pub(super) fn go(&self) {
        self.state().is_there = false;
        self.say(Message::Lost);
    }

    /// Has the backend publish this text.
    pub(super) fn backend_has(&self, text: &str) {
        let all = hsdirs().into_iter().map(|hsdir| ((address(BACKEND), hsdir), text.to_owned()));
        self.state().held.extend(all);
    }

    /// Gives this HSDir this descriptor of a frontend.
    pub(super) fn holds(&self, frontend: u16, hsdir: usize, text: String) {
        self.state().held.insert((address(frontend), hsdirs()[hsdir]), text);
    }

    /// The descriptors of a frontend that the HSDirs hold; empty texts if they hold none.
    pub(super) fn held(&self, frontend: u16) -> Vec<String> {
        let state = self.state();
        let held = |hsdir| state.held.get(&(address(frontend), hsdir)).cloned().unwrap_or_default();
        hsdirs().into_iter().map(held).collect()
    }

    /// Has this HSDir answer every upload with this verdict; `None`: with the true one.
    pub(super) fn answer(&self, hsdir: usize, verdict: Option<Verdict>) {
        let mut state = self.state();
        state.verdicts.remove(&hsdirs()[hsdir]);
        state.verdicts.extend(verdict.map(|verdict| (hsdirs()[hsdir], verdict)));
    }

    /// Gives the network this v2 directory, and all its HSDirs these answers for these descriptors.
    pub(super) fn is_of_version_2(&self, documents: Documents, answers: HashMap<DescriptorId, Fetched>) {
        let mut state = self.state();
        (state.documents, state.answers) = (Some(documents), answers);
    }

    /// Has the network lack this number of microdescriptors.
    pub(super) fn lacks(&self, missing: usize) {
        let router_statuses = missing.to_string();
        self.state().documents = Some(Documents::V2 { router_statuses, times: Default::default() });
    }

    /// The number of times that the directory was read.
    pub(super) fn readings(&self) -> usize {
        self.state().readings
    }

    pub(super) fn posts(&self) -> usize {
        self.state().posts
    }

    pub(super) fn asked_while_away(&self) -> usize {
        self.state().asked_while_away
    }
}

impl State {
    /// A v3 HSDir takes only a descriptor with a higher revision than its own (tor: `cache_store_v3_as_dir`).
    fn store(&mut self, address: OnionAddress, hsdir: Fingerprint, text: &str) -> Verdict {
        if let Some(verdict) = self.verdicts.get(&hsdir) {
            return verdict.clone();
        }
        let revision = |text: &str| read(text).map(|(revision, _)| revision);
        let held = self.held.get(&(address, hsdir)).and_then(|text| revision(text));
        if held >= revision(text) {
            return Verdict::Refused("it has a higher revision".to_owned());
        }
        self.held.insert((address, hsdir), text.to_owned());
        Verdict::Stored
    }

    /// True if requests are taken.
    fn takes(&mut self) -> bool {
        self.asked_while_away += usize::from(!self.is_there);
        self.is_there
    }
}

impl Network for MadeUpNetwork {
    type Error = Infallible;

    fn read_directory(&mut self) {
        let empty = || Documents::V2 { router_statuses: String::new(), times: Default::default() };
        let mut state = self.stage.state();
        state.readings += 1;
        let documents = state.documents.clone();
        drop(state);
        self.stage.say(Message::Directory(Ok(documents.unwrap_or_else(empty))));
    }

    fn fetch(&mut self, request: RequestId, lookup: Lookup, hsdir: Fingerprint) {
        let mut state = self.stage.state();
        let fetched = match lookup {
            _ if !state.takes() => Fetched::Failed(None),
            Lookup::V3(address) => {
                let held = state.held.get(&(address, hsdir));
                held.map_or(Fetched::NotFound, |text| Fetched::Text(text.clone()))
            }
            Lookup::V2 { id, .. } => state.answers.get(&id).cloned().unwrap_or(Fetched::NotFound),
        };
        self.stage.say(Message::Fetched(request, fetched));
    }

    fn fetch_as_client(&mut self, request: RequestId, _: ClientLookup) {
        self.stage.say(Message::Fetched(request, Fetched::NotFound));
    }

    fn post(&mut self, request: RequestId, post: Post) {
        let mut state = self.stage.state();
        let DescriptorName::V3 { address, .. } = post.name else { panic!("of version 2") };
        if !state.takes() {
            return self.stage.say(Message::NotPosted(request, "there is no network".to_owned()));
        }
        state.posts += 1;
        self.stage.say(Message::Posted(request));
        for hsdir in post.to {
            let verdict = state.store(address, hsdir, &post.text);
            self.stage.say(Message::Uploaded(request, hsdir, verdict));
        }
    }

    fn probe(&mut self, request: RequestId, probe: Probe) {
        let state = self.stage.state();
        let probed = match state.unwell.get(&probe.address) {
            _ if !state.is_there => Probed::Unmade("there is no network".to_owned()),
            Some(failure) => Probed::Failed(failure.clone()),
            None => Probed::Succeeded(Duration::from_secs(1)),
        };
        self.stage.say(Message::Probed(request, probed));
    }

    async fn next(&mut self) -> Message<Infallible> {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}
