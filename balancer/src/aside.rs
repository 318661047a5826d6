//! Long work in a thread beside the loop that balances.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// Does `work` in a thread of its own and waits for its result. The work goes on if this future is dropped.
///
/// The thread has the confinement of the thread that starts it (landlock(7)). So the process's runtime keeps
/// no idle thread for later work, and no bytes of strangers may be read before a tor has been met
/// ([`Confinement::awaits_tor`](crate::confinement::Confinement::awaits_tor)).
///
/// # Panics
/// If the work panics, or the kernel has no thread.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Only a runtime that ends cancels the work, and then nothing waits for it.
    spawn_blocking(work).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
