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
pub(super) struct TroubleLog {
    present: watch::Sender<Option<Trouble>>,
    has_answered: bool,
}

impl TroubleLog {
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Trouble>> {
        self.present.subscribe()
    }

    /// Takes the outcome of a question.
    pub(super) fn note<T>(&mut self, outcome: &Result<T, SignerError>) {
        let before = self.present.borrow().clone();
        match outcome {
            Ok(_) => {
                if let Some(trouble) = before {
                    let again = if self.has_answered { "again " } else { "" };
                    info!("connected to the signer {again}after {}", Age(trouble.since.elapsed()));
                    self.present.send_replace(None);
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
