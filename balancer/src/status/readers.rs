//! The readers of the status, at sockets and at the port alike: how many are served at a time, and for how
//! long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::http::{self, Wish};
use crate::repeats::Repeats;

/// The longest wait for a reader that does not read.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The most readers at a time of all sockets, and as many of the port. Each has a descriptor of the process,
/// and its text in memory.
pub(super) const MOST: usize = 16;

/// The pause after a failure to accept a reader.
const AGAIN: Duration = Duration::from_secs(1);
/// The topic of readers that were lost. It has no end: the next reader may be lost again.
const READERS: &str = "readers";

/// Has each reader that `accept` returns served by `tell`, forever. While there are [`MOST`] of them, further
/// ones wait in the kernel's queue.
pub(super) async fn serve<Reader, Accepted, Told>(
    mut accept: impl FnMut() -> Accepted,
    tell: impl Fn(Reader) -> Told,
) where
    Accepted: Future<Output = io::Result<Reader>>,
    Told: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MOST));
    let mut repeats = Repeats::default();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match accept().await {
            Ok(reader) => {
                let told = tell(reader);
                tokio::spawn(async move {
                    told.await;
                    drop(place);
                });
            }
            Err(error) => {
                if let Some(times) = repeats.note(READERS, &error.to_string(), "", Instant::now()) {
                    warn!("a reader of the status was lost: {error}{times}");
                }
                // The cause is usually a lack of descriptors: an immediate retry would only fill the log.
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Sends the answer to a wish, as far as the reader takes it.
pub(super) async fn send(reader: &mut (impl AsyncWrite + Unpin), wish: Wish, text: &str) {
    let head = http::head(wish, text.len());
    let send = async {
        reader.write_all(head.as_bytes()).await?;
        reader.write_all(text.as_bytes()).await
    };
    // A reader that has closed, or does not read, is no problem of ours.
    let _ = timeout(PATIENCE, send).await;
}
