//! The samples that are shipped, and what is made from the table of settings.

use super::{
    table::{Field, SETTINGS, Setting, Settings},
    *,
};

/// Set in the environment, it makes the tests write what they would compare: `REGENERATE=1 cargo test samples`.
const REGENERATE: &str = "REGENERATE";

const HEAD: [&str; 3] = [
    "/etc/crypto-proxy/config.toml: the settings of crypto-proxy. The file may be absent: every setting has a default, \
     and is shown here with it. To change one, take off the # before its name. What the daemon makes of it, without \
     starting it: sudo /usr/local/bin/crypto-proxy check",
    "Nothing secret belongs here: the API key, its secret and the token stand in /etc/crypto.env or among the unit's \
     credentials.",
    "Every setting can also be given as a variable: CRYPTO_PROXY__SECTION__NAME, say \
     CRYPTO_PROXY__CALLS__DEADLINE_MS=12000, with the items of a list between commas. Variables win over this file, and \
     the short ones named below win over all.",
];

/// Columns of a comment in the sample.
const COLUMNS: usize = 80;

/// Lines of a comment, each with a # before it.
fn comment(text: &str) -> Vec<String> {
    let mut lines = vec!["#".to_owned()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push("#".to_owned());
        }
        let last = lines.last_mut().unwrap();
        last.push(' ');
        last.push_str(word);
    }
    lines
}

/// A default as the configuration file writes it.
fn default(setting: &Setting) -> String {
    let mut settings = Settings::default();
    match &setting.field {
        Field::Text(at) => {
            serde_json::json!(at(&mut settings).clone().unwrap_or_default()).to_string()
        }
        Field::Word(_) => serde_json::json!(setting.shown(&mut settings)).to_string(),
        Field::Number { .. } | Field::Time { .. } | Field::Flag(_) | Field::List { .. } => {
            setting.shown(&mut settings)
        }
    }
}

fn sample() -> String {
    let mut lines: Vec<String> = HEAD.map(comment).join(&["#".to_owned()][..]);
    let mut section = None;
    for setting in SETTINGS {
        let (of, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if section != Some(of) && !of.is_empty() {
            lines.extend([String::new(), format!("[{of}]")]);
        } else if !setting.help.is_empty() {
            lines.push(String::new());
        }
        section = Some(of);
        if !setting.help.is_empty() {
            lines.extend(comment(setting.help));
        }
        lines.push(format!("#{name} = {}", default(setting)));
    }
    lines.join("\n") + "\n"
}

fn allowed(setting: &Setting) -> String {
    match &setting.field {
        Field::Number { bounds, .. } | Field::Time { bounds, .. } => {
            format!("{} to {}", bounds.start(), bounds.end())
        }
        Field::Flag(_) => "`true`, `false`".to_owned(),
        Field::Text(_) => "a text".to_owned(),
        Field::Word(choice) => format!("`{}`", choice.words().join("`, `")),
        Field::List { .. } => "a list".to_owned(),
    }
}

/// The table of the document, with the marks around it.
fn document_table() -> String {
    let mut text = format!("{BEGIN}\n| setting | default | allowed |\n| --- | --- | --- |\n");
    for setting in SETTINGS {
        let row = format!(
            "| `{}` | `{}` | {} |\n",
            setting.key,
            default(setting),
            allowed(setting)
        );
        text.push_str(&row);
    }
    text + END
}

const BEGIN: &str = "<!-- made from src/config/table.rs by a test -->";
const END: &str = "<!-- end -->";

/// Compares a file with what it must be, or writes it.
fn assert_made(path: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(&path, made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert_eq!(found, made, "{}: {REGENERATE}=1 writes it", path.display());
}

#[test]
fn the_configuration_file_is_made_from_the_table() {
    assert_made("deploy/config.toml", &sample());
}

#[test]
fn the_documents_table_is_made_from_the_table() {
    let document = include_str!("../../../docs/operations.md");
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    assert_made(
        "docs/operations.md",
        &format!("{before}{}{after}", document_table()),
    );
}

#[test]
fn every_default_lies_within_its_bounds() {
    let mut settings = Settings::default();
    for setting in SETTINGS {
        if let Field::Number { bounds, .. } | Field::Time { bounds, .. } = &setting.field {
            let default = setting.shown(&mut settings).parse().unwrap();
            assert!(bounds.contains(&default), "{}", setting.key);
        }
    }
}

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
