//! The forms of the live check.

use super::*;

/// The rows of a deployment in which one backend is down and another does not know its frontend.
fn rows() -> Vec<Row> {
    let row = |verdict, subject: &str, text: &str, details: &[&str]| Row {
        details: details.iter().map(ToString::to_string).collect(),
        ..Row::new(verdict, subject, text)
    };
    let down = row(
        Verdict::Error,
        "web3 (shop)",
        "no HSDir has a descriptor (8 of 8 asked)",
        &[TWO, "is tor running on that machine?  systemctl status tor@default"],
    );
    vec![
        row(Verdict::Ok, "signer", "/run/onionbalance/signer.sock, 1.0.0, has 1 of 1 key", &[]),
        row(
            Verdict::Unknown,
            "tor",
            "cannot read tor's authentication cookie /run/tor/control.authcookie: Permission denied (os error 13)",
            &[],
        ),
        row(Verdict::Ok, "web1 (shop)", "3 introduction points, seen at 8 of 8 HSDirs", &[]),
        Row { line: Some(9), ..down },
        row(Verdict::Warning, "shop", "2 of 3 visits succeeded, 1 timed out", &["a hint"]),
    ]
}

fn live(more: &str, rows: Vec<Row>) -> Checked {
    let place = Place::new(&service(more));
    Checked { file: "config.yaml".into(), rows: Some(rows), ..place.checked() }
}

#[test]
fn the_live_check_is_a_table_of_80_columns() {
    let checked = live("REFRESH_INTERVAL: 1\n", rows());
    let text = format!(
        "\
config.yaml

  warn  configuration   1 service, 1 backend
        line 5: REFRESH_INTERVAL: each backend is looked up every 1 s, which
        loads tor and the HSDirs
        remove it: the default is 600
  ok    signer          /run/onionbalance/signer.sock, 1.0.0, has 1 of 1 key
  ?     tor             cannot read tor's authentication cookie
                        /run/tor/control.authcookie: Permission denied (os error
                        13)
  ok    web1 (shop)     3 introduction points, seen at 8 of 8 HSDirs
  FAIL  web3 (shop)     no HSDir has a descriptor (8 of 8 asked)
                        (config.yaml:9)
        {TWO}
        is tor running on that machine?  systemctl status tor@default
  warn  shop            2 of 3 visits succeeded, 1 timed out
        a hint

1 error, 2 warnings, 1 unknown
"
    );
    assert_eq!(checked.screen(Some(80)).render(Format::Text), text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn what_is_to_be_copied_and_what_is_piped_has_whole_lines() {
    let line = format!("MasterOnionAddress {TWO}{TWO}");
    let row = Row::new(Verdict::Error, "shop", "0 of 3 visits succeeded").with_details([line.clone()]);
    let text = live("", vec![row]).screen(Some(80)).render(Format::Text);
    assert!(text.contains(&format!("\n        {line}\n")), "{text}");
    let text = live("", rows()).screen(None).render(Format::Text);
    assert!(text.contains(" /run/tor/control.authcookie: Permission denied (os error 13)\n"), "{text}");
}

#[test]
fn the_live_check_has_the_other_forms_too() {
    let checked = live("", rows());
    let short = checked.screen(None).render(Format::Short);
    let lines: Vec<&str> = short.lines().collect();
    assert_eq!(lines.len(), 3);
    let down = format!(
        "config.yaml:9: error: web3 (shop): no HSDir has a descriptor (8 of 8 asked): {TWO}: is tor running on that machine?  \
         systemctl status tor@default"
    );
    assert_eq!(lines[1], down);
    let object: serde_json::Value = serde_json::from_str(&checked.screen(None).render(Format::Json)).unwrap();
    assert_eq!((&object["errors"], &object["warnings"]), (&1.into(), &1.into()));
    assert_eq!(object["live"][3]["verdict"], "error");
    assert_eq!(object["live"][3]["line"], 9);
}

#[test]
fn the_exit_status_of_the_live_check_is_that_of_the_worst_row() {
    let status = |verdicts: &[Verdict]| {
        let rows = rows().into_iter().filter(|row| verdicts.contains(&row.verdict)).collect();
        let checked = live("", rows);
        [false, true].map(|is_strict| checked.exit_status(is_strict))
    };
    let (ok, warning, unknown, error) = (Verdict::Ok, Verdict::Warning, Verdict::Unknown, Verdict::Error);
    assert_eq!(status(&[ok]), [0, 0]);
    assert_eq!(status(&[ok, warning]), [0, 1]);
    assert_eq!(status(&[ok, warning, unknown]), [3, 3]);
    assert_eq!(status(&[ok, warning, unknown, error]), [78, 78]);
}
