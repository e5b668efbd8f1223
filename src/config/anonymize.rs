//! What was examined, for a reader who is not to learn what callers are called.
//!
//! Guarantees: afterwards neither report nor problems name a caller of the callers file; how many there are stays, and so
//! does every problem with its line. Does not: touch the configuration itself, which the daemon runs with.

use super::{
    Inspection,
    problem::{Origin, Problem},
    report::Row,
};

/// What the key of a problem with a caller begins with; the name follows.
const CALLER: &str = "caller ";

impl Inspection {
    /// Counts the callers instead of naming them.
    pub fn forget_caller_names(&mut self) {
        let callers = &mut self.report.callers;
        if let Some(source) = callers.first().map(|row| whole_file(&row.source)) {
            *callers = vec![Row {
                key: "issued".to_owned(),
                shown: callers.len().to_string(),
                source,
            }];
        }
        self.problems.iter_mut().for_each(forget);
    }
}

fn whole_file(origin: &Origin) -> Origin {
    if let Origin::Line { path, .. } = origin {
        Origin::File(path.clone())
    } else {
        origin.clone()
    }
}

/// The key is `caller NAME`, or `caller NAME: SETTING` where the name may be anything; the remedy may repeat the name.
fn forget(problem: &mut Problem) {
    let Some(named) = problem.key.strip_prefix(CALLER) else {
        return;
    };
    let (name, setting) = named
        .rsplit_once(": ")
        .map_or((named, None), |(name, setting)| (name, Some(setting)));
    problem.text = without(&problem.text, name);
    problem.remedy = without(&problem.remedy, name);
    problem.key = setting.map_or_else(
        || "a caller".to_owned(),
        |setting| format!("a caller: {setting}"),
    );
}

/// `NAME` for every word that is the name, whatever stands at the word's end.
fn without(text: &str, name: &str) -> String {
    let unnamed = |word: &str| match word.strip_prefix(name) {
        Some(end) if !name.is_empty() && end.chars().all(|char| ",;:.".contains(char)) => {
            format!("NAME{end}")
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(unnamed).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_with_a_caller_loses_the_name_and_nothing_else() {
        let told = |key: &str, remedy: &str| {
            let mut problem = Problem::warning(key, &Origin::Default, "has expired", remedy);
            forget(&mut problem);
            problem.to_string()
        };
        let rotate = "crypto-proxy caller rotate desk-7, or revoke desk-7 and add it anew";
        let unnamed = "a caller: has expired; crypto-proxy caller rotate NAME, or revoke NAME and add it anew";
        assert_eq!(told("caller desk-7", rotate), format!("warning: {unnamed}"));
        assert_eq!(
            told("caller desk-7: allow", "x"),
            "warning: a caller: allow: has expired; x"
        );
        // A name that is refused for its characters.
        assert_eq!(
            told("caller The desk: seven: name", "x"),
            "warning: a caller: name: has expired; x"
        );
        assert_eq!(
            told("callers", "desk-77 stays"),
            "warning: callers: has expired; desk-77 stays"
        );
    }
}
