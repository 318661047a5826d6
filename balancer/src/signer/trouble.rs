//! Whether the signer answers, for who wants to know without asking it.

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::SignerError;
use crate::age::Age;

/// The signer does not answer.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When a question first got no answer.
    pub since: Instant,
    /// Why the last one got none.
    pub problem: String,
}

/// The present trouble with the signer; none before the first question.
#[derive(Debug, Default)]
pub(super) struct TroubleLog(watch::Sender<Option<Trouble>>);

impl TroubleLog {
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.subscribe()
    }

    /// Takes the outcome of a question.
    pub(super) fn note<T>(&self, outcome: &Result<T, SignerError>) {
        let before = self.0.borrow().clone();
        match (outcome, before) {
            (Ok(_), None) => {}
            (Ok(_), Some(trouble)) => {
                info!("connected to the signer again after {}", Age(trouble.since.elapsed()));
                self.0.send_replace(None);
            }
            (Err(error), before) => {
                let since = before.map_or_else(Instant::now, |trouble| trouble.since);
                self.0.send_replace(Some(Trouble { since, problem: error.to_string() }));
            }
        }
    }
}
