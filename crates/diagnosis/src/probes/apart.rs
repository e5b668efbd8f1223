//! A run on a thread of its own.
//!
//! Guarantees: ended at once by its token; its lines go where those of whoever asked go. Does not: run on the daemon's own
//! thread, where reading trust roots and signing seventy vectors would keep calls waiting.

use tokio::{runtime::Builder, task};
use tokio_util::sync::CancellationToken;

use super::{Findings, Plan, run};

/// Makes every probe of the plan; `None` where `stop` came first, or no thread can have a runtime.
pub(crate) async fn apart(plan: Plan, stop: CancellationToken) -> Option<Findings> {
    task::spawn_blocking(logged(move || on_this_thread(&plan, &stop)))
        .await
        .ok()
        .flatten()
}

fn on_this_thread(plan: &Plan, stop: &CancellationToken) -> Option<Findings> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let findings = runtime.block_on(stop.run_until_cancelled(run(plan, &|_| {})));
    // A look-up that hangs in the system's resolver must not keep the thread.
    runtime.shutdown_background();
    findings
}

/// Lines of the other thread go where this one's go.
pub(crate) fn logged<T>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl FnOnce() -> T + Send + 'static {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    move || tracing::dispatcher::with_default(&dispatch, work)
}
