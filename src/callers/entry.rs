//! One caller of the file: text → [`Entry`], or everything that is wrong with it.
//!
//! Names, ids and tokens are unique. A rule that cannot be understood is a fault: the caller never gets more or less than
//! was meant. An empty list is a fault, because nobody means "all" by it. A value that could be a secret is not repeated.

use std::{
    collections::HashSet,
    fmt::{Display, Write as _},
    net::IpAddr,
};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    CallerText, FileText, GenerationText,
    file::{Fault, line_of},
};
use catalogue::{
    channels,
    methods::{self, Class, MethodInfo},
};
use gateway::{
    access::{AccessRules, OVERFLOW_UID},
    policy::{Instruments, Pattern, Policy, Preset, Written},
    secret::TokenDigest,
    virtual_key::CallerId,
};
use protocol::call::Method;

/// Longest name of a caller.
const MAX_NAME_BYTES: usize = 32;
/// Names that mean something else in records.
const RESERVED: [&str; 2] = ["default", "diagnose"];

/// A caller as the file has it, valid.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: CallerId,
    /// What it may do.
    pub rights: Rights,
    /// Its generations, the newest last.
    pub generations: Vec<Generation>,
    /// The line of the file that it begins in.
    pub line: usize,
    /// What is doubtful, and does not keep it from being used.
    pub warnings: Vec<Fault>,
}

/// What a caller may do.
#[derive(Clone, Debug)]
pub enum Rights {
    /// Make calls.
    Call(Box<Policy>),
    /// Diagnose, and nothing else.
    Diagnose(AccessRules),
}

/// One token and virtual key of a caller.
#[derive(Debug)]
pub struct Generation {
    /// Its number.
    pub number: u32,
    /// Its token.
    pub token: TokenDigest,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

impl Entry {
    /// What it may do, in one line; `valid` of its generations count.
    #[must_use]
    pub fn describe(&self, valid: usize) -> String {
        let rights = match &self.rights {
            Rights::Diagnose(limits) => format!("may diagnose{}", describe_limits(limits)),
            Rights::Call(policy) => describe_policy(policy),
        };
        let listed = self
            .generations
            .last()
            .map_or(0, |generation| generation.number);
        let valid = match valid {
            0 => "revoked".to_owned(),
            1 => format!("generation {listed}"),
            _ => format!("generation {listed}, and the one before it"),
        };
        format!("{rights}; {valid}")
    }
}

/// Reads a callers file and judges every caller of it.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(text: &str) -> Result<(FileText, Vec<Entry>), Vec<Fault>> {
    let file = FileText::parse(text)?;
    let mut faults = Vec::new();
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    let mut duplicates = Vec::new();
    for caller in &file.callers {
        let line = line_of(text, caller.span().start);
        let caller = caller.get_ref();
        let mut validate = Validator {
            caller,
            line,
            faults: Vec::new(),
            warnings: Vec::new(),
        };
        entries.extend(validate.entry());
        faults.extend(validate.faults);
        for unique in unique(caller) {
            if !seen.insert(unique) {
                let (key, _) = unique;
                let text = "another caller or generation has the same";
                let remedy = "remove one of them; crypto-proxy caller add makes new ones";
                duplicates.push(Fault::new(line, key, text, remedy));
            }
        }
    }
    faults.extend(duplicates);
    if faults.is_empty() {
        Ok((file, entries))
    } else {
        Err(faults)
    }
}

/// What no other caller or generation may have.
fn unique(caller: &CallerText) -> impl Iterator<Item = (&'static str, &str)> {
    let tokens = caller
        .generations
        .iter()
        .map(|generation| ("generation.token_sha256", &*generation.token_sha256));
    [("name", &*caller.name), ("id", &*caller.id)]
        .into_iter()
        .chain(tokens)
}

/// Checks one caller, and collects what it finds.
struct Validator<'a> {
    caller: &'a CallerText,
    line: usize,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Validator<'_> {
    fn entry(&mut self) -> Option<Entry> {
        self.name();
        let id = CallerId::parse(&self.caller.id);
        if id.is_none() {
            self.fault(
                "id",
                "is not an id (24 hexadecimal digits)",
                "crypto-proxy caller add makes one",
            );
        }
        self.time("created", &self.caller.created);
        let limits = self.limits();
        let rights = if self.caller.diagnose {
            self.diagnosing(limits)
        } else {
            Rights::Call(Box::new(self.policy(limits)))
        };
        let generations = self.generations();
        let warnings = std::mem::take(&mut self.warnings);
        let name = self.caller.name.clone();
        id.filter(|_| self.faults.is_empty()).map(|id| Entry {
            name,
            id,
            rights,
            generations,
            line: self.line,
            warnings,
        })
    }

    fn name(&mut self) {
        let name = &self.caller.name;
        let known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(known)
            && name
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_alphanumeric());
        if !fits {
            let remedy =
                "write 1 to 32 lower-case letters, digits and _ . -, a letter or digit first";
            self.fault("name", "is not a valid name of a caller", remedy);
        } else if RESERVED.contains(&name.as_str()) {
            self.fault("name", "is taken by the proxy itself", "choose another");
        }
    }

    fn policy(&mut self, limits: AccessRules) -> Policy {
        let mut policy = Policy {
            access: limits,
            written: Written::CallersFile,
            ..Policy::nothing()
        };
        match self.caller.preset.as_deref().map(Preset::from_name) {
            Some(Some(preset)) => policy.allow_classes.extend(preset.classes()),
            Some(None) => self.fault("preset", "is not a preset", "write read, trade or full"),
            None => {}
        }
        for (key, items) in [("allow", &self.caller.allow), ("deny", &self.caller.deny)] {
            let (classes, methods, patterns) = if key == "allow" {
                (
                    &mut policy.allow_classes,
                    &mut policy.allow_methods,
                    &mut policy.allow_patterns,
                )
            } else {
                (
                    &mut policy.deny_classes,
                    &mut policy.deny_methods,
                    &mut policy.deny_patterns,
                )
            };
            for item in items {
                match self.item(key, item) {
                    Some(Item::Class(class)) => drop(classes.insert(class)),
                    Some(Item::Method(name)) => drop(methods.insert(name)),
                    Some(Item::Pattern(pattern)) => patterns.push(pattern),
                    None => {}
                }
            }
        }
        policy.instruments = self.instruments();
        self.patterns_beyond_their_classes(&policy);
        if policy.allow_classes.is_empty()
            && policy.allow_methods.is_empty()
            && policy.allow_patterns.is_empty()
        {
            self.warning(
                "allow",
                "nothing is allowed: every call is refused",
                "give it a preset, or allow something",
            );
        }
        policy
    }

    /// A pattern that seems to open more than it does is worth a word; it never opens more than the caller's classes.
    fn patterns_beyond_their_classes(&mut self, policy: &Policy) {
        for pattern in &policy.allow_patterns {
            let mut closed: Vec<_> = matching(pattern)
                .filter(|info| !policy.patterns_reach(info.class))
                .filter(|info| !policy.allow_methods.contains(info.name))
                .map(|info| format!("{} ({})", info.name, info.class.name()))
                .collect();
            closed.sort();
            let Some(first) = closed.first() else {
                continue;
            };
            let further = match closed.len() - 1 {
                0 => String::new(),
                further => format!(" and {further} more"),
            };
            let text = format!("{pattern} does not open {first}{further}");
            let remedy = "a pattern stays within the classes of the caller: name the method in full, or allow its class";
            self.warning("allow", &text, remedy);
        }
    }

    fn diagnosing(&mut self, limits: AccessRules) -> Rights {
        let caller = self.caller;
        let policy = caller.preset.is_some() || caller.orders_by_id || caller.instruments.is_some();
        if policy || !caller.allow.is_empty() || !caller.deny.is_empty() {
            let remedy =
                "remove preset, allow, deny, instruments and orders_by_id, or make it two callers";
            self.fault("diagnose", "who may diagnose may do nothing else", remedy);
        }
        Rights::Diagnose(limits)
    }

    fn item(&mut self, key: &str, text: &str) -> Option<Item> {
        let class = Class::from_name(text).filter(|class| *class != Class::Public);
        let method = || Method::parse(text).ok().filter(Method::is_private);
        if let Some(class) = class {
            return Some(Item::Class(class));
        }
        if let Some(pattern) = Pattern::parse(text) {
            if matching(&pattern).next().is_none() {
                self.warning(
                    key,
                    &format!("the catalogue knows no method {pattern}"),
                    "make sure of its beginning",
                );
            }
            return Some(Item::Pattern(pattern));
        }
        // A channel of the account that is not known here has no method that it could be judged as.
        if channels::is_of_the_account(text) {
            return Some(Item::Method(text.to_owned()));
        }
        let Some(method) = method() else {
            let remedy = "write a class (read, trade, products, transfer, account-admin), a method \
                          (private/create-order), the beginning of methods (private/advanced/*), or a channel of the \
                          account (user.something-new)";
            self.fault(
                key,
                "an item is not a class, method, pattern or channel",
                remedy,
            );
            return None;
        };
        if method.info().is_none() {
            self.warning(
                key,
                &format!("the catalogue does not know {}", method.as_str()),
                "make sure of its name",
            );
        }
        Some(Item::Method(method.as_str().to_owned()))
    }

    fn instruments(&mut self) -> Option<Instruments> {
        let Some(names) = &self.caller.instruments else {
            if self.caller.orders_by_id {
                self.warning(
                    "orders_by_id",
                    "without instruments every order may be named anyway",
                    "remove it",
                );
            }
            return None;
        };
        if names.is_empty() {
            self.fault(
                "instruments",
                "the list is empty",
                "name instruments, or remove it to allow all",
            );
        }
        if !names.iter().all(|name| Instruments::is_name(name)) {
            self.fault(
                "instruments",
                "an item is not the name of an instrument",
                "write them as the exchange does: BTC_USD",
            );
        }
        Some(Instruments {
            orders_by_id: self.caller.orders_by_id,
            ..Instruments::new(names.iter().cloned())
        })
    }

    fn time(&mut self, key: &str, text: &str) -> Option<u64> {
        let ms = text
            .parse::<Timestamp>()
            .ok()
            .and_then(|at| u64::try_from(at.as_millisecond()).ok());
        if ms.is_none() {
            self.fault(
                key,
                "is not a valid time",
                "write it as 2026-01-31T22:10:00Z",
            );
        }
        ms
    }

    fn fault(&mut self, key: &str, text: &str, remedy: &str) {
        let fault = self.note(key, text, remedy);
        self.faults.push(fault);
    }

    fn warning(&mut self, key: &str, text: &str, remedy: &str) {
        let warning = self.note(key, text, remedy);
        self.warnings.push(warning);
    }

    fn note(&self, key: &str, text: &str, remedy: &str) -> Fault {
        let name = self.caller.name.escape_debug().to_string();
        Fault::about_caller(self.line, &name, Some(key), text, |_| remedy.to_owned())
    }

    fn limits(&mut self) -> AccessRules {
        let sources = self.caller.sources.clone();
        let uids = self.caller.uids.clone();
        if sources.as_ref().is_some_and(Vec::is_empty) {
            self.fault(
                "sources",
                "the list is empty",
                "name addresses or networks, or remove it to allow all",
            );
        }
        if uids.as_ref().is_some_and(Vec::is_empty) {
            self.fault(
                "uids",
                "the list is empty",
                "name uids, or remove it to allow all",
            );
        }
        if uids
            .as_ref()
            .is_some_and(|uids| uids.contains(&OVERFLOW_UID))
        {
            let remedy = "remove it";
            self.fault(
                "uids",
                "65534 is nobody, and everybody whom a user namespace does not show",
                remedy,
            );
        }
        let expires = self.caller.expires.clone();
        AccessRules {
            sources: sources
                .unwrap_or_default()
                .iter()
                .filter_map(|text| self.network(text))
                .collect(),
            uids: uids.unwrap_or_default(),
            expires_ms: expires.and_then(|text| self.time("expires", &text)),
        }
    }

    fn network(&mut self, text: &str) -> Option<IpNet> {
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(network) = network else {
            self.fault(
                "sources",
                "an item is not an address or network",
                "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
            );
            return None;
        };
        if network.trunc() != network {
            let remedy = format!("write {}, or the address alone", network.trunc());
            self.fault("sources", "a network has bits beyond its prefix", &remedy);
        }
        if let IpNet::V6(six) = network
            && six.addr().to_ipv4_mapped().is_some()
        {
            self.fault(
                "sources",
                "addresses are compared as IPv4 here",
                "write it without ::ffff:",
            );
        }
        Some(network)
    }

    fn generations(&mut self) -> Vec<Generation> {
        let texts = &self.caller.generations;
        let ascending = texts
            .iter()
            .zip(texts.iter().skip(1))
            .all(|(one, next)| one.number < next.number);
        let counted = texts
            .iter()
            .all(|text| (1..u32::MAX).contains(&text.number));
        if !(1..=2).contains(&texts.len()) || !ascending || !counted {
            let remedy =
                "put back what crypto-proxy caller wrote, or revoke the caller and add it anew";
            self.fault(
                "generation",
                "there has to be one, or two during a rotation, counted up from 1",
                remedy,
            );
        }
        let newest = texts.len().saturating_sub(1);
        texts
            .iter()
            .enumerate()
            .filter_map(|(place, text)| self.generation(text, place == newest))
            .collect()
    }

    fn generation(&mut self, text: &GenerationText, newest: bool) -> Option<Generation> {
        let token = TokenDigest::from_hex(&text.token_sha256);
        if token.is_none() {
            let remedy = "crypto-proxy caller rotate issues a new token";
            self.fault(
                "generation.token_sha256",
                "is no SHA-256 (64 hexadecimal digits)",
                remedy,
            );
        }
        self.time("generation.issued", &text.issued);
        let until_ms = text
            .until
            .as_deref()
            .and_then(|until| self.time("generation.until", until));
        if newest == text.until.is_some() {
            let remedy = "put back what crypto-proxy caller wrote";
            self.fault(
                "generation.until",
                "an end stands at the older of two generations, and there only",
                remedy,
            );
        }
        token.map(|token| Generation {
            number: text.number,
            token,
            until_ms,
        })
    }
}

enum Item {
    Class(Class),
    Method(String),
    Pattern(Pattern),
}

/// What a caller may do, and from where.
fn describe_policy(policy: &Policy) -> String {
    let allowed = list(&policy.allow_classes)
        .chain(list(&policy.allow_methods))
        .chain(
            policy
                .allow_patterns
                .iter()
                .map(|pattern| describe_pattern(pattern, policy)),
        );
    let denied = list(&policy.deny_classes)
        .chain(list(&policy.deny_methods))
        .chain(list(&policy.deny_patterns));
    let (allowed, denied) = (sorted(allowed), sorted(denied));
    let mut line = if allowed.is_empty() {
        "may nothing".to_owned()
    } else {
        format!("may {allowed}")
    };
    if !denied.is_empty() {
        let _ = write!(line, ", not {denied}");
    }
    if let Some(instruments) = &policy.instruments {
        let ids = if instruments.orders_by_id {
            " and orders by id"
        } else {
            ""
        };
        let _ = write!(line, ", on {}{ids}", sorted(list(&instruments.names)));
    }
    line + &describe_limits(&policy.access)
}

/// Methods of the catalogue that a pattern stands for, whatever their class.
fn matching(pattern: &Pattern) -> impl Iterator<Item = &'static MethodInfo> {
    methods::all()
        .filter(|info| info.class != Class::Public)
        .filter(|info| pattern.matches(info.name))
}

/// More methods than this are counted by their classes instead of named.
const MAX_NAMED: usize = 4;

/// A pattern that allows, and what it opens.
fn describe_pattern(pattern: &Pattern, policy: &Policy) -> String {
    let opened: Vec<_> = matching(pattern)
        .filter(|info| policy.patterns_reach(info.class))
        .collect();
    if opened.is_empty() {
        return format!("{pattern} (opens nothing)");
    }
    if opened.len() <= MAX_NAMED {
        let names = opened.iter().map(|info| info.name.to_owned());
        return format!("{pattern} (opens {})", sorted(names));
    }
    let mut counts = Vec::new();
    for class in Class::ALL {
        let count = opened.iter().filter(|info| info.class == class).count();
        if count > 0 {
            counts.push(format!("{count} {}", class.name()));
        }
    }
    format!(
        "{pattern} (opens {} methods: {})",
        opened.len(),
        counts.join(", ")
    )
}

/// Where and when it may call.
fn describe_limits(limits: &AccessRules) -> String {
    let mut line = String::new();
    if !limits.sources.is_empty() {
        let _ = write!(line, ", from {}", sorted(list(&limits.sources)));
    }
    if !limits.uids.is_empty() {
        let _ = write!(line, ", as uid {}", sorted(list(&limits.uids)));
    }
    if let Some(end) = limits.expires_ms {
        let _ = write!(line, ", until {}", text::time::rfc3339(end));
    }
    line
}

fn list<'a, T: Display + 'a>(
    items: impl IntoIterator<Item = &'a T>,
) -> impl Iterator<Item = String> {
    items.into_iter().map(ToString::to_string)
}

fn sorted(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items.join(" ")
}
