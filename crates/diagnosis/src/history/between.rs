//! What changed between the last good call and the first bad one, per method.
//!
//! Guarantees: read from the marks and the changes, which outlive the calls; authentication and everything else that
//! fails are told apart. Does not: say that a change is the cause; it only stands between the two.

use super::{
    mark::{Milestone, Trouble},
    reader::{ChangeRow, Filter, Questions},
    schema::Problem,
};

/// The last time that a method went from good to bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The method.
    pub method: String,
    /// What kind of bad.
    pub trouble: Trouble,
    /// The last good call; none where there was never one.
    pub good: Option<Milestone>,
    /// The first bad one.
    pub bad: Milestone,
    /// The first good one since; none while it lasts.
    pub recovered: Option<Milestone>,
    /// What changed between the two, or since the history begins where there was no good call.
    pub changes: Vec<ChangeRow>,
}

/// What has no value before and is a change all the same; anything else that has none was only seen for the first time.
const EVENTS: [&str; 3] = ["start", "stop", "gap"];

/// The last break of every method, or of one: those that last first, and among them authentication first and then the
/// oldest.
///
/// # Errors
/// [`Problem`].
pub fn breaks(history: &Questions, method: Option<&str>) -> Result<Vec<Break>, Problem> {
    let mut all = Vec::new();
    for (name, marks) in history.marks()? {
        if method.is_some_and(|wanted| wanted != name) {
            continue;
        }
        for trouble in Trouble::ALL {
            let streak = marks.streak(trouble);
            let Some(bad) = streak.first.clone() else {
                continue;
            };
            let since_ms = streak.before.as_ref().map(|good| good.ms);
            let filter = Filter {
                since_ms,
                until_ms: Some(bad.ms),
                ..Filter::default()
            };
            let mut changes = history.changes(&filter)?;
            changes
                .retain(|change| change.before.is_some() || EVENTS.contains(&change.kind.as_str()));
            let (method, good, recovered) =
                (name.clone(), streak.before.clone(), streak.after.clone());
            all.push(Break {
                method,
                trouble,
                good,
                bad,
                recovered,
                changes,
            });
        }
    }
    all.sort_by_key(|broken| (broken.recovered.is_some(), broken.trouble, broken.bad.ms));
    Ok(all)
}
