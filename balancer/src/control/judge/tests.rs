use std::time::Duration;

use super::*;
use crate::engine::{BackendStatus, Gone};
use crate::names::NamesBuilder;
use crate::status::testing::{backend, report, service, state_of, unwell};

const NOW: UnixTime = UnixTime(1_796_083_200);
const SHOP: &str = "shop.onion";
const FORUM: &str = "forum.onion";

/// A shop with `web1` to `web3`, all live, and a forum with `web1`, which is another backend, and with the
/// shop's `web3`.
fn state() -> State {
    let mut names = NamesBuilder::default();
    names.service(&SHOP.into(), Some(&"shop".parse().unwrap()));
    names.service(&FORUM.into(), None);
    for (service, address, name) in [
        (SHOP, "a.onion", "web1"),
        (SHOP, "b.onion", "web2"),
        (SHOP, "c.onion", "web3"),
        (FORUM, "d.onion", "web1"),
    ] {
        names.backend(&service.into(), &address.into(), &name.parse().unwrap());
    }
    let names = names.build();
    let of = |address, backends: &[&str]| {
        let backends = backends.iter().map(|address| backend(address, Some(1))).collect();
        let status = ServiceStatus { backends, ..service(address) };
        ServiceReport { names: names.clone(), ..report(status, None, &[]) }
    };
    // The order of the state is not that of the configuration.
    state_of(vec![of(FORUM, &["d.onion", "c.onion"]), of(SHOP, &["a.onion", "b.onion", "c.onion"])])
}

fn of_shop(state: &mut State, backend: usize) -> &mut BackendStatus {
    &mut state.tors[0].services[1].status.backends[backend]
}

fn request(backend: &str, command: Command) -> Request {
    Request { backend: backend.to_owned(), service: None, command }
}

fn drain(backend: &str) -> Request {
    request(backend, Command::Drain { seconds: None, force: false })
}

fn drains(of: &[(&str, &[&str])]) -> AllDrains {
    let backends = |backends: &[&str]| {
        backends.iter().map(|backend| ((*backend).into(), Drain { until: None })).collect()
    };
    of.iter().map(|(service, drained)| ((*service).into(), backends(drained))).collect()
}

fn lines(judged: Result<Judgement, Refusal>) -> Vec<String> {
    judged.unwrap().outcomes.iter().map(ToString::to_string).collect()
}

fn refusal(judged: Result<Judgement, Refusal>) -> String {
    judged.unwrap_err().to_string()
}

#[test]
fn a_backend_is_drained_in_all_services_that_list_it_or_in_one() {
    let judged = judge(&state(), &AllDrains::new(), &drain("web3"), NOW);
    assert_eq!(judged.as_ref().unwrap().changes, drains(&[(SHOP, &["c.onion"]), (FORUM, &["c.onion"])]));
    assert_eq!(
        lines(judged),
        [
            "web3 (shop): drained until it is enabled; 2 of 3 backends serve",
            "web3 (forum.onion): drained until it is enabled; 1 of 2 backends serve",
        ]
    );
    for (wanted, of) in [("c", "shop"), ("c.onion", SHOP), ("web3", "shop")] {
        let request = Request { service: Some(of.to_owned()), ..drain(wanted) };
        let judged = judge(&state(), &drains(&[(SHOP, &["a.onion"])]), &request, NOW).unwrap();
        assert_eq!(judged.changes, drains(&[(SHOP, &["a.onion", "c.onion"])]));
    }
}

#[test]
fn a_drain_has_the_end_that_was_asked_for_and_another_replaces_it() {
    let timed = |seconds| request("web2", Command::Drain { seconds: Some(seconds), force: false });
    let judged = judge(&state(), &drains(&[(SHOP, &["b.onion"])]), &timed(7200), NOW);
    let until = Some(NOW.plus(7200));
    assert_eq!(judged.as_ref().unwrap().changes[&SHOP.into()].of(&"b.onion".into()), Some(Drain { until }));
    assert_eq!(lines(judged), ["web2 (shop): drained until 2026-12-01 02:00:00 UTC; 2 of 3 backends serve"]);
    for seconds in [0, MAX_DRAIN_SECS + 1, u64::MAX] {
        assert_eq!(judge(&state(), &AllDrains::new(), &timed(seconds), NOW), Err(Refusal::Duration));
    }
}

#[test]
fn the_last_live_backend_needs_force() {
    let mut state = state();
    of_shop(&mut state, 0).state = BackendState::Gone(Gone::NotFound);
    of_shop(&mut state, 1).weight = 0;
    let only = |command| Request { service: Some("shop".to_owned()), ..request("web3", command) };
    let command = |force| Command::Drain { seconds: None, force };
    assert_eq!(
        refusal(judge(&state, &AllDrains::new(), &only(command(false)), NOW)),
        "web3 is the last live backend of shop: drained, it would serve until another one is live; --force drains it anyway"
    );
    // All services or none: the forum alone could do without it.
    assert!(judge(&state, &AllDrains::new(), &drain("web3"), NOW).is_err());
    let forced = judge(&state, &AllDrains::new(), &only(command(true)), NOW);
    assert_eq!(forced.as_ref().unwrap().changes, drains(&[(SHOP, &["c.onion"])]));
    assert_eq!(
        lines(forced),
        ["web3 (shop): drained until it is enabled; no other one is live, so that drained ones serve"]
    );
    // Those that do not serve anyway may be drained: a missing one, one of weight 0, and one that is drained.
    for backend in ["a", "web2"] {
        assert!(judge(&state, &AllDrains::new(), &drain(backend), NOW).is_ok(), "{backend}");
    }
    let drained = drains(&[(SHOP, &["c.onion"])]);
    assert!(judge(&state, &drained, &only(command(false)), NOW).unwrap().changes.is_empty());

    of_shop(&mut state, 2).state = BackendState::Unknown;
    let unknown = refusal(judge(&state, &AllDrains::new(), &only(command(false)), NOW));
    assert!(
        unknown.starts_with("no other backend of shop is live, and web3 was not looked for"),
        "{unknown}"
    );
}

#[test]
fn an_unwell_backend_is_nobody_to_rely_on() {
    let mut state = state();
    for backend in [0, 1] {
        of_shop(&mut state, backend).health = Some(unwell("no answer in time"));
    }
    let only = Request { service: Some("shop".to_owned()), ..drain("web3") };
    let refused = refusal(judge(&state, &AllDrains::new(), &only, NOW));
    assert!(refused.starts_with("web3 is the last live backend of shop"), "{refused}");
    assert!(judge(&state, &AllDrains::new(), &drain("a"), NOW).is_ok());
    // If the probes of all fail, all serve.
    of_shop(&mut state, 2).health = Some(unwell("no answer in time"));
    state.tors[0].services[1].status.unwell_serve_for = Some(Duration::from_secs(60));
    assert!(judge(&state, &AllDrains::new(), &only, NOW).is_ok());
}

/// The runtimes may not have learned of the first drain when the second is judged.
#[test]
fn two_drains_at_once_do_not_take_the_last_two() {
    let first = judge(&state(), &AllDrains::new(), &drain("d"), NOW).unwrap().changes;
    let second = Request { service: Some("forum".to_owned()), ..drain("web3") };
    assert!(
        refusal(judge(&state(), &first, &second, NOW)).starts_with("web3 is the last live backend of forum")
    );
}

#[test]
fn enabling_ends_drains_by_command_alone() {
    let enable = |backend| request(backend, Command::Enable);
    let mut state = state();
    of_shop(&mut state, 0).weight = 0;
    let drained = drains(&[(SHOP, &["a.onion", "b.onion"])]);
    let judged = judge(&state, &drained, &enable("web2"), NOW);
    assert_eq!(judged.as_ref().unwrap().changes, drains(&[(SHOP, &["a.onion"])]));
    assert_eq!(lines(judged), ["web2 (shop): enabled; 2 of 3 backends serve"]);
    let none = judge(&state, &AllDrains::new(), &enable("web2"), NOW);
    assert!(none.as_ref().unwrap().changes.is_empty());
    assert_eq!(lines(none), ["web2 (shop): was not drained by command; 2 of 3 backends serve"]);
    let weight = judge(&state, &AllDrains::new(), &enable("a"), NOW).unwrap();
    assert!(weight.changes.is_empty() && weight.outcomes[0].effect == Effect::WeightIsZero);
    // Its drain by command ends all the same.
    let both = judge(&state, &drained, &enable("a"), NOW).unwrap();
    assert_eq!(both.changes, drains(&[(SHOP, &["b.onion"])]));
    assert_eq!(both.outcomes[0].effect, Effect::WeightIsZero);
}

#[test]
fn names_that_mean_nothing_or_too_much_are_told() {
    let refused = |request: &Request| refusal(judge(&state(), &AllDrains::new(), request, NOW));
    assert_eq!(
        refused(&drain("web1")),
        "web1 is the name of several backends: a.onion of shop, d.onion of forum.onion; name one by its address, or add \
         --service"
    );
    let of = |backend, service: &str| Request { service: Some(service.to_owned()), ..drain(backend) };
    assert!(judge(&state(), &AllDrains::new(), &of("web1", "forum"), NOW).is_ok());
    assert_eq!(refused(&of("web9", "shop")), "there is no backend web9; there are: web1 (shop), web2, web3");
    assert_eq!(refused(&of("web1", "blog")), "there is no service blog; the services are: shop, forum.onion");
    let empty = judge(&State::default(), &AllDrains::new(), &drain("web1"), NOW);
    assert_eq!(empty, Err(Refusal::NoServices));
}

#[test]
fn there_is_an_end_to_the_number_of_drains() {
    let many =
        (0..MAX_DRAINS).map(|number| (BackendId::from(&*format!("{number}.onion")), Drain { until: None }));
    let full: AllDrains = [("other.onion".into(), many.collect())].into();
    assert_eq!(judge(&state(), &full, &drain("web2"), NOW), Err(Refusal::TooMany));
}
