//! The main task: every HSDir holds the descriptor that a tor would have published, and every backend
//! answers.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};
use onionbalance_proto::v2::document::{Readers, open_outer};
use onionbalance_tests::key_v2::KeyV2;
use rand_core::OsRng;

use super::observer::{Observer, shares};
use super::site::{Site, backends, network, now, plain, wait_published};

#[test]
fn every_hsdir_has_it_and_every_backend_answers() -> Result<()> {
    let network = network()?;
    let backends = backends(network)?;
    let key = KeyV2::generate()?;
    let service = key.address();
    let more = "STATUS_SOCKET_LOCATION: status\nsigner-socket-location: signer\n";
    let site = Site::new(network, "publication", &[(&key, &plain(&backends)?)], more)?;
    let observer = Observer::new(network)?;
    let signer = site.signer()?;
    let balancer = site.balancer(observer.client.tor())?;
    wait_published(&balancer, &service, 2)?;
    let copies =
        observer.wait_copies(&service, &backends, |copies, points| shares(copies, points).map(drop))?;
    assert_eq!(copies.len(), 6);
    for copy in &copies {
        assert!(copy.descriptor.published <= now()? && copy.descriptor.published.0.is_multiple_of(3600));
        // The text has the same bytes as tor's.
        let own_key = open_outer(&copy.text)?.key;
        let rendered = copy.descriptor.seal(&own_key, Readers::Everyone, &mut OsRng)?;
        let unsigned = rendered.finish(&[0; 128]);
        let (wanted, _) = unsigned.split_once("\nsignature\n").unwrap_or_default();
        assert!(copy.text.starts_with(wanted) && copy.text.ends_with("-----END SIGNATURE-----\n"));
    }

    let mut answered = BTreeSet::new();
    // Each client uses the descriptor of one HSDir; each descriptor lists every backend.
    for visitor in network.new_tor_clients(2)? {
        for _ in 0..20 {
            answered.insert(visitor.get(&service, 80, "/")?.text());
        }
    }
    let names: BTreeSet<String> = backends.iter().map(|backend| backend.name().to_owned()).collect();
    assert_eq!(answered, names);

    let mut status = String::new();
    UnixStream::connect(site.path("status"))?.read_to_string(&mut status)?;
    let lines: Vec<&str> = status.lines().collect();
    ensure!(lines.len() == 1 + backends.len(), "{status}");
    assert!(lines.first().is_some_and(|line| line.starts_with(&format!("{service} 20"))), "{status}");
    for backend in &backends {
        let line = lines.iter().find(|line| line.starts_with(&format!("  {} 20", backend.address())));
        assert!(line.is_some_and(|line| line.ends_with(" 3 IPs")), "{status}");
    }
    for log in [balancer.output()?, signer.output()?] {
        let warns = |line: &str| [" WARN ", " ERROR ", "<3>", "<4>"].iter().any(|mark| line.contains(mark));
        let unexpected = log.lines().find(|line| warns(line) && !line.contains("running as root"));
        assert_eq!(unexpected, None, "{log}");
    }
    Ok(())
}
