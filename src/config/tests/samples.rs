//! The samples that are shipped.

use super::*;

fn shipped(name: &str) -> Option<String> {
    fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(name),
    )
    .ok()
}

/// Takes the # off every setting, as the sample tells its readers to.
fn switched_on(sample: &str) -> String {
    let lines = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn values(config: &Config) -> Vec<(&str, &str)> {
    config
        .report
        .settings
        .iter()
        .map(|row| (row.key.as_str(), row.shown.as_str()))
        .collect()
}

#[test]
fn the_configuration_file_loads_as_it_is_and_switched_on_says_the_defaults() {
    let sample = shipped("config.toml").unwrap();
    let bare = Case::good().load();
    let as_it_is = Case::good().toml(&sample).load();
    let on = Case::good().toml(&switched_on(&sample)).load();
    assert_eq!(values(&as_it_is), values(&bare));
    assert_eq!(values(&on), values(&bare));
    assert!(on.warnings.is_empty(), "{:?}", on.warnings);
    assert!(
        as_it_is
            .report
            .settings
            .iter()
            .all(|row| row.source == Origin::Default)
    );
}

#[test]
fn the_configuration_file_shows_every_setting() {
    let on = Case::good()
        .toml(&switched_on(&shipped("config.toml").unwrap()))
        .load();
    let missing: Vec<_> = on
        .report
        .settings
        .iter()
        .filter(|row| row.source == Origin::Default)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_environment_file_lacks_nothing_but_its_placeholders() {
    // Another branch ships it; from the day it is there it is checked.
    let Some(sample) = shipped("crypto.env.example") else {
        return;
    };
    let problems = Case::empty().env_file("crypto.env", &sample).problems();
    let empty = problems
        .iter()
        .filter(|problem| problem.text.contains("the value is empty"));
    assert_eq!(
        (empty.count(), problems.iter().count()),
        (2, 2),
        "{problems}"
    );
    let on = switched_on(&sample);
    let on = on.lines().map(|line| match line.strip_suffix('=') {
        Some(name) if name.ends_with("_KEY") => format!("{line}{KEY}\n"),
        Some(name) if name.ends_with("_SECRET") => format!("{line}{SECRET}\n"),
        Some(name) if name.ends_with("_DIAG_TOKEN") => format!("{line}{TOKEN}-of-the-diagnosis\n"),
        Some(_) => format!("{line}{TOKEN}\n"),
        None => format!("{line}\n"),
    });
    Case::empty()
        .env_file("crypto.env", &on.collect::<String>())
        .load();
}
