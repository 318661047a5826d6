//! Writes the seeds of each target: made-up documents in their present form, and the output of real programs.
//! `corpus/` holds further inputs that fuzzing found.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

// The library has the functions that the coverage calls.
use libfuzzer_sys as _;
use onionbalance::engine::{BackendId, Drain, Newest, ServiceId};
use onionbalance::state::Contents;
use onionbalance_fuzz::{NOW, rng, v2, v3};
use onionbalance_key::issue::issue;
use onionbalance_key_file::delegation::Span;
use onionbalance_proto::fixture;
use onionbalance_proto::v2::document::points;
use onionbalance_proto::v2::layer;
use onionbalance_proto::wire::{Header, Refusal, Reply, Request, SignedFrontend, frame};

fn main() -> io::Result<()> {
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("usage: seeds DIRECTORY"));
    };
    let seeds = Seeds { directory };
    seeds.documents()?;
    seeds.control_port()?;
    seeds.v3_layers()?;
    seeds.v2_layers()?;
    seeds.messages()?;
    seeds.conversations()?;
    seeds.keys()?;
    seeds.delegation()?;
    seeds.state()?;
    seeds.texts()
}

/// The directory of the seeds, with a directory for each target.
struct Seeds {
    directory: PathBuf,
}

impl Seeds {
    fn add(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let directory = self.directory.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)
    }

    fn documents(&self) -> io::Result<()> {
        let data = repository().join("balancer/tests/data");
        self.add("consensus", "tor", fs::read(data.join("consensus-microdesc.txt"))?)?;
        self.add("microdescriptors", "tor", fs::read(data.join("md-all.txt"))?)?;
        self.add("router_statuses", "tor", fs::read(data.join("ns-all.txt"))?)
    }

    /// The whole output of a tor, and each of its events.
    fn control_port(&self) -> io::Result<()> {
        for (name, talk) in files("balancer/tests/data/v2-talk", "received")? {
            self.add("control_port", &name, [&[7], &talk[..]].concat())?;
            let text = String::from_utf8_lossy(&talk).replace("\r\n", "\n");
            for (number, event) in text.lines().filter_map(|line| line.strip_prefix("650")).enumerate() {
                self.add("events", &format!("{name}-{number}"), &event[1..])?;
            }
        }
        let status = "STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=14 TAG=handshake SUMMARY=\"Hand\\163haking\"";
        self.add("events", "bootstrap", status)?;
        self.add(
            "events",
            "content",
            format!("HS_DESC_CONTENT {0} {0} ${0}~a\n{1}", "A".repeat(40), v2::text()),
        )
    }

    fn v3_layers(&self) -> io::Result<()> {
        let inner = v3::PUBLISHED.descriptor.inner.encode();
        let text = v3::around_inner(inner.as_bytes());
        let unsigned = text.rsplit_once("signature ").map_or("", |(before, _)| before);
        self.add("v3_outer", "made-up", unsigned)?;
        self.add("v3_middle", "made-up", v3::middle(inner.as_bytes()).trim_end_matches('\0'))?;
        self.add("v3_inner", "made-up", inner)
    }

    fn v2_layers(&self) -> io::Result<()> {
        let text = v2::text();
        self.add("v2_outer", "made-up", text.rsplit_once("signature\n").map_or("", |(before, _)| before))?;
        let points = points::encode(&v2::PUBLISHED.points);
        let basic = layer::encrypt_basic(points.as_bytes(), &[v2::cookie()], &mut rng(1))
            .map_err(io::Error::other)?;
        self.add("v2_points", "clear", [&[0], points.as_bytes()].concat())?;
        self.add("v2_points", "basic", [&[1], points.as_bytes()].concat())?;
        self.add("v2_points", "stealth", [&[2], points.as_bytes()].concat())?;
        self.add("v2_points", "encrypted", [&[0], &basic[..]].concat())
    }

    fn messages(&self) -> io::Result<()> {
        let frontend = v3::frontend().address();
        let requests = [
            ("services", Request::Services { from: 0 }),
            ("v3", Request::FrontendV3(v3::request(&frontend, &v3::PUBLISHED))),
            (
                "v2",
                Request::FrontendV2(fixture::v2::request(&v2::BACKEND.address(), NOW, vec![v2::text()], 2)),
            ),
        ];
        for (name, request) in requests {
            let frame = frame::encode(&request).map_err(io::Error::other)?;
            self.add("judgement", name, &frame[Header::LENGTH..])?;
            self.add("frame", name, frame)?;
        }
        let replies = [
            ("refused", Reply::Refused(Refusal::Period)),
            (
                "signed",
                Reply::FrontendV3(SignedFrontend { revision: 7, texts: vec!["hs-descriptor 3\n".into(); 2] }),
            ),
        ];
        for (name, reply) in replies {
            self.add("frame", name, frame::encode(&reply).map_err(io::Error::other)?)?;
        }
        Ok(())
    }

    fn conversations(&self) -> io::Result<()> {
        for (name, script) in
            [("all", "<?><v2><v3>"), ("twice", "<v3><v3>"), ("broken", "<v2>OB\0\x02\0\0\0\x04\0\0\0\x01<?>")]
        {
            self.add("signer", name, script)?;
        }
        Ok(())
    }

    fn keys(&self) -> io::Result<()> {
        for (directory, ending) in [
            ("proto/testdata/v2", "key"),
            ("proto/testdata/v3", "pem"),
            ("proto/testdata/v3", "hs_ed25519_secret_key"),
        ] {
            for (name, key) in files(directory, ending)? {
                self.add("keys", &format!("{name}.{ending}"), [&b"onion balance v3\n"[..], &key].concat())?;
            }
        }
        Ok(())
    }

    fn delegation(&self) -> io::Result<()> {
        let span = Span { first: v3::PUBLISHED.period, count: 1 };
        self.add("delegation", "issued", issue(&v3::frontend(), span, &mut rng(1)))
    }

    fn state(&self) -> io::Result<()> {
        let newest = Newest { period: 20_779, revision: u64::MAX, published: NOW, seen: NOW };
        let (service, backend) = (v3::frontend().address().to_string(), v3::PUBLISHED.address.to_string());
        let drains = [(BackendId::from(&*backend), Drain { until: Some(NOW) })].into_iter().collect();
        let contents = Contents {
            newest: [(BackendId::from(&*backend), newest)].into(),
            drains: [(ServiceId::from(&*service), drains)].into(),
        };
        self.add("state", "one", onionbalance::state::render(&contents)?)
    }

    fn texts(&self) -> io::Result<()> {
        self.add("config", "example", fs::read(repository().join("config.yaml.example"))?)?;
        let v3 = v3::PUBLISHED.address;
        self.add("config", "both", format!("services:\n- key: a.key\n  instances:\n  - address: {v3}\n    name: one\n    health-check: {{kind: http, path: /, expect: 200-399, interval: 1m}}\n- key: b.key\n  health-check: {{kind: connect}}\n  tor: 127.0.0.1:9051\n  tor-control-password: x\n  instances:\n  - address: jyvfq5umznvka34v\n    auth: TRTUFLcJe7zonSx/Ben5Sg\nREFRESH_INTERVAL: 600\nDISTINCT_DESCRIPTORS: False\n"))?;
        let point = &v3::PUBLISHED.descriptor.inner.points[0];
        for (name, bytes) in [
            ("v3-address", v3.to_string().into_bytes()),
            ("v2-address", v2::BACKEND.address().to_string().into_bytes()),
            ("descriptor-id", b"kkj45bfm57jmgw5ryxr6zmszjje2tdey".to_vec()),
            ("cookie", b"TRTUFLcJe7zonSx/Ben5Sg".to_vec()),
            ("flow-control", b"1-2,4 31".to_vec()),
            ("fingerprint", b"$DDAD623E54F159BFAE07BFB26F5A8ECEDEB8B292~a3".to_vec()),
            ("version", b"0.4.9.11 (git-0123456789abcdef)".to_vec()),
            ("time", NOW.to_string().into_bytes()),
            ("place", b"127.0.0.1:9051".to_vec()),
            ("certificate", point.auth_cert.encode().to_vec()),
            ("link-specifiers", point.link_specifiers.as_bytes().to_vec()),
            ("point-key", v2::PUBLISHED.points[0].onion_key.to_der()),
            ("permanent-key", v2::BACKEND.permanent_key().der().to_vec()),
        ] {
            self.add("scalars", name, bytes)?;
        }
        Ok(())
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files of a directory with this ending: the rest of their names, and their contents.
fn files(directory: &str, ending: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(repository().join(directory))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(ending).and_then(|name| name.strip_suffix('.')) {
            files.push((stem.to_owned(), fs::read(repository().join(directory).join(&name))?));
        }
    }
    Ok(files)
}
