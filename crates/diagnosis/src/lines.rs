//! For tests: what was logged while a closure or a future ran.
//!
//! Guarantees: a subscriber of its own for the current thread, so that tests do not see each other's lines. Does not:
//! follow work to other threads; tests run their futures on one.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{Event, Level, Subscriber, field::Visit, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _};

/// What was logged, line by line.
pub(super) struct Lines {
    kept: Kept,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Listens on this thread until dropped.
    pub(super) fn listen() -> Self {
        let kept = Kept::default();
        let guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(kept.clone()));
        Self {
            kept,
            _guard: guard,
        }
    }

    /// Takes the lines since the last look: level, message, and the `CRYPTO_…` fields behind a `|`.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO
            || !event.metadata().target().starts_with("crypto_proxy")
        {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(format!(
            "{} {} |{}",
            event.metadata().level(),
            line.message,
            line.fields
        ));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}
