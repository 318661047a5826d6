//! The bound on the work of one turn.

use std::time::Duration;

use super::super::testing::*;
use super::super::*;

const SERVICES: usize = 3000;
/// The number of services of one backend that fit in a turn.
const MOST: usize = 500;

/// The number of services that have chosen their points.
fn decided(script: &Script) -> usize {
    script.engine.load(script.now).posts_waiting + script.published().len()
}

#[test]
fn services_that_choose_at_the_same_time_do_so_in_several_turns() {
    let names: Vec<String> = (0..SERVICES).map(|number| format!("s{number:04}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["b"][..])).collect();
    let mut script = Script::started(&services);
    let actions: Vec<_> = script.said.iter().map(|(_, action)| action.clone()).collect();
    script.copy("b", asked(&actions, "b")[0], 1, &[1]);

    let mut before = 0;
    while decided(&script) < SERVICES {
        let now = decided(&script);
        assert!(now > before && now - before <= MOST, "{} in one turn", now - before);
        before = now;
        let next = script.engine.next_deadline().expect("the others have to choose, too");
        script.advance(next);
        script.send(Event::Tick);
    }
    assert!(script.now.elapsed <= Duration::from_millis(10), "{:?}", script.now.elapsed);
}
