//! One connection: requests in, replies out, one after the other. No call here waits.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recvmsg, send};
use onionbalance_proto::wire::{FrameError, Header, Refusal, Reply, Request, frame};

use super::listen::{self, Peer};

/// Within this time a frame that was begun must be whole, and a reply must be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a peer that may ask.
pub struct Connection {
    stream: UnixStream,
    peer: Peer,
    begun: Instant,
    /// The time of the last reply, or of the beginning.
    answered: Instant,
    stage: Stage,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed it between two requests.
    #[error("closed")]
    Closed,
    /// Not a frame of the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame is not whole.
    #[error("ended inside a frame, or stalled there for {} s", PATIENCE.as_secs())]
    Stalled,
    /// A reply is not taken.
    #[error("the reply was not taken within {} s", PATIENCE.as_secs())]
    NotTaken,
    /// The protocol has no out-of-band bytes. They would make the connection readable without anything to read.
    #[error("it sent out-of-band bytes")]
    OutOfBand,
    /// The protocol passes no descriptors. The kernel closes them in this process.
    #[error("it passed file descriptors")]
    Descriptors,
    /// No honest balancer asks for this.
    #[error("it asked for what is refused in any case: {0}")]
    Refused(Refusal),
    /// Another connection needs its place.
    #[error("too many connections, and it is the least recently answered one")]
    GivesWay,
    /// The configuration allows its user no longer.
    #[error("its user is not allowed any more")]
    NotAllowed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

enum Stage {
    Request(Incoming),
    Reply(Outgoing),
}

/// A frame that arrives.
struct Incoming {
    /// The header, and the body as far as it is known how long that is.
    bytes: Vec<u8>,
    filled: usize,
    /// From its first byte on.
    deadline: Option<Instant>,
}

/// A frame that leaves.
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    deadline: Instant,
}

impl Connection {
    /// A connection that begins at `now`.
    pub fn new(stream: UnixStream, now: Instant) -> io::Result<Self> {
        let peer = listen::peer(&stream)?;
        Ok(Self { stream, peer, begun: now, answered: now, stage: Stage::Request(Incoming::new()) })
    }

    /// The process at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The time of its beginning.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The time of the last reply, or of the beginning.
    pub fn answered(&self) -> Instant {
        self.answered
    }

    /// The time at which it has to be further than it is, if it is inside a frame.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Request(incoming) => incoming.deadline,
            Stage::Reply(outgoing) => Some(outgoing.deadline),
        }
    }

    /// The event that it waits for.
    pub fn waits_for(&self) -> PollFlags {
        match &self.stage {
            Stage::Request(_) => PollFlags::POLLIN,
            Stage::Reply(_) => PollFlags::POLLOUT,
        }
    }

    /// Goes on with the frame after the event that it waits for, as far as that goes. Returns a request that has become whole:
    /// [`Connection::reply`] has to follow.
    pub fn advance(&mut self, now: Instant) -> Result<Option<Request>, Ended> {
        match &mut self.stage {
            Stage::Request(incoming) => {
                let request = incoming.receive(&self.stream, now);
                if let Ok(Some(_)) = request {
                    *incoming = Incoming::new();
                }
                request
            }
            Stage::Reply(outgoing) => {
                if outgoing.send(&self.stream)? {
                    self.stage = Stage::Request(Incoming::new());
                }
                Ok(None)
            }
        }
    }

    /// Begins to send the reply to the request of [`Connection::advance`].
    pub fn reply(&mut self, reply: &Reply, now: Instant) -> Result<(), Ended> {
        self.answered = now;
        self.stage =
            Stage::Reply(Outgoing { bytes: frame::encode(reply)?, sent: 0, deadline: now + PATIENCE });
        self.advance(now).map(drop)
    }

    /// The reason to end it at `now`, if its time is over.
    pub fn overdue(&self, now: Instant) -> Option<Ended> {
        let is_over = self.deadline().is_some_and(|deadline| deadline <= now);
        is_over.then_some(match self.stage {
            Stage::Request(_) => Ended::Stalled,
            Stage::Reply(_) => Ended::NotTaken,
        })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Incoming {
    fn new() -> Self {
        Self { bytes: vec![0; Header::LENGTH], filled: 0, deadline: None }
    }

    /// Reads as much as is there, up to the end of the frame.
    fn receive(&mut self, stream: &UnixStream, now: Instant) -> Result<Option<Request>, Ended> {
        let before = self.filled;
        loop {
            let Some(gap) = self.bytes.get_mut(self.filled..).filter(|gap| !gap.is_empty()) else {
                if let Some(request) = self.frame_or_more()? {
                    return Ok(Some(request));
                }
                continue;
            };
            match read(stream, gap)? {
                // Out-of-band bytes are skipped, and nothing is left: waiting would be over at once again.
                None if self.filled == before => return Err(Ended::OutOfBand),
                None => return Ok(None),
                Some(0) if self.filled == 0 => return Err(Ended::Closed),
                Some(0) => return Err(Ended::Stalled),
                Some(count) => {
                    self.filled += count;
                    self.deadline.get_or_insert(now + PATIENCE);
                }
            }
        }
    }

    /// The request, if these bytes are a whole frame. Else they are a header, and room is made for its body.
    fn frame_or_more(&mut self) -> Result<Option<Request>, Ended> {
        let Some((header, body)) = self.bytes.split_first_chunk() else { return Ok(None) };
        let length = Header::decode::<Request>(*header)?.body_length();
        if body.len() == length {
            return Ok(Some(frame::decode(body)?));
        }
        self.bytes.resize(Header::LENGTH + length, 0);
        Ok(None)
    }
}

impl Outgoing {
    /// Sends as much as there is room for. True if that was all.
    fn send(&mut self, stream: &UnixStream) -> Result<bool, Ended> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match send(stream.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        Ok(true)
    }
}

/// Bytes that were read, 0 at the end of the stream, `None` if there are none.
fn read(stream: &UnixStream, bytes: &mut [u8]) -> Result<Option<usize>, Ended> {
    // There is no room for descriptors. The kernel closes them, and sets this flag (unix(7), MSG_CTRUNC).
    let mut parts = [IoSliceMut::new(bytes)];
    match recvmsg::<()>(stream.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT) {
        Ok(message) if message.flags.contains(MsgFlags::MSG_CTRUNC) => Err(Ended::Descriptors),
        Ok(message) => Ok(Some(message.bytes)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

#[cfg(test)]
mod tests;
