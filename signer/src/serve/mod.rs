//! The conversation: one connection, one request at a time, one answer each.
//!
//! A frame that is not understood ends the connection, never the process.

pub mod audit;
pub mod limit;
pub mod listen;
pub mod not_ready;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::wire::{FrameError, Header, Page, Refusal, Reply, Request, frame, v2, v3};
use rand_core::{OsRng, RngCore};

use self::audit::Peer;
use self::limit::RateLimit;
use crate::log::{self, Priority};
use crate::service::Service;
use crate::system::signals::{Signals, Wanted};
use crate::v3::judge;

/// Within this time a frame that was begun must be whole, and an answer must be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are written at a time. The kernel waits anew for each buffer that it fills, and this fits into one.
const AT_A_TIME: usize = 16 * 1024;
/// A connection that has said nothing for so long gives way to another. Its balancer may hang, or be one that was replaced
/// and lives on; one that is well connects anew when it has something to ask.
const SILENCE: Duration = Duration::from_secs(10);

/// The services, and who may ask for what.
pub struct Server {
    services: Vec<(Service, RateLimit)>,
    /// Another number after each change of what [`Server::page`] shows.
    edition: u64,
    allowed_uids: Vec<u32>,
    signals: Option<Obeyed>,
}

/// Signals, and what is done to read the configuration again.
struct Obeyed {
    signals: Signals,
    reload: Box<dyn FnMut(&mut Server)>,
}

/// The connection that is served.
struct Live {
    stream: UnixStream,
    peer: Peer,
    /// When it began, or was last answered.
    heard: Instant,
}

impl Live {
    fn is_silent(&self) -> bool {
        self.heard.elapsed() >= SILENCE
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed")]
    Closed,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("ended inside a frame, or stalled there for {} s", PATIENCE.as_secs())]
    Stalled,
    #[error("the answer was not taken within {} s", PATIENCE.as_secs())]
    NotTaken,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Server {
    /// A server for `services`, each of which may be asked `per_minute` times a minute.
    pub fn new(services: Vec<Service>, per_minute: u32, allowed_uids: Vec<u32>) -> Self {
        let now = Instant::now();
        let services =
            services.into_iter().map(|service| (service, RateLimit::new(per_minute, now))).collect();
        Self { services, edition: OsRng.next_u64(), allowed_uids, signals: None }
    }

    /// From now on ends at the signals that ask for that, and does `reload` with the server at SIGHUP.
    pub fn obey(&mut self, signals: Signals, reload: impl FnMut(&mut Self) + 'static) {
        self.signals = Some(Obeyed { signals, reload: Box::new(reload) });
    }

    /// Changes who may ask, and how often.
    pub fn reconfigure(&mut self, per_minute: u32, allowed_uids: Vec<u32>) {
        let now = Instant::now();
        for (_, limit) in &mut self.services {
            *limit = RateLimit::new(per_minute, now);
        }
        self.allowed_uids = allowed_uids;
    }

    /// The services that are held.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().map(|(service, _)| service)
    }

    /// The services that are held, to be changed. A balancer that reads their list page by page begins again.
    pub fn services_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.edition = OsRng.next_u64();
        self.services.iter_mut().map(|(service, _)| service)
    }

    /// Serves one connection until it ends, or a signal comes: for the balancer that started this process.
    pub fn serve_stream(&mut self, mut stream: UnixStream) -> io::Result<()> {
        let peer = listen::peer(&stream)?;
        self.tell_notices();
        loop {
            let [signalled, request] = wait([self.signals(), Some(stream.as_fd())])?;
            if signalled && self.is_ended_by_signals() {
                return Ok(());
            }
            if request && !self.serve_request(&mut stream, peer) {
                return Ok(());
            }
        }
    }

    /// Serves whoever connects, one at a time, until a signal comes.
    pub fn serve_listener(&mut self, listener: &UnixListener) -> io::Result<()> {
        self.tell_notices();
        let mut live: Option<Live> = None;
        loop {
            let connection = live.as_ref().map(|live| live.stream.as_fd());
            // The kernel looks at them in this order: who closes one connection and then makes another is never seen to have
            // done the second only.
            let [signalled, connecting, request] =
                wait([self.signals(), Some(listener.as_fd()), connection])?;
            if signalled && self.is_ended_by_signals() {
                return Ok(());
            }
            // The connection is served first: a balancer that restarted must find its old one gone.
            if let Some(Live { stream, peer, heard }) = live.as_mut().filter(|_| request) {
                let goes_on = self.serve_request(stream, *peer);
                *heard = Instant::now();
                live.take_if(|_| !goes_on);
            }
            if connecting {
                live = self.receive_connection(listener, live);
            }
        }
    }

    fn signals(&self) -> Option<BorrowedFd<'_>> {
        self.signals.as_ref().map(|obeyed| obeyed.signals.as_fd())
    }

    /// Obeys the signals that have come. True if the process is to end.
    fn is_ended_by_signals(&mut self) -> bool {
        let Some(mut obeyed) = self.signals.take() else { return false };
        let wanted = obeyed.signals.take();
        if wanted == Some(Wanted::Reload) {
            (obeyed.reload)(self);
        }
        self.signals = Some(obeyed);
        let Some(Wanted::End(signal)) = wanted else { return false };
        log::line(Priority::Info, format_args!("ending: {signal}"));
        true
    }

    /// The connection that is live after the one that waits was looked at.
    fn receive_connection(&self, listener: &UnixListener, live: Option<Live>) -> Option<Live> {
        let Some((stream, peer)) = self.accept(listener) else { return live };
        if let Some(live) = live {
            if !live.is_silent() {
                log::line(Priority::Warning, format_args!("refused a second connection {peer}: one is live"));
                return Some(live);
            }
            let silence = SILENCE.as_secs();
            log::line(
                Priority::Warning,
                format_args!(
                    "closed the connection {}: silent for {silence} s, and another is wanted",
                    live.peer
                ),
            );
        }
        log::line(Priority::Info, format_args!("connected {peer}"));
        Some(Live { stream, peer, heard: Instant::now() })
    }

    fn accept(&self, listener: &UnixListener) -> Option<(UnixStream, Peer)> {
        let accepted = listener.accept().and_then(|(stream, _)| Ok((listen::peer(&stream)?, stream)));
        match accepted {
            Ok((peer, stream)) if listen::allowed(peer, &self.allowed_uids) => Some((stream, peer)),
            Ok((peer, _)) => {
                let remedy = "list the uid under signer-allowed-uids if it is the balancer's";
                log::line(
                    Priority::Warning,
                    format_args!("refused a connection {peer}: not allowed; {remedy}"),
                );
                None
            }
            Err(error) => {
                log::line(
                    Priority::Warning,
                    format_args!("a connection was lost before it was accepted: {error}"),
                );
                None
            }
        }
    }

    /// Answers the request that is arriving. False if the connection is at its end.
    fn serve_request(&mut self, stream: &mut UnixStream, peer: Peer) -> bool {
        let outcome = receive(stream).and_then(|request| {
            let reply = self.answer(&request, peer);
            self.tell_notices();
            send(stream, &reply)
        });
        match outcome {
            Ok(()) => true,
            Err(Ended::Closed) => {
                log::line(Priority::Info, format_args!("disconnected {peer}"));
                false
            }
            Err(ended) => {
                log::line(Priority::Warning, format_args!("closed the connection {peer}: {ended}"));
                false
            }
        }
    }

    /// Logs what there is to say of each service's key. Requests come often enough to hang it on: whoever asks for nothing
    /// does not miss it.
    fn tell_notices(&mut self) {
        let now = now();
        for (service, _) in &mut self.services {
            if let Some((priority, what)) = service.notice(now) {
                log::line(priority, what);
            }
        }
    }

    fn answer(&mut self, request: &Request, peer: Peer) -> Reply {
        match request {
            Request::Services { from } => Reply::Services(self.page(*from)),
            Request::FrontendV2(frontend) => {
                let begun = Instant::now();
                let outcome = self.sign_v2(frontend, begun);
                report(outcome.is_ok(), &audit::frontend_v2(frontend, &outcome, peer, begun.elapsed()));
                outcome.map_or_else(Reply::Refused, Reply::FrontendV2)
            }
            Request::FrontendV3(frontend) => {
                let begun = Instant::now();
                let outcome = self.sign_v3(frontend, begun);
                report(outcome.is_ok(), &audit::frontend_v3(frontend, &outcome, peer, begun.elapsed()));
                outcome.map_or_else(Reply::Refused, Reply::FrontendV3)
            }
        }
    }

    /// The held services from this index on, as many as fit a reply.
    fn page(&self, from: u32) -> Page {
        let page = Page {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            edition: self.edition,
            total: u32::try_from(self.services.len()).unwrap_or(u32::MAX),
            services: Vec::new(),
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        page.fill(self.services().skip(from).map(Service::public))
    }

    fn sign_v2(
        &mut self,
        request: &v2::FrontendRequest,
        begun: Instant,
    ) -> Result<v2::SignedFrontend, Refusal> {
        let held = self.services.iter_mut().find_map(|(service, limit)| match service {
            Service::V2(held) if *held.address().permanent_id() == request.service => Some((held, limit)),
            _ => None,
        });
        let (service, limit) = held.ok_or(Refusal::UnknownService)?;
        if !limit.take(begun) {
            return Err(Refusal::RateLimit);
        }
        let approved = service.judge(request, now())?;
        service.sign(&approved, &mut OsRng)
    }

    fn sign_v3(
        &mut self,
        request: &v3::FrontendRequest,
        begun: Instant,
    ) -> Result<v3::SignedFrontend, Refusal> {
        let held = self.services.iter_mut().find_map(|(service, limit)| match service {
            Service::V3(held) if *held.address().identity() == request.service => Some((held, limit)),
            _ => None,
        });
        let (service, limit) = held.ok_or(Refusal::UnknownService)?;
        if !limit.take(begun) {
            return Err(Refusal::RateLimit);
        }
        let now = now();
        let approved = judge::judge(request, service.backends(), now)?;
        service.sign(&approved, now, &mut OsRng)
    }
}

fn report(signed: bool, line: &str) {
    log::line(if signed { Priority::Info } else { Priority::Warning }, line);
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Waits until one of the descriptors can be read or is at its end, and says which.
fn wait<const N: usize>(descriptors: [Option<BorrowedFd<'_>>; N]) -> io::Result<[bool; N]> {
    let mut waiting: Vec<PollFd> =
        descriptors.iter().flatten().map(|descriptor| PollFd::new(*descriptor, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut waiting, PollTimeout::NONE) {
            Ok(_) => {
                let mut ready = waiting.iter().map(|descriptor| descriptor.any().unwrap_or(true));
                return Ok(
                    descriptors.map(|descriptor| descriptor.is_some() && ready.next().unwrap_or(false))
                );
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn receive(stream: &mut UnixStream) -> Result<Request, Ended> {
    let deadline = Instant::now() + PATIENCE;
    let mut header = [0; Header::LENGTH];
    // The first read tells a connection that was closed between two requests from one that broke inside one.
    let (first, rest) = header.split_at_mut(1);
    if stream.read(first)? == 0 {
        return Err(Ended::Closed);
    }
    read_until(stream, rest, deadline)?;
    let mut body = vec![0; Header::decode::<Request>(header)?.body_length()];
    read_until(stream, &mut body, deadline)?;
    Ok(frame::decode(&body)?)
}

/// Fills `bytes`, however slowly they come, but not beyond `deadline`.
fn read_until(stream: &mut UnixStream, mut bytes: &mut [u8], deadline: Instant) -> Result<(), Ended> {
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Ended::Stalled);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(bytes) {
            Ok(0) => return Err(Ended::Stalled),
            Ok(count) => bytes = bytes.split_at_mut(count).1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Ended::Stalled),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn send(stream: &mut UnixStream, reply: &Reply) -> Result<(), Ended> {
    write_until(stream, &frame::encode(reply)?, Instant::now() + PATIENCE)
}

/// Writes `bytes`, however slowly they are taken, but not beyond `deadline`.
fn write_until(stream: &mut UnixStream, mut bytes: &[u8], deadline: Instant) -> Result<(), Ended> {
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Ended::NotTaken);
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(bytes.get(..AT_A_TIME).unwrap_or(bytes)) {
            Ok(count) => bytes = bytes.split_at_checked(count).ok_or(Ended::NotTaken)?.1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Ended::NotTaken),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, channel};

    use super::*;

    /// Each byte that is taken makes room for more, and none of it time.
    #[test]
    fn whoever_takes_an_answer_slowly_is_not_waited_for() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (over, receiver) = channel::<()>();
        let reader = std::thread::spawn(move || {
            let mut taken = [0; 16_384];
            while receiver.try_recv() == Err(TryRecvError::Empty) && theirs.read(&mut taken).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let patience = Duration::from_millis(200);
        let begun = Instant::now();
        let end = write_until(&mut ours, &vec![0; 1 << 24], begun + patience);
        assert!(matches!(end, Err(Ended::NotTaken)), "{end:?}");
        let taken = begun.elapsed();
        assert!(patience <= taken && taken < 10 * patience, "{taken:?}");
        drop((ours, over));
        reader.join().unwrap();
    }
}
