//! The parts of a consensus that onion services need.
//!
//! Reads the microdescriptor flavour as tor's control port returns it (`GETINFO
//! dir/status-vote/current/consensus-microdesc`, LF line ends) in one pass, and keeps nothing of the text. It
//! checks no signature: tor did so before it used the document.

use std::fmt;
use std::str;

use data_encoding::BASE64_NOPAD;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;

use super::microdesc::MicrodescriptorDigest;
use super::{Line, Lines, base64, words};

/// A consensus's values for onion services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Consensus {
    /// The time in which the consensus is valid.
    pub lifetime: Lifetime,
    /// The network's parameters for onion services.
    pub parameters: Parameters,
    /// The value of the newest finished shared-random run; `None` if it has none.
    pub shared_random_current: Option<SharedRandomValue>,
    /// The value of the run before it; `None` if it has none.
    pub shared_random_previous: Option<SharedRandomValue>,
    /// The relays that keep v3 descriptors, in the consensus's order.
    pub hsdirs: Vec<HsDir>,
}

/// A consensus's three times, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetime {
    valid_after: UnixTime,
    fresh_until: UnixTime,
    valid_until: UnixTime,
}

/// The consensus parameters for onion services (param-spec), clamped to their ranges as tor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parameters {
    /// `hsdir_n_replicas`, 1 to 16: the number of places on the ring at which a descriptor is kept.
    pub replicas: u8,
    /// `hsdir_spread_store`, 1 to 128: the number of relays at which a service stores each replica.
    pub spread_store: u8,
    /// `hsdir_spread_fetch`, 1 to 128: the number of these relays among which a client chooses.
    pub spread_fetch: u8,
    /// `hsdir_interval`, 5 to 14400: the length of a time period in minutes.
    pub interval_minutes: u16,
    /// `HSV3MaxDescriptorSize`, at least 1: the size in bytes from which on an HSDir refuses a descriptor.
    pub max_descriptor_size: u32,
}

/// A value that the directory authorities drew together, 32 bytes (srv-spec).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct SharedRandomValue(pub [u8; 32]);

/// A relay with the flag `HSDir` that speaks version 2 of that protocol: version 3 onion services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HsDir {
    /// The relay's name at the control port.
    pub fingerprint: Fingerprint,
    /// The digest of the microdescriptor that has its ed25519 identity.
    pub microdescriptor: MicrodescriptorDigest,
}

/// The reason for which a text is not a usable consensus.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConsensusError {
    /// The first line is another document's.
    #[error("not a microdescriptor consensus: it does not begin with `network-status-version 3 microdesc`")]
    Flavour,
    /// A line that cannot be read.
    #[error("line {line} of the consensus: {fault}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The fault of the line.
        fault: &'static str,
    },
    /// A line that every consensus has before its relays is missing.
    #[error("the consensus has no `{0}` line before its first relay")]
    Absent(&'static str),
    /// The times are out of order.
    #[error("the consensus's times are not in the order valid-after, fresh-until, valid-until")]
    Lifetime,
    /// The text ends among the relays.
    #[error(
        "the consensus ends at line {0}, before its `directory-footer`: it was cut, ask tor for it again"
    )]
    Truncated(usize),
}

impl Consensus {
    /// Reads the text; time and memory are linear in its length.
    ///
    /// # Errors
    /// The text is another document, is cut, or has a line that is not valid.
    pub fn parse(text: &[u8]) -> Result<Self, ConsensusError> {
        let mut lines = Lines::new(text).peekable();
        if lines.next().is_none_or(|line| line.text != b"network-status-version 3 microdesc") {
            return Err(ConsensusError::Flavour);
        }
        let mut preamble = Preamble::default();
        while let Some(line) = lines.next_if(|line| !ends_preamble(line.text)) {
            preamble.take(line)?;
        }
        let mut consensus = preamble.finish()?;
        let mut relay = None;
        for line in lines {
            match line.text {
                [b'r', b' ', ..] => consensus.hsdirs.extend(finish(relay.replace(Relay::new(line)))?),
                b"directory-footer" => {
                    consensus.hsdirs.extend(finish(relay)?);
                    return Ok(consensus);
                }
                item => {
                    if let Some(relay) = &mut relay {
                        relay.take(item);
                    }
                }
            }
        }
        Err(ConsensusError::Truncated(Lines::new(text).count()))
    }
}

impl Lifetime {
    /// The lifetime of these times; `None` unless `valid_after` < `fresh_until` <= `valid_until`.
    pub fn new(valid_after: UnixTime, fresh_until: UnixTime, valid_until: UnixTime) -> Option<Self> {
        (valid_after < fresh_until && fresh_until <= valid_until).then_some(Self {
            valid_after,
            fresh_until,
            valid_until,
        })
    }

    /// The time from which all time periods and shared-random runs are computed.
    pub fn valid_after(&self) -> UnixTime {
        self.valid_after
    }

    /// The time at which the next consensus is due.
    pub fn fresh_until(&self) -> UnixTime {
        self.fresh_until
    }

    /// The time until which the authorities want it to be used.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Seconds from one consensus to the next, at least 1 (tor: `get_voting_interval`).
    pub fn voting_interval(&self) -> u64 {
        self.fresh_until.since(self.valid_after)
    }

    /// True if it is in use at `now`, with a tolerance of one voting interval. Tor fetches the next one
    /// before the authorities want this one out of use (tor:
    /// `update_consensus_networkstatus_fetch_time_impl`).
    pub fn is_current(&self, now: UnixTime) -> bool {
        let interval = self.voting_interval();
        self.valid_after.since(now) <= interval && now.since(self.valid_until) <= interval
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            replicas: 2,
            spread_store: 4,
            spread_fetch: 3,
            interval_minutes: 1440,
            max_descriptor_size: 50_000,
        }
    }
}

impl Parameters {
    /// Reads the arguments of the `params` line. `None` if one that matters here is not a number.
    fn parse(arguments: &str) -> Option<Self> {
        let mut parameters = Self::default();
        for (name, value) in arguments.split(' ').filter_map(|argument| argument.split_once('=')) {
            let within =
                |least: i32, most: i32| value.parse::<i32>().ok().map(|value| value.clamp(least, most));
            match name {
                "hsdir_n_replicas" => parameters.replicas = within(1, 16)?.try_into().ok()?,
                "hsdir_spread_store" => parameters.spread_store = within(1, 128)?.try_into().ok()?,
                "hsdir_spread_fetch" => parameters.spread_fetch = within(1, 128)?.try_into().ok()?,
                "hsdir_interval" => parameters.interval_minutes = within(5, 14400)?.try_into().ok()?,
                "HSV3MaxDescriptorSize" => {
                    parameters.max_descriptor_size = within(1, i32::MAX)?.try_into().ok()?;
                }
                _ => {}
            }
        }
        Some(parameters)
    }
}

impl fmt::Debug for SharedRandomValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_NOPAD.encode(&self.0))
    }
}

fn fault(line: Line<'_>, fault: &'static str) -> ConsensusError {
    ConsensusError::Line { line: line.number, fault }
}

/// The lines before the first relay.
#[derive(Default)]
struct Preamble {
    valid_after: Option<UnixTime>,
    fresh_until: Option<UnixTime>,
    valid_until: Option<UnixTime>,
    parameters: Parameters,
    current: Option<SharedRandomValue>,
    previous: Option<SharedRandomValue>,
}

fn ends_preamble(line: &[u8]) -> bool {
    line.starts_with(b"r ") || line == b"directory-footer"
}

impl Preamble {
    fn take(&mut self, line: Line<'_>) -> Result<(), ConsensusError> {
        // Contact lines may hold any bytes; the lines that are read here are ASCII.
        let Ok(text) = str::from_utf8(line.text) else { return Ok(()) };
        let Some((keyword, arguments)) = text.split_once(' ') else { return Ok(()) };
        let time = || arguments.parse().map_err(|_| fault(line, "no time of the form 2026-01-31 23:59:59"));
        let shared_random = || {
            let value =
                arguments.split(' ').nth(1).and_then(|value| base64(value.strip_suffix('=')?.as_bytes()));
            value
                .map(SharedRandomValue)
                .ok_or_else(|| fault(line, "no shared random value of 32 bytes in base64"))
        };
        match keyword {
            "valid-after" => self.valid_after = Some(time()?),
            "fresh-until" => self.fresh_until = Some(time()?),
            "valid-until" => self.valid_until = Some(time()?),
            "shared-rand-current-value" => self.current = Some(shared_random()?),
            "shared-rand-previous-value" => self.previous = Some(shared_random()?),
            "params" => {
                self.parameters = Parameters::parse(arguments)
                    .ok_or_else(|| fault(line, "a parameter for onion services is not a 32-bit number"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Consensus, ConsensusError> {
        let lifetime = Lifetime::new(
            self.valid_after.ok_or(ConsensusError::Absent("valid-after"))?,
            self.fresh_until.ok_or(ConsensusError::Absent("fresh-until"))?,
            self.valid_until.ok_or(ConsensusError::Absent("valid-until"))?,
        );
        Ok(Consensus {
            lifetime: lifetime.ok_or(ConsensusError::Lifetime)?,
            parameters: self.parameters,
            shared_random_current: self.current,
            shared_random_previous: self.previous,
            hsdirs: Vec::new(),
        })
    }
}

/// The relevant lines of one relay. They are decoded only if it is an HSDir.
struct Relay<'a> {
    line: Line<'a>,
    digest: Option<&'a [u8]>,
    flagged: bool,
    speaks_v3: bool,
}

impl<'a> Relay<'a> {
    fn new(line: Line<'a>) -> Self {
        Self { line, digest: None, flagged: false, speaks_v3: false }
    }

    fn take(&mut self, item: &'a [u8]) {
        match item {
            [b'm', b' ', digest @ ..] => self.digest = Some(digest),
            [b's', b' ', flags @ ..] => self.flagged = words(flags).any(|flag| flag == b"HSDir"),
            [b'p', b'r', b' ', protocols @ ..] => {
                self.speaks_v3 = words(protocols)
                    .find_map(|protocol| protocol.strip_prefix(b"HSDir="))
                    .is_some_and(|versions| includes(versions, 2));
            }
            _ => {}
        }
    }
}

/// The relay as an HSDir; `None` if it is not one for version 3.
fn finish(relay: Option<Relay<'_>>) -> Result<Option<HsDir>, ConsensusError> {
    let Some(relay) = relay.filter(|relay| relay.flagged && relay.speaks_v3) else { return Ok(None) };
    let fingerprint = words(relay.line.text)
        .nth(2)
        .and_then(base64)
        .ok_or_else(|| fault(relay.line, "the relay's identity is not 20 bytes in base64"))?;
    let digest = relay
        .digest
        .and_then(base64)
        .ok_or_else(|| fault(relay.line, "the relay has no `m` line with 32 bytes in base64"))?;
    Ok(Some(HsDir { fingerprint: Fingerprint(fingerprint), microdescriptor: MicrodescriptorDigest(digest) }))
}

/// True if a list of versions and ranges such as `1-2,4` includes `version`.
fn includes(versions: &[u8], version: u32) -> bool {
    let Ok(versions) = str::from_utf8(versions) else { return false };
    versions.split(',').any(|range| {
        let (least, most) = range.split_once('-').unwrap_or((range, range));
        matches!((least.parse(), most.parse()), (Ok(least), Ok(most)) if (least..=most).contains(&version))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REAL: &str = include_str!("../../../tests/data/consensus-microdesc.txt");

    fn parse(text: &str) -> Result<Consensus, ConsensusError> {
        Consensus::parse(text.as_bytes())
    }

    /// The real consensus with `line` before its first relay.
    fn with_line(line: &str) -> String {
        REAL.replacen("\ndir-source", &format!("\n{line}\ndir-source"), 1)
    }

    /// The real consensus with its first relay's items altered.
    fn hsdirs_with(from: &str, to: &str) -> usize {
        let altered = REAL.replacen(from, to, 1);
        assert_ne!(altered, REAL);
        parse(&altered).unwrap().hsdirs.len()
    }

    #[test]
    fn reads_a_real_consensus() {
        let consensus = parse(REAL).unwrap();
        let lifetime = consensus.lifetime;
        assert_eq!(lifetime.valid_after(), UnixTime(1_795_336_080));
        assert_eq!(lifetime.fresh_until(), UnixTime(1_795_336_100));
        assert_eq!(lifetime.valid_until(), UnixTime(1_795_336_140));
        assert_eq!(consensus.parameters, Parameters::default());
        assert_eq!((consensus.shared_random_current, consensus.shared_random_previous), (None, None));
        let fingerprints: Vec<_> =
            consensus.hsdirs.iter().map(|hsdir| hsdir.fingerprint.to_string()).collect();
        assert_eq!(fingerprints.len(), 9);
        assert!(fingerprints.is_sorted());
        assert_eq!(fingerprints[0], "042A7D3C8F4AF37C7624F4C1C6DF456419777086");
        let digest = format!("{:?}", consensus.hsdirs[0].microdescriptor);
        assert_eq!(digest, "JWJmLwfgRpDd2IQV3R+GUxsfpuLtb88RAoRdl+ZiCig");
    }

    #[test]
    fn reads_shared_random_values() {
        // The value on which authorities without reveals agree, as a testing network has it.
        let value = "zxJao+gBmFMSezvz/VXkEWEQJD5b/z+7AXNCGoLFVW0=";
        let text = with_line(&format!("shared-rand-current-value 0 {value}"));
        let consensus = parse(&text).unwrap();
        assert_eq!(format!("{:?}=", consensus.shared_random_current.unwrap()), value);
        assert_eq!(consensus.shared_random_previous, None);
        let text = with_line(&format!("shared-rand-previous-value 9 {}=", "A".repeat(43)));
        assert_eq!(parse(&text).unwrap().shared_random_previous, Some(SharedRandomValue([0; 32])));
    }

    #[test]
    fn parameters_have_tors_defaults_and_bounds() {
        let read = |line: &str| parse(&with_line(line)).unwrap().parameters;
        let low = "params CircuitPriorityHalflifeMsec=1 HSV3MaxDescriptorSize=0 hsdir_interval=4 hsdir_n_replicas=-5 \
                   hsdir_spread_fetch=0 hsdir_spread_store=-2147483648";
        let least = Parameters {
            replicas: 1,
            spread_store: 1,
            spread_fetch: 1,
            interval_minutes: 5,
            max_descriptor_size: 1,
        };
        assert_eq!(read(low), least);
        let high = "params HSV3MaxDescriptorSize=2147483647 hsdir_interval=14401 hsdir_n_replicas=17 \
                    hsdir_spread_fetch=129 hsdir_spread_store=2147483647";
        let most = Parameters {
            replicas: 16,
            spread_store: 128,
            spread_fetch: 128,
            interval_minutes: 14400,
            max_descriptor_size: 2_147_483_647,
        };
        assert_eq!(read(high), most);
        assert_eq!(read("params xhsdir_n_replicas=9 hsdir_n_replicas2=9"), Parameters::default());
        assert_eq!(read("params hsdir_n_replicas=3"), Parameters { replicas: 3, ..Parameters::default() });
    }

    #[test]
    fn only_relays_that_keep_v3_descriptors_count() {
        assert_eq!(hsdirs_with("Guard HSDir Running", "Guard Running"), 8);
        assert_eq!(hsdirs_with("Guard HSDir Running", "Guard NotHSDir HSDirs"), 8);
        // In the first relay's `pr` line: the preamble has such lists, too.
        for (protocol, count) in [
            ("HSDir=1", 8),
            ("HSDir=", 8),
            ("HSDir=3-4", 8),
            ("HSDir=2-1", 8),
            ("HSDir=x-2", 8),
            ("XHSDir=2", 8),
            ("HSDir=1-2", 9),
            ("HSDir=1,2-4", 9),
            ("HSDir=0-4294967295", 9),
        ] {
            let count_with = hsdirs_with(
                "FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2",
                &format!("FlowCtrl=1-2 {protocol} HSIntro=4-5 HSRend=1-2"),
            );
            assert_eq!(count_with, count, "{protocol}");
        }
    }

    #[test]
    fn says_which_line_is_wrong() {
        let fault = |from: &str, to: &str| {
            let altered = REAL.replacen(from, to, 1);
            assert_ne!(altered, REAL);
            parse(&altered).unwrap_err().to_string()
        };
        let time = "line 5 of the consensus: no time of the form 2026-01-31 23:59:59";
        assert_eq!(fault("fresh-until 2026-11-22", "fresh-until 2026-11-31"), time);
        let identity = "line 24 of the consensus: the relay's identity is not 20 bytes in base64";
        assert_eq!(fault("BCp9PI9K83x2JPTBxt9FZBl3cIY", "BCp9"), identity);
        let digest = "line 30 of the consensus: the relay has no `m` line with 32 bytes in base64";
        assert_eq!(fault("\nm MgMptVNXa78c5p1RsoKfb0bOUr3ot3rPsw2rMYvg4oo", ""), digest);
        let params = with_line("params hsdir_n_replicas=two");
        assert_eq!(
            parse(&params).unwrap_err().to_string(),
            "line 15 of the consensus: a parameter for onion services is not a 32-bit number"
        );
        let value = with_line("shared-rand-current-value 0 zxJao=");
        assert!(matches!(parse(&value), Err(ConsensusError::Line { line: 15, .. })));
    }

    #[test]
    fn refuses_what_is_no_whole_consensus() {
        assert_eq!(parse(""), Err(ConsensusError::Flavour));
        assert_eq!(parse(&REAL.replacen(" microdesc", "", 1)), Err(ConsensusError::Flavour));
        assert_eq!(
            parse(&REAL.replacen("fresh-until ", "x ", 1)),
            Err(ConsensusError::Absent("fresh-until"))
        );
        let reversed = REAL.replacen("fresh-until 2026", "fresh-until 2025", 1);
        assert_eq!(parse(&reversed), Err(ConsensusError::Lifetime));
        // A cut consensus is never taken for a smaller network.
        let footer = REAL.find("directory-footer").unwrap();
        for end in 0..footer + "directory-footer".len() {
            assert!(Consensus::parse(&REAL.as_bytes()[..end]).is_err(), "{end}");
        }
        assert_eq!(Consensus::parse(&REAL.as_bytes()[..footer]), Err(ConsensusError::Truncated(77)));
    }

    #[test]
    fn is_current_an_interval_either_side() {
        let lifetime = parse(REAL).unwrap().lifetime;
        let (from, until, interval) =
            (lifetime.valid_after(), lifetime.valid_until(), lifetime.voting_interval());
        for (now, current) in [
            (from.minus(interval + 1), false),
            (from.minus(interval), true),
            (until.plus(interval), true),
            (until.plus(interval + 1), false),
        ] {
            assert_eq!(lifetime.is_current(now), current, "{now:?}");
        }
    }

    #[test]
    fn any_bytes_may_stand_in_lines_that_do_not_matter() {
        let mut text = with_line("contact ?").into_bytes();
        let at = text.iter().position(|byte| *byte == b'?').unwrap();
        text[at] = 0xFF;
        assert_eq!(Consensus::parse(&text), parse(REAL));
    }

    proptest! {
        #[test]
        fn altered_text_never_stops_us(at in 0..REAL.len(), with in any::<Vec<u8>>(), cut in 0usize..200) {
            let mut text = REAL.as_bytes().to_vec();
            text.splice(at..(at + cut).min(REAL.len()), with);
            let _ = Consensus::parse(&text);
        }
    }
}
