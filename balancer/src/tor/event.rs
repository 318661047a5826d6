//! Tor's asynchronous events (control-spec, "Asynchronous events") that a balancer needs.

use std::fmt;

use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v2::AuthType;
use onionbalance_proto::{v2, v3};
use tracing::debug;

use super::data::lossy;
use super::reply::Message;
use super::words::{Word, value, words};

/// The names of these events for `SETEVENTS`.
pub(super) const SUBSCRIBED: &str = "HS_DESC HS_DESC_CONTENT STATUS_CLIENT";

/// An event of one of these kinds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A step in the fetch or upload of a descriptor.
    HsDesc(HsDesc),
    /// A descriptor that was fetched.
    HsDescContent(HsDescContent),
    /// A change of tor's state.
    StatusClient(StatusClient),
}

/// `HS_DESC`: an event on one descriptor at one HSDir. A circuit that fails causes no event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HsDesc {
    /// Tor has sent a fetch.
    Requested {
        /// The descriptor's service.
        address: Service,
        /// The HSDir that tor asks.
        hsdir: Fingerprint,
    },
    /// A fetch succeeded; the content follows in an event of its own.
    Received {
        /// The descriptor's service.
        address: Service,
        /// The HSDir that had it.
        hsdir: Fingerprint,
        /// The id of the descriptor.
        descriptor_id: DescriptorId,
    },
    /// An HSDir stored a descriptor. Tor does not name the descriptor.
    Uploaded {
        /// The descriptor's service.
        address: Service,
        /// The HSDir that stored it.
        hsdir: Fingerprint,
    },
    /// A fetch or an upload failed.
    Failed {
        /// The descriptor's service.
        address: Service,
        /// The HSDir; `None` if tor found none to ask.
        hsdir: Option<Fingerprint>,
        /// The id of the descriptor; `None` if tor does not name it, as for version 2 uploads.
        descriptor_id: Option<DescriptorId>,
        /// The version 2 client authorization for which tor was fetching; `None` without one.
        authorization: Option<AuthType>,
        /// Tor's word for the reason, such as `NOT_FOUND` or `UPLOAD_REJECTED`; empty if there is none.
        reason: String,
    },
}

/// `HS_DESC_CONTENT`: comes after each fetch, whether it succeeded or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HsDescContent {
    /// The descriptor's service.
    pub address: Service,
    /// The id of the descriptor.
    pub descriptor_id: DescriptorId,
    /// The HSDir that was asked.
    pub hsdir: Fingerprint,
    /// The descriptor with LF line ends, not verified; empty if the fetch failed.
    pub text: String,
}

/// `STATUS_CLIENT`, as far as it concerns the fetching and uploading of descriptors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StatusClient {
    /// There is a new consensus, which `GETINFO` returns.
    ConsensusArrived,
    /// Tor knows enough relays to build circuits.
    EnoughDirInfo,
    /// Tor does not know enough relays any more.
    NotEnoughDirInfo,
    /// A circuit was built: the network can be reached.
    CircuitEstablished,
    /// A step of tor's bootstrap.
    Bootstrap(Bootstrap),
}

/// The state of tor's bootstrap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bootstrap {
    /// The progress in percent; at 100 tor is ready.
    pub percent: u8,
    /// The present step in tor's words.
    pub summary: String,
}

/// The service of an event: its onion address without `.onion`, or `UNKNOWN` if tor fetched the descriptor by
/// its id. It keeps tor's text, which is only compared.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Service(String);

/// A descriptor's id in tor's text: for version 3 the blinded key in base64, for version 2 a digest in
/// base32.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DescriptorId(String);

impl Service {
    /// The address with `.onion`.
    pub fn address(&self) -> String {
        format!("{}.onion", self.0)
    }
}

impl From<&v3::OnionAddress> for Service {
    fn from(address: &v3::OnionAddress) -> Self {
        Self(address.without_suffix())
    }
}

impl From<&v2::OnionAddress> for Service {
    fn from(address: &v2::OnionAddress) -> Self {
        Self(address.without_suffix())
    }
}

impl From<&v3::BlindedKey> for DescriptorId {
    fn from(key: &v3::BlindedKey) -> Self {
        Self(data_encoding::BASE64_NOPAD.encode(key.as_bytes()))
    }
}

impl From<&v2::DescriptorId> for DescriptorId {
    fn from(id: &v2::DescriptorId) -> Self {
        Self(id.to_string())
    }
}

#[cfg(test)]
impl From<&str> for Service {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
impl From<&str> for DescriptorId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for DescriptorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Event {
    /// Reads an event. One that a balancer does not need is logged and gives `None`.
    pub fn parse(message: Message) -> Option<Self> {
        let line = message.lines.into_iter().next()?;
        let event = words(&line.text).and_then(|words| {
            let (kind, arguments) = words.split_first()?;
            match kind.value.as_slice() {
                b"HS_DESC" => HsDesc::parse(arguments).map(Self::HsDesc),
                b"HS_DESC_CONTENT" => {
                    HsDescContent::parse(arguments, lossy(line.data?)).map(Self::HsDescContent)
                }
                b"STATUS_CLIENT" => StatusClient::parse(arguments).map(Self::StatusClient),
                _ => None,
            }
        });
        if event.is_none() {
            debug!(event = line.text, "ignored an event of tor");
        }
        event
    }

    /// The approximate size of the event in memory, in bytes.
    pub fn size(&self) -> usize {
        let texts = match self {
            Self::HsDesc(event) => event.text_size(),
            Self::HsDescContent(content) => content.text_size(),
            Self::StatusClient(StatusClient::Bootstrap(bootstrap)) => bootstrap.summary.capacity(),
            Self::StatusClient(_) => 0,
        };
        size_of::<Self>().saturating_add(texts)
    }
}

impl HsDesc {
    /// `ACTION ADDRESS AUTH-TYPE HSDIR [DESCRIPTOR-ID] [REASON=…] …`
    fn parse(words: &[Word]) -> Option<Self> {
        let [action, address, authorization, hsdir, rest @ ..] = words else { return None };
        let address = Service::parse(address);
        let hsdir = fingerprint(hsdir);
        let descriptor_id = rest.first().and_then(descriptor_id);
        Some(match action.value.as_slice() {
            b"REQUESTED" => Self::Requested { address, hsdir: hsdir? },
            b"RECEIVED" => Self::Received { address, hsdir: hsdir?, descriptor_id: descriptor_id? },
            b"UPLOADED" => Self::Uploaded { address, hsdir: hsdir? },
            b"FAILED" => {
                let reason = value(rest, "REASON").map(Word::text).unwrap_or_default();
                let authorization = auth_type(authorization);
                Self::Failed { address, hsdir, descriptor_id, authorization, reason }
            }
            _ => return None,
        })
    }

    fn text_size(&self) -> usize {
        let (Self::Requested { address, .. }
        | Self::Received { address, .. }
        | Self::Uploaded { address, .. }
        | Self::Failed { address, .. }) = self;
        let (id, reason) = match self {
            Self::Received { descriptor_id, .. } => (Some(descriptor_id), 0),
            Self::Failed { descriptor_id, reason, .. } => (descriptor_id.as_ref(), reason.capacity()),
            Self::Requested { .. } | Self::Uploaded { .. } => (None, 0),
        };
        address.0.capacity() + id.map_or(0, |id| id.0.capacity()) + reason
    }
}

impl HsDescContent {
    /// `ADDRESS DESCRIPTOR-ID HSDIR`
    fn parse(words: &[Word], mut text: String) -> Option<Self> {
        let [address, id, hsdir, ..] = words else { return None };
        // Tor writes an empty text as one empty line.
        if text == "\n" {
            text.clear();
        }
        Some(Self {
            address: Service::parse(address),
            descriptor_id: descriptor_id(id)?,
            hsdir: fingerprint(hsdir)?,
            text,
        })
    }

    fn text_size(&self) -> usize {
        self.address.0.capacity() + self.descriptor_id.0.capacity() + self.text.capacity()
    }
}

impl StatusClient {
    /// `SEVERITY ACTION …`
    fn parse(words: &[Word]) -> Option<Self> {
        let [_, action, ..] = words else { return None };
        Some(match action.value.as_slice() {
            b"CONSENSUS_ARRIVED" => Self::ConsensusArrived,
            b"ENOUGH_DIR_INFO" => Self::EnoughDirInfo,
            b"NOT_ENOUGH_DIR_INFO" => Self::NotEnoughDirInfo,
            b"CIRCUIT_ESTABLISHED" => Self::CircuitEstablished,
            b"BOOTSTRAP" => Self::Bootstrap(Bootstrap::from_words(words)?),
            _ => return None,
        })
    }
}

impl Bootstrap {
    /// Reads the answer to `GETINFO status/bootstrap-phase`, which is the text of the last event.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_words(&words(text)?)
    }

    fn from_words(words: &[Word]) -> Option<Self> {
        let percent = value(words, "PROGRESS")?.text().parse().ok()?;
        Some(Self { percent, summary: value(words, "SUMMARY").map(Word::text).unwrap_or_default() })
    }
}

impl Service {
    fn parse(word: &Word) -> Self {
        Self(word.text())
    }
}

fn fingerprint(word: &Word) -> Option<Fingerprint> {
    let name = if word.key.is_empty() { word.text() } else { word.key.clone() };
    name.parse().ok()
}

fn auth_type(word: &Word) -> Option<AuthType> {
    match word.value.as_slice() {
        b"BASIC_AUTH" => Some(AuthType::Basic),
        b"STEALTH_AUTH" => Some(AuthType::Stealth),
        _ => None,
    }
}

fn descriptor_id(word: &Word) -> Option<DescriptorId> {
    word.key.is_empty().then(|| DescriptorId(word.text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tor::reply::Line;

    const ADDRESS: &str = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid";
    const HSDIR: &str = "$DDAD623E54F159BFAE07BFB26F5A8ECEDEB8B292~a3";
    const ID: &str = "1pSQ1x4tzIWQS0Ri8CB9SRxvrkE2rF+hYHWmNmIdvS8";

    fn event(text: &str, data: Option<&str>) -> Option<Event> {
        let text = text.replace("ADDRESS", ADDRESS).replace("HSDIR", HSDIR).replace("ID", ID);
        let data = data.map(|data| data.as_bytes().to_owned());
        Event::parse(Message { status: 650, lines: vec![Line { text, data }] })
    }

    fn address() -> Service {
        Service(ADDRESS.to_owned())
    }

    fn hsdir() -> Fingerprint {
        HSDIR.parse().unwrap()
    }

    fn id() -> DescriptorId {
        DescriptorId(ID.to_owned())
    }

    #[test]
    fn reads_the_life_of_a_descriptor() {
        let hs_desc = |text| match event(text, None) {
            Some(Event::HsDesc(event)) => event,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            hs_desc("HS_DESC REQUESTED ADDRESS NO_AUTH HSDIR ID HSDIR_INDEX=00"),
            HsDesc::Requested { address: address(), hsdir: hsdir() }
        );
        assert_eq!(
            hs_desc("HS_DESC RECEIVED ADDRESS NO_AUTH HSDIR ID"),
            HsDesc::Received { address: address(), hsdir: hsdir(), descriptor_id: id() }
        );
        assert_eq!(
            hs_desc("HS_DESC UPLOADED ADDRESS UNKNOWN HSDIR"),
            HsDesc::Uploaded { address: address(), hsdir: hsdir() }
        );
        let failed = |address, hsdir, descriptor_id, reason: &str| HsDesc::Failed {
            address,
            hsdir,
            descriptor_id,
            authorization: None,
            reason: reason.to_owned(),
        };
        assert_eq!(
            hs_desc("HS_DESC FAILED ADDRESS NO_AUTH HSDIR ID REASON=NOT_FOUND"),
            failed(address(), Some(hsdir()), Some(id()), "NOT_FOUND")
        );
        assert_eq!(
            hs_desc("HS_DESC FAILED ADDRESS UNKNOWN HSDIR REASON=UPLOAD_REJECTED"),
            failed(address(), Some(hsdir()), None, "UPLOAD_REJECTED")
        );
        assert_eq!(
            hs_desc("HS_DESC FAILED UNKNOWN NO_AUTH UNKNOWN"),
            failed(Service("UNKNOWN".to_owned()), None, None, "")
        );
    }

    #[test]
    fn a_failure_tells_the_kind_of_authorization() {
        for (word, expected) in [
            ("NO_AUTH", None),
            ("BASIC_AUTH", Some(AuthType::Basic)),
            ("STEALTH_AUTH", Some(AuthType::Stealth)),
        ] {
            let text = format!("HS_DESC FAILED ADDRESS {word} HSDIR ID REASON=NOT_FOUND");
            let Some(Event::HsDesc(HsDesc::Failed { authorization, .. })) = event(&text, None) else {
                panic!("{text}");
            };
            assert_eq!(authorization, expected);
        }
    }

    #[test]
    fn reads_content_and_its_absence() {
        let content = |data| match event("HS_DESC_CONTENT ADDRESS ID HSDIR", Some(data)) {
            Some(Event::HsDescContent(content)) => content,
            other => panic!("{other:?}"),
        };
        let full = content("hs-descriptor 3\n");
        assert_eq!((full.address, full.descriptor_id, full.hsdir), (address(), id(), hsdir()));
        assert_eq!(full.text, "hs-descriptor 3\n");
        assert_eq!(content("\n").text, "");
    }

    #[test]
    fn reads_tors_state() {
        let status = |text| match event(text, None) {
            Some(Event::StatusClient(status)) => status,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(status("STATUS_CLIENT NOTICE CONSENSUS_ARRIVED"), StatusClient::ConsensusArrived);
        assert_eq!(status("STATUS_CLIENT NOTICE ENOUGH_DIR_INFO"), StatusClient::EnoughDirInfo);
        assert_eq!(status("STATUS_CLIENT NOTICE NOT_ENOUGH_DIR_INFO"), StatusClient::NotEnoughDirInfo);
        assert_eq!(status("STATUS_CLIENT NOTICE CIRCUIT_ESTABLISHED"), StatusClient::CircuitEstablished);
        let bootstrap = Bootstrap { percent: 14, summary: "Handshaking with a relay".to_owned() };
        let text = r#"WARN BOOTSTRAP PROGRESS=14 TAG=handshake SUMMARY="Handshaking with a relay" WARNING="DONE" COUNT=1"#;
        assert_eq!(Bootstrap::parse(text), Some(bootstrap.clone()));
        assert_eq!(status(&format!("STATUS_CLIENT {text}")), StatusClient::Bootstrap(bootstrap));
    }

    #[test]
    fn ignores_the_rest() {
        for text in [
            "",
            "NOTICE Bootstrapped",
            "HS_DESC CREATED ADDRESS UNKNOWN UNKNOWN ID",
            "HS_DESC RECEIVED ADDRESS NO_AUTH UNKNOWN ID",
            "HS_DESC RECEIVED ADDRESS NO_AUTH HSDIR",
            "HS_DESC_CONTENT ADDRESS ID HSDIR",
            "STATUS_CLIENT NOTICE",
            "STATUS_CLIENT WARN DANGEROUS_SOCKS PROTOCOL=SOCKS5",
            "STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=x",
            "STATUS_CLIENT NOTICE BOOTSTRAP SUMMARY=\"",
        ] {
            assert_eq!(event(text, None), None, "{text}");
        }
    }

    #[test]
    fn the_size_counts_every_text() {
        let long = "x".repeat(50_000);
        for text in [
            "HS_DESC REQUESTED LONG NO_AUTH HSDIR",
            "HS_DESC RECEIVED ADDRESS NO_AUTH HSDIR LONG",
            "HS_DESC UPLOADED LONG UNKNOWN HSDIR",
            "HS_DESC FAILED ADDRESS NO_AUTH HSDIR ID REASON=LONG",
            "HS_DESC FAILED ADDRESS NO_AUTH HSDIR LONG",
            "HS_DESC_CONTENT LONG ID HSDIR",
            "HS_DESC_CONTENT ADDRESS LONG HSDIR",
            "STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=1 SUMMARY=LONG",
        ] {
            let size = event(&text.replace("LONG", &long), Some("x")).unwrap().size();
            assert!(size > long.len(), "{text}: {size}");
        }
    }

    #[test]
    fn a_blinded_key_names_its_descriptor() {
        use onionbalance_proto::time::UnixTime;
        use onionbalance_proto::v3::{PeriodLength, TimePeriod};

        let period = TimePeriod::at(UnixTime(0), PeriodLength::try_from(1440).unwrap(), 0);
        let key = v3::BlindedKey::derive(&ADDRESS.parse().unwrap(), period);
        assert_eq!(DescriptorId::from(&key).0.len(), ID.len());
        assert_eq!(DescriptorId::from(&key).0, format!("{key:?}"));
    }
}
