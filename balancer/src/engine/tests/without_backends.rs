//! Services without backends, and services whose backends were all removed.

use super::super::testing::*;
use super::super::*;

const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
const NONE: &[(&str, &[&str])] = &[("s", &[])];
const ONE: &[(&str, &[&str])] = &[("s", &["a"])];

fn configure(script: &mut Script, services: &[(&str, &[&str])]) {
    script.configure(specs(services));
    script.send(Event::Network(view(services, &[(1, 1..9)])));
}

/// Checks that for half a day nothing is published and no notice is given: the configuration has a warning of
/// its own.
fn is_quiet(script: &mut Script) {
    let posts = script.published().len();
    script.run(HALF_A_DAY, |_, _| ());
    assert_eq!(script.published().len(), posts);
    let said: Vec<_> = script.said.iter().map(|(_, action)| action.clone()).collect();
    let nothing = Notice::NothingToPublish { service: "s".into() };
    assert!(!notices(&said).contains(&nothing));
    let status = script.status("s");
    assert_eq!((status.points, status.stale_for, status.backends.len()), (0, None, 0));
}

#[test]
fn nothing_is_published_before_the_first_backend_comes() {
    let mut script = Script::started(NONE);
    is_quiet(&mut script);
    configure(&mut script, ONE);
    script.copy("a", relay(100), 10, &[1]);
    assert_eq!(script.last().points, [1]);
}

#[test]
fn nothing_is_published_after_the_last_backend_was_removed() {
    for point in [1, 2] {
        let mut script = Script::started(ONE);
        script.copy("a", relay(100), 10, &[1]);
        let post = script.last();
        script.stored(&post, 1);
        configure(&mut script, NONE);
        is_quiet(&mut script);
        configure(&mut script, ONE);
        let revision = script.now.wall.0;
        script.copy("a", relay(100), revision, &[point]);
        script.pass(Duration::from_secs(60));
        // The point is the same, but the renewal is overdue.
        let again = script.last();
        assert_eq!((again.points.as_slice(), again.to.len()), (&[point][..], 8));
        assert!(again.at > HALF_A_DAY);
    }
}
