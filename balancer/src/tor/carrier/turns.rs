//! Turns to read a directory. With all its microdescriptors it has 8 MB as a text, and tors that are started
//! together would all be read at the same time.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::GIVEN_UP;

/// One turn at a time for all carriers that have a clone of this.
#[derive(Clone, Debug)]
pub struct ReadingTurns(Arc<Semaphore>);

/// A turn, which ends when all clones of this are dropped.
#[derive(Clone, Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "it is held")] Option<Arc<OwnedSemaphorePermit>>);

/// A carrier's wait for its turn.
#[derive(Default)]
pub(super) struct AwaitedTurn(Option<Pin<Box<dyn Future<Output = Turn> + Send>>>);

impl ReadingTurns {
    /// The turns of a process.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// The next turn, in the order of the calls. The wait has an end, because a tor that does not answer
    /// keeps its turn for long.
    async fn next(self) -> Turn {
        let permit = timeout(GIVEN_UP, self.0.acquire_owned()).await;
        Turn(permit.ok().and_then(Result::ok).map(Arc::new))
    }
}

impl Default for ReadingTurns {
    fn default() -> Self {
        Self::new()
    }
}

impl AwaitedTurn {
    /// Begins to wait for a turn.
    pub(super) fn begin(&mut self, turns: &ReadingTurns) {
        self.0 = Some(Box::pin(turns.clone().next()));
    }

    /// Ends the wait.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Waits for the turn; forever if none is awaited. The future may be dropped and created again.
    pub(super) async fn come(&mut self) -> Turn {
        let Some(awaited) = &mut self.0 else { return pending().await };
        let turn = awaited.await;
        self.0 = None;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_end_is_not_waited_for_for_ever() {
        let turns = ReadingTurns::new();
        let first = turns.clone().next().await;
        let begun = Instant::now();
        drop(turns.clone().next().await);
        assert!(begun.elapsed() >= GIVEN_UP);
        drop(first);
        assert!(timeout(Duration::ZERO, turns.next()).await.is_ok());
    }
}
