//! The conversation: a few connections that take turns, and on each one request at a time and one reply.
//!
//! A peer may be hostile, even one whose user is allowed. So nothing here waits for a single peer: calls on sockets do not
//! block, a [`Guard`] bounds those that a peer can make block all the same, and a frame that is not understood ends its
//! connection, never the process. The least recently answered connection gives its place to a new one, so that a balancer that
//! is started afresh is served at once, whatever the other connections do.

pub mod audit;
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
use onionbalance_proto::wire::{Refusal, Reply};

use self::connection::{Connection, Ended};
use self::pace::{Pace, Round};
pub use self::services::Services;
use crate::log::{self, Priority};
use crate::system::activation::Notifier;
use crate::system::guard::Guard;
use crate::system::signals::{Signals, Wanted};

/// Connections at a time. More than one, so that a fresh balancer need not wait for the end of another. They and a dozen other
/// descriptors are fewer than the process may have open.
const MAX_CONNECTIONS: usize = 48;
/// A connection keeps its place for so long after it began, however many wait. An honest request arrives within, or has arrived
/// already. A queue of a thousand silent peers is passed through in a second.
const TENURE: Duration = Duration::from_millis(50);
/// The loop comes around at least this often: for the service manager's watchdog and for log lines that had to wait.
const TICK: Duration = Duration::from_secs(5);

/// The loop's ties to the outside besides its sockets.
pub struct Outside {
    /// Requests of the operator.
    pub signals: Signals,
    /// The service manager's watchdog.
    pub notifier: Notifier,
    /// Bounds every system call.
    pub guard: Guard,
}

/// The services, and the connections on which they are asked for.
pub struct Server {
    services: Services,
    allowed_uids: Vec<u32>,
    /// Those that have waited longest for a turn come first.
    connections: VecDeque<Connection>,
    pace: Pace,
}

/// Descriptors for which something is to be done.
struct Ready {
    signals: bool,
    listener: bool,
    /// In the order of the connections.
    connections: Vec<bool>,
}

impl Server {
    /// A server for `services`, each of which may be asked `per_minute` times a minute.
    pub fn new(services: Services, per_minute: u32, allowed_uids: Vec<u32>) -> Self {
        let pace = Pace::new(services.len(), per_minute, Instant::now());
        let mut server = Self { services, allowed_uids, connections: VecDeque::new(), pace };
        server.services.limit(per_minute);
        server
    }

    /// The services that are held.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The services that are held, to be changed.
    pub fn services_mut(&mut self) -> &mut Services {
        &mut self.services
    }

    /// Changes which users may ask, and how often. The loop closes connections of other users after the reload.
    pub fn reconfigure(&mut self, per_minute: u32, allowed_uids: Vec<u32>) {
        self.services.limit(per_minute);
        self.pace = Pace::new(self.services.len(), per_minute, Instant::now());
        self.allowed_uids = allowed_uids;
    }

    /// Serves the connection from the balancer that started this process.
    ///
    /// # Errors
    /// The kernel does not tell the peer.
    pub fn adopt(&mut self, stream: UnixStream) -> io::Result<()> {
        self.connections.push_back(Connection::new(stream, Instant::now())?);
        Ok(())
    }

    /// Serves the peers that connect to `listener` until a signal asks the process to end; without a listener, until the end of
    /// the connection that was [adopted](Server::adopt). SIGHUP has `reload` done.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn serve(
        &mut self,
        listener: Option<&UnixListener>,
        outside: &mut Outside,
        mut reload: impl FnMut(&mut Self),
    ) -> io::Result<()> {
        self.services.log_notices();
        while listener.is_some() || !self.connections.is_empty() {
            let ready = self.wait(outside, listener)?;
            outside.notifier.keep_alive(Instant::now());
            let wanted = if ready.signals { outside.signals.take() } else { None };
            if let Some(Wanted::End(signal)) = wanted {
                outside.guard.watch(|| log_end(signal));
                return Ok(());
            }
            outside.guard.watch(|| {
                if wanted == Some(Wanted::Reload) {
                    reload(self);
                    // The readiness is of the connections before the reload: `poll` reports it again.
                    self.close_those_not_allowed(listener.is_some());
                } else {
                    self.round(&ready, listener);
                }
                log::settle();
            });
        }
        Ok(())
    }

    /// Waits until there is something to do, [`TICK`] at the longest.
    fn wait(&self, outside: &Outside, listener: Option<&UnixListener>) -> io::Result<Ready> {
        let now = Instant::now();
        let is_paused = self.pace.paused_until().is_some_and(|end| now < end);
        let listener =
            listener.filter(|_| !is_paused && self.place_free_from().is_none_or(|free| free <= now));
        let connections = self.connections.iter().filter(|_| !is_paused);
        let mut waiting = vec![PollFd::new(outside.signals.as_fd(), PollFlags::POLLIN)];
        waiting.extend(listener.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        waiting.extend(connections.map(|connection| PollFd::new(connection.as_fd(), connection.waits_for())));
        let timeout = self.next_moment(outside, now).saturating_duration_since(now);
        // One more millisecond, since the rest of one is cut off.
        let timeout = PollTimeout::try_from(timeout + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = waiting.iter().map(|descriptor| descriptor.any().unwrap_or(true));
        Ok(Ready {
            signals: ready.next().unwrap_or(false),
            listener: listener.is_some() && ready.next().unwrap_or(false),
            connections: ready.collect(),
        })
    }

    /// The time at which something is to be done even if nothing comes.
    fn next_moment(&self, outside: &Outside, now: Instant) -> Instant {
        let deadlines = self.connections.iter().filter_map(Connection::deadline);
        let moments = deadlines.chain(self.place_free_from()).chain(outside.notifier.next_ping());
        let next = moments.filter(|moment| *moment > now).fold(now + TICK, Instant::min);
        self.pace.paused_until().filter(|end| *end > now).unwrap_or(next)
    }

    /// The time from which on a connection gives its place to another; `None` if there is a free one.
    fn place_free_from(&self) -> Option<Instant> {
        let is_full = self.connections.len() >= MAX_CONNECTIONS;
        let oldest = self.connections.iter().map(Connection::begun).min();
        oldest.filter(|_| is_full).map(|begun| begun + TENURE)
    }

    /// One turn for each connection that is ready, as far as the pace allows, and then new connections.
    fn round(&mut self, ready: &Ready, listener: Option<&UnixListener>) {
        let has_work = ready.listener || ready.connections.contains(&true);
        let Round { mut turns, accepts } =
            if has_work { self.pace.begin_round(Instant::now()) } else { Round::NONE };
        let mut had_turns = Vec::new();
        for (index, mut connection) in std::mem::take(&mut self.connections).into_iter().enumerate() {
            let is_ready = ready.connections.get(index).is_some_and(|ready| *ready) && turns > 0;
            if !is_ready {
                match connection.overdue(Instant::now()) {
                    None => self.connections.push_back(connection),
                    Some(ended) => log_end_of(connection.peer(), &ended),
                }
                continue;
            }
            turns -= 1;
            match self.turn(&mut connection, listener.is_some()) {
                Ok(()) => had_turns.push(connection),
                Err(ended) => log_end_of(connection.peer(), &ended),
            }
        }
        self.connections.extend(had_turns);
        if let Some(listener) = listener.filter(|_| ready.listener) {
            self.accept(listener, accepts);
        }
    }

    /// Goes on with a connection, and replies if a request has become whole.
    fn turn(&mut self, connection: &mut Connection, may_close: bool) -> Result<(), Ended> {
        let now = Instant::now();
        self.pace.count(now);
        if let Some(ended) = connection.overdue(now) {
            return Err(ended);
        }
        let Some(request) = connection.advance(now)? else { return Ok(()) };
        let reply = self.services.answer(&request, connection.peer());
        self.services.log_notices();
        connection.reply(&reply, Instant::now())?;
        match reply {
            // No honest balancer causes these. The parent of this process is told only: there is no other connection.
            Reply::Refused(refusal @ (Refusal::UnknownService | Refusal::RateLimit)) if may_close => {
                Err(Ended::Refused(refusal))
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, listener: &UnixListener, accepts: usize) {
        for _ in 0..accepts {
            let now = Instant::now();
            if self.place_free_from().is_some_and(|free| free > now) {
                return;
            }
            let accepted = listener.accept().and_then(|(stream, _)| Connection::new(stream, now));
            match accepted {
                Ok(connection) => self.receive(connection),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    let what = format_args!("a connection was lost before it was accepted: {error}");
                    log::line_by_peer(Priority::Warning, what);
                }
            }
            self.pace.count(now);
        }
    }

    fn receive(&mut self, connection: Connection) {
        let peer = connection.peer();
        if listen::is_allowed(peer, &self.allowed_uids) {
            if self.connections.len() >= MAX_CONNECTIONS {
                self.close_least_recently_answered(Instant::now());
            }
            log::line_by_peer(Priority::Info, format_args!("connected {peer}"));
            self.connections.push_back(connection);
        } else {
            let remedy = "list the uid under signer-allowed-uids if it is the balancer's";
            let what = format_args!("refused a connection {peer}: not allowed; {remedy}");
            log::line_by_peer(Priority::Warning, what);
        }
    }

    fn close_least_recently_answered(&mut self, now: Instant) {
        let connections = self.connections.iter().enumerate();
        let giving_way = connections.filter(|(_, connection)| connection.begun() + TENURE <= now);
        let oldest = giving_way.min_by_key(|(_, connection)| connection.answered()).map(|(index, _)| index);
        if let Some(connection) = oldest.and_then(|index| self.connections.remove(index)) {
            log_end_of(connection.peer(), &Ended::GivesWay);
        }
    }

    /// Closes connections whose users the configuration allows no longer; not the one from the parent of this process.
    fn close_those_not_allowed(&mut self, is_listening: bool) {
        let allowed_uids = &self.allowed_uids;
        self.connections.retain(|connection| {
            let is_allowed = !is_listening || listen::is_allowed(connection.peer(), allowed_uids);
            if !is_allowed {
                log_end_of(connection.peer(), &Ended::NotAllowed);
            }
            is_allowed
        });
    }
}

fn log_end_of(peer: listen::Peer, ended: &Ended) {
    match ended {
        Ended::Closed => log::line_by_peer(Priority::Info, format_args!("disconnected {peer}")),
        _ => log::line_by_peer(Priority::Warning, format_args!("closed the connection {peer}: {ended}")),
    }
}

fn log_end(signal: Signal) {
    log::line(Priority::Info, format_args!("ending: {signal}"));
}
