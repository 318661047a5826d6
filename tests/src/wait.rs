//! Waiting for a state without an event.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Repeats `look` until it finds something. Fails if `look` fails, or if the time is over.
pub fn until<T>(timeout: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("nothing came of it in {} seconds", timeout.as_secs());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
