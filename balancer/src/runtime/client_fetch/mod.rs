//! Descriptors of v2 backends that authorize their clients, fetched as one of these clients.
//!
//! Tor hands them out on one way only: it is given the cookie and connects to the backend for us. The descriptor comes as
//! an event on the way, and the connection, which nobody needs, is given up then.

mod rounds;

use std::collections::{BTreeMap, HashMap};

use onionbalance_proto::v2::AuthType;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

pub(super) use rounds::VisitError;

use super::Report;
use crate::engine::BackendId;
use crate::generation::{Credential, Generation};
use crate::tor::Connection;
use rounds::Order;

/// The backends that authorize their clients, and the fetches under way.
#[derive(Default)]
pub(super) struct ClientFetches {
    clients: BTreeMap<BackendId, Client>,
    rounds: Option<Rounds>,
}

/// We as a client of one backend.
struct Client {
    credential: Credential,
    /// For which authorization the cookie is used: what it says, or else a guess.
    auth_type: AuthType,
    /// Whether that is known to be right.
    certain: bool,
    /// For which of them tor has fetched since the connection to it began.
    fetched_for: Vec<AuthType>,
    visit: Option<Visit>,
}

/// A connection to the backend that is being made.
struct Visit {
    /// The visit ends when this is dropped.
    _stop: oneshot::Sender<()>,
    /// Tor's word for what the last HSDir said.
    refusal: Option<String>,
}

/// The task that makes visits, as long as one connection to tor lasts.
struct Rounds {
    orders: mpsc::UnboundedSender<Order>,
    task: AbortHandle,
}

/// What has become of a fetch.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// It goes on.
    Continues,
    /// No HSDir has the descriptor.
    NotFound,
    /// There is one that does not open.
    Invalid,
    /// It is not known, for this reason where there is one to be told.
    Failed(Option<String>),
}

impl ClientFetches {
    /// The fetches of those backends that have a credential.
    pub(super) fn new<B>(
        backends: &HashMap<BackendId, B>,
        credential: impl Fn(&B) -> Option<Credential>,
    ) -> Self {
        let mut fetches = Self::default();
        fetches.configure(backends, credential);
        fetches
    }

    /// The fetches of those backends that have a credential. What was found out about those that keep theirs is kept; fetches
    /// under way are given up, so [`ClientFetches::begin`] has to follow where there is a connection to tor.
    pub(super) fn configure<B>(
        &mut self,
        backends: &HashMap<BackendId, B>,
        credential: impl Fn(&B) -> Option<Credential>,
    ) {
        self.end();
        let mut old = std::mem::take(&mut self.clients);
        let client = |(id, backend): (&BackendId, &B)| {
            let credential = credential(backend)?;
            let known = old.remove(id).filter(|client| client.credential == credential);
            Some((id.clone(), known.unwrap_or_else(|| Client::new(credential))))
        };
        self.clients = backends.iter().filter_map(client).collect();
    }

    /// A connection to tor is there.
    pub(super) fn begin<G: Generation>(
        &mut self,
        tor: &Connection,
        reports: &mpsc::UnboundedSender<Report<G>>,
    ) {
        self.end();
        if !self.clients.is_empty() {
            let (orders, to_do) = mpsc::unbounded_channel();
            let task = tokio::spawn(rounds::make(tor.clone(), to_do, reports.clone())).abort_handle();
            self.rounds = Some(Rounds { orders, task });
        }
    }

    /// The connection to tor is gone.
    pub(super) fn end(&mut self) {
        self.rounds.take().inspect(|rounds| rounds.task.abort());
        for client in self.clients.values_mut() {
            client.visit = None;
            client.fetched_for.clear();
        }
    }

    /// Begins to fetch the backend's descriptor, unless that is under way.
    pub(super) fn ask(&mut self, backend: &BackendId) {
        let lines = self.clients.values().map(Client::line).collect();
        let (Some(client), Some(rounds)) = (self.clients.get_mut(backend), &self.rounds) else { return };
        if client.visit.is_some() {
            return;
        }
        let (stop, stopped) = oneshot::channel();
        let again = client.fetched_for.contains(&client.auth_type);
        let address = client.credential.address;
        // The task lasts as long as this does.
        let _ = rounds.orders.send(Order { backend: backend.clone(), address, lines, again, stop: stopped });
        client.fetched_for.push(client.auth_type);
        client.visit = Some(Visit { _stop: stop, refusal: None });
    }

    /// The backend's descriptor came, and opened.
    pub(super) fn received(&mut self, backend: &BackendId) {
        let Some(client) = self.clients.get_mut(backend) else { return };
        if client.visit.take().is_some() {
            client.certain = true;
        }
    }

    /// An HSDir did not give the descriptor for this authorization; tor goes on to ask the next one.
    pub(super) fn refused(&mut self, backend: &BackendId, auth_type: AuthType, reason: &str) {
        let asked = self.clients.get_mut(backend).filter(|client| client.auth_type == auth_type);
        if let Some(visit) = asked.and_then(|client| client.visit.as_mut()) {
            visit.refusal = Some(reason.to_owned());
        }
    }

    /// Tor has no HSDir left to ask, but lets the connection wait on.
    pub(super) fn exhausted(&mut self, backend: &BackendId) -> Ended {
        let client = self.clients.get(backend);
        // Of an earlier visit, if this one has not heard of any HSDir yet.
        match client.and_then(|client| client.visit.as_ref()?.refusal.as_ref()) {
            Some(_) => self.ended(backend, Ok(())),
            None => Ended::Continues,
        }
    }

    /// The visit is over, and the descriptor did not come.
    pub(super) fn ended(&mut self, backend: &BackendId, result: Result<(), VisitError>) -> Ended {
        let Some(client) = self.clients.get_mut(backend) else { return Ended::Continues };
        let Some(visit) = client.visit.take() else { return Ended::Continues };
        match (visit.refusal.as_deref(), result) {
            (Some("NOT_FOUND"), _) if client.guess_again() => {
                self.ask(backend);
                Ended::Continues
            }
            (Some("NOT_FOUND"), _) => Ended::NotFound,
            (Some("BAD_DESC"), _) => Ended::Invalid,
            (_, result) => Ended::Failed(result.err().map(|error| error.to_string())),
        }
    }
}

impl Client {
    fn new(credential: Credential) -> Self {
        let known = credential.cookie.auth_type();
        Self {
            auth_type: known.unwrap_or(AuthType::Basic),
            certain: known.is_some(),
            credential,
            fetched_for: Vec::new(),
            visit: None,
        }
    }

    /// The line of `HidServAuth`.
    fn line(&self) -> String {
        let Credential { address, cookie } = &self.credential;
        format!("{address} {}", cookie.hid_serv_auth(self.auth_type))
    }

    /// A cookie in the form of `client_keys` may be for either authorization: basic is tried first, then stealth, then
    /// it is given up for now. Returns whether there is something left to try.
    fn guess_again(&mut self) -> bool {
        if self.certain {
            return false;
        }
        let was_basic = self.auth_type == AuthType::Basic;
        self.auth_type = if was_basic { AuthType::Stealth } else { AuthType::Basic };
        was_basic
    }
}

#[cfg(test)]
mod tests {
    use onionbalance_proto::v2::Cookie;

    use super::*;

    const ADDRESS: &str = "lijeinqkg3odt3fl.onion";
    const BASIC: &str = "YWJjZGVmZ2hpamtsbW5vcA";
    const STEALTH: &str = "YWJjZGVmZ2hpamtsbW5vcB";
    const UNTYPED: &str = "YWJjZGVmZ2hpamtsbW5vcA==";

    /// The fetches of one backend that has this cookie, and what is ordered.
    fn fetches(cookie: &str) -> (ClientFetches, mpsc::UnboundedReceiver<Order>) {
        let backends = [(backend(), cookie.parse::<Cookie>().unwrap())].into();
        let credential =
            |cookie: &Cookie| Some(Credential { address: ADDRESS.parse().unwrap(), cookie: cookie.clone() });
        let mut fetches = ClientFetches::new(&backends, credential);
        let (orders, ordered) = mpsc::unbounded_channel();
        let task = tokio::spawn(async {}).abort_handle();
        fetches.rounds = Some(Rounds { orders, task });
        (fetches, ordered)
    }

    fn backend() -> BackendId {
        BackendId::from(ADDRESS)
    }

    /// The line of the next order.
    fn line(ordered: &mut mpsc::UnboundedReceiver<Order>) -> String {
        ordered.try_recv().unwrap().lines.remove(0)
    }

    #[tokio::test]
    async fn one_visit_at_a_time_until_the_descriptor_comes() {
        let (mut fetches, mut ordered) = fetches(BASIC);
        fetches.ask(&backend());
        fetches.ask(&backend());
        let order = ordered.try_recv().unwrap();
        assert_eq!(order.lines, [format!("{ADDRESS} {BASIC}")]);
        assert!(!order.again && ordered.try_recv().is_err());
        fetches.received(&backend());
        assert!(order.stop.await.is_err());
        fetches.ask(&backend());
        assert!(ordered.try_recv().unwrap().again);
        // A new connection to tor begins with nothing remembered.
        let rounds = fetches.rounds.take();
        fetches.end();
        fetches.rounds = rounds;
        fetches.ask(&backend());
        assert!(!ordered.try_recv().unwrap().again);
    }

    #[tokio::test]
    async fn says_what_the_hsdirs_said() {
        for (reason, ended) in [
            (Some("NOT_FOUND"), Ended::NotFound),
            (Some("BAD_DESC"), Ended::Invalid),
            (Some("QUERY_REJECTED"), Ended::Failed(Some(VisitError::Silent.to_string()))),
            (None, Ended::Failed(Some(VisitError::Silent.to_string()))),
        ] {
            let (mut fetches, _ordered) = fetches(STEALTH);
            fetches.ask(&backend());
            if let Some(reason) = reason {
                fetches.refused(&backend(), AuthType::Stealth, reason);
            }
            assert_eq!(fetches.ended(&backend(), Err(VisitError::Silent)), ended);
            assert_eq!(fetches.ended(&backend(), Ok(())), Ended::Continues);
        }
    }

    #[tokio::test]
    async fn it_is_over_when_no_hsdir_is_left_to_this_visit() {
        let (mut fetches, _ordered) = fetches(STEALTH);
        assert_eq!(fetches.exhausted(&backend()), Ended::Continues);
        fetches.ask(&backend());
        fetches.refused(&backend(), AuthType::Basic, "NOT_FOUND");
        assert_eq!(fetches.exhausted(&backend()), Ended::Continues);
        fetches.refused(&backend(), AuthType::Stealth, "NOT_FOUND");
        assert_eq!(fetches.exhausted(&backend()), Ended::NotFound);
    }

    #[tokio::test]
    async fn a_cookie_of_unknown_type_is_tried_as_both() {
        let (mut fetches, mut ordered) = fetches(UNTYPED);
        for _ in 0..2 {
            fetches.ask(&backend());
            assert_eq!(line(&mut ordered), format!("{ADDRESS} {BASIC}"));
            fetches.refused(&backend(), AuthType::Basic, "NOT_FOUND");
            assert_eq!(fetches.ended(&backend(), Err(VisitError::Silent)), Ended::Continues);
            assert_eq!(line(&mut ordered), format!("{ADDRESS} {STEALTH}"));
            fetches.refused(&backend(), AuthType::Stealth, "NOT_FOUND");
            assert_eq!(fetches.ended(&backend(), Err(VisitError::Silent)), Ended::NotFound);
        }
    }

    #[tokio::test]
    async fn what_has_worked_stays() {
        let (mut fetches, mut ordered) = fetches(UNTYPED);
        fetches.ask(&backend());
        fetches.refused(&backend(), AuthType::Basic, "NOT_FOUND");
        fetches.ended(&backend(), Ok(()));
        fetches.received(&backend());
        fetches.ask(&backend());
        fetches.refused(&backend(), AuthType::Stealth, "NOT_FOUND");
        assert_eq!(fetches.ended(&backend(), Ok(())), Ended::NotFound);
        fetches.ask(&backend());
        assert!(std::iter::from_fn(|| ordered.try_recv().ok()).last().unwrap().lines[0].ends_with(STEALTH));
    }
}
