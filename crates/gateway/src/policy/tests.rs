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
        for method in
            methods::all().filter(|method| method.verb.is_some() && method.class != Class::Public)
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
    assert_eq!(judge(policy.clone(), "private/create-order"), None);
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

/// `--allow 'private/create-*'` of a caller that trades opened withdrawals.
#[test]
fn a_pattern_that_allows_stays_within_the_classes_of_the_caller() {
    let held = |classes: &[Class]| -> HashSet<Class> { classes.iter().copied().collect() };
    for (classes, reach) in [
        (
            held(&[]),
            held(&[Class::Read, Class::Trade, Class::Products]),
        ),
        (held(&[Class::Read]), held(&[Class::Read])),
        (held(Preset::Trade.classes()), held(Preset::Trade.classes())),
        (held(&[Class::Transfer]), held(&[Class::Transfer])),
        (held(Preset::Full.classes()), held(Preset::Full.classes())),
    ] {
        let policy = Policy {
            allow_classes: classes.clone(),
            allow_patterns: vec![Pattern::parse("private/*").unwrap()],
            ..Policy::nothing()
        };
        for method in
            methods::all().filter(|method| method.verb.is_some() && method.class != Class::Public)
        {
            let expected = if reach.contains(&method.class) {
                None
            } else {
                Some(Rule::ClassNotAllowed(method.class))
            };
            let name = method.name;
            assert_eq!(judge(policy.clone(), name), expected, "{classes:?} {name}");
        }
    }
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
    policy.access.expires_ms = Some(1000);
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
fn a_channel_is_judged_as_what_it_shows_or_by_its_own_name() {
    let judge = |policy: &Policy, channel: &str| {
        let caller = Caller {
            name: "two".into(),
            policy: policy.clone(),
        };
        let refused = authorize_channels(&caller, HERE, [channel]).refused;
        refused.map(|(denied, _)| (denied.rule, denied.to_string()))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let new = "user.not-invented.yet";
    let plain = Policy::default();
    for known in [
        "user.order",
        "user.advance.order",
        "user.advanced.order.BTC_USD",
    ] {
        assert_eq!(judge(&plain, known), None, "{known}");
    }
    for (channel, rule, says) in [
        (
            new,
            Rule::UnknownChannel,
            "policy.allow_methods = [\"user.not-invented.yet\"]",
        ),
        (
            "ticker.BTC_USD",
            Rule::NotOfTheAccount,
            "ticker.BTC_USD is not allowed",
        ),
        (
            "user.\"x",
            Rule::NotOfTheAccount,
            "a channel is not allowed",
        ),
    ] {
        let (denied, text) = judge(&plain, channel).unwrap();
        assert_eq!(denied, rule, "{channel}");
        assert!(text.contains(says), "{text}");
    }
    let allowing = Policy {
        allow_methods: names(&[new]),
        ..Policy::default()
    };
    assert_eq!(judge(&allowing, new), None);
    let bound = Policy {
        instruments: Some(Instruments::new(["BTC_USD".to_owned()])),
        ..allowing.clone()
    };
    let (rule, _) = judge(&bound, new).unwrap();
    assert_eq!(rule, Rule::Instrument(Unlisted::Unbound));
    let denying = Policy {
        deny_methods: names(&[new, "user.order", "private/user-balance"]),
        ..allowing
    };
    for channel in [new, "user.order"] {
        assert_eq!(judge(&denying, channel).unwrap().0, Rule::MethodDenied);
    }
    let (_, text) = judge(&denying, "user.balance").unwrap();
    assert!(
        text.starts_with(
            "private/user-balance, which shows what channel user.balance tells, is not"
        ),
        "{text}"
    );
    let expired = Policy {
        access: AccessRules {
            expires_ms: Some(1),
            ..AccessRules::default()
        },
        ..plain
    };
    assert!(matches!(judge(&expired, new), Some((Rule::Access(_), _))));
}

#[test]
fn every_denial_reads_as_one_sentence_and_names_its_setting() {
    let denied = |rule, written| Denied {
        channel: None,
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
