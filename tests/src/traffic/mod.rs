//! Visits during a fault.
//!
//! Every two seconds a visitor's tor asks the frontend for a page, and, beside it, one of the living backends
//! directly. The second is the control group: its failures are tor's and not the frontend's. Each visit has
//! circuits of its own, and does not wait for another.

mod period;
mod tally;

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use self::period::time_period;
pub use self::tally::Tally;
use crate::network::{Backend, Client};
use crate::process::lock;
use crate::wait::until;

/// Visits that go on until they are stopped.
#[derive(Debug)]
pub struct Traffic {
    scene: Arc<Scene>,
    /// Dropping it stops the visits.
    stop: Option<Sender<()>>,
    visits: Option<JoinHandle<Result<()>>>,
}

/// A request and its result.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The moment at which it began.
    pub begun: Instant,
    /// The time that it took.
    pub time: Duration,
    /// The name of the backend that answered; `Err`: the failure.
    pub answer: Result<String, String>,
    /// True if it failed while the visitor's tor began a new time period: tor then does not find descriptors
    /// that it has just requested, or opens them with the new period's keys (tor:
    /// `hs_cache_lookup_as_client`, `hs_client_decode_descriptor`).
    pub spoiled: bool,
}

/// The results of all visits.
#[derive(Clone, Debug)]
pub struct Visits {
    /// The visits to the frontend.
    pub frontend: Vec<Visit>,
    /// The direct visits to backends.
    pub direct: Vec<Visit>,
}

#[derive(Debug)]
struct Scene {
    visitor: Client,
    /// The number of times that the visitor's tor has forgotten its descriptors.
    lookups: AtomicUsize,
    frontend: String,
    living: Mutex<Vec<String>>,
    made: Mutex<Visits>,
}

impl Traffic {
    /// Begins to visit `frontend`, and these backends directly.
    pub fn begin(visitor: Client, frontend: &impl Display, living: &[Arc<Backend>]) -> Self {
        let scene = Scene {
            visitor,
            lookups: AtomicUsize::new(0),
            frontend: frontend.to_string(),
            living: Mutex::new(Vec::new()),
            made: Mutex::new(Visits { frontend: Vec::new(), direct: Vec::new() }),
        };
        let scene = Arc::new(scene);
        let (stop, stopped) = channel();
        let for_visits = Arc::clone(&scene);
        let visits = thread::spawn(move || for_visits.visit_until(&stopped));
        let traffic = Self { scene, stop: Some(stop), visits: Some(visits) };
        traffic.set_living(living);
        traffic
    }

    /// From now on these backends can be visited directly.
    pub fn set_living(&self, living: &[Arc<Backend>]) {
        *lock(&self.scene.living) = living.iter().map(|backend| backend.address().to_string()).collect();
    }

    /// Waits until this number of visits to the frontend that began after this call have ended as `wanted`
    /// requires.
    pub fn wait(&self, count: usize, timeout: Duration, wanted: impl Fn(&Visit) -> bool) -> Result<()> {
        let now = Instant::now();
        until(timeout, || {
            let made = lock(&self.scene.made);
            let fitting = made.frontend.iter().filter(|visit| visit.begun >= now && wanted(visit)).count();
            Ok((fitting >= count).then_some(()))
        })
        .with_context(|| format!("no {count} such visits; {:?}", lock(&self.scene.made).frontend))
    }

    /// Waits until the visitor's tor has forgotten its descriptors, so that it has to look for the frontend's
    /// present one.
    pub fn wait_lookup(&self, timeout: Duration) -> Result<()> {
        let before = self.scene.lookups.load(Ordering::Relaxed);
        until(timeout, || Ok((self.scene.lookups.load(Ordering::Relaxed) > before).then_some(())))
            .context("a visit goes on and on")
    }

    /// Waits until the frontend leads to this backend.
    pub fn wait_answer(&self, backend: &Backend, timeout: Duration) -> Result<()> {
        self.wait(1, timeout, |visit| visit.answer.as_deref() == Ok(backend.name()))
            .with_context(|| format!("{} never answered", backend.name()))
    }

    /// Stops, and waits for the visits under way.
    pub fn end(mut self) -> Result<Visits> {
        self.stop = None;
        let visits = self.visits.take().context("the visits have ended")?;
        visits.join().map_err(|_| anyhow!("the visitor panicked"))??;
        Ok(lock(&self.scene.made).clone())
    }
}

impl Visits {
    /// The visits that began before this moment, and the others.
    pub fn divide(self, moment: Instant) -> (Self, Self) {
        let before = |visit: &Visit| visit.begun < moment;
        let (frontend, frontend_after) = self.frontend.into_iter().partition(before);
        let (direct, direct_after) = self.direct.into_iter().partition(before);
        (Self { frontend, direct }, Self { frontend: frontend_after, direct: direct_after })
    }

    /// Fails if more visits to the frontend failed than direct ones, or if there were too few for a
    /// comparison.
    pub fn assert_unharmed(&self) -> Result<()> {
        ensure!(self.frontend.len() >= ENOUGH, "only {} visits were made", self.frontend.len());
        let (failed, directly) = (failures(&self.frontend), failures(&self.direct));
        ensure!(
            failed.len() <= directly.len(),
            "{} of {} visits to the frontend failed, {} of {} directly: {failed:?}",
            failed.len(),
            self.frontend.len(),
            directly.len(),
            self.direct.len()
        );
        Ok(())
    }
}

/// The failed visits, without those that tor's own mistake explains.
fn failures(visits: &[Visit]) -> Vec<&Visit> {
    visits.iter().filter(|visit| visit.answer.is_err() && !visit.spoiled).collect()
}

impl Scene {
    fn visit_until(self: Arc<Self>, stopped: &Receiver<()>) -> Result<()> {
        let mut under_way: Vec<JoinHandle<()>> = Vec::new();
        let mut since_lookup = VISITS_PER_LOOKUP;
        let mut number = 0;
        loop {
            under_way.retain(|visit| !visit.is_finished());
            // NEWNYM would disturb visits under way.
            if since_lookup >= VISITS_PER_LOOKUP && under_way.is_empty() {
                self.visitor.forget()?;
                self.lookups.fetch_add(1, Ordering::Relaxed);
                since_lookup = 0;
            }
            since_lookup += 1;
            under_way.push(self.spawn_visit(self.frontend.clone(), |made| &mut made.frontend));
            under_way.extend(self.direct(number).map(|host| self.spawn_visit(host, |made| &mut made.direct)));
            number += 1;
            if stopped.recv_timeout(BETWEEN_VISITS) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        under_way.into_iter().try_for_each(JoinHandle::join).map_err(|_| anyhow!("a visitor panicked"))
    }

    /// The backend of the direct visit with this number: each in turn.
    fn direct(&self, number: usize) -> Option<String> {
        let living = lock(&self.living);
        living.get(number.checked_rem(living.len())?).cloned()
    }

    fn spawn_visit(
        self: &Arc<Self>,
        host: String,
        group: fn(&mut Visits) -> &mut Vec<Visit>,
    ) -> JoinHandle<()> {
        let scene = Arc::clone(self);
        thread::spawn(move || {
            let visit = scene.visit(&host);
            group(&mut lock(&scene.made)).push(visit);
        })
    }

    fn visit(&self, host: &str) -> Visit {
        let period = time_period(&self.visitor).ok();
        let begun = Instant::now();
        let page = self.visitor.get(&host, 80, "/");
        let time = begun.elapsed();
        let answer = page.map(|page| page.text()).map_err(|error| format!("{error:#}"));
        let spoiled = answer.is_err() && time_period(&self.visitor).ok() != period;
        Visit { begun, time, answer, spoiled }
    }
}

const BETWEEN_VISITS: Duration = Duration::from_secs(2);
/// The number of visits after which tor forgets its descriptors and circuits.
const VISITS_PER_LOOKUP: usize = 8;
/// The fewest visits that allow a comparison.
const ENOUGH: usize = 10;
