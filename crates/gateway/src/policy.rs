//! `Caller` + `Call` → [`Permit`], or [`Denied`] with the rule that said no.
//!
//! Guarantees: judged on the parsed call, never on the signed string (which is not injective); what is in no list is
//! denied; a [`Permit`] can be made here only, and is consumed by the signer, so that skipping policy, or a caller's
//! limits of time and place, does not compile. Order of the rules: time and place, denied method, denied class, allowed
//! method, allowed class, denial; then instruments. Denial beats allowance, whichever is the more exact.

use std::{collections::HashSet, sync::Arc};

use crate::{
    access::{AccessRules, Arrival},
    auth::Caller,
};
use catalogue::methods::Class;
use protocol::call::Call;

mod denied;
mod instruments;
mod pattern;
mod preset;
mod streamed;

pub use self::{
    denied::{Denied, Rule, Written},
    instruments::{Instruments, Unlisted},
    pattern::Pattern,
    preset::Preset,
    streamed::{
        ChannelPermit, StreamPermit, admit_stream, authorize_channels, authorize_streamed,
        of_the_market,
    },
};

/// What a caller may do, and from where.
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
    /// Methods of the catalogue that are allowed by the beginnings of their names.
    pub allow_patterns: Vec<Pattern>,
    /// Methods, known or not, that are denied by the beginnings of their names.
    pub deny_patterns: Vec<Pattern>,
    /// The instruments it may act on; `None` for all.
    pub instruments: Option<Instruments>,
    /// Where and when it may call.
    pub limits: AccessRules,
    /// Where all this is written.
    pub written: Written,
}

impl Default for Policy {
    /// The default caller's: read and trade, nothing else (wire contract).
    fn default() -> Self {
        Self {
            allow_classes: Preset::Trade.classes().iter().copied().collect(),
            ..Self::nothing()
        }
    }
}

impl Policy {
    /// Allows nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            allow_classes: HashSet::new(),
            deny_classes: HashSet::new(),
            allow_methods: HashSet::new(),
            deny_methods: HashSet::new(),
            allow_patterns: Vec::new(),
            deny_patterns: Vec::new(),
            instruments: None,
            limits: AccessRules::default(),
            written: Written::default(),
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

/// Which way a call takes to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Rest,
    Stream,
}

/// Decides whether a caller may make a call, from there and now.
///
/// # Errors
/// [`Denied`] with the rule and the setting that would allow it.
pub fn authorize(caller: &Caller, arrival: Arrival<'_>, call: Call) -> Result<Permit, Denied> {
    judge(caller, arrival, &call, Way::Rest)?;
    Ok(Permit { call })
}

/// Every way's verdict; each order of a batch is judged as if it stood alone.
fn judge(caller: &Caller, arrival: Arrival<'_>, call: &Call, way: Way) -> Result<(), Denied> {
    let said_no = |call: &Call, rule| Err(denied(caller, call.method.as_str(), rule));
    if let Err(outside) = caller.policy.limits.admit(arrival) {
        return said_no(call, Rule::Access(outside));
    }
    if let Some(rule) = verdict(&caller.policy, call, way) {
        return said_no(call, rule);
    }
    let Ok(parts) = call.parts() else {
        return said_no(call, Rule::UnreadableBatch);
    };
    let of_part =
        |part: &Call| verdict(&caller.policy, part, way).map_or(Ok(()), |rule| said_no(part, rule));
    parts.iter().try_for_each(of_part)
}

fn denied(caller: &Caller, method: &str, rule: Rule) -> Denied {
    Denied {
        caller: Arc::clone(&caller.name),
        method: method.to_owned(),
        written: caller.policy.written,
        rule,
    }
}

fn verdict(policy: &Policy, call: &Call, way: Way) -> Option<Rule> {
    let of_instruments = || {
        policy
            .instruments
            .as_ref()
            .and_then(|list| list.judge(call))
            .map(Rule::Instrument)
    };
    verdict_on_method(policy, call, way).or_else(of_instruments)
}

fn verdict_on_method(policy: &Policy, call: &Call, way: Way) -> Option<Rule> {
    let name = call.method.as_str();
    let allowed_by_name = policy.allow_methods.contains(name);
    let by_pattern = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
    if !call.method.is_private() {
        return Some(Rule::Public);
    }
    if policy.deny_methods.contains(name) || by_pattern(&policy.deny_patterns) {
        return Some(Rule::MethodDenied);
    }
    match call.method.info() {
        None if allowed_by_name => None,
        None => Some(Rule::UnknownMethod),
        Some(info) if info.verb.is_none() && way == Way::Rest => Some(Rule::WebSocketOnly),
        Some(info) if policy.deny_classes.contains(&info.class) => {
            Some(Rule::ClassDenied(info.class))
        }
        Some(info) => {
            // Whoever trades may cancel their orders, and so may leave it to the exchange for when they are gone.
            let class = if call.guards_its_connection() {
                Class::Trade
            } else {
                info.class
            };
            let allowed = allowed_by_name || policy.allow_classes.contains(&class);
            match policy.deny_classes.contains(&class) {
                true => Some(Rule::ClassDenied(class)),
                false if allowed || by_pattern(&policy.allow_patterns) => None,
                false => Some(Rule::ClassNotAllowed(class)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::access::{AccessDenied, Peer};
    use catalogue::methods;
    use protocol::{call::RequestId, canonical::Dialect};

    const HERE: Arrival<'static> = Arrival {
        source: &Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        now_ms: 1000,
    };

    fn judge(policy: Policy, method: &str) -> Option<Rule> {
        let caller = Caller {
            name: "default".into(),
            policy,
        };
        let call = Call::parse(RequestId::BACKEND, method, None, Dialect::Documented).unwrap();
        authorize(&caller, HERE, call)
            .err()
            .map(|denied| denied.rule)
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
            assert_eq!(
                judge(Policy::default(), method.name),
                expected,
                "{}",
                method.name
            );
        }
        assert_eq!(
            judge(Policy::default(), "private/new-thing"),
            Some(Rule::UnknownMethod)
        );
        assert_eq!(judge(Policy::default(), "public/auth"), Some(Rule::Public));
    }

    #[test]
    fn denial_by_name_or_class_beats_every_allowance() {
        let mut policy = Policy::default();
        policy.allow_methods.insert("private/create-order".into());
        policy.deny_classes.insert(Class::Trade);
        assert_eq!(
            judge(policy.clone(), "private/create-order"),
            Some(Rule::ClassDenied(Class::Trade))
        );
        policy.deny_methods.insert("private/user-balance".into());
        assert_eq!(
            judge(policy, "private/user-balance"),
            Some(Rule::MethodDenied)
        );
    }

    #[test]
    fn a_method_allowed_by_name_brings_no_other_of_its_class() {
        let mut policy = Policy::default();
        policy.allow_methods.extend([
            "private/create-withdrawal".into(),
            "private/new-thing".into(),
        ]);
        assert_eq!(judge(policy.clone(), "private/create-withdrawal"), None);
        assert_eq!(judge(policy.clone(), "private/new-thing"), None);
        let other = judge(policy, "private/create-subaccount-transfer");
        assert_eq!(other, Some(Rule::ClassNotAllowed(Class::Transfer)));
    }

    #[test]
    fn a_denial_names_the_method_the_rule_and_the_setting() {
        let caller = Caller {
            name: "default".into(),
            policy: Policy::default(),
        };
        let call = Call::parse(
            RequestId::BACKEND,
            "private/create-withdrawal",
            None,
            Dialect::Documented,
        )
        .unwrap();
        let text = authorize(&caller, HERE, call).unwrap_err().to_string();
        for part in [
            "private/create-withdrawal",
            "class transfer",
            "policy.allow_methods",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn presets_allow_their_classes_and_no_unknown_method() {
        for preset in Preset::ALL {
            let policy = Policy {
                allow_classes: preset.classes().iter().copied().collect(),
                ..Policy::nothing()
            };
            for method in methods::all()
                .filter(|method| method.verb.is_some() && method.class != Class::Public)
            {
                let expected = !preset.classes().contains(&method.class);
                assert_eq!(
                    judge(policy.clone(), method.name).is_some(),
                    expected,
                    "{preset:?} {}",
                    method.name
                );
            }
            assert_eq!(
                judge(policy, "private/new-thing"),
                Some(Rule::UnknownMethod)
            );
            assert_eq!(Preset::from_name(preset.name()), Some(preset));
        }
    }

    #[test]
    fn patterns_allow_what_the_catalogue_knows_and_deny_what_it_does_not() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        let mut policy = Policy {
            allow_patterns: vec![pattern("private/*")],
            ..Policy::nothing()
        };
        assert_eq!(judge(policy.clone(), "private/create-withdrawal"), None);
        assert_eq!(
            judge(policy.clone(), "private/new-thing"),
            Some(Rule::UnknownMethod)
        );
        policy.deny_patterns.push(pattern("private/create-*"));
        policy
            .allow_methods
            .extend(["private/create-order".into(), "private/create-thing".into()]);
        assert_eq!(
            judge(policy.clone(), "private/create-order"),
            Some(Rule::MethodDenied)
        );
        assert_eq!(
            judge(policy.clone(), "private/create-thing"),
            Some(Rule::MethodDenied)
        );
        assert_eq!(judge(policy, "private/user-balance"), None);
    }

    #[test]
    fn limits_come_before_everything_and_instruments_last() {
        let mut policy = Policy {
            instruments: Some(Instruments::new(["BTC_USD".to_owned()])),
            ..Policy::default()
        };
        assert_eq!(
            judge(policy.clone(), "private/create-withdrawal"),
            Some(Rule::ClassNotAllowed(Class::Transfer))
        );
        assert_eq!(
            judge(policy.clone(), "private/create-order"),
            Some(Rule::Instrument(Unlisted::Unnamed))
        );
        assert_eq!(judge(policy.clone(), "private/user-balance"), None);
        policy.limits.expires_ms = Some(1000);
        assert_eq!(
            judge(policy.clone(), "private/create-withdrawal"),
            Some(Rule::Access(AccessDenied::Expired))
        );
        assert_eq!(
            judge(policy, "public/auth"),
            Some(Rule::Access(AccessDenied::Expired))
        );
    }

    #[test]
    fn every_denial_reads_as_one_sentence_and_names_its_setting() {
        let denied = |rule, written| Denied {
            caller: "two".into(),
            method: "private/create-order".into(),
            written,
            rule,
        };
        for (rule, parts) in [
            (
                Rule::Access(AccessDenied::Expired),
                ["may not call any more", "(expires"],
            ),
            (
                Rule::Access(AccessDenied::Address([192, 0, 2, 1].into())),
                ["from 192.0.2.1", "(sources)"],
            ),
            (
                Rule::Access(AccessDenied::Uid(Some(7))),
                ["as uid 7", "(uids)"],
            ),
            (
                Rule::Access(AccessDenied::Uid(None)),
                ["does not tell", "PrivateUsers="],
            ),
            (
                Rule::Instrument(Unlisted::Named),
                ["for caller two: it names an instrument", "(instruments)"],
            ),
            (
                Rule::Instrument(Unlisted::Unnamed),
                ["has to name one", "instrument_name"],
            ),
            (
                Rule::Instrument(Unlisted::ById),
                ["by its id", "orders_by_id"],
            ),
            (
                Rule::Instrument(Unlisted::Unbound),
                ["nothing binds", "(instruments)"],
            ),
            (
                Rule::ClassNotAllowed(Class::Trade),
                [
                    "; allow = [\"private/create-order\"]",
                    "allow = [\"trade\"]",
                ],
            ),
        ] {
            let text = denied(rule, Written::CallersFile).to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
