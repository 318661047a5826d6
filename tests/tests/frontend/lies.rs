//! Backends with false contents in the encrypted layers, which no HSDir can read: they are skipped and named
//! in the log, and the others are published.

#![expect(clippy::indexing_slicing, reason = "a test may stop")]

use anyhow::Result;
use onionbalance_proto::fixture::{Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::cert::{CertType, ExpiryHour};

use super::made_up::publish;
use super::observer::Observer;
use super::site::{PUBLISHED, Site, backends, network, wait_published};

/// A backend with false contents, and the balancer's reason.
struct Liar {
    backend: Backend,
    points: usize,
    lie: fn(&mut Published, UnixTime),
    reason: &'static str,
}

fn liars() -> [Liar; 4] {
    let liar = |number, points, lie, reason| Liar { backend: Backend::new(number), points, lie, reason };
    [
        // Tor itself refuses this descriptor, and gives no reason.
        liar(101, 21, |_, _| (), "tor cannot parse it"),
        liar(
            102,
            3,
            without_auth_key,
            "not a usable key: off the curve, of small order, or in an unusual form",
        ),
        liar(103, 3, with_foreign_enc_key, "certificate certifies another key or is signed by another key"),
        liar(104, 3, with_expired_certificate, "certificate has expired"),
    ]
}

fn without_auth_key(published: &mut Published, _: UnixTime) {
    let certificate = published.certify(CertType::AuthKey, [0; 32], ExpiryHour(u32::MAX));
    published.descriptor.inner.points[0].auth_cert = certificate;
}

fn with_foreign_enc_key(published: &mut Published, _: UnixTime) {
    published.descriptor.inner.points[0].enc_key = published.descriptor.inner.points[1].enc_key;
}

fn with_expired_certificate(published: &mut Published, now: UnixTime) {
    let auth_key = *published.descriptor.inner.points[0].auth_key.as_bytes();
    let expired = ExpiryHour::not_after(now.minus(3600));
    published.descriptor.inner.points[0].auth_cert = published.certify(CertType::AuthKey, auth_key, expired);
}

#[test]
fn liars_are_named_and_the_others_go_on() -> Result<()> {
    let network = network()?;
    let observer = Observer::new(network)?;
    let honest = backends(network)?;
    for liar in liars() {
        publish(&observer, &liar.backend, liar.points, liar.lie)?;
    }
    let all: Vec<_> = honest.iter().copied().chain(liars().map(|liar| liar.backend.address())).collect();
    let site = Site::new(network, "lies", &all, "")?;
    let balancer = site.balancer(observer.client.tor())?;
    for liar in liars() {
        let named = format!("backend={}", liar.backend.address());
        let line = balancer.wait_output(&format!("nothing about {named}"), PUBLISHED, |output| {
            let mut lines =
                output.lines().filter(|line| line.contains(" skipped a descriptor of this backend: "));
            lines.find(|line| line.contains(&named) && line.contains(" WARN ")).map(str::to_owned)
        })?;
        assert!(line.contains(&format!(": {} backend=", liar.reason)), "{line}\nwanted {}", liar.reason);
    }
    wait_published(&balancer)?;
    observer.wait_current(&site.address, &honest, &observer)?;
    site.visit_all(&network.new_tor_client()?, &["backend-0", "backend-1", "backend-2"])
}
