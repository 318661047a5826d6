//! One connection to tor's control port.
//!
//! A task owns the stream. It sends one command at a time and waits for its reply before it sends the next
//! one, so a reply can never be taken for another command's. This holds after the caller has given up
//! waiting, and also if tor never answers, because then the whole connection is closed. Events are passed on
//! as they come.

use std::future;
use std::io::{self, Cursor};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::command::Command;
use super::event::Event;
use super::queue;
use super::reply::{Decoder, Message, ReplyError};

/// The most commands that wait for their turn; further callers wait.
const QUEUE_LENGTH: usize = 16;
const READ_SIZE: usize = 64 * 1024;

/// A handle to a connection; the connection is closed when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    exchanges: mpsc::Sender<Exchange>,
    end: End,
}

/// The events of a connection. A caller that needs none may drop this.
#[derive(Debug)]
pub struct Events {
    queue: queue::Receiver,
    end: End,
}

/// The reason for which a connection has ended. It cannot be used again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Closed {
    /// Tor closed it, because it stops or refuses a password.
    #[error("tor closed the control connection")]
    ByTor,
    /// The stream failed.
    #[error("the control connection broke: {0}")]
    Io(#[source] Arc<io::Error>),
    /// Tor did not answer in time: a later reply would be taken for the next command's.
    #[error("tor did not answer {command} within {} s", .after.as_secs())]
    NoReply {
        /// The command's first word.
        command: &'static str,
        /// The time that was waited.
        after: Duration,
    },
    /// The bytes are not those of the protocol.
    #[error("the control connection is out of step: {0}")]
    Protocol(#[from] ReplyError),
    /// A reply came without a command: its status and text.
    #[error("tor sent a reply without a command: {0} {1}")]
    UnaskedReply(u16, String),
    /// The program did not take the events.
    #[error("more than {} MiB of tor's events are waiting: the program does not keep up", queue::MAX_WAITING >> 20)]
    TooManyEvents,
    /// The program closed the connection.
    #[error("the control connection was closed")]
    ByUs,
}

/// The reason for which a command has failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The connection has ended; the command may or may not have been carried out.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Tor answered with an error; the connection goes on.
    #[error("tor refused {command}: {status} {text}")]
    Refused {
        /// The command's first word.
        command: &'static str,
        /// The status code, 4xx or 5xx.
        status: u16,
        /// The text of tor's reply.
        text: String,
    },
    /// Tor accepted the command, but the reply does not have the form of control-spec.
    #[error("tor's reply to {command} is not valid: {text}")]
    Unexpected {
        /// The command's first word.
        command: &'static str,
        /// The reply's first line.
        text: String,
    },
}

impl Connection {
    /// Runs the protocol on `stream`; needs a tokio runtime.
    pub fn start<S>(stream: S) -> (Self, Events)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (exchanges, incoming) = mpsc::channel(QUEUE_LENGTH);
        let (sender, receiver) = queue::queue();
        let end = End::default();
        let (reader, writer) = tokio::io::split(stream);
        let driver = Driver {
            reader,
            writer,
            exchanges: incoming,
            outgoing: Cursor::default(),
            pending: None,
            decoder: Decoder::default(),
            events: sender,
        };
        tokio::spawn(driver.run(end.clone()));
        (Self { exchanges, end: end.clone() }, Events { queue: receiver, end })
    }

    /// Waits until the connection has ended, and returns the reason. Earlier events may still wait.
    pub async fn ended(&self) -> Closed {
        self.exchanges.closed().await;
        self.end.reason()
    }

    /// Sends a command and waits for its reply. Dropping the future gives up the reply, not the command.
    pub(super) async fn call(&self, command: Command) -> Result<Message, ControlError> {
        let name = command.name;
        let (sender, reply) = oneshot::channel();
        let sent = self.exchanges.send(Exchange { command, reply: sender }).await;
        sent.map_err(|_| self.end.reason())?;
        let message = reply.await.map_err(|_| self.end.reason())?;
        if message.status / 100 == 2 {
            return Ok(message);
        }
        let text = message.lines.into_iter().next_back().map(|line| line.text).unwrap_or_default();
        Err(ControlError::Refused { command: name, status: message.status, text })
    }
}

impl Events {
    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// All events were taken and the connection has ended, for this reason.
    pub async fn next(&mut self) -> Result<Event, Closed> {
        self.queue.receive().await.ok_or_else(|| self.end.reason())
    }
}

impl ControlError {
    pub(super) fn unexpected(command: &'static str, message: &Message) -> Self {
        let text = message.lines.first().map(|line| line.text.clone()).unwrap_or_default();
        Self::Unexpected { command, text }
    }
}

/// The reason for which a connection has ended; empty before its end.
#[derive(Clone, Debug, Default)]
struct End(Arc<OnceLock<Closed>>);

impl End {
    fn reason(&self) -> Closed {
        self.0.get().cloned().unwrap_or(Closed::ByUs)
    }
}

struct Exchange {
    command: Command,
    reply: oneshot::Sender<Message>,
}

/// A command whose reply is awaited.
struct Pending {
    command: &'static str,
    reply_within: Duration,
    deadline: Instant,
    reply: oneshot::Sender<Message>,
}

struct Driver<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    exchanges: mpsc::Receiver<Exchange>,
    outgoing: Cursor<Vec<u8>>,
    pending: Option<Pending>,
    decoder: Decoder,
    events: queue::Sender,
}

impl<S: AsyncRead + AsyncWrite> Driver<S> {
    async fn run(mut self, end: End) {
        let closed = self.drive().await;
        debug!(reason = %closed, "control connection ended");
        // The reason is set before the channels are dropped: the tasks that wait at them ask for it next.
        let _ = end.0.set(closed);
    }

    async fn drive(&mut self) -> Closed {
        let mut input = vec![0; READ_SIZE];
        loop {
            let idle = self.pending.is_none() && self.has_sent_all();
            let step = tokio::select! {
                exchange = self.exchanges.recv(), if idle => exchange.map(|exchange| self.begin(exchange)).ok_or(Closed::ByUs),
                written = self.writer.write_buf(&mut self.outgoing), if !self.has_sent_all() => check(written).map(drop),
                read = self.reader.read(&mut input) => match check(read) {
                    Ok(count) => self.take(input.get(..count).unwrap_or_default()),
                    Err(closed) => Err(closed),
                },
                closed = overdue(self.pending.as_ref()) => Err(closed),
            };
            if let Err(closed) = step {
                return closed;
            }
        }
    }

    fn has_sent_all(&self) -> bool {
        usize::try_from(self.outgoing.position()).is_ok_and(|sent| sent >= self.outgoing.get_ref().len())
    }

    fn begin(&mut self, exchange: Exchange) {
        let Exchange { command, reply } = exchange;
        debug!(command = command.name, "to tor");
        self.pending = Some(Pending {
            command: command.name,
            reply_within: command.reply_within,
            deadline: Instant::now() + command.reply_within,
            reply,
        });
        self.outgoing = Cursor::new(command.into_bytes());
    }

    fn take(&mut self, mut input: &[u8]) -> Result<(), Closed> {
        while let Some(message) = self.decoder.decode(&mut input)? {
            if message.is_event() {
                let event = Event::parse(message).map(|event| self.events.send(event));
                event.transpose().map_err(|_| Closed::TooManyEvents)?;
            } else if let Some(pending) = self.pending.take() {
                // A caller that has given up is gone.
                let _ = pending.reply.send(message);
            } else {
                let text = message.lines.into_iter().next().map(|line| line.text).unwrap_or_default();
                return Err(Closed::UnaskedReply(message.status, text));
            }
        }
        Ok(())
    }
}

/// An end of the stream, or a write of no bytes, means that the other side is gone.
fn check(result: io::Result<usize>) -> Result<usize, Closed> {
    match result {
        Ok(0) => Err(Closed::ByTor),
        Ok(count) => Ok(count),
        Err(error) => Err(Closed::Io(Arc::new(error))),
    }
}

async fn overdue(pending: Option<&Pending>) -> Closed {
    let Some(pending) = pending else { return future::pending().await };
    sleep_until(pending.deadline).await;
    Closed::NoReply { command: pending.command, after: pending.reply_within }
}

#[cfg(test)]
mod tests {
    use tokio::{join, task};

    use super::*;
    use crate::tor::event::StatusClient;
    use crate::tor::mock::{Mock, error_text};
    use crate::tor::reply::{MAX_LINE, MAX_MESSAGE};

    const ACTIVE: &str = "SIGNAL ACTIVE\r\n";
    const EVENT: &str = "650 STATUS_CLIENT NOTICE CONSENSUS_ARRIVED\r\n";

    #[tokio::test]
    async fn passes_events_on_between_replies() {
        let (mut tor, connection, mut events) = Mock::connect();
        tor.send(EVENT).await;
        let talk = async {
            tor.answer(ACTIVE, EVENT).await;
            tor.send("250 OK\r\n").await;
            tor.send(EVENT).await;
        };
        let (signalled, ()) = join!(connection.signal_active(), talk);
        signalled.unwrap();
        for _ in 0..3 {
            let event = events.next().await.unwrap();
            assert_eq!(event, Event::StatusClient(StatusClient::ConsensusArrived));
        }
    }

    #[tokio::test]
    async fn a_refusal_leaves_the_connection_usable() {
        let (mut tor, connection, _events) = Mock::connect();
        let talk = async {
            tor.answer(ACTIVE, "552 Unrecognized signal code \"ACTIVE\"\r\n").await;
            tor.answer(ACTIVE, "250 OK\r\n").await;
        };
        let calls = async { (connection.signal_active().await, connection.signal_active().await) };
        let ((refused, accepted), ()) = join!(calls, talk);
        assert_eq!(error_text(refused), "tor refused SIGNAL: 552 Unrecognized signal code \"ACTIVE\"");
        accepted.unwrap();
    }

    #[tokio::test]
    async fn a_reply_that_nobody_waits_for_any_more_is_not_taken_for_another() {
        let (mut tor, connection, _events) = Mock::connect();
        let abandoned = task::spawn({
            let connection = connection.clone();
            async move { connection.is_testing_network().await }
        });
        tor.expect("GETCONF TestingTorNetwork\r\n").await;
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        let talk = async {
            tor.send("250 TestingTorNetwork=1\r\n").await;
            tor.answer("GETCONF TestingTorNetwork\r\n", "250 TestingTorNetwork=0\r\n").await;
        };
        let (testing, ()) = join!(connection.is_testing_network(), talk);
        assert!(!testing.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_reply_ends_the_connection() {
        let (mut tor, connection, mut events) = Mock::connect();
        let text = "tor did not answer SIGNAL within 10 s";
        let (late, waiting) = join!(connection.signal_active(), connection.signal_active());
        assert_eq!(error_text(late), text);
        assert_eq!(error_text(waiting), text);
        assert_eq!(error_text(connection.signal_active().await), text);
        assert_eq!(error_text(events.next().await), text);
        tor.expect(ACTIVE).await;
        tor.expect_end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_reply_is_none() {
        let (mut tor, connection, _events) = Mock::connect();
        let (late, ()) = join!(connection.signal_active(), tor.answer(ACTIVE, "250-half\r\n250 "));
        assert!(error_text(late).contains("did not answer"));
    }

    // A busy machine takes longer to pass so many bytes on than tor may take to answer.
    #[tokio::test(start_paused = true)]
    async fn whatever_is_out_of_step_ends_the_connection() {
        let block = |length| ["250+md/all=\r\n".to_owned(), "x".repeat(length)].concat();
        for (sent, text) in [
            ("250-a\r\n650 HS_DESC x\r\n".to_owned(), "an event and a reply are mixed up"),
            ("GET / HTTP/1.0\r\n".to_owned(), "`GET / HTTP/1.0` is not a line"),
            ("x".repeat(MAX_LINE + 1), "longer than 65536 bytes"),
            (block(MAX_MESSAGE + 1), "longer than 67108864 bytes"),
            (String::new(), "tor closed the control connection"),
            ("250-half".to_owned(), "tor closed the control connection"),
        ] {
            let (mut tor, connection, mut events) = Mock::connect();
            let talk = async {
                tor.answer(ACTIVE, sent).await;
                drop(tor);
            };
            let (signalled, ()) = join!(connection.signal_active(), talk);
            let error = error_text(signalled);
            assert!(error.contains(text), "{error}");
            assert_eq!(error_text(events.next().await), error);
            assert_eq!(error_text(connection.signal_active().await), error);
        }
    }

    #[tokio::test]
    async fn a_reply_to_nothing_ends_the_connection() {
        let (mut tor, _connection, mut events) = Mock::connect();
        tor.send("250 OK\r\n").await;
        assert_eq!(error_text(events.next().await), "tor sent a reply without a command: 250 OK");
    }

    #[tokio::test]
    async fn events_that_nobody_takes_end_the_connection() {
        let (mut tor, connection, mut events) = Mock::connect();
        let body = "x".repeat(queue::MAX_WAITING / 8);
        let hsdir = "$DDAD623E54F159BFAE07BFB26F5A8ECEDEB8B292";
        for _ in 0..8 {
            tor.send(format!("650+HS_DESC_CONTENT a id {hsdir}\r\n{body}\r\n.\r\n650 OK\r\n")).await;
        }
        tor.expect_end().await;
        assert!(error_text(connection.signal_active().await).contains("does not keep up"));
        assert!(matches!(events.next().await, Ok(Event::HsDescContent(_))), "what fitted is there");
        while events.next().await.is_ok() {}
        assert!(matches!(events.next().await, Err(Closed::TooManyEvents)));
    }

    #[tokio::test]
    async fn the_last_handle_closes_the_connection() {
        let (mut tor, connection, events) = Mock::connect();
        drop(events);
        tor.send(EVENT).await;
        let (signalled, ()) = join!(connection.signal_active(), tor.answer(ACTIVE, "250 OK\r\n"));
        signalled.unwrap();
        drop(connection);
        tor.expect_end().await;
    }
}
