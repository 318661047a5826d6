//! A client of the signer that several tasks share.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::SignerClient;
use super::trouble::TroubleCount;
use crate::repeats::Occurrence;

/// A client that is lent to one task at a time: to orders in their order, and to a question after the present
/// order, however many other orders wait.
#[derive(Clone)]
pub struct SharedSigner(Arc<Shared>);

struct Shared {
    client: Mutex<SignerClient>,
    /// The lock of the order that has the client or is next. All other orders wait for it; questions do not.
    order: Mutex<()>,
    trouble: TroubleCount,
}

/// The client, for one order.
pub struct ForOrder<'a> {
    client: MutexGuard<'a, SignerClient>,
    _turn: MutexGuard<'a, ()>,
}

impl SharedSigner {
    /// Shares a client.
    pub fn new(client: SignerClient) -> Self {
        let trouble = client.trouble_count();
        Self(Arc::new(Shared { client: Mutex::new(client), order: Mutex::new(()), trouble }))
    }

    /// True if `problem` is the reason for which the last question got no answer.
    pub fn is_trouble(&self, problem: &str) -> bool {
        self.0.trouble.is_present(problem)
    }

    /// Notes a warning about `subject` that the signer does not answer for the reason `problem`. `None`: it
    /// is not to be logged.
    pub fn note_trouble(&self, problem: &str, subject: &str, now: Instant) -> Option<Occurrence> {
        self.0.trouble.note(problem, subject, now)
    }

    /// Waits for the client, to have a descriptor signed.
    pub async fn for_order(&self) -> ForOrder<'_> {
        let turn = self.0.order.lock().await;
        ForOrder { client: self.0.client.lock().await, _turn: turn }
    }

    /// Waits for the client, for a question whose answer an operator awaits.
    pub async fn for_question(&self) -> MutexGuard<'_, SignerClient> {
        self.0.client.lock().await
    }
}

impl Deref for ForOrder<'_> {
    type Target = SignerClient;

    fn deref(&self) -> &SignerClient {
        &self.client
    }
}

impl DerefMut for ForOrder<'_> {
    fn deref_mut(&mut self) -> &mut SignerClient {
        &mut self.client
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::super::SignerPlace;
    use super::*;

    const SIGNATURE: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_for_one_order_at_most() {
        let signer = SharedSigner::new(SignerClient::new(SignerPlace::Socket("/nonexistent".into())));
        let mut orders = JoinSet::new();
        for _ in 0..300 {
            let signer = signer.clone();
            orders.spawn(async move {
                let _client = signer.for_order().await;
                sleep(SIGNATURE).await;
            });
        }
        sleep(SIGNATURE / 2).await;
        for _ in 0..3 {
            let asked = Instant::now();
            drop(signer.for_question().await);
            assert!(asked.elapsed() <= SIGNATURE, "{:?}", asked.elapsed());
            // The next order has its turn, too.
            sleep(SIGNATURE / 2).await;
            assert!(signer.0.client.try_lock().is_err());
        }
    }
}
