//! Descriptors of v2 services that authorize their clients, fetched as one of these clients.
//!
//! Tor hands them out in one way only: it is given the cookie, and connects to the service for us. The
//! descriptor comes as an event in between. The connection itself is not needed, and is given up then.

mod rounds;

use std::collections::BTreeMap;
use std::time::Duration;

use onionbalance_proto::v2::AuthType;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use rounds::Order;
pub(super) use rounds::{VisitError, Visited};

use super::{BAD_DESC, NOT_FOUND};
use crate::network::{ClientLookup, Credential, RequestId};
use crate::tor::Connection;
use crate::tor::event::DescriptorId;

/// The time after which a service that was not asked for is forgotten: it is no longer configured.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

/// The services that authorize their clients, and the fetches under way.
pub(super) struct ClientFetches {
    /// The clients, by their services' addresses.
    clients: BTreeMap<String, Client>,
    tor: Option<Connection>,
    /// `None` before the first visit: a tor without such services is not changed.
    rounds: Option<Rounds>,
    visited: mpsc::UnboundedSender<Visited>,
}

/// The balancer as a client of one service.
struct Client {
    credential: Credential,
    /// The ids that its descriptors may have.
    ids: Vec<DescriptorId>,
    asked: Instant,
    /// The kind of authorization for which the cookie is used: the cookie's own, otherwise a guess.
    auth_type: AuthType,
    /// True if the kind of authorization is known to be right.
    certain: bool,
    /// The kinds of authorization for which tor has fetched over this connection.
    fetched_for: Vec<AuthType>,
    visit: Option<Visit>,
}

/// A connection to the service that is being made.
struct Visit {
    /// The requests that its end answers.
    requests: Vec<RequestId>,
    /// The visit ends when this is dropped.
    _stop: oneshot::Sender<()>,
    /// Tor's word for the last HSDir's answer; `None` before one.
    refusal: Option<String>,
}

/// The task that makes visits, as long as one connection to tor lasts.
struct Rounds {
    orders: mpsc::UnboundedSender<Order>,
    task: AbortHandle,
}

/// The state of a fetch after an event.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The fetch goes on.
    Continues,
    /// No HSDir has the descriptor.
    NotFound(Vec<RequestId>),
    /// There is a descriptor that tor cannot open.
    Unreadable(Vec<RequestId>),
    /// It is not known if there is a descriptor. The reason is `Some` if an operator should know it.
    Failed(Vec<RequestId>, Option<String>),
}

impl ClientFetches {
    /// No services yet. The second part receives the ends of visits, which the caller passes to
    /// [`ClientFetches::ended`].
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Visited>) {
        let (visited, reports) = mpsc::unbounded_channel();
        (Self { clients: BTreeMap::new(), tor: None, rounds: None, visited }, reports)
    }

    /// Notes a new connection to tor.
    pub(super) fn begin(&mut self, tor: &Connection) {
        self.end();
        self.tor = Some(tor.clone());
    }

    /// Notes the loss of the connection to tor. All requests are void.
    pub(super) fn end(&mut self) {
        self.tor = None;
        self.rounds.take().inspect(|rounds| rounds.task.abort());
        for client in self.clients.values_mut() {
            client.visit = None;
            client.fetched_for.clear();
        }
    }

    /// Asks for a service's descriptor; joins the visit in progress if there is one.
    pub(super) fn ask(&mut self, request: RequestId, lookup: ClientLookup) {
        let ClientLookup { credential, ids } = lookup;
        let address = credential.address.to_string();
        self.clients.retain(|_, client| client.visit.is_some() || client.asked.elapsed() < FORGOTTEN);
        let client = self.clients.entry(address.clone()).or_insert_with(|| Client::new(credential.clone()));
        let mut requests = vec![request];
        if client.credential != credential {
            // The visit with the old cookie is given up.
            requests.extend(client.visit.take().into_iter().flat_map(|visit| visit.requests));
            *client = Client::new(credential);
        }
        client.ids = ids.iter().map(DescriptorId::from).collect();
        client.asked = Instant::now();
        match &mut client.visit {
            Some(visit) => visit.requests.append(&mut requests),
            None => self.visit(&address, requests),
        }
    }

    fn visit(&mut self, address: &str, requests: Vec<RequestId>) {
        if let (None, Some(tor)) = (&self.rounds, &self.tor) {
            let (orders, to_do) = mpsc::unbounded_channel();
            let task = tokio::spawn(rounds::make(tor.clone(), to_do, self.visited.clone())).abort_handle();
            self.rounds = Some(Rounds { orders, task });
        }
        let lines = self.clients.values().map(Client::line).collect();
        let (Some(client), Some(rounds)) = (self.clients.get_mut(address), &self.rounds) else { return };
        let (stop, stopped) = oneshot::channel();
        let again = client.fetched_for.contains(&client.auth_type);
        let address = client.credential.address;
        // The task lasts as long as its sender, which `self` holds.
        let _ = rounds.orders.send(Order { address, lines, again, stop: stopped });
        client.fetched_for.push(client.auth_type);
        client.visit = Some(Visit { requests, _stop: stop, refusal: None });
    }

    /// Takes a descriptor that came. Returns the requests that it answers.
    pub(super) fn received(&mut self, descriptor: &DescriptorId) -> Vec<RequestId> {
        let client = self.clients.values_mut().find(|client| client.ids.contains(descriptor));
        let Some((client, visit)) = client.and_then(|client| {
            let visit = client.visit.take()?;
            Some((client, visit))
        }) else {
            return Vec::new();
        };
        client.certain = true;
        visit.requests
    }

    /// Notes that an HSDir did not give the descriptor for this authorization; tor goes on to ask the next
    /// one.
    pub(super) fn refused(&mut self, address: &str, auth_type: AuthType, reason: &str) {
        let asked = self.clients.get_mut(address).filter(|client| client.auth_type == auth_type);
        if let Some(visit) = asked.and_then(|client| client.visit.as_mut()) {
            visit.refusal = Some(reason.to_owned());
        }
    }

    /// Notes that tor has no HSDir left to ask. Tor leaves the connection waiting.
    pub(super) fn exhausted(&mut self, address: &str) -> Ended {
        let client = self.clients.get(address);
        // Without a refusal in this visit, the event belongs to an earlier one.
        match client.and_then(|client| client.visit.as_ref()?.refusal.as_ref()) {
            Some(_) => self.ended(address, Ok(())),
            None => Ended::Continues,
        }
    }

    /// Notes the end of a visit without a descriptor.
    pub(super) fn ended(&mut self, address: &str, result: Result<(), VisitError>) -> Ended {
        let Some(client) = self.clients.get_mut(address) else { return Ended::Continues };
        let Some(Visit { requests, refusal, .. }) = client.visit.take() else { return Ended::Continues };
        match (refusal.as_deref(), result) {
            (Some(NOT_FOUND), _) if client.guess_again() => {
                self.visit(address, requests);
                Ended::Continues
            }
            (Some(NOT_FOUND), _) => Ended::NotFound(requests),
            (Some(BAD_DESC), _) => Ended::Unreadable(requests),
            (_, result) => Ended::Failed(requests, result.err().map(|error| error.to_string())),
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
            ids: Vec::new(),
            asked: Instant::now(),
            fetched_for: Vec::new(),
            visit: None,
        }
    }

    /// The line of tor's option `HidServAuth`.
    fn line(&self) -> String {
        let Credential { address, cookie } = &self.credential;
        format!("{address} {}", cookie.hid_serv_auth(self.auth_type))
    }

    /// Changes the kind of authorization for a cookie in the form of `client_keys`, which may be for either
    /// one: basic is tried first, then stealth, then the visit fails. True if there is another one to try.
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
    use super::*;

    const ADDRESS: &str = "lijeinqkg3odt3fl.onion";
    const ID: &str = "kkj45bfm57jmgw5ryxr6zmszjje2tdey";
    const BASIC: &str = "YWJjZGVmZ2hpamtsbW5vcA";
    const STEALTH: &str = "YWJjZGVmZ2hpamtsbW5vcB";
    const UNTYPED: &str = "YWJjZGVmZ2hpamtsbW5vcA==";

    /// The fetches of a service that has this cookie, the lookup for it, and the orders of visits.
    fn fetches(cookie: &str) -> (ClientFetches, impl Fn() -> ClientLookup, mpsc::UnboundedReceiver<Order>) {
        let (mut fetches, _) = ClientFetches::new();
        let (orders, ordered) = mpsc::unbounded_channel();
        let task = tokio::spawn(async {}).abort_handle();
        fetches.rounds = Some(Rounds { orders, task });
        let credential = Credential { address: ADDRESS.parse().unwrap(), cookie: cookie.parse().unwrap() };
        let lookup = move || ClientLookup { credential: credential.clone(), ids: vec![ID.parse().unwrap()] };
        (fetches, lookup, ordered)
    }

    fn requests<const N: usize>(numbers: [u64; N]) -> Vec<RequestId> {
        numbers.map(RequestId).into()
    }

    fn received(fetches: &mut ClientFetches) -> Vec<RequestId> {
        fetches.received(&DescriptorId::from(ID))
    }

    /// The line of the next order.
    fn line(ordered: &mut mpsc::UnboundedReceiver<Order>) -> String {
        ordered.try_recv().unwrap().lines.remove(0)
    }

    #[tokio::test]
    async fn one_visit_at_a_time_answers_all_who_asked() {
        let (mut fetches, lookup, mut ordered) = fetches(BASIC);
        fetches.ask(RequestId(1), lookup());
        fetches.ask(RequestId(2), lookup());
        let order = ordered.try_recv().unwrap();
        assert_eq!(order.lines, [format!("{ADDRESS} {BASIC}")]);
        assert!(!order.again && ordered.try_recv().is_err());
        assert_eq!(fetches.received(&DescriptorId::from("another")), []);
        assert_eq!(received(&mut fetches), requests([1, 2]));
        assert!(order.stop.await.is_err());
        assert_eq!(received(&mut fetches), []);
        fetches.ask(RequestId(3), lookup());
        assert!(ordered.try_recv().unwrap().again);
        // Nothing is remembered from the last connection to tor.
        let rounds = fetches.rounds.take();
        fetches.end();
        fetches.rounds = rounds;
        fetches.ask(RequestId(4), lookup());
        assert!(!ordered.try_recv().unwrap().again);
    }

    #[tokio::test]
    async fn another_cookie_begins_another_visit() {
        let (mut fetches, basic, mut ordered) = fetches(BASIC);
        fetches.ask(RequestId(1), basic());
        let cookie = STEALTH.parse().unwrap();
        let credential = Credential { cookie, ..basic().credential };
        fetches.ask(RequestId(2), ClientLookup { credential, ..basic() });
        assert!(line(&mut ordered).ends_with(BASIC));
        assert!(line(&mut ordered).ends_with(STEALTH));
        let mut answered = received(&mut fetches);
        answered.sort_unstable();
        assert_eq!(answered, requests([1, 2]));
    }

    #[tokio::test]
    async fn says_what_the_hsdirs_said() {
        let silent = || Some(VisitError::Silent.to_string());
        for (reason, ended) in [
            (Some("NOT_FOUND"), Ended::NotFound(requests([1]))),
            (Some("BAD_DESC"), Ended::Unreadable(requests([1]))),
            (Some("QUERY_REJECTED"), Ended::Failed(requests([1]), silent())),
            (None, Ended::Failed(requests([1]), silent())),
        ] {
            let (mut fetches, lookup, _ordered) = fetches(STEALTH);
            fetches.ask(RequestId(1), lookup());
            if let Some(reason) = reason {
                fetches.refused(ADDRESS, AuthType::Stealth, reason);
            }
            assert_eq!(fetches.ended(ADDRESS, Err(VisitError::Silent)), ended);
            assert_eq!(fetches.ended(ADDRESS, Ok(())), Ended::Continues);
        }
    }

    #[tokio::test]
    async fn it_is_over_when_no_hsdir_is_left_to_this_visit() {
        let (mut fetches, lookup, _ordered) = fetches(STEALTH);
        assert_eq!(fetches.exhausted(ADDRESS), Ended::Continues);
        fetches.ask(RequestId(1), lookup());
        fetches.refused(ADDRESS, AuthType::Basic, "NOT_FOUND");
        assert_eq!(fetches.exhausted(ADDRESS), Ended::Continues);
        fetches.refused(ADDRESS, AuthType::Stealth, "NOT_FOUND");
        assert_eq!(fetches.exhausted(ADDRESS), Ended::NotFound(requests([1])));
    }

    #[tokio::test]
    async fn a_cookie_of_unknown_type_is_tried_as_both() {
        let (mut fetches, lookup, mut ordered) = fetches(UNTYPED);
        for number in 0..2 {
            fetches.ask(RequestId(number), lookup());
            assert_eq!(line(&mut ordered), format!("{ADDRESS} {BASIC}"));
            fetches.refused(ADDRESS, AuthType::Basic, "NOT_FOUND");
            assert_eq!(fetches.ended(ADDRESS, Err(VisitError::Silent)), Ended::Continues);
            assert_eq!(line(&mut ordered), format!("{ADDRESS} {STEALTH}"));
            fetches.refused(ADDRESS, AuthType::Stealth, "NOT_FOUND");
            let not_found = Ended::NotFound(requests([number]));
            assert_eq!(fetches.ended(ADDRESS, Err(VisitError::Silent)), not_found);
        }
    }

    #[tokio::test]
    async fn what_has_worked_stays() {
        let (mut fetches, lookup, mut ordered) = fetches(UNTYPED);
        fetches.ask(RequestId(1), lookup());
        fetches.refused(ADDRESS, AuthType::Basic, "NOT_FOUND");
        fetches.ended(ADDRESS, Ok(()));
        assert_eq!(received(&mut fetches), requests([1]));
        fetches.ask(RequestId(2), lookup());
        fetches.refused(ADDRESS, AuthType::Stealth, "NOT_FOUND");
        assert_eq!(fetches.ended(ADDRESS, Ok(())), Ended::NotFound(requests([2])));
        fetches.ask(RequestId(3), lookup());
        assert!(std::iter::from_fn(|| ordered.try_recv().ok()).last().unwrap().lines[0].ends_with(STEALTH));
    }
}
