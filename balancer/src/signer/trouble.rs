//! The present trouble with the signer, for readers that do not ask the signer themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::SignerError;
use crate::age::Age;
use crate::repeats::{Occurrence, Repeats};

/// The topic of all reasons for which the signer does not answer.
const TOPIC: &str = "signer";

/// The signer does not answer.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The time of the first question without an answer.
    pub since: Instant,
    /// The reason for which the last question got no answer.
    pub problem: String,
}

/// The warnings about the signer's silence. All descriptors that it does not sign have the same reason, so
/// their runtimes share this.
#[derive(Clone, Debug)]
pub(super) struct TroubleCount {
    present: watch::Receiver<Option<Trouble>>,
    repeats: Arc<Mutex<Repeats>>,
}

impl TroubleCount {
    /// True if `problem` is the reason for which the last question got no answer.
    pub(super) fn is_present(&self, problem: &str) -> bool {
        self.present.borrow().as_ref().is_some_and(|trouble| trouble.problem == problem)
    }

    /// Notes a warning with this reason, about `subject`, at the time `now`. `None`: it is not to be logged.
    pub(super) fn note(&self, problem: &str, subject: &str, now: Instant) -> Option<Occurrence> {
        lock(&self.repeats).note(TOPIC, problem, subject, now)
    }
}

fn lock(repeats: &Mutex<Repeats>) -> MutexGuard<'_, Repeats> {
    repeats.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The present trouble with the signer; `None` before the first question.
#[derive(Debug, Default)]
pub(super) struct TroubleLog {
    present: watch::Sender<Option<Trouble>>,
    repeats: Arc<Mutex<Repeats>>,
    has_answered: bool,
}

impl TroubleLog {
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Trouble>> {
        self.present.subscribe()
    }

    pub(super) fn count(&self) -> TroubleCount {
        TroubleCount { present: self.present.subscribe(), repeats: Arc::clone(&self.repeats) }
    }

    /// Notes the outcome of a question.
    pub(super) fn note<T>(&mut self, outcome: &Result<T, SignerError>) {
        let before = self.present.borrow().clone();
        match outcome {
            Ok(_) => {
                if let Some(trouble) = before {
                    let again = if self.has_answered { "again " } else { "" };
                    info!("connected to the signer {again}after {}", Age(trouble.since.elapsed()));
                    self.present.send_replace(None);
                    lock(&self.repeats).end_all(TOPIC, Instant::now());
                }
                self.has_answered = true;
            }
            Err(error) => {
                let since = before.map_or_else(Instant::now, |trouble| trouble.since);
                self.present.send_replace(Some(Trouble { since, problem: error.to_string() }));
            }
        }
    }
}
