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

/// The time in which a frame must become whole after its first byte, and in which a reply must be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const STALLED: Ended = Ended::Because("ended inside a frame, or stalled there for 5 s");
const NOT_TAKEN: Ended = Ended::Because("the reply was not taken within 5 s");

/// A connection to a peer that may send requests.
pub struct Connection {
    /// The process at the other end.
    pub peer: Peer,
    /// The time at which the connection began.
    pub begun: Instant,
    /// The time of the last reply; without one, of the beginning.
    pub answered: Instant,
    stream: UnixStream,
    frame: Frame,
}

/// The frame in progress: a request that arrives, or a reply that leaves.
struct Frame {
    is_reply: bool,
    /// The whole frame; of a request the header alone, until the header has told the length.
    bytes: Vec<u8>,
    /// The number of bytes that have arrived or left.
    done: usize,
    /// The time at which the frame has to be whole, for a request from its first byte on; `None` between
    /// frames.
    deadline: Option<Instant>,
}

/// The reason for which a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer closed the connection between two requests.
    #[error("closed")]
    Closed,
    /// The signer closes the connection for this reason.
    #[error("{0}")]
    Because(&'static str),
    /// The bytes are not a frame of the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The request is one that an honest balancer does not send.
    #[error("it asked for what is refused in any case: {0}")]
    Refused(Refusal),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Frame {
    fn request() -> Self {
        Self { is_reply: false, bytes: vec![0; Header::LENGTH], done: 0, deadline: None }
    }
}

impl Connection {
    /// A connection that begins at `now`.
    ///
    /// # Errors
    /// The kernel does not name the peer.
    pub fn new(stream: UnixStream, now: Instant) -> io::Result<Self> {
        let peer = listen::peer(&stream)?;
        Ok(Self { peer, begun: now, answered: now, stream, frame: Frame::request() })
    }

    /// The time at which the frame in progress has to be whole; `None` between frames.
    pub fn deadline(&self) -> Option<Instant> {
        self.frame.deadline
    }

    /// The event that the connection waits for: readable or writable.
    pub fn waits_for(&self) -> PollFlags {
        if self.frame.is_reply { PollFlags::POLLOUT } else { PollFlags::POLLIN }
    }

    /// Checks the deadline.
    ///
    /// # Errors
    /// The deadline is over at `now`.
    pub fn check_time(&self, now: Instant) -> Result<(), Ended> {
        match self.frame.deadline {
            Some(deadline) if deadline <= now => Err(if self.frame.is_reply { NOT_TAKEN } else { STALLED }),
            _ => Ok(()),
        }
    }

    /// Goes on with the frame after the event that it waits for, as far as the socket allows. Returns a
    /// request that has become whole: [`Connection::reply`] has to follow.
    ///
    /// # Errors
    /// The peer closed the connection, sent something else than a frame of the protocol, or the socket
    /// failed.
    pub fn advance(&mut self, now: Instant) -> Result<Option<Request>, Ended> {
        if self.frame.is_reply { self.send().map(|()| None) } else { self.receive(now) }
    }

    /// Begins to send the reply to the request of [`Connection::advance`].
    ///
    /// # Errors
    /// The peer closed the connection, or the socket failed.
    pub fn reply(&mut self, reply: &Reply, now: Instant) -> Result<(), Ended> {
        self.answered = now;
        let bytes = frame::encode(reply)?;
        self.frame = Frame { is_reply: true, bytes, done: 0, deadline: Some(now + PATIENCE) };
        self.send()
    }

    /// Reads the bytes that are there, up to the end of the frame.
    fn receive(&mut self, now: Instant) -> Result<Option<Request>, Ended> {
        let Self { stream, frame, .. } = self;
        let before = frame.done;
        loop {
            match read(stream, frame.bytes.get_mut(frame.done..).unwrap_or_default())? {
                // The protocol has no out-of-band bytes. A read skips them, and the connection stays readable
                // without anything to read: the next wait would end at once.
                None if frame.done == before => return Err(Ended::Because("it sent out-of-band bytes")),
                None => return Ok(None),
                Some(0) if frame.done == 0 => return Err(Ended::Closed),
                Some(0) => return Err(STALLED),
                Some(count) => {
                    frame.done += count;
                    frame.deadline.get_or_insert(now + PATIENCE);
                }
            }
            if frame.done < frame.bytes.len() {
                continue;
            }
            // The header is whole, and perhaps the body.
            let Some((header, body)) = frame.bytes.split_first_chunk() else { return Ok(None) };
            let length = Header::decode::<Request>(*header)?.body_length();
            if body.len() == length {
                return Ok(Some(frame::decode(body)?));
            }
            frame.bytes.resize(Header::LENGTH + length, 0);
        }
    }

    /// Sends as much of the reply as the socket takes. The next request may come after that.
    fn send(&mut self) -> Result<(), Ended> {
        let Self { stream, frame, .. } = self;
        while let Some(rest) = frame.bytes.get(frame.done..).filter(|rest| !rest.is_empty()) {
            match send(stream.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => frame.done += count,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        self.frame = Frame::request();
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Reads bytes. Returns their number, 0 at the end of the stream, `None` if no bytes are there.
fn read(stream: &UnixStream, bytes: &mut [u8]) -> Result<Option<usize>, Ended> {
    // The protocol passes no descriptors, and there is no room for them here: the kernel closes them in this
    // process, and sets this flag (unix(7), MSG_CTRUNC).
    let mut parts = [IoSliceMut::new(bytes)];
    match recvmsg::<()>(stream.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT) {
        Ok(message) if message.flags.contains(MsgFlags::MSG_CTRUNC) => {
            Err(Ended::Because("it passed file descriptors"))
        }
        Ok(message) => Ok(Some(message.bytes)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

#[cfg(test)]
mod tests;
