//! What a frame that is in order does.
//!
//! Guarantees: orders placed by a connection are entered with it, so that they can be cancelled with it [documents].

use serde_json::{Value, json};

use super::{
    super::super::{authentication::Asked, json::Json, settings::Refusal},
    Channel, Socket,
};

impl Socket {
    pub(super) fn perform(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        match asked.method.as_str() {
            "public/auth" => {
                self.api_key = Some(asked.api_key.clone());
                self.place
                    .with(|entry| entry.seen.api_key = Some(asked.api_key.clone()));
                Ok(Value::Null)
            }
            "public/respond-heartbeat" => {
                self.asking
                    .take_if(|asking| asking.id.to_string() == asked.id.trim_matches('"'));
                Ok(Value::Null)
            }
            "subscribe" => self.named(asked).map(|_| Value::Null),
            "unsubscribe" => self.unsubscribe(asked),
            "private/set-cancel-on-disconnect" => {
                self.place
                    .with(|entry| entry.seen.cancels_on_disconnect = true);
                Ok(json!({ "scope": "CONNECTION" }))
            }
            "private/get-cancel-on-disconnect" => Ok(self
                .place
                .with(|entry| entry.seen.cancels_on_disconnect)
                .filter(|is_set| *is_set)
                .map_or_else(|| json!({}), |_| json!({ "scope": "CONNECTION" }))),
            _ => {
                let (outcome, placed) = self.stand_in().execute(asked, self.stand_in().now_ms());
                self.place.with(|entry| entry.orders.extend(placed));
                outcome
            }
        }
    }

    /// Every channel that is named, or the refusal of all.
    pub(super) fn named(&self, asked: &Asked) -> Result<Vec<(String, Channel)>, Refusal> {
        let named = asked
            .params
            .items("channels")
            .iter()
            .map(|name| match name {
                Json::Text(name) => {
                    Channel::parse(name, self.side).map(|channel| (name.clone(), channel))
                }
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => {
                    None
                }
            });
        let channels: Option<Vec<_>> = named.collect();
        channels
            .filter(|channels| !channels.is_empty())
            .ok_or(Refusal::code(10004))
    }

    /// With cancel-on-disconnect, leaving a channel of the user's counts as a loss of the connection [documents].
    fn unsubscribe(&self, asked: &Asked) -> Result<Value, Refusal> {
        let named = self.named(asked)?;
        let orders = self.place.with(|entry| {
            for (name, _) in &named {
                entry.channels.remove(name);
                entry.seen.channels.remove(name);
            }
            entry
                .seen
                .cancels_on_disconnect
                .then(|| std::mem::take(&mut entry.orders))
        });
        if let Some(orders) = orders.flatten() {
            self.stand_in().cancel_orders(&orders);
        }
        Ok(Value::Null)
    }
}
