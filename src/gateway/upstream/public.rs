//! Public methods, for probes: nothing of ours is in them.
//!
//! Guarantees: a GET without key or signature, over the same client as signed calls, read within the same limits. Does
//! not: retry, or know a deadline.

use std::sync::Arc;

use super::{Reply, Upstream, check_head, errors};
use crate::gateway::{
    failure::Failure,
    outcome::{Phase, Progress},
};

/// Answers with a few hundred bytes; the list of all instruments has half a megabyte.
const METHOD: &str = "public/get-tickers";
const QUERY: &str = "instrument_name=BTC_USD";

impl Upstream {
    /// The method that [`Upstream::ask_public`] asks.
    pub const PUBLIC_METHOD: &str = METHOD;

    /// Asks the exchange for one price, to see that it answers.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn ask_public(&self) -> Result<Reply, Failure> {
        let mut url = self.url_of(METHOD);
        url.set_query(Some(QUERY));
        let progress = Arc::new(Progress::default());
        progress.reach(Phase::Connecting);
        let mut response = self.client.get(url).send().await.map_err(|error| {
            if !error.is_connect() {
                progress.reach(Phase::Sent);
            }
            errors::classify(&error, &progress, self.connect_deadline)
        })?;
        check_head(response.status(), response.headers())?;
        let bytes = self.read_capped(&mut response).await?;
        self.finish(response.status(), response.headers(), bytes, NO_SIGNATURE)
    }
}

/// Nothing was signed, so there is nothing that an answer could echo; no answer holds this.
const NO_SIGNATURE: &str = "\0 no signature \0";
