//! An attacker's program instead of the balancer. It has a backend of its own that would answer for the
//! frontend, sends the signer every kind of request, and publishes every reply. No visit ends at its backend,
//! and its effects do not outlast the operator's countermeasures.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use onionbalance::v3::backend::{self, BackendPoint};
use onionbalance::v3::frontend::compose;
use onionbalance::v3::schedule::DescriptorTerm;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::{FrontendRequest, Header, Refusal, Reply, Request, frame};
use onionbalance_tests::network::Client;
use onionbalance_tests::onion::Onion;

use super::observer::Observer;
use super::site::{PUBLISHED, Site, backends, network, wait_published};

/// The longest time of a page, which usually takes less than a second.
const PATIENCE: Duration = Duration::from_secs(6);
const VISITS: usize = 4;
/// The number of requests for each of two descriptors, together as many as the signer answers at once. Each
/// reply has a higher revision than the one before.
const REQUESTS: usize = 60;
const WITH_SOCKET: &str = "signer-socket-location: signer\n";

struct Attacker<'a> {
    site: &'a Site,
    observer: Observer,
    signer: UnixStream,
    /// The points of the configured backends.
    genuine: Vec<BackendPoint>,
    /// The points of a backend that accepts introductions for the frontend but is not configured.
    own: Vec<BackendPoint>,
}

impl<'a> Attacker<'a> {
    /// An attacker at the site's signer, with the points of the genuine backends and of its own.
    fn new(
        site: &'a Site,
        observer: Observer,
        genuine: &[OnionAddress],
        own: &[OnionAddress],
    ) -> Result<Self> {
        let all_points = |of: &[OnionAddress]| -> Result<Vec<BackendPoint>> {
            Ok(of.iter().map(|service| points(&observer, service)).collect::<Result<Vec<_>>>()?.concat())
        };
        Ok(Self {
            genuine: all_points(genuine)?,
            own: all_points(own)?,
            signer: UnixStream::connect(site.path("signer"))?,
            site,
            observer,
        })
    }

    /// A request for the genuine points, changed by `twist`.
    fn ask(
        &mut self,
        term: &DescriptorTerm,
        twist: impl Fn(&mut FrontendRequest, &FrontendRequest),
    ) -> Result<Reply> {
        let mut request = compose(&self.site.address, term, &[&self.genuine], 0);
        twist(&mut request, &compose(&self.site.address, term, &[&self.own], 0));
        self.signer.write_all(&frame::encode(&Request::FrontendV3(request))?)?;
        let mut header = [0; Header::LENGTH];
        self.signer.read_exact(&mut header)?;
        let mut body = vec![0; Header::decode::<Reply>(header)?.body_length()];
        self.signer.read_exact(&mut body)?;
        Ok(frame::decode(&body)?)
    }

    /// Requests both of the frontend's descriptors, `requests` times each, and publishes the last replies.
    fn publish(
        &mut self,
        requests: usize,
        twist: impl Fn(&mut FrontendRequest, &FrontendRequest),
    ) -> Result<()> {
        for (term, hsdirs) in self.places()? {
            let mut newest = None;
            for _ in 0..requests {
                let Reply::FrontendV3(signed) = self.ask(&term, &twist)? else { bail!("refused") };
                ensure!(newest.as_ref().is_none_or(|(revision, _)| *revision < signed.revision));
                newest = signed.texts.into_iter().next().map(|text| (signed.revision, text));
            }
            let (_, text) = newest.context("nothing was asked for")?;
            let address = Onion::V3(self.site.address);
            self.observer.client.control()?.hspost(&address, &hsdirs, &text)?;
        }
        Ok(())
    }

    fn places(&self) -> Result<[(DescriptorTerm, Vec<Fingerprint>); 2]> {
        Ok(self.observer.directory()?.store(&self.site.address))
    }
}

/// The points that a service has published, with their proofs.
fn points(observer: &Observer, service: &OnionAddress) -> Result<Vec<BackendPoint>> {
    let (period, hsdirs) = observer.directory()?.fetch(service);
    let hsdir = hsdirs.first().context("nobody is responsible")?;
    let text = observer.client.control()?.hsfetch(&service.to_string(), Some(&hsdir.to_string()))?;
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    Ok(backend::open(service, period, &text.context("no descriptor")?, now)?.points)
}

/// The number of visits that ended at one of these backends. Fails if one ended elsewhere.
fn visit(visitor: &Client, service: &OnionAddress, names: &[&str]) -> Result<usize> {
    let mut answered = 0;
    for _ in 0..VISITS {
        if let Ok(page) = visitor.get_within(PATIENCE, service, 80, "/") {
            ensure!(names.contains(&page.text().as_str()), "{} answered for the frontend", page.text());
            answered += 1;
        }
    }
    Ok(answered)
}

#[test]
fn an_attacker_in_the_balancers_place_leads_nobody_to_himself() -> Result<()> {
    let network = network()?;
    let configured = backends(network)?;
    let names = ["backend-0", "backend-1", "backend-2"];
    let attackers = network.start_backend()?;
    attackers.wait_published()?;
    let site = Site::new(network, "attacker", &configured, WITH_SOCKET)?;
    let _signer = site.signer()?;
    let own = [attackers.address().v3()?];
    let mut attacker = Attacker::new(&site, Observer::new(network)?, &configured, &own)?;
    let [(term, _), _] = attacker.places()?;

    // The attacker's backend, with its own valid proofs.
    let reply = attacker.ask(&term, |request, own| *request = own.clone())?;
    assert_eq!(reply, Reply::Refused(Refusal::UnknownBackend));
    // The attacker's points, claimed to belong to a configured backend.
    let reply = attacker.ask(&term, |request, own| request.points[0] = own.points[0].clone())?;
    assert_eq!(reply, Reply::Refused(Refusal::AuthCert));
    // The attack that tor's clients would not notice: the attacker's encryption key, at the relay of its own
    // point, beside genuine certificates.
    let reply = attacker.ask(&term, |request, own| {
        request.points[0].link_specifiers.clone_from(&own.points[0].link_specifiers);
        request.points[0].onion_key = own.points[0].onion_key;
        request.points[0].enc_key = own.points[0].enc_key;
    })?;
    assert_eq!(reply, Reply::Refused(Refusal::EncCert));

    // The signer accepts the request that the balancer would send.
    attacker.publish(1, |_, _| ())?;
    let visitor = network.new_tor_client()?;
    assert_eq!(visit(&visitor, &site.address, &names)?, VISITS);
    // No certificate covers the relays of genuine points. The attack denies service, and no more.
    attacker.publish(1, |request, own| {
        for point in &mut request.points {
            point.link_specifiers.clone_from(&own.points[0].link_specifiers);
            point.onion_key = own.points[0].onion_key;
        }
    })?;
    let visitor = network.new_tor_client()?;
    visit(&visitor, &site.address, &names).map(drop)
}

/// A restarted signer has forgotten the attacker's descriptors, and the balancer does not know of them.
/// Within the balancer's usual start and a minute the honest descriptors replace them.
#[test]
fn a_removed_backend_cannot_be_kept_in() -> Result<()> {
    let network = network()?;
    let configured = backends(network)?;
    let (removed, kept) = configured.split_first().context("no backends")?;
    let site = Site::new(network, "removed_backend", &configured, WITH_SOCKET)?;
    let signer = site.signer()?;
    let observer = Observer::new(network)?;
    // Descriptors do not move to other HSDirs in the next three minutes.
    observer.wait_next_period()?;

    let mut attacker = Attacker::new(&site, observer, &[*removed], &[])?;
    attacker.publish(REQUESTS, |request, _| request.revision_seen = u64::MAX)?;
    let observer = attacker.observer;
    let offered = observer.newest(removed)?.points;
    let hostile = observer.copies(&site.address)?;
    ensure!(hostile.iter().all(|copy| copy.points == offered), "the attacker's descriptor is not there");

    signer.kill()?;
    site.set_backends(kept, WITH_SOCKET)?;
    let _signer = site.signer()?;
    let balancer = site.balancer(observer.client.tor())?;
    balancer.wait_line("HSDir refuses the descriptor", PUBLISHED)?;
    // Both descriptors are on all their HSDirs.
    wait_published(&balancer)?;
    observer.wait_current(&site.address, kept, &observer)?;
    // The removed backend still runs. A visit that tor itself loses does not count.
    let answered = visit(&network.new_tor_client()?, &site.address, &["backend-1", "backend-2"])?;
    ensure!(answered > VISITS / 2, "{answered} of {VISITS} visits were answered");
    Ok(())
}
