//! The queue of events for the program, bounded by their size in memory.
//!
//! The task that reads from tor must never wait for room here: the program may itself be waiting for the
//! reply that comes next on the same connection. So the queue overflows instead, and the connection is given
//! up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::event::Event;

/// The most bytes of events that wait: more than a thousand descriptors of the greatest size that HSDirs take
/// by default, 50 kB.
pub(super) const MAX_WAITING: usize = 64 * 1024 * 1024;

/// The end of the task that reads from tor.
pub(super) struct Sender {
    events: mpsc::UnboundedSender<Event>,
    waiting: Arc<AtomicUsize>,
}

/// The program's end.
#[derive(Debug)]
pub(super) struct Receiver {
    events: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<AtomicUsize>,
}

/// The program does not keep up with tor.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Overflow;

/// Makes an empty queue.
pub(super) fn queue() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Sender { events: sender, waiting: waiting.clone() }, Receiver { events: receiver, waiting })
}

impl Sender {
    /// Adds an event without waiting. If the receiver is gone, the event is dropped.
    pub(super) fn send(&self, event: Event) -> Result<(), Overflow> {
        let size = event.size();
        if self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MAX_WAITING {
            return Err(Overflow);
        }
        if self.events.send(event).is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Receiver {
    /// The next event; `None` after the last of a connection that has ended. Cancel safe.
    pub(super) async fn receive(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.waiting.fetch_sub(event.size(), Ordering::Relaxed);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::relay::Fingerprint;

    use super::*;
    use crate::tor::event::{DescriptorId, HsDescContent, Service};

    fn content(length: usize) -> Event {
        Event::HsDescContent(HsDescContent {
            address: Service::from(""),
            descriptor_id: DescriptorId::from(""),
            hsdir: Fingerprint([0; 20]),
            text: "x".repeat(length),
        })
    }

    #[tokio::test]
    async fn counts_what_waits() {
        let (sender, mut receiver) = queue();
        let half = content(MAX_WAITING / 2 - size_of::<Event>());
        for _ in 0..3 {
            assert_eq!(sender.send(half.clone()), Ok(()));
            assert_eq!(receiver.receive().await.as_ref(), Some(&half));
        }
        assert_eq!(sender.send(half.clone()), Ok(()));
        assert_eq!(sender.send(half), Ok(()));
        assert_eq!(sender.send(content(0)), Err(Overflow));
    }

    #[test]
    fn drops_events_that_nobody_waits_for() {
        let (sender, _) = queue();
        for _ in 0..3 {
            assert_eq!(sender.send(content(MAX_WAITING / 2)), Ok(()));
        }
    }
}
