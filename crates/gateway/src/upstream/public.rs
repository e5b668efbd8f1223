//! Public methods: nothing of ours is in them, and no client's header.
//!
//! Guarantees: sent without key or signature, over the same client as signed calls; answers are capped and checked as
//! those of signed calls are. Does not: retry, or know a deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Reply, Upstream, check_head, errors, read_capped};
use crate::{
    failure::Failure,
    outcome::{Phase, Progress},
};

/// Answers with a few hundred bytes.
const METHOD: &str = "public/get-tickers";
const QUERY: &str = "instrument_name=BTC_USD";
/// One price.
const PRICE: PublicCall<'_> = PublicCall {
    method: METHOD,
    query: Some(QUERY),
    body: None,
};
/// The list of all instruments has half a megabyte, and grows; nothing else of the exchange is as long.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// A call that needs no signature.
#[derive(Clone, Debug)]
pub struct PublicCall<'a> {
    /// The method.
    pub method: &'static str,
    /// The query, as it goes into the URL.
    pub query: Option<&'a str>,
    /// The body, for a method that is posted.
    pub body: Option<Bytes>,
}

impl Upstream {
    /// The method that [`Upstream::ask_public`] asks.
    pub const PUBLIC_METHOD: &str = METHOD;

    /// Asks the exchange for one price, to see that it answers.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn ask_public(&self) -> Result<Reply, Failure> {
        self.send_public(PRICE).await
    }

    /// The same, and how long the answer's head took: its first byte, where the connection was open already.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn time_public(&self) -> Result<(Reply, Duration), Failure> {
        let began = Instant::now();
        let response = self.open_public(PRICE).await?;
        let first_byte = began.elapsed();
        Ok((self.read_public(response).await?, first_byte))
    }

    /// Sends a call that needs no signature.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn send_public(&self, call: PublicCall<'_>) -> Result<Reply, Failure> {
        self.read_public(self.open_public(call).await?).await
    }

    async fn open_public(&self, call: PublicCall<'_>) -> Result<reqwest::Response, Failure> {
        let mut url = self.url_of(call.method);
        url.set_query(call.query);
        let request = match call.body {
            None => self.client.get(url),
            Some(body) => {
                let json = HeaderValue::from_static("application/json");
                self.client
                    .post(url)
                    .header(header::CONTENT_TYPE, json)
                    .body(body)
            }
        };
        let progress = Arc::new(Progress::default());
        progress.reach(Phase::Connecting);
        request.send().await.map_err(|error| {
            if !error.is_connect() {
                progress.reach(Phase::Sent);
            }
            errors::classify(&error, &progress, self.connect_deadline)
        })
    }

    async fn read_public(&self, mut response: reqwest::Response) -> Result<Reply, Failure> {
        check_head(response.status(), response.headers())?;
        let bytes = read_capped(&mut response, self.max_reply_bytes.max(MAX_ANSWER_BYTES)).await?;
        self.finish(response.status(), response.headers(), bytes, NO_SIGNATURE)
    }
}

/// Nothing was signed, so there is nothing that an answer could echo; no answer holds this.
const NO_SIGNATURE: &str = "\0 no signature \0";
