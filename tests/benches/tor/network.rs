//! A made-up network of the public one's size: its consensuses, backends that publish as real ones do, and
//! HSDirs that store everything.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use onionbalance_proto::fixture::Backend;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{BlindedKey, PeriodLength, TimePeriod};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::synthetic::{Shape, Texts, texts};

const RELAYS: usize = 9_000;
/// HSDirs of 100 relays, as on the public network.
const HSDIRS_PERCENT: u32 = 50;
const POINTS: usize = 3;
/// The time in seconds after which a backend publishes its descriptor again: the mean of 60 and 120 min
/// (`HS_SERVICE_NEXT_UPLOAD_TIME_MIN`, `_MAX`).
const REPUBLISHED_AFTER: u64 = 90 * 60;
const HOUR: u64 = 60 * 60;
/// The offset of time periods on the public network, in minutes.
const PERIODS_BEGIN_AT: u64 = 12 * 60;

/// A network for any number of tors.
pub(crate) struct Network {
    microdescriptors: String,
    backends: BTreeMap<String, u64>,
    state: Mutex<State>,
}

/// A consensus as a data block of tor's control port, with the time period in which clients look by it.
struct Consensus {
    block: Arc<str>,
    period: TimePeriod,
}

struct State {
    consensus: Consensus,
    /// The later consensuses.
    coming: VecDeque<Consensus>,
    /// The descriptors that HSDirs hold, by blinded key.
    stored: HashSet<([u8; 32], String)>,
    /// The backends whose descriptors of the present time period were fetched.
    found: HashSet<u64>,
    is_tenth_dead: bool,
}

impl Network {
    /// A network with the backends 0 to `backends` - 1. Its first consensus is that of the hour before
    /// midnight (UTC).
    pub(crate) fn new(backends: u64) -> Self {
        let midnight = now().minus(now().0 % (24 * HOUR));
        let moments = [(midnight.minus(HOUR), 0), (midnight, 1), (midnight.plus(12 * HOUR), 1)];
        let mut documents = moments.map(|(valid_after, run)| documents(valid_after, run));
        let microdescriptors = block(&std::mem::take(&mut documents[0].0.microdescriptors));
        let [consensus, coming @ ..] =
            documents.map(|(texts, period)| Consensus { block: block(&texts.consensus).into(), period });
        let named = |number| (Backend::new(number).address().without_suffix(), number);
        let state = State {
            consensus,
            coming: coming.into(),
            stored: HashSet::new(),
            found: HashSet::new(),
            is_tenth_dead: false,
        };
        Self { microdescriptors, backends: (0..backends).map(named).collect(), state: Mutex::new(state) }
    }

    /// Takes the next consensus into use: first that of midnight, which has another shared random value, then
    /// that of noon, with which a time period begins. Tors have to announce it.
    pub(crate) fn advance(&self) {
        let mut state = self.state.lock().unwrap();
        state.consensus = state.coming.pop_front().unwrap();
        state.found.clear();
    }

    /// The number of HSDirs that hold a descriptor, summed over all descriptors.
    pub(crate) fn stored(&self) -> usize {
        self.state.lock().unwrap().stored.len()
    }

    /// Has all HSDirs lose everything, so that later uploads can be counted.
    pub(crate) fn forget_stored(&self) {
        self.state.lock().unwrap().stored.clear();
    }

    /// The number of backends that were found since the last consensus.
    pub(crate) fn found(&self) -> usize {
        self.state.lock().unwrap().found.len()
    }

    /// Removes the descriptors of one backend in ten from all HSDirs.
    pub(crate) fn kill_a_tenth(&self) {
        self.state.lock().unwrap().is_tenth_dead = true;
    }

    /// A description of the network in words.
    pub(crate) fn describe(&self) -> String {
        let [consensus, microdescriptors] =
            [&*self.consensus(), &self.microdescriptors].map(|text| text.len() / 1000);
        format!("{RELAYS} relays: consensus of {consensus} kB, microdescriptors of {microdescriptors} kB")
    }

    /// The present consensus, as a data block.
    pub(super) fn consensus(&self) -> Arc<str> {
        Arc::clone(&self.state.lock().unwrap().consensus.block)
    }

    /// The microdescriptors of all relays, as a data block.
    pub(super) fn microdescriptors(&self) -> &str {
        &self.microdescriptors
    }

    /// Has an HSDir store a descriptor.
    pub(super) fn store(&self, blinded: [u8; 32], hsdir: String) {
        self.state.lock().unwrap().stored.insert((blinded, hsdir));
    }

    /// Tor's events at the end of a fetch of a backend's descriptor from an HSDir.
    pub(super) fn fetched(&self, address: &str, hsdir: &str) -> String {
        let number = *self.backends.get(address).unwrap();
        let (period, is_tenth_dead) = {
            let state = self.state.lock().unwrap();
            (state.consensus.period, state.is_tenth_dead)
        };
        let backend = Backend::new(number);
        let id = format!("{:?}", BlindedKey::derive(&backend.address(), period));
        if number.is_multiple_of(10) && is_tenth_dead {
            return format!(
                "650 HS_DESC FAILED {address} NO_AUTH ${hsdir} {id} REASON=NOT_FOUND\r\n\
                 650+HS_DESC_CONTENT {address} {id} ${hsdir}\r\n\r\n.\r\n650 OK\r\n"
            );
        }
        self.state.lock().unwrap().found.insert(number);
        let content = block(&descriptor(&backend, number, period));
        format!(
            "650 HS_DESC RECEIVED {address} NO_AUTH ${hsdir} {id}\r\n\
             650+HS_DESC_CONTENT {address} {id} ${hsdir}\r\n{content}650 OK\r\n"
        )
    }
}

/// The last descriptor that the backend of this number published. Its points are always the same.
fn descriptor(backend: &Backend, number: u64, period: TimePeriod) -> String {
    let mut rng = StdRng::seed_from_u64(number);
    let phase = number * 7919 % REPUBLISHED_AFTER;
    let round = (now().0 + phase) / REPUBLISHED_AFTER;
    let published = UnixTime(round * REPUBLISHED_AFTER - phase);
    let mut published = backend.publish(period, published, POINTS, &mut rng);
    published.descriptor.revision = round;
    published.text(&mut rng)
}

/// The consensus of this hour and the microdescriptors of its relays, which are the same at all hours. `run`
/// is the number of the shared random value.
fn documents(valid_after: UnixTime, run: u8) -> (Texts, TimePeriod) {
    let shape = Shape {
        relays: RELAYS,
        hsdirs_percent: HSDIRS_PERCENT,
        times: [0, 1, 3].map(|hours| date(valid_after.plus(hours * HOUR))),
        params: String::new(),
        shared_random: [Some([run + 1; 32]), Some([run; 32])],
    };
    let period = TimePeriod::at(valid_after, PeriodLength::DAY, PERIODS_BEGIN_AT);
    (texts(&shape, &mut StdRng::seed_from_u64(9)), period)
}

/// The date and time as `YYYY-MM-DD HH:MM:SS`.
fn date(time: UnixTime) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{}", time.0), "+%F %T"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// The text as a data block of the control protocol.
fn block(text: &str) -> String {
    text.trim_end().replace('\n', "\r\n") + "\r\n.\r\n"
}
