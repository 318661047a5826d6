//! The present trouble with the signer, for readers that do not ask the signer themselves.

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::SignerError;
use crate::age::Age;

/// The signer does not answer.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The time of the first question without an answer.
    pub since: Instant,
    /// The reason for which the last question got no answer.
    pub problem: String,
}

/// The present trouble with the signer; `None` before the first question.
#[derive(Debug, Default)]
pub(super) struct TroubleLog {
    present: watch::Sender<Option<Trouble>>,
    has_answered: bool,
}

impl TroubleLog {
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Trouble>> {
        self.present.subscribe()
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
