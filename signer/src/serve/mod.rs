//! The conversation: a few connections that take turns, and on each one request at a time and one reply.
//!
//! Any peer may be hostile, even one whose user is allowed. So nothing here waits for a single peer: calls on
//! sockets do not block, a [`Guard`] bounds those that a peer can make block all the same, and a frame that
//! is not valid ends its connection, never the process. The least recently answered connection gives its
//! place to a new one, so that a restarted balancer is served at once, regardless of all other connections.

mod caches;
pub mod connection;
pub mod listen;
pub mod not_ready;
mod pace;
mod services;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use onionbalance_process::monotonic;
use onionbalance_proto::config::Config;
use onionbalance_proto::wire::{Refusal, Reply};

use self::connection::{Connection, Ended};
use self::pace::Pace;
pub use self::services::Services;
use crate::allowed_users::AllowedUsers;
use crate::limit::RateLimit;
use crate::log::{self, Priority};
use crate::system::activation::Notifier;
use crate::system::guard::Guard;
use crate::system::signals::Signals;

/// The most connections at a time. There is more than one, so that a restarted balancer need not wait for the
/// end of its last connection. They and a dozen other descriptors are fewer than the process may have open.
const MAX_CONNECTIONS: usize = 48;
/// A connection keeps its place for this time after it began, however many others wait. An honest request
/// arrives within it. A queue of a thousand silent peers passes in a second.
const TENURE: Duration = Duration::from_millis(50);
/// The most connections that are accepted in a round.
const ACCEPTS: usize = 32;
/// The longest wait of the loop: the service manager's watchdog and waiting log lines need a round at least
/// as often.
const TICK: Duration = Duration::from_secs(5);

/// The loop's ties to the outside besides its sockets.
pub struct Outside {
    /// The operator's signals.
    pub signals: Signals,
    /// The connection to the service manager, with its watchdog.
    pub notifier: Notifier,
    /// The bound of every system call except the wait of the loop.
    pub guard: Guard,
}

/// The services, and the connections on which they are asked for.
pub struct Server {
    /// The services whose keys are held.
    pub services: Services,
    /// The users that may connect.
    pub allowed: AllowedUsers,
    pace: Pace,
    /// The socket at which peers connect; `None` if the only connection is the one from the parent of this
    /// process.
    listener: Option<&'static UnixListener>,
    /// The connections; the longest since its last turn comes first.
    connections: VecDeque<Connection>,
}

/// The sockets that are ready.
struct Ready {
    listener: bool,
    /// One flag for each connection, in the order of the connections.
    connections: Vec<bool>,
}

impl Server {
    /// A server for the peers that connect to `listener`, or for the one at the other end of `stream`.
    ///
    /// # Errors
    /// The kernel does not name the peer of `stream`.
    pub fn new(
        services: Services,
        allowed: AllowedUsers,
        config: &Config,
        listener: Option<&'static UnixListener>,
        stream: Option<UnixStream>,
    ) -> io::Result<Self> {
        let connection = stream.map(|stream| Connection::new(stream, monotonic())).transpose()?;
        let pace = Pace::new(services.held().len(), config.signer_requests_per_minute, monotonic());
        Ok(Self { services, allowed, pace, listener, connections: connection.into_iter().collect() })
    }

    /// Changes the rate limits.
    pub fn configure(&mut self, config: &Config) {
        let now = monotonic();
        for held in self.services.held_mut() {
            held.limit = RateLimit::new(config.signer_requests_per_minute, now);
        }
        self.pace = Pace::new(self.services.held().len(), config.signer_requests_per_minute, now);
    }

    /// Serves until a signal comes. `None`: the connection from the parent of this process has ended.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn serve(&mut self, outside: &mut Outside) -> io::Result<Option<Signal>> {
        self.close_those_not_allowed();
        self.services.log_notices();
        while self.listener.is_some() || !self.connections.is_empty() {
            let ready = self.wait(outside)?;
            outside.notifier.keep_alive(monotonic());
            let signal = outside.signals.take();
            if signal.is_some() {
                return Ok(signal);
            }
            self.round(ready);
            log::settle();
        }
        Ok(None)
    }

    /// Waits until a socket is ready or something else is due, [`TICK`] at the longest.
    fn wait(&self, outside: &mut Outside) -> io::Result<Ready> {
        let now = monotonic();
        let pause = self.pace.paused_until.filter(|end| *end > now);
        let is_free = self.place_free_from().is_none_or(|free| free <= now);
        let listener = self.listener.filter(|_| pause.is_none() && is_free);
        let connections = self.connections.iter().filter(|_| pause.is_none());
        let mut waiting = vec![PollFd::new(outside.signals.as_fd(), PollFlags::POLLIN)];
        waiting.extend(listener.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        waiting.extend(connections.map(|connection| PollFd::new(connection.as_fd(), connection.waits_for())));
        let next = pause.unwrap_or_else(|| self.next_moment(outside, now));
        // One more millisecond, because the rest of one is cut off.
        let timeout = next.saturating_duration_since(now) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match outside.guard.rest(|| poll(&mut waiting, timeout)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = waiting.iter().map(|descriptor| descriptor.any().unwrap_or(true)).skip(1);
        Ok(Ready {
            listener: listener.is_some() && ready.next().unwrap_or(false),
            connections: ready.collect(),
        })
    }

    /// The time at which something is due even if no socket becomes ready.
    fn next_moment(&self, outside: &Outside, now: Instant) -> Instant {
        let deadlines = self.connections.iter().filter_map(Connection::deadline);
        let moments = deadlines.chain(self.place_free_from()).chain(outside.notifier.next_ping());
        moments.filter(|moment| *moment > now).fold(now + TICK, Instant::min)
    }

    /// The time from which on a connection gives its place to another; `None` if a place is free.
    fn place_free_from(&self) -> Option<Instant> {
        let is_full = self.connections.len() >= MAX_CONNECTIONS;
        let oldest = self.connections.iter().map(|connection| connection.begun).min();
        oldest.filter(|_| is_full).map(|begun| begun + TENURE)
    }

    /// Gives each ready connection one turn, as far as the pace allows, and then accepts new connections.
    fn round(&mut self, ready: Ready) {
        let has_work = ready.listener || ready.connections.contains(&true);
        let mut turns = if has_work { self.pace.begin_round(monotonic()) } else { 0 };
        let mut had_turns = Vec::new();
        let mut are_ready = ready.connections.into_iter();
        for mut connection in std::mem::take(&mut self.connections) {
            // Connections that were not part of the wait are not ready.
            let has_turn = are_ready.next() == Some(true) && turns > 0;
            let outcome = if has_turn {
                turns -= 1;
                self.turn(&mut connection)
            } else {
                connection.check_time(monotonic())
            };
            match outcome {
                Err(ended) => log_end_of(&connection, &ended),
                Ok(()) if has_turn => had_turns.push(connection),
                Ok(()) => self.connections.push_back(connection),
            }
        }
        self.connections.extend(had_turns);
        if let Some(listener) = self.listener.filter(|_| ready.listener) {
            self.accept(listener);
        }
    }

    /// Goes on with a connection, and replies if a request has become whole.
    fn turn(&mut self, connection: &mut Connection) -> Result<(), Ended> {
        let now = monotonic();
        self.pace.count(now);
        connection.check_time(now)?;
        let Some(request) = connection.advance(now)? else { return Ok(()) };
        let reply = self.services.answer(&request, connection.peer);
        self.services.log_notices();
        connection.reply(&reply, monotonic())?;
        match reply {
            // An honest balancer does not cause these. The parent of this process gets the reply only: it has
            // no other connection.
            Reply::Refused(refusal @ (Refusal::UnknownService | Refusal::RateLimit))
                if self.listener.is_some() =>
            {
                Err(Ended::Refused(refusal))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, listener: &UnixListener) {
        for _ in 0..ACCEPTS {
            let now = monotonic();
            if self.place_free_from().is_some_and(|free| free > now) {
                return;
            }
            match listener.accept().and_then(|(stream, _)| Connection::new(stream, now)) {
                Ok(connection) => self.receive(connection, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    let what = format_args!("a connection was lost before it was accepted: {error}");
                    log::line_by_peer(Priority::Warning, what);
                }
            }
            self.pace.count(now);
        }
    }

    fn receive(&mut self, connection: Connection, now: Instant) {
        let peer = connection.peer;
        if !listen::is_allowed(peer, self.allowed.uids()) {
            let remedy = "list the uid under signer-allowed-uids if it is the balancer's";
            let what = format_args!("refused a connection {peer}: not allowed; {remedy}");
            log::line_by_peer(Priority::Warning, what);
            return;
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            self.close_least_recently_answered(now);
        }
        log::line_by_peer(Priority::Info, format_args!("connected {peer}"));
        self.connections.push_back(connection);
    }

    /// Closes connections of users that are no longer allowed, except the one from the parent of this
    /// process.
    fn close_those_not_allowed(&mut self) {
        self.connections.retain(|connection| {
            let is_allowed =
                self.listener.is_none() || listen::is_allowed(connection.peer, self.allowed.uids());
            if !is_allowed {
                log_end_of(connection, &Ended::Because("its user is no longer allowed"));
            }
            is_allowed
        });
    }

    fn close_least_recently_answered(&mut self, now: Instant) {
        let connections = self.connections.iter().enumerate();
        let giving_way = connections.filter(|(_, connection)| connection.begun + TENURE <= now);
        let oldest = giving_way.min_by_key(|(_, connection)| connection.answered).map(|(index, _)| index);
        if let Some(connection) = oldest.and_then(|index| self.connections.remove(index)) {
            let why = "too many connections, and it is the least recently answered one";
            log_end_of(&connection, &Ended::Because(why));
        }
    }
}

fn log_end_of(connection: &Connection, ended: &Ended) {
    let peer = connection.peer;
    match ended {
        Ended::Closed => log::line_by_peer(Priority::Info, format_args!("disconnected {peer}")),
        _ => log::line_by_peer(Priority::Warning, format_args!("closed the connection {peer}: {ended}")),
    }
}
