//! An attacker's program in the balancer's place: it owns a backend of its own that would answer for the frontend, asks the
//! signer for all it can think of, and publishes whatever it gets. Nobody's request ends with it.

#![expect(clippy::indexing_slicing, reason = "a test may stop")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use onionbalance::relay::Fingerprint;
use onionbalance::v3::backend::{self, BackendPoint};
use onionbalance::v3::frontend::compose;
use onionbalance::v3::schedule::DescriptorTerm;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::OnionAddress;
use onionbalance_proto::wire::{FrontendRequest, Header, Refusal, Reply, Request, frame};
use onionbalance_tests::network::{Client, Onion};

use super::observer::Observer;
use super::site::{Site, backends, network};

/// A page takes less than a second.
const PATIENCE: Duration = Duration::from_secs(6);
const VISITS: usize = 4;

struct Attacker<'a> {
    site: &'a Site,
    observer: Observer,
    signer: UnixStream,
    /// The configured backends' points.
    genuine: Vec<BackendPoint>,
    /// The points of a backend that accepts introductions for the frontend and is not configured.
    own: Vec<BackendPoint>,
}

impl Attacker<'_> {
    /// A request for the genuine points, and what becomes of it when `twist` has had its way with it.
    fn ask(
        &mut self,
        term: &DescriptorTerm,
        twist: impl Fn(&mut FrontendRequest, &FrontendRequest),
    ) -> Result<Reply> {
        let mut request = compose(&self.site.address, term, &self.genuine, 0);
        twist(&mut request, &compose(&self.site.address, term, &self.own, 0));
        self.signer.write_all(&frame::encode(&Request::FrontendV3(request))?)?;
        let mut header = [0; Header::LENGTH];
        self.signer.read_exact(&mut header)?;
        let mut body = vec![0; Header::decode::<Reply>(header)?.body_length()];
        self.signer.read_exact(&mut body)?;
        Ok(frame::decode(&body)?)
    }

    /// Asks for both of the frontend's descriptors, and publishes what is signed.
    fn publish(&mut self, twist: impl Fn(&mut FrontendRequest, &FrontendRequest)) -> Result<()> {
        for (term, hsdirs) in self.places()? {
            let Reply::FrontendV3(signed) = self.ask(&term, &twist)? else { bail!("refused") };
            let address = Onion::V3(self.site.address);
            self.observer.client.control()?.hspost(&address, &hsdirs, &signed.texts[0])?;
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

/// How many visits ended at one of these backends; that one ended elsewhere is an error.
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
    let site = Site::new(network, "attacker", &configured, "signer-socket-location: signer\n")?;
    let _signer = site.signer()?;
    let observer = Observer::new(network)?;
    let genuine = configured.iter().map(|service| points(&observer, service)).collect::<Result<Vec<_>>>()?;
    let mut attacker = Attacker {
        genuine: genuine.concat(),
        own: points(&observer, &attackers.address().v3()?)?,
        signer: UnixStream::connect(site.path("signer"))?,
        site: &site,
        observer,
    };
    let [(term, _), _] = attacker.places()?;

    // His own backend, with all its own proofs.
    let reply = attacker.ask(&term, |request, own| *request = own.clone())?;
    assert_eq!(reply, Reply::Refused(Refusal::UnknownBackend));
    // His own points, said to be of a configured backend.
    let reply = attacker.ask(&term, |request, own| request.points[0] = own.points[0].clone())?;
    assert_eq!(reply, Reply::Refused(Refusal::AuthCert));
    // The takeover that tor's clients would not notice: his encryption key, at his own point's relay, beside certificates
    // that are genuine.
    let reply = attacker.ask(&term, |request, own| {
        request.points[0].link_specifiers.clone_from(&own.points[0].link_specifiers);
        request.points[0].onion_key = own.points[0].onion_key;
        request.points[0].enc_key = own.points[0].enc_key;
    })?;
    assert_eq!(reply, Reply::Refused(Refusal::EncCert));

    // What he may have signed is what the balancer would have.
    attacker.publish(|_, _| ())?;
    let visitor = network.new_tor_client()?;
    assert_eq!(visit(&visitor, &site.address, &names)?, VISITS);
    // What no certificate covers: the relays of genuine points. It denies service, and that is all.
    attacker.publish(|request, own| {
        for point in &mut request.points {
            point.link_specifiers.clone_from(&own.points[0].link_specifiers);
            point.onion_key = own.points[0].onion_key;
        }
    })?;
    let visitor = network.new_tor_client()?;
    visit(&visitor, &site.address, &names).map(drop)
}
