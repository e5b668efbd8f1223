//! What the default caller may do.
//!
//! Guarantees: allowed classes add to read and trade, denied ones narrow; a method outside the grammar is an error, one
//! that the catalogue does not know is said.

use std::collections::HashSet;

use super::super::{reader::Reader, table};
use catalogue::methods::{self, Class};
use gateway::policy::Policy;
use protocol::call::Method;

/// Classes that a policy can speak of: public methods are not signed.
const CLASSES: [Class; 5] = [
    Class::Read,
    Class::Trade,
    Class::Products,
    Class::Transfer,
    Class::AccountAdmin,
];

pub(super) fn policy(reader: &mut Reader<'_>) -> Policy {
    let mut policy = Policy::default();
    policy
        .allow_classes
        .extend(reader.parsed("policy.allow_classes", &[], class));
    policy
        .deny_classes
        .extend(reader.parsed("policy.deny_classes", &[], class));
    policy.allow_methods = methods(reader, "policy.allow_methods");
    policy.deny_methods = methods(reader, "policy.deny_methods");
    for name in policy.allow_methods.intersection(&policy.deny_methods) {
        let text = format!("{name} is allowed and denied: denial counts");
        reader.warn(
            "policy.allow_methods",
            text,
            "take it out of one of the two",
        );
    }
    policy
}

fn class(text: &str) -> Result<Class, (String, String)> {
    let class = Class::from_name(text.trim()).filter(|class| CLASSES.contains(class));
    class.ok_or_else(|| {
        let names = CLASSES.map(Class::name);
        let remedy = table::suggestion(text, names, &format!("write one of {}", names.join(", ")));
        ("is no class of methods".to_owned(), remedy)
    })
}

fn methods(reader: &mut Reader<'_>, key: &str) -> HashSet<String> {
    let methods = reader.parsed(key, &[], method);
    for method in &methods {
        let name = method.as_str();
        match method.info() {
            None => {
                let known = methods::all().map(|info| info.name);
                let remedy = table::suggestion(name, known, "make sure of its name");
                reader.warn(key, format!("the catalogue does not know {name}"), remedy);
            }
            Some(info) if info.verb.is_none() => {
                reader.warn(
                    key,
                    format!("{name} exists on WebSockets only"),
                    "take it out",
                );
            }
            Some(_) => {}
        }
    }
    methods
        .into_iter()
        .map(|method| method.as_str().to_owned())
        .collect()
}

fn method(text: &str) -> Result<Method, (String, String)> {
    let method = Method::parse(text.trim()).ok().filter(Method::is_private);
    method.ok_or_else(|| {
        (
            "is no name of a private method".to_owned(),
            "write it as private/create-order".to_owned(),
        )
    })
}
