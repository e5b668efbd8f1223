//! `Caller` + `Call` → [`Permit`], or [`Denied`] with the rule that said no.
//!
//! Guarantees: judged on the parsed call, never on the signed string (which is not injective); what is in no list is
//! denied; a [`Permit`] can be made here only, and is consumed by the signer, so that skipping policy does not compile.
//! Order of the rules: denied method, denied class, allowed method, allowed class, denial.

use std::{collections::HashSet, fmt, sync::Arc};

use super::caller::Caller;
use crate::exchange::{
    call::{Call, Method, RequestId},
    channels,
    methods::Class,
};

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Classes that are allowed.
    pub allow_classes: HashSet<Class>,
    /// Classes that are denied, whatever else is allowed.
    pub deny_classes: HashSet<Class>,
    /// Methods that are allowed by name, also such as the catalogue does not know.
    pub allow_methods: HashSet<String>,
    /// Methods that are denied by name.
    pub deny_methods: HashSet<String>,
}

impl Default for Policy {
    /// The default caller's: read and trade, nothing else (wire contract).
    fn default() -> Self {
        Self {
            allow_classes: [Class::Read, Class::Trade].into(),
            deny_classes: HashSet::new(),
            allow_methods: HashSet::new(),
            deny_methods: HashSet::new(),
        }
    }
}

/// The rule that denied a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The method is in `deny_methods`.
    MethodDenied,
    /// The class is in `deny_classes`.
    ClassDenied(Class),
    /// The class is in no list.
    ClassNotAllowed(Class),
    /// The catalogue does not know the method.
    UnknownMethod,
    /// A public method: it needs no key, and this door signs.
    Public,
    /// The exchange offers it on WebSockets only.
    WebSocketOnly,
    /// A batch whose orders cannot be told.
    UnreadableBatch,
    /// A channel that no method of the catalogue amounts to.
    UnknownChannel,
}

/// Which way a call takes to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Rest,
    Stream,
}

/// A call that this caller may not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    caller: Arc<str>,
    method: String,
    /// Which rule said no.
    pub rule: Rule,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, caller) = (&self.method, &self.caller);
        write!(f, "{method} is not allowed for caller {caller}: ")?;
        match self.rule {
            Rule::MethodDenied => write!(f, "it is listed in policy.deny_methods; take it out there to allow it"),
            Rule::ClassDenied(class) => {
                write!(f, "class {class} is listed in policy.deny_classes; take it out there to allow it")
            }
            Rule::ClassNotAllowed(class) => write!(
                f,
                "class {class} is not allowed; policy.allow_methods = [\"{method}\"] would allow this method, \
                 policy.allow_classes = [\"{class}\"] the whole class"
            ),
            Rule::UnknownMethod => write!(
                f,
                "the method is not in the catalogue, and what it does is not known; policy.allow_methods = \
                 [\"{method}\"] would allow it"
            ),
            Rule::Public => write!(f, "public methods need no signature; call the exchange itself"),
            Rule::WebSocketOnly => write!(f, "the exchange offers it on WebSockets only"),
            Rule::UnreadableBatch => write!(
                f,
                "its orders cannot be told; a batch holds instrument_name, cancels and creates, both lists of objects, \
                 and nothing else"
            ),
            Rule::UnknownChannel => write!(f, "a channel is none of the account's that are known here"),
        }
    }
}

/// The proof that a caller may make a call; made here only, spent by the signer.
#[derive(Debug)]
pub struct Permit {
    call: Call,
}

impl Permit {
    /// What was allowed.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }
}

/// Decides whether a caller may make a call.
///
/// # Errors
/// [`Denied`] with the rule and the setting that would allow it.
pub fn authorize(caller: &Caller, call: Call) -> Result<Permit, Denied> {
    match verdict(&caller.policy, &call, Way::Rest) {
        None => Ok(Permit { call }),
        Some(rule) => Err(denied(caller, call.method.as_str(), rule)),
    }
}

/// The proof that a caller may send a command on a stream; made here only, spent by the session. It bears no signature
/// and cannot be signed.
#[derive(Debug)]
pub struct StreamPermit {
    call: Call,
}

impl StreamPermit {
    /// What was allowed.
    #[must_use]
    pub(super) fn into_call(self) -> Call {
        self.call
    }
}

/// Decides whether a caller may send a command on a stream; each order of a batch is judged as if it stood alone.
///
/// # Errors
/// [`Denied`] with the rule and the setting that would allow it.
pub fn authorize_streamed(caller: &Caller, call: Call) -> Result<StreamPermit, Denied> {
    let name = call.method.as_str().to_owned();
    let parts = call.parts().map_err(|_| denied(caller, &name, Rule::UnreadableBatch))?;
    for judged in [&call].into_iter().chain(&parts) {
        if let Some(rule) = verdict(&caller.policy, judged, Way::Stream) {
            return Err(denied(caller, judged.method.as_str(), rule));
        }
    }
    Ok(StreamPermit { call })
}

/// The proof that a caller may see these channels of the account; made here only, spent by the session.
#[derive(Debug)]
pub struct ChannelPermit(());

impl ChannelPermit {
    /// It is used up.
    pub(super) fn spend(self) {
        let Self(()) = self;
    }
}

/// Decides whether a caller may see channels of the account: each is judged as the method that shows the same.
///
/// # Errors
/// [`Denied`].
pub fn authorize_channels<'a>(
    caller: &Caller,
    channels: impl IntoIterator<Item = &'a str>,
) -> Result<ChannelPermit, Denied> {
    for channel in channels {
        let method = channels::method_of(channel).and_then(|method| Method::parse(method).ok());
        let Some(method) = method else { return Err(denied(caller, "subscribe", Rule::UnknownChannel)) };
        let call = Call::parse_unsigned(RequestId::BACKEND, method, None);
        let Ok(call) = call else { return Err(denied(caller, "subscribe", Rule::UnknownChannel)) };
        if let Some(rule) = verdict(&caller.policy, &call, Way::Stream) {
            return Err(denied(caller, call.method.as_str(), rule));
        }
    }
    Ok(ChannelPermit(()))
}

/// Market channels need no right: nothing of an account is in them.
#[must_use]
pub fn of_the_market<'a>(channels: impl IntoIterator<Item = &'a str>) -> Option<ChannelPermit> {
    channels.into_iter().all(channels::is_of_the_market).then_some(ChannelPermit(()))
}

fn denied(caller: &Caller, method: &str, rule: Rule) -> Denied {
    Denied { caller: Arc::clone(&caller.name), method: method.to_owned(), rule }
}

fn verdict(policy: &Policy, call: &Call, way: Way) -> Option<Rule> {
    let name = call.method.as_str();
    let allowed_by_name = policy.allow_methods.contains(name);
    if !call.method.is_private() {
        return Some(Rule::Public);
    }
    if policy.deny_methods.contains(name) {
        return Some(Rule::MethodDenied);
    }
    match call.method.info() {
        None if allowed_by_name => None,
        None => Some(Rule::UnknownMethod),
        Some(info) if info.verb.is_none() && way == Way::Rest => Some(Rule::WebSocketOnly),
        Some(info) if policy.deny_classes.contains(&info.class) => Some(Rule::ClassDenied(info.class)),
        Some(info) if allowed_by_name || policy.allow_classes.contains(&info.class) => None,
        Some(info) => Some(Rule::ClassNotAllowed(info.class)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{canonical::Dialect, methods};

    fn judge(policy: Policy, method: &str) -> Option<Rule> {
        let caller = Caller { name: "default".into(), policy };
        let call = Call::parse(RequestId::BACKEND, method, None, Dialect::Documented).unwrap();
        authorize(&caller, call).err().map(|denied| denied.rule)
    }

    #[test]
    fn the_default_caller_reads_and_trades_over_rest_and_nothing_else() {
        for method in methods::all() {
            let expected = match (method.class, method.verb) {
                (Class::Public, _) => Some(Rule::Public),
                (_, None) => Some(Rule::WebSocketOnly),
                (Class::Read | Class::Trade, _) => None,
                (class, _) => Some(Rule::ClassNotAllowed(class)),
            };
            assert_eq!(judge(Policy::default(), method.name), expected, "{}", method.name);
        }
        assert_eq!(judge(Policy::default(), "private/new-thing"), Some(Rule::UnknownMethod));
        assert_eq!(judge(Policy::default(), "public/auth"), Some(Rule::Public));
    }

    #[test]
    fn denial_by_name_or_class_beats_every_allowance() {
        let mut policy = Policy::default();
        policy.allow_methods.insert("private/create-order".into());
        policy.deny_classes.insert(Class::Trade);
        assert_eq!(judge(policy.clone(), "private/create-order"), Some(Rule::ClassDenied(Class::Trade)));
        policy.deny_methods.insert("private/user-balance".into());
        assert_eq!(judge(policy, "private/user-balance"), Some(Rule::MethodDenied));
    }

    #[test]
    fn a_method_allowed_by_name_brings_no_other_of_its_class() {
        let mut policy = Policy::default();
        policy.allow_methods.extend(["private/create-withdrawal".into(), "private/new-thing".into()]);
        assert_eq!(judge(policy.clone(), "private/create-withdrawal"), None);
        assert_eq!(judge(policy.clone(), "private/new-thing"), None);
        let other = judge(policy, "private/create-subaccount-transfer");
        assert_eq!(other, Some(Rule::ClassNotAllowed(Class::Transfer)));
    }

    #[test]
    fn a_denial_names_the_method_the_rule_and_the_setting() {
        let caller = Caller { name: "default".into(), policy: Policy::default() };
        let call = Call::parse(RequestId::BACKEND, "private/create-withdrawal", None, Dialect::Documented).unwrap();
        let text = authorize(&caller, call).unwrap_err().to_string();
        for part in ["private/create-withdrawal", "class transfer", "policy.allow_methods"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
