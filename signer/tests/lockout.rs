//! A hostile balancer cannot have a revision signed that an honest one cannot exceed later. This holds
//! through restarts of the signer, reloads, and changes of the clock.

#![expect(clippy::unwrap_used, reason = "a test may stop")]

use std::collections::HashMap;

use onionbalance_proto::fixture::{self, Backend, Published};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v3::{OnionAddress, PeriodLength, TimePeriod};
use onionbalance_proto::wire::{FrontendRequest, Refusal, SignedFrontend};
use onionbalance_signer::v3::authority::Authority;
use onionbalance_signer::v3::secret::IdentitySecret;
use onionbalance_signer::v3::service::Service;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 2026-11-22 00:20:30 UTC.
const BEGIN: UnixTime = UnixTime(1_795_306_830);
/// The time within which an honest balancer publishes again after a hostile one is gone, in seconds, in
/// addition to the seconds by which the clock was set back.
const WITHIN: u64 = 120;

/// One event in the signer's life.
#[derive(Clone, Debug)]
enum Event {
    /// The hostile balancer asks for a period near the present one, `times` times, with this hint.
    Hostile { period: i8, times: u8, hint: Hint },
    /// The hostile balancer asks for periods of another length, for which a backend that helps it has
    /// certificates.
    OtherLength { minutes: u16 },
    /// `seconds` pass without a request.
    Passes { seconds: u64 },
    /// The clock is set forward or back by `seconds`.
    ClockSet { seconds: i64 },
    /// The signer forgets all revisions.
    Restart,
    /// The operator removes one of the backends, or adds it again.
    Reload,
}

#[derive(Clone, Copy, Debug)]
enum Hint {
    Highest,
    AsHeld,
    Any(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let hint = prop_oneof![
        3 => Just(Hint::Highest),
        1 => Just(Hint::AsHeld),
        1 => any::<u64>().prop_map(Hint::Any),
        1 => (0..1_u64 << 34).prop_map(Hint::Any),
    ];
    prop_oneof![
        6 => (-1..=1_i8, 1..8_u8, hint)
            .prop_map(|(period, times, hint)| Event::Hostile { period, times, hint }),
        2 => (5..=14_400_u16).prop_map(|minutes| Event::OtherLength { minutes }),
        3 => (0..7200_u64).prop_map(|seconds| Event::Passes { seconds }),
        1 => (-7200..7200_i64).prop_map(|seconds| Event::ClockSet { seconds }),
        2 => Just(Event::Restart),
        1 => Just(Event::Reload),
    ]
}

struct World {
    service: Service,
    allowed: Vec<OnionAddress>,
    now: UnixTime,
    /// The seconds by which the clock was set back, in sum.
    set_back: u64,
    /// The highest revision that HSDirs hold, by period.
    held: HashMap<TimePeriod, u64>,
    rng: StdRng,
}

impl World {
    fn new() -> Self {
        let allowed = vec![Backend::new(1).address(), Backend::new(2).address()];
        Self {
            service: service(&allowed),
            allowed,
            now: BEGIN,
            set_back: 0,
            held: HashMap::new(),
            rng: StdRng::seed_from_u64(1),
        }
    }

    fn present(&self) -> TimePeriod {
        TimePeriod::at(self.now, PeriodLength::DAY, 720)
    }

    /// A request that lists a point of this backend.
    fn request(&mut self, backend: u64, period: TimePeriod) -> FrontendRequest {
        let published: Published = Backend::new(backend).publish(period, self.now, 1, &mut self.rng);
        fixture::request(&self.service.address(), period, &[published])
    }

    fn ask(&mut self, backend: u64, period: TimePeriod, seen: u64) -> Result<SignedFrontend, Refusal> {
        let request = FrontendRequest { revision_seen: seen, ..self.request(backend, period) };
        self.service.sign(&request, self.now, &mut self.rng)
    }

    /// Uploads a descriptor; HSDirs keep it if its revision is higher than theirs. True if they keep it.
    fn upload(&mut self, period: TimePeriod, revision: u64) -> bool {
        let held = self.held.entry(period).or_default();
        let is_kept = revision > *held;
        *held = revision.max(*held);
        is_kept
    }

    fn carry_out(&mut self, event: &Event) {
        match *event {
            Event::Hostile { period, times, hint } => {
                let number = self.present().number.saturating_add_signed(period.into());
                let period = TimePeriod { number, ..self.present() };
                for _ in 0..times {
                    let held = self.held.get(&period).copied().unwrap_or(0);
                    let seen = match hint {
                        Hint::Highest => u64::MAX,
                        Hint::AsHeld => held,
                        Hint::Any(seen) => seen,
                    };
                    if let Ok(signed) = self.ask(2, period, seen) {
                        self.upload(period, signed.revision);
                    }
                }
            }
            Event::OtherLength { minutes } => {
                let length = PeriodLength::try_from(minutes).unwrap();
                for offset in [0, minutes / 2] {
                    let _ = self.ask(2, TimePeriod::at(self.now, length, offset.into()), u64::MAX);
                }
            }
            Event::Passes { seconds } => self.now = self.now.plus(seconds),
            Event::ClockSet { seconds: forward @ 0.. } => self.now = self.now.plus(forward.unsigned_abs()),
            Event::ClockSet { seconds: back } => {
                self.set_back += back.unsigned_abs();
                self.now = self.now.minus(back.unsigned_abs());
            }
            Event::Restart => self.service = service(&self.allowed),
            Event::Reload => {
                if self.allowed.pop().is_none_or(|gone| gone == Backend::new(1).address()) {
                    self.allowed = vec![Backend::new(1).address(), Backend::new(2).address()];
                }
                self.service.allow(self.allowed.clone());
            }
        }
    }
}

fn service(allowed: &[OnionAddress]) -> Service {
    let secret = IdentitySecret::from_seed(&[7; 32]).unwrap();
    Service::new(Authority::Identity(secret), allowed.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn after_a_hostile_balancer_an_honest_one_is_published(
        events in prop::collection::vec(event(), 1..25),
        restart in any::<bool>(),
        which in any::<Index>(),
    ) {
        let mut world = World::new();
        let restart_at = which.index(events.len());
        for (index, event) in events.iter().enumerate() {
            if restart && index == restart_at {
                world.carry_out(&Event::Restart);
            }
            world.carry_out(event);
        }
        // The hostile balancer is gone, its last request restarted the signer, and the operator has removed
        // the backend that helped it.
        world.allowed = vec![Backend::new(1).address()];
        world.carry_out(&Event::Restart);
        let patience = world.now.plus(WITHIN + world.set_back);
        for offset in [-1, 0, 1] {
            let mut is_published = false;
            let begun = world.now;
            while world.now <= patience && !is_published {
                let number = world.present().number.saturating_add_signed(offset);
                let period = TimePeriod { number, ..world.present() };
                let held = world.held.get(&period).copied().unwrap_or(0);
                let signed = world.ask(1, period, held).expect("an honest request");
                is_published = world.upload(period, signed.revision);
                world.now = world.now.plus(60);
            }
            prop_assert!(is_published, "period {}, {} s back, from {:?}", offset, world.set_back, begun);
            world.now = begun;
        }
    }
}
