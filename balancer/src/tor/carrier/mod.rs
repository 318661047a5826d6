//! The network over tor's control port: requests become commands, and events become their answers.
//!
//! Tor answers a command at once. The outcome comes by events that do not name the command, may not name the
//! descriptor, or never come. The carrier assigns each event to its request, and answers a request without an
//! event when its time is over.

mod client_fetch;
mod commands;
mod fetches;
mod link;
mod probes;
#[cfg(test)]
mod tests;
mod turns;
mod uploads;

use std::collections::VecDeque;
use std::time::Duration;

use onionbalance_proto::relay::Fingerprint;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

pub use self::link::{Link, LinkError, Patience};
pub use self::turns::ReadingTurns;

use self::client_fetch::{ClientFetches, Ended, Visited};
use self::commands::{Command, Commands, Done, Tor};
use self::fetches::Fetches;
use self::link::FromTor;
use self::probes::Probes;
use self::turns::AwaitedTurn;
use self::uploads::{Success, Uploads};
use super::control::{ControlError, Events};
use super::event::{Event, HsDesc, HsDescContent, StatusClient};
use super::hsdir::{HsFetchError, HsPostError, Posted};
use super::session::Session;
use super::socks::SocksPort;
use crate::confinement::Confinement;
use crate::network::{
    self, ClientLookup, Fetched, Lookup, Network, Post, Probe, Probed, RequestId, Verdict, Version,
};

/// The time after which a request without an event is given up: tor looks for circuits to the HSDir for two
/// minutes (`SocksTimeout`), and may try the last one for 15 seconds more.
const GIVEN_UP: Duration = Duration::from_secs(140);
/// The most fetches in flight, and the most commands that wait for tor; further ones are refused. The engine
/// asks for less.
const MOST: usize = 4096;
/// The most messages of the link that wait: that tor is ready, or lost.
const FROM_LINK: usize = 4;

/// Tor's word for the status 400. The usual cause is a revision on the HSDir that is not lower.
const UPLOAD_REJECTED: &str = "UPLOAD_REJECTED";
/// Tor's words for an HSDir's answers to a fetch.
const NOT_FOUND: &str = "NOT_FOUND";
const BAD_DESC: &str = "BAD_DESC";

const AWAY: &str = "tor is away";

type Message = network::Message<LinkError>;

/// A tor, used through its control port.
pub struct ControlPort {
    version: Version,
    from_tor: mpsc::Receiver<FromTor>,
    link: AbortHandle,
    tor: Option<Tor>,
    /// The events of this tor and, when it is lost, those that came before.
    events: Option<Events>,
    commands: Commands,
    turns: ReadingTurns,
    awaited_turn: AwaitedTurn,
    fetches: Fetches,
    uploads: Uploads,
    client_fetches: ClientFetches,
    visited: mpsc::UnboundedReceiver<Visited>,
    probes: Probes,
    /// The post that waits for tor's reply, with the verdicts that came before the reply.
    posting: Option<(RequestId, Vec<(Fingerprint, Verdict)>)>,
    outbox: VecDeque<Message>,
}

impl ControlPort {
    /// Begins to connect to the tor of `link`, and reads its directory when `turns` allow it. Needs a tokio
    /// runtime.
    pub fn start(
        link: Link,
        version: Version,
        patience: Patience,
        confinement: Confinement,
        turns: ReadingTurns,
    ) -> Self {
        let (to_us, from_tor) = mpsc::channel(FROM_LINK);
        let probes = Probes::through(link.socks.clone());
        let link = tokio::spawn(link.run(version, patience, confinement, to_us));
        Self::over(from_tor, link.abort_handle(), version, turns, probes)
    }

    /// The network over a session with a tor that is ready. It ends with the session. Probes go through
    /// `socks`; `None`: through the SOCKS port that tor names. Needs a tokio runtime.
    pub fn over_session(session: Session, version: Version, socks: Option<SocksPort>) -> Self {
        let (to_us, from_tor) = mpsc::channel(FROM_LINK);
        let link = tokio::spawn(link::hand_over(session, to_us));
        Self::over(from_tor, link.abort_handle(), version, ReadingTurns::new(), Probes::through(socks))
    }

    fn over(
        from_tor: mpsc::Receiver<FromTor>,
        link: AbortHandle,
        version: Version,
        turns: ReadingTurns,
        probes: Probes,
    ) -> Self {
        let (client_fetches, visited) = ClientFetches::new();
        Self {
            version,
            from_tor,
            link,
            tor: None,
            events: None,
            commands: Commands::default(),
            turns,
            awaited_turn: AwaitedTurn::default(),
            fetches: Fetches::default(),
            uploads: Uploads::default(),
            client_fetches,
            visited,
            probes,
            posting: None,
            outbox: VecDeque::new(),
        }
    }

    fn say(&mut self, message: Message) {
        self.outbox.push_back(message);
    }

    fn fetched(&mut self, requests: Vec<RequestId>, outcome: &Fetched) {
        let messages = requests.into_iter().map(|request| Message::Fetched(request, outcome.clone()));
        self.outbox.extend(messages);
    }

    /// Notes the end of uploads to `hsdir`. For the post that waits for tor's reply it is reported after the
    /// reply.
    fn uploaded(&mut self, requests: Vec<RequestId>, hsdir: Fingerprint, verdict: &Verdict) {
        for request in requests {
            match &mut self.posting {
                Some((posting, heard)) if *posting == request => heard.push((hsdir, verdict.clone())),
                _ => self.say(Message::Uploaded(request, hsdir, verdict.clone())),
            }
        }
    }

    /// Begins the next command, if tor is ready for one.
    fn begin_command(&mut self) {
        let Some(command) = self.tor.as_ref().and_then(|tor| self.commands.begin(tor)) else { return };
        // The request is noted before tor's reply: the first event may be handled before the reply.
        match command {
            Command::Directory(..) => {}
            Command::Fetch(request, lookup, hsdir) => {
                self.fetches.expect(request, &lookup, hsdir, Instant::now());
            }
            Command::Post(request, post) => {
                self.uploads.expect(request, &post.name, &post.to, Instant::now());
                self.posting = Some((request, Vec::new()));
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Directory(documents) => {
                self.say(Message::Directory(documents.map_err(|error| error.to_string())));
            }
            Done::Fetch(_, Ok(())) => {}
            Done::Fetch(request, Err(error)) => {
                if !self.fetches.withdraw(request) {
                    return;
                }
                let reason = match error {
                    // Tor has another consensus than the one that was read, or the link reports the loss of
                    // tor.
                    HsFetchError::UnknownServer(_) | HsFetchError::Control(ControlError::Closed(_)) => None,
                    HsFetchError::Control(error) => Some(error.to_string()),
                };
                self.say(Message::Fetched(request, Fetched::Failed(reason)));
            }
            Done::Post(request, outcome) => self.on_posted(request, outcome),
        }
    }

    fn on_posted(&mut self, request: RequestId, outcome: Result<Posted, HsPostError>) {
        let mut heard = self.posting.take().map_or(Vec::new(), |(_, heard)| heard);
        match outcome {
            Ok(Posted { unknown, .. }) => {
                self.say(Message::Posted(request));
                // Events of these HSDirs belonged to other uploads: this one was not sent there.
                heard.retain(|(hsdir, _)| !unknown.contains(hsdir));
                for hsdir in unknown {
                    self.say(Message::Uploaded(request, hsdir, Verdict::Unknown));
                    let stored = self.uploads.withdraw(request, hsdir);
                    self.uploaded(stored, hsdir, &Verdict::Stored);
                }
                for (hsdir, verdict) in heard {
                    self.say(Message::Uploaded(request, hsdir, verdict));
                }
            }
            Err(problem) => {
                self.say(Message::NotPosted(request, problem.to_string()));
                for hsdir in self.uploads.hsdirs(request) {
                    let stored = self.uploads.withdraw(request, hsdir);
                    self.uploaded(stored, hsdir, &Verdict::Stored);
                }
            }
        }
    }

    fn on_tor(&mut self, message: FromTor) {
        match message {
            FromTor::Ready { tor, events, uptime } => {
                self.client_fetches.begin(&tor.connection);
                self.probes.begin(&tor.connection);
                let version = Some(tor.version.to_string());
                (self.tor, self.events) = (Some(tor), Some(events));
                self.say(Message::Ready { uptime, version });
            }
            FromTor::Absent(absence) => self.say(Message::Absent(absence)),
            FromTor::Lost => {
                (self.tor, self.events) = (None, None);
                self.commands.clear();
                self.awaited_turn.clear();
                self.fetches.clear();
                self.uploads.clear();
                self.client_fetches.end();
                self.probes.end();
                self.posting = None;
                self.say(Message::Lost);
            }
            FromTor::Refused(error) => self.say(Message::Unusable(error)),
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::StatusClient(StatusClient::ConsensusArrived) => self.say(Message::DirectoryChanged),
            Event::StatusClient(status) => debug!(?status, "tor's status"),
            Event::HsDesc(event) => self.on_hs_desc(event),
            // An empty text accompanies a failure that had an event of its own.
            Event::HsDescContent(content) if content.text.is_empty() => {}
            Event::HsDescContent(content) => self.on_content(content),
        }
    }

    fn on_content(&mut self, content: HsDescContent) {
        let HsDescContent { address, descriptor_id, hsdir, text } = content;
        let mut answered = self.fetches.answered(&address, Some(&descriptor_id), hsdir);
        if answered.is_empty() {
            answered = self.client_fetches.received(&descriptor_id);
        }
        self.fetched(answered, &Fetched::Text(text));
    }

    fn on_hs_desc(&mut self, event: HsDesc) {
        match event {
            HsDesc::Uploaded { address, hsdir } => {
                let (stored, verdict) = match self.uploads.uploaded(&address, hsdir) {
                    Success::Of(requests) => (requests, Verdict::Stored),
                    Success::Unclear(requests) => (requests, Verdict::Unclear),
                };
                self.uploaded(stored, hsdir, &verdict);
            }
            HsDesc::Failed { address, hsdir: Some(hsdir), descriptor_id, authorization, reason } => {
                debug!(address = address.address(), %hsdir, reason, "tor reports a failure");
                if let Some(auth_type) = authorization {
                    // Tor goes on to ask the next HSDir.
                    return self.client_fetches.refused(&address.address(), auth_type, &reason);
                }
                // Fetches and uploads have the same event.
                let mut answered = Vec::new();
                if reason != UPLOAD_REJECTED {
                    answered = self.fetches.answered(&address, descriptor_id.as_ref(), hsdir);
                }
                if !answered.is_empty() {
                    return self.fetched(answered, &refusal(&reason));
                }
                if let Some((failed, stored)) = self.uploads.failed(&address, hsdir, descriptor_id.as_ref()) {
                    let refused = reason == UPLOAD_REJECTED;
                    let verdict = if refused { Verdict::Refused(reason) } else { Verdict::Failed };
                    self.uploaded(vec![failed], hsdir, &verdict);
                    self.uploaded(stored, hsdir, &Verdict::Stored);
                }
            }
            // Tor has asked every HSDir. Tor before 0.3.1 sends no event then.
            HsDesc::Failed { address, hsdir: None, .. } => {
                let ended = self.client_fetches.exhausted(&address.address());
                self.on_client_fetch_ended(ended);
            }
            _ => {}
        }
    }

    fn on_client_fetch_ended(&mut self, ended: Ended) {
        let (requests, outcome) = match ended {
            Ended::Continues => return,
            Ended::NotFound(requests) => (requests, Fetched::NotFound),
            Ended::Unreadable(requests) => (requests, Fetched::Unreadable),
            Ended::Failed(requests, why) => (requests, Fetched::Failed(why)),
        };
        self.fetched(requests, &outcome);
    }

    /// Answers the requests whose time is over.
    fn expire(&mut self) {
        let now = Instant::now();
        let silent = self.fetches.expire(now);
        self.fetched(silent, &Fetched::Failed(None));
        for (request, hsdir, verdict) in self.uploads.expire(now) {
            self.uploaded(vec![request], hsdir, &verdict);
        }
        for command in self.commands.expire(now) {
            self.refuse(&command, "tor does not take commands fast enough");
        }
    }

    /// Answers a request that is not carried out.
    fn refuse(&mut self, command: &Command, problem: &str) {
        let problem = problem.to_owned();
        self.say(match command {
            Command::Directory(..) => Message::Directory(Err(problem)),
            Command::Fetch(request, ..) => Message::Fetched(*request, Fetched::Failed(None)),
            Command::Post(request, _) => Message::NotPosted(*request, problem),
        });
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.fetches.deadline(), self.uploads.deadline(), self.commands.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn take(&mut self, command: Command) {
        if self.tor.is_none() {
            self.refuse(&command, AWAY);
        } else if self.commands.len() >= MOST || self.fetches.len() >= MOST {
            self.refuse(&command, "too many requests wait for tor");
        } else {
            self.commands.push(command, Instant::now());
        }
    }
}

impl Network for ControlPort {
    type Error = LinkError;

    fn read_directory(&mut self) {
        if self.tor.is_none() {
            return self.say(Message::Directory(Err(AWAY.to_owned())));
        }
        self.awaited_turn.begin(&self.turns);
    }

    fn fetch(&mut self, request: RequestId, lookup: Lookup, hsdir: Fingerprint) {
        self.take(Command::Fetch(request, lookup, hsdir));
    }

    fn fetch_as_client(&mut self, request: RequestId, lookup: ClientLookup) {
        if self.tor.is_none() {
            return self.say(Message::Fetched(request, Fetched::Failed(None)));
        }
        self.client_fetches.ask(request, lookup);
    }

    fn post(&mut self, request: RequestId, post: Post) {
        self.take(Command::Post(request, post));
    }

    fn probe(&mut self, request: RequestId, probe: Probe) {
        if let Err(reason) = self.probes.begin_one(request, probe) {
            self.say(Message::Probed(request, Probed::Unmade(reason)));
        }
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.outbox.pop_front() {
                return message;
            }
            self.begin_command();
            let deadline = self.deadline();
            tokio::select! {
                // Tor's reply to a command comes before the events that it causes.
                biased;
                done = self.commands.done() => self.on_done(done),
                turn = self.awaited_turn.come() => self.take(Command::Directory(self.version, turn)),
                // Those that came before the connection ended count, so they come before the link's word of that.
                event = next_event(&mut self.events) => self.on_event(event),
                Some(message) = self.from_tor.recv() => self.on_tor(message),
                Some(visited) = self.visited.recv() => {
                    let ended = self.client_fetches.ended(&visited.address, visited.result);
                    self.on_client_fetch_ended(ended);
                }
                (request, probed) = self.probes.ended() => self.say(Message::Probed(request, probed)),
                () = sleep_or_never(deadline) => self.expire(),
            }
        }
    }
}

impl Drop for ControlPort {
    fn drop(&mut self) {
        self.link.abort();
    }
}

/// The end of a fetch by tor's word for the failure (control-spec: `REASON=` of `HS_DESC`).
fn refusal(reason: &str) -> Fetched {
    match reason {
        NOT_FOUND => Fetched::NotFound,
        BAD_DESC => Fetched::Unreadable,
        _ => Fetched::Failed(None),
    }
}

/// The next event. None comes any more after the end of the connection, which the link reports. Cancel safe.
async fn next_event(events: &mut Option<Events>) -> Event {
    if let Some(heard) = events {
        if let Ok(event) = heard.next().await {
            return event;
        }
        *events = None;
    }
    std::future::pending().await
}

async fn sleep_or_never(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
