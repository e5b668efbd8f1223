//! A client's frame: what it asks for, and what is done about it.
//!
//! Guarantees: every frame is parsed and judged before anything of it goes on; what is refused is answered, and on the
//! record where the caller is known.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{End, Forwarder};
use crate::http::stream::answer;
use gateway::{
    auth::Caller,
    failure::Refusal,
    policy::{self, ChannelPermit},
    stream::{Incoming, Side},
};
use protocol::{
    call::Call,
    frame::{Frame, InvalidFrame, ReplyTo, Request},
};

impl Forwarder<'_> {
    pub(super) async fn on_incoming(&mut self, incoming: Incoming) -> Result<(), End> {
        let Incoming::Text(text) = incoming else {
            return Err(End::of_client(incoming));
        };
        self.counts.from_client += 1;
        let (echo, frame) = Frame::parse(&text);
        let frame = match frame {
            Ok(frame) => frame,
            Err(invalid) => {
                return self.refuse(&echo, 422, "frame_invalid", answer::invalid(&echo, invalid));
            }
        };
        match (&frame.request, self.caller.clone()) {
            (Request::RespondHeartbeat, _) => self.session.respond_heartbeat(&frame),
            (Request::Subscribe | Request::Unsubscribe, caller) => {
                return self.subscribe(&frame, &echo, caller.as_deref());
            }
            (Request::LogIn, Some(caller)) if self.socket.side == Side::User => {
                let socket = self.socket;
                let told = socket.log_in_again(&frame, &echo, &caller).await;
                return self.push(told);
            }
            (Request::Private(_), Some(caller)) if self.socket.side == Side::User => {
                return self.command(&frame, &echo, &caller);
            }
            (Request::LogIn | Request::Private(_) | Request::Other, _) => {
                return self.refuse(&echo, 403, "not_offered", answer::not_offered(&echo));
            }
        }
        Ok(())
    }

    /// Refuses a frame: an answer, and a record where the caller is known.
    fn refuse(
        &mut self,
        echo: &ReplyTo,
        status: u16,
        why: &'static str,
        told: Utf8Bytes,
    ) -> Result<(), End> {
        self.counts.refused += 1;
        if let Some(caller) = &self.caller {
            let mut record = self.socket.record(&caller.name);
            record.report.method = Some(echo.method.clone());
            record.ended(status, why);
        }
        self.push(told)
    }

    fn subscribe(
        &mut self,
        frame: &Frame<'_>,
        echo: &ReplyTo,
        caller: Option<&Caller>,
    ) -> Result<(), End> {
        let channels = match frame.channels() {
            Ok(channels) => channels,
            Err(invalid) => {
                return self.refuse(echo, 422, "frame_invalid", answer::invalid(echo, invalid));
            }
        };
        let named = channels.iter().map(AsRef::as_ref);
        let permit = match (self.socket.side, caller) {
            (Side::User, Some(caller)) => self.authorize_channels(caller, named),
            _ => match policy::of_the_market(named) {
                Some(permit) => Ok(permit),
                None => return self.refuse(echo, 403, "not_offered", answer::not_offered(echo)),
            },
        };
        match permit {
            Ok(permit) => {
                self.session.subscribe(permit, frame);
                Ok(())
            }
            Err(refusal) => self.refuse(
                echo,
                refusal.status(),
                refusal.code(),
                answer::said_no(echo, &refusal),
            ),
        }
    }

    fn authorize_channels<'a>(
        &self,
        caller: &Caller,
        channels: impl Iterator<Item = &'a str>,
    ) -> Result<ChannelPermit, Refusal> {
        let arrival = self.socket.app.gateway.arrival(&self.socket.source);
        policy::authorize_channels(caller, arrival, channels).map_err(Refusal::Denied)
    }

    fn command(&mut self, frame: &Frame<'_>, echo: &ReplyTo, caller: &Caller) -> Result<(), End> {
        self.counts.commands += 1;
        let Request::Private(method) = &frame.request else {
            return Ok(());
        };
        let Some(id) = frame.id else {
            let told = answer::invalid(echo, InvalidFrame::Member("id"));
            return self.refuse(echo, 422, "frame_invalid", told);
        };
        let call = match Call::parse_unsigned(id, method.clone(), frame.params) {
            Ok(call) => call,
            Err(invalid) => {
                let told = answer::invalid_params(echo, &invalid.to_string());
                return self.refuse(echo, 422, "params_ambiguous", told);
            }
        };
        let record = self.socket.record(&caller.name);
        match self
            .session
            .command(caller, &self.socket.source, call, frame, echo, record)
        {
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.counts.refused += 1;
                self.push(answer::said_no(echo, &refusal))
            }
        }
    }
}
