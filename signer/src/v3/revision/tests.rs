use onionbalance_proto::v3::PeriodLength;

use super::*;

const PERIOD: TimePeriod = TimePeriod { length: PeriodLength::DAY, number: 20_779 };

fn key() -> RevisionKey {
    RevisionKey::from_bytes(&[5; 32])
}

/// The time at this number of seconds after the beginning of [`PERIOD`]'s counter.
fn at(seconds: u64) -> UnixTime {
    PERIOD.start(0).plus(seconds)
}

/// The test vectors of tor's `crypto_ope` (tor: `ope_ref.py`).
#[test]
fn encrypts_as_tor_does() {
    let key = data_encoding::HEXLOWER
        .decode(b"19e05891d55232c08c2cad91d612fdb9cbd6691949a0742434a76c80bc6992fe")
        .unwrap()
        .try_into()
        .unwrap();
    for (input, output) in
        [(82_283, 2_695_743_564), (72_661, 2_381_548_866), (123_122, 4_036_781_069), (7_110, 234_966_492)]
    {
        assert_eq!(encrypt(&key, input, 0), (output, output), "{input}");
    }
}

#[test]
fn agrees_with_arti_on_random_keys() {
    for _ in 0..3 {
        let secret: [u8; 32] = rand::random();
        let theirs = tor_hscrypto::ope::AesOpeKey::from_secret(&secret);
        // Arti's hash leaves the NUL out; the cipher is the same.
        let key =
            Sha3_256::new().chain_update(b"rev-counter-generation").chain_update(secret).finalize().into();
        for seconds in [1, 2048, 2049, rand::random::<u32>() % (1 << 17) + 1] {
            let encrypt_by_arti =
                |seconds: u32| theirs.encrypt(tor_hscrypto::ope::SrvPeriodOffset::from(seconds - 1));
            let wanted = (encrypt_by_arti(seconds), encrypt_by_arti(seconds + 3600));
            assert_eq!(encrypt(&key, u64::from(seconds), 3600), wanted, "{seconds}");
        }
    }
}

#[test]
fn never_goes_back_whatever_the_clock_does() {
    let mut revisions = Revisions::default();
    let mut last = 0;
    for seconds in [500, 500, 10, 501, 400_000, 0, 86_400] {
        let next = revisions.next(&key(), PERIOD, at(seconds), 0);
        assert!(next > last, "{seconds}: {next} after {last}");
        last = next;
    }
    assert!(revisions.next(&key(), PERIOD, UnixTime(0), 0) > last);
}

#[test]
fn exceeds_a_revision_that_is_an_hour_ahead_at_most() {
    let now = at(7200);
    let (present, ahead) = key().count(PERIOD, now);
    for (seen, wanted) in [
        (0, present),
        (present - 1, present),
        (present, present + 1),
        (ahead, ahead + 1),
        (ahead + 1, ahead + 1),
        (u64::MAX, ahead + 1),
    ] {
        assert_eq!(Revisions::default().next(&key(), PERIOD, now, seen), wanted, "{seen}");
    }
    assert_eq!(key().count(PERIOD, at(7200 + MAX_AHEAD_SECS)).0, ahead);
}

/// This holds for any number of requests, and for any revision that a request claims to have seen.
#[test]
fn a_signer_that_forgot_everything_exceeds_all_of_it_a_minute_later() {
    for begin in [0, 1, 40_000, 86_400, 172_000] {
        let mut hostile = Revisions::default();
        let mut highest = 0;
        for second in (0..=600).step_by(60) {
            for _ in 0..10 {
                highest = hostile.next(&key(), PERIOD, at(begin + second), u64::MAX);
            }
        }
        let next = Revisions::default().next(&key(), PERIOD, at(begin + 660), highest);
        assert!(next > highest, "{begin}: {next} after {highest}");
    }
}

#[test]
fn periods_have_counters_of_their_own_and_are_forgotten_if_there_are_many() {
    let mut revisions = Revisions::default();
    let (now, next) = (at(100), TimePeriod { number: PERIOD.number - 1, ..PERIOD });
    let first = revisions.next(&key(), PERIOD, now, 0);
    assert!(revisions.next(&key(), next, now, 0) > first);
    assert_eq!(revisions.next(&key(), PERIOD, now, 0), first + 1);
    for number in (PERIOD.number + 1..).take(MANY) {
        revisions.forget(|period| period == PERIOD);
        revisions.next(&key(), TimePeriod { number, ..PERIOD }, now, 0);
        assert!(revisions.0.len() <= MANY);
    }
    assert_eq!(revisions.next(&key(), PERIOD, now, 0), first + 2);
}
