//! The opening of a session with a tor: connect, authenticate, check the version, subscribe, wait.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

use super::auth::{Password, ProtocolInfo};
use super::connect::connect;
use super::control::{Closed, Connection, ControlError, Events};
use super::event::{Bootstrap, Event};
use super::info::InfoKey;
use super::session_error::{SessionError, Unreachable, no_control_port};
use super::version::{TorVersion, Unsuitable};
use crate::endpoint::Endpoint;

/// A check that a tor of that version can be used.
pub type Gate = fn(TorVersion) -> Result<(), Unsuitable>;

/// The time after which tor's progress is asked for again without an event. This also finds a dead
/// connection.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The time between two signals that keep tor from going dormant. The shortest `DormantClientTimeout` is ten
/// minutes.
const KEEP_AWAKE: Duration = Duration::from_secs(60);

/// The step of a tor that has bootstrapped and waits for microdescriptors.
const TOO_FEW_RELAYS: &str = "it knows too few relays";

/// A connection to a tor that has accepted us, and its events.
#[derive(Debug)]
pub struct Session {
    /// The connection for commands; it can be cloned.
    pub connection: Connection,
    /// The version of tor.
    pub version: TorVersion,
    events: Events,
    awake: Awake,
    /// The progress in percent that was returned last, and if tor knew enough relays; `None` before that.
    told: Option<(u8, bool)>,
}

/// Keeps one tor from going dormant.
#[derive(Debug)]
pub struct Awake {
    connection: Connection,
    /// The time at which the next signal is due.
    until: Instant,
}

/// A tor that has answered PROTOCOLINFO, before authentication.
#[derive(Debug)]
pub struct Greeting {
    endpoint: Endpoint,
    connection: Connection,
    events: Events,
    info: ProtocolInfo,
}

impl Greeting {
    /// Connects to a tor that passes `gate`. If `is_alone`, no thread is started to look a host's name up.
    ///
    /// # Errors
    /// The endpoint cannot be reached, is not a control port, or its tor does not pass `gate`.
    pub async fn receive(endpoint: &Endpoint, gate: Gate, is_alone: bool) -> Result<Self, SessionError> {
        let connecting =
            async { if is_alone { connect(&endpoint.resolved()?).await } else { connect(endpoint).await } };
        let (connection, events) = connecting.await.map_err(|source| {
            SessionError::Connect(vec![Unreachable { endpoint: endpoint.clone(), source }])
        })?;
        Self::over(endpoint.clone(), connection, events, gate).await
    }

    async fn over(
        endpoint: Endpoint,
        connection: Connection,
        events: Events,
        gate: Gate,
    ) -> Result<Self, SessionError> {
        let info = connection.protocol_info().await.map_err(|error| no_control_port(&endpoint, error))?;
        gate(info.version)?;
        Ok(Self { endpoint, connection, events, info })
    }

    /// The file that [`Greeting::enter`] reads; `None` if it reads none.
    pub fn cookie<'a>(&'a self, password: Option<&'a Password>) -> Option<&'a Path> {
        self.info.cookie(password, self.is_local())
    }

    /// Authenticates and subscribes to events. `nonce` must be fresh randomness.
    ///
    /// # Errors
    /// Tor does not accept us, or the connection fails.
    pub async fn enter(self, password: Option<&Password>, nonce: &[u8; 32]) -> Result<Session, SessionError> {
        let is_local = self.is_local();
        let Self { connection, events, info, .. } = self;
        connection.authenticate(&info, password, is_local, nonce).await?;
        connection.set_events().await?;
        Ok(Session::new(connection, events, info.version))
    }

    fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::Unix(_))
    }
}

impl Session {
    fn new(connection: Connection, events: Events, version: TorVersion) -> Self {
        let awake = Awake { connection: connection.clone(), until: Instant::now() };
        Self { connection, version, events, awake, told: None }
    }

    /// The events, and the part that keeps tor awake. The caller has to await both all the time: if too many
    /// events wait, the connection is closed.
    pub fn into_events(self) -> (Events, Awake) {
        (self.events, self.awake)
    }

    /// Waits, without a limit, until tor can fetch and upload descriptors: it has bootstrapped and knows
    /// enough relays. Earlier commands would fail or, worse, succeed with an old consensus. Takes the events
    /// that come.
    ///
    /// # Errors
    /// The connection has ended, or tor's reply is not valid.
    pub async fn wait_ready(&mut self) -> Result<(), SessionError> {
        while self.progress().await?.is_some() {}
        Ok(())
    }

    /// Waits until tor is ready (`None`), as for [`Session::wait_ready`], or its state differs from the one
    /// that was returned last. The first call returns at once.
    ///
    /// # Errors
    /// The connection has ended, or tor's reply is not valid.
    pub async fn progress(&mut self) -> Result<Option<Bootstrap>, SessionError> {
        loop {
            if self.told.is_some() {
                // The time-out is not an error, but the occasion to ask again.
                timeout(ASK_AGAIN, self.status_change()).await.unwrap_or(Ok(()))?;
            }
            self.awake.signal().await?;
            let [phase, enough] =
                self.connection.get_info([InfoKey::BootstrapPhase, InfoKey::EnoughDirInfo]).await?;
            let Some(bootstrap) = Bootstrap::parse(&phase) else {
                return Err(ControlError::Unexpected { command: "GETINFO", text: phase }.into());
            };
            let Bootstrap { percent, summary } = bootstrap;
            let knows_enough_relays = enough == "1";
            if percent == 100 && knows_enough_relays {
                info!("tor is ready");
                return Ok(None);
            }
            let now = (percent, knows_enough_relays);
            if self.told.replace(now) == Some(now) {
                continue;
            }
            info!(percent, summary, knows_enough_relays, "waiting for tor");
            let summary = if percent == 100 { TOO_FEW_RELAYS.to_owned() } else { summary };
            return Ok(Some(Bootstrap { percent, summary }));
        }
    }

    /// The time since tor's start by its own count; `None` if it does not report it.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn uptime(&self) -> Result<Option<Duration>, SessionError> {
        match self.connection.get_info([InfoKey::Uptime]).await {
            Ok([seconds]) => Ok(seconds.parse().ok().map(Duration::from_secs)),
            Err(error @ ControlError::Refused { .. }) => {
                debug!("{error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn status_change(&mut self) -> Result<(), Closed> {
        while !matches!(self.events.next().await?, Event::StatusClient(_)) {}
        Ok(())
    }
}

impl Awake {
    /// Keeps tor awake until the connection ends. Returns the reason of the end.
    pub async fn keep(mut self) -> SessionError {
        loop {
            if let Err(error) = self.signal().await {
                return error;
            }
            if let Ok(closed) = timeout_at(self.until, self.connection.ended()).await {
                return closed.into();
            }
        }
    }

    /// Signals activity, if that is due.
    ///
    /// Tor does not count a balancer's commands as client activity: without the signal it goes dormant, after
    /// a day by default. A dormant tor fetches no consensus. So the signal depends neither on a new consensus
    /// nor on a tor that is ready: a tor that is restarted while dormant stays dormant
    /// (`DormantCanceledByStartup`), and does not bootstrap.
    async fn signal(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        if now < self.until {
            return Ok(());
        }
        self.until = now + KEEP_AWAKE;
        match self.connection.signal_active().await {
            // A tor that does not know the signal (before 0.4.0.1) never goes dormant.
            Err(error @ ControlError::Refused { .. }) => debug!("{error}"),
            signalled => signalled?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Ipv4Addr;

    use data_encoding::HEXUPPER;
    use tempfile::NamedTempFile;
    use tokio::join;

    use super::*;
    use crate::tor::AuthError;
    use crate::tor::mock::Mock;
    use crate::tor::version::OLDEST_FOR_V3;

    const NONCE: [u8; 32] = [0xA5; 32];
    const ACTIVE: &str = "SIGNAL ACTIVE\r\n";
    const ASK_STATE: &str = "GETINFO status/bootstrap-phase status/enough-dir-info\r\n";

    fn info(auth: &str, version: &str) -> String {
        format!("250-PROTOCOLINFO 1\r\n250-AUTH {auth}\r\n250-VERSION Tor=\"{version}\"\r\n250 OK\r\n")
    }

    fn state(percent: u8, enough: u8) -> String {
        format!(
            "250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS={percent} TAG=x SUMMARY=\"X\"\r\n\
             250-status/enough-dir-info={enough}\r\n250 OK\r\n"
        )
    }

    /// The outcome of opening a session if tor answers PROTOCOLINFO with `info` and then follows `talk`.
    async fn open(
        info: String,
        password: Option<&str>,
        talk: impl AsyncFnOnce(&mut Mock),
    ) -> Result<Session, SessionError> {
        let (mut tor, connection, events) = Mock::connect();
        let endpoint = Endpoint::Unix("/control".into());
        let password = password.map(|password| Password::new(password.to_owned()));
        let entering = async {
            let greeting = Greeting::over(endpoint, connection, events, TorVersion::check_v3).await?;
            greeting.enter(password.as_ref(), &NONCE).await
        };
        let (session, ()) = join!(entering, async {
            tor.answer("PROTOCOLINFO 1\r\n", info).await;
            talk(&mut tor).await;
        });
        session
    }

    async fn subscribe(tor: &mut Mock) {
        tor.answer("SETEVENTS HS_DESC HS_DESC_CONTENT STATUS_CLIENT\r\n", "250 OK\r\n").await;
    }

    #[tokio::test]
    async fn opens_without_a_secret_or_with_a_password() {
        let null = open(info("METHODS=NULL", "0.4.8.10"), None, async |tor| {
            tor.answer("AUTHENTICATE\r\n", "250 OK\r\n").await;
            subscribe(tor).await;
        });
        assert_eq!(null.await.unwrap().version, TorVersion([0, 4, 8, 10]));

        let password = open(info("METHODS=HASHEDPASSWORD", "0.4.8.10"), Some("a\" b"), async |tor| {
            tor.answer("AUTHENTICATE 61222062\r\n", "250 OK\r\n").await;
            subscribe(tor).await;
        });
        password.await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_password_is_permanent_and_not_told() {
        let error = open(info("METHODS=HASHEDPASSWORD", "0.4.8.10"), Some("hunter2"), async |tor| {
            tor.answer("AUTHENTICATE 68756E74657232\r\n", "515 Authentication failed: no match\r\n").await;
        });
        let error = error.await.unwrap_err();
        assert!(error.is_permanent());
        assert!(error.to_string().starts_with("tor did not accept the password"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn an_impostor_gets_no_proof() {
        let mut cookie = NamedTempFile::new().unwrap();
        cookie.write_all(&[7; 32]).unwrap();
        let auth = format!("METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"{}\"", cookie.path().display());
        let error = open(info(&auth, "0.4.8.10"), None, async |tor| {
            let challenge = format!("AUTHCHALLENGE SAFECOOKIE {}\r\n", HEXUPPER.encode(&NONCE));
            let zeros = "0".repeat(64);
            let reply = format!("250 AUTHCHALLENGE SERVERHASH={zeros} SERVERNONCE={zeros}\r\n");
            tor.answer(&challenge, reply).await;
            tor.expect_end().await;
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, SessionError::Auth(AuthError::Impostor(_))), "{error}");
        assert!(error.is_permanent());
    }

    #[tokio::test]
    async fn a_cookie_is_shown_where_tor_wants_to_see_it() {
        let mut cookie = NamedTempFile::new().unwrap();
        cookie.write_all(&[7; 32]).unwrap();
        let auth = format!("METHODS=COOKIE COOKIEFILE=\"{}\"", cookie.path().display());
        let error = open(info(&auth, "0.4.8.10"), None, async |tor| {
            let command = format!("AUTHENTICATE {}\r\n", "07".repeat(32));
            tor.answer(command, "515 Authentication failed: Wrong length\r\n").await;
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.to_string(), "tor did not accept the cookie: Authentication failed: Wrong length");
        assert!(error.is_permanent());
    }

    #[tokio::test]
    async fn an_old_tor_is_refused_by_name() {
        let error = open(info("METHODS=NULL", "0.4.6.12 (git-0)"), None, async |tor| tor.expect_end().await);
        let error = error.await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "this tor is 0.4.6.12; version 0.4.7.0 or newer is needed for v3 onion services"
        );
        assert!(error.is_permanent());
    }

    #[tokio::test]
    async fn another_protocol_is_named_by_its_answer() {
        for (answer, told) in [
            // Tor's SOCKS port.
            (
                "HTTP/1.0 501 Tor is not an HTTP Proxy\r\nContent-Type: text/html\r\n\r\n",
                "HTTP/1.0 501 Tor is not an HTTP Proxy",
            ),
            ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2"),
            ("500 unrecognized command\r\n", "500 unrecognized command"),
            ("220 mail.example ESMTP\r\n", "mail.example ESMTP"),
            ("\x15\x03\x03\n", "\\x15\\x03\\x03"),
        ] {
            let error = open(answer.to_owned(), None, async |_| ()).await.unwrap_err();
            let wanted = format!("unix:/control is not tor's control port (it answered `{told}`): name the ");
            assert!(error.to_string().starts_with(&wanted), "{error}\nwanted {wanted}");
            assert!(error.is_permanent());
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_says_nothing_may_become_tor() {
        let (mut tor, connection, events) = Mock::connect();
        let endpoint = Endpoint::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 9001 };
        let (greeted, ()) =
            join!(Greeting::over(endpoint, connection, events, TorVersion::check_v3), async move {
                tor.answer("PROTOCOLINFO 1\r\n", "").await;
            });
        let error = greeted.unwrap_err();
        let wanted =
            "127.0.0.1:9001 does not answer as a control port: tor closed the control connection; is it";
        assert!(error.to_string().starts_with(wanted), "{error}");
        assert!(!error.is_permanent());
    }

    #[tokio::test]
    async fn says_who_does_not_listen() {
        let endpoint = Endpoint::Unix("/nonexistent/control".into());
        let error = Greeting::receive(&endpoint, TorVersion::check_v3, false).await.unwrap_err();
        assert!(
            error.to_string().starts_with("cannot connect to tor's control port unix:/nonexistent/control: ")
        );
        assert!(!error.is_permanent());
        let error = Greeting::receive(&Endpoint::Unix("x".repeat(200).into()), TorVersion::check_v3, false)
            .await
            .unwrap_err();
        assert!(error.is_permanent(), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_until_tor_is_ready() {
        let (mut tor, connection, events) = Mock::connect();
        let mut session = Session::new(connection, events, OLDEST_FOR_V3);
        let talk = async {
            tor.answer(ACTIVE, "250 OK\r\n").await;
            tor.answer(ASK_STATE, state(5, 0)).await;
            tor.send("650 HS_DESC UPLOADED a UNKNOWN b\r\n650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n")
                .await;
            tor.answer(ASK_STATE, state(100, 0)).await;
            // Without an event it asks again by itself.
            tor.answer(ASK_STATE, state(90, 1)).await;
            tor.send("650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\"\r\n").await;
            tor.answer(ASK_STATE, state(100, 1)).await;
        };
        let (ready, ()) = join!(session.wait_ready(), talk);
        ready.unwrap();
    }

    #[tokio::test]
    async fn an_old_tor_does_not_say_how_long_it_has_been_running() {
        for (reply, uptime) in [
            ("250-uptime=259200\r\n250 OK\r\n", Some(Duration::from_hours(72))),
            ("250-uptime=soon\r\n250 OK\r\n", None),
            ("552 Unrecognized key \"uptime\"\r\n", None),
        ] {
            let (mut tor, connection, events) = Mock::connect();
            let session = Session::new(connection, events, OLDEST_FOR_V3);
            let (told, ()) = join!(session.uptime(), tor.answer("GETINFO uptime\r\n", reply));
            assert_eq!(told.unwrap(), uptime, "{reply}");
        }
    }

    /// Tor is kept awake with and without events, bootstrapped or not: nothing else wakes a dormant tor.
    #[tokio::test(start_paused = true)]
    async fn keeps_tor_awake() {
        const EVENT: &str = "650 STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED\r\n";
        let (mut tor, connection, events) = Mock::connect();
        let mut session = Session::new(connection, events, OLDEST_FOR_V3);
        let talk = async {
            tor.answer(ACTIVE, "250 OK\r\n").await;
            // A tor that was restarted while dormant never gets further.
            tor.answer(ASK_STATE, state(5, 0)).await;
            tor.answer(ASK_STATE, state(5, 0)).await;
            tor.answer(ACTIVE, "250 OK\r\n").await;
            tor.answer(ASK_STATE, state(100, 1)).await;
            // A day without an event.
            let begun = Instant::now();
            for _ in 0..24 * 60 {
                tor.answer(ACTIVE, "250 OK\r\n").await;
            }
            let day = Duration::from_hours(24);
            assert!(
                begun.elapsed() >= day.saturating_sub(KEEP_AWAKE) && begun.elapsed() <= day,
                "{:?}",
                begun.elapsed()
            );
            // Events do not delay the signal, and a refusal ends nothing.
            for _ in 0..2 {
                for _ in 0..KEEP_AWAKE.as_secs() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    tor.send(EVENT).await;
                }
                tor.answer(ACTIVE, "552 Unrecognized signal code \"ACTIVE\"\r\n").await;
            }
            tor.send(EVENT).await;
        };
        let listen = async {
            session.wait_ready().await.unwrap();
            let (mut events, awake) = session.into_events();
            let take = async {
                for _ in 0..=2 * KEEP_AWAKE.as_secs() {
                    events.next().await.unwrap();
                }
            };
            tokio::select! {
                error = awake.keep() => panic!("{error}"),
                () = take => {}
            }
        };
        join!(listen, talk);
    }

    /// A stopped process behaves like this tor.
    #[tokio::test(start_paused = true)]
    async fn a_tor_that_answers_nothing_any_more_is_found_out() {
        let (_tor, connection, events) = Mock::connect();
        let (_events, awake) = Session::new(connection, events, OLDEST_FOR_V3).into_events();
        let error = awake.keep().await;
        assert_eq!(error.to_string(), "tor did not answer SIGNAL within 10 s");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_connection() {
        let (mut tor, connection, events) = Mock::connect();
        let mut session = Session::new(connection, events, OLDEST_FOR_V3);
        let talk = async {
            tor.answer(ACTIVE, "250 OK\r\n").await;
            tor.answer(ASK_STATE, state(5, 0)).await;
            drop(tor);
        };
        let (ready, ()) = join!(session.wait_ready(), talk);
        let error = ready.unwrap_err();
        assert!(matches!(error, SessionError::Control(ControlError::Closed(Closed::ByTor))), "{error}");
        assert!(!error.is_permanent());
    }
}
