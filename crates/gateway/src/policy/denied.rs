//! The rule that said no, in words that name it and the setting that would allow the call.

use std::{fmt, sync::Arc};

use super::instruments::Unlisted;
use crate::access::AccessDenied;
use catalogue::methods::Class;

/// The rule that denied a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The caller may not call from there, or not any more.
    Access(AccessDenied),
    /// The method is denied by name or pattern.
    MethodDenied,
    /// The class is denied.
    ClassDenied(Class),
    /// The class is in no list.
    ClassNotAllowed(Class),
    /// The catalogue does not know the method.
    UnknownMethod,
    /// A public method: it needs no key, and this API signs.
    Public,
    /// The exchange offers it on WebSockets only.
    WebSocketOnly,
    /// A batch whose orders cannot be read.
    UnreadableBatch,
    /// A channel of the account of which it is not known what it tells.
    UnknownChannel,
    /// A channel that is none of the account's.
    NotOfTheAccount,
    /// It is outside the caller's instruments.
    Instrument(Unlisted),
}

/// Where a caller's policy is written, and so what its settings are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// In the configuration: the default caller's.
    #[default]
    Configuration,
    /// Beside the caller's name in the callers file.
    CallersFile,
}

/// A call that this caller may not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub(super) caller: Arc<str>,
    pub(super) method: String,
    /// The channel of the account that amounts to the method.
    pub(super) channel: Option<String>,
    pub(super) written: Written,
    /// Which rule said no.
    pub rule: Rule,
}

impl Denied {
    /// A stable word for records.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.rule {
            Rule::Access(outside) => outside.word(),
            Rule::Instrument(_) => "instrument",
            Rule::MethodDenied | Rule::ClassDenied(_) | Rule::ClassNotAllowed(_) => "denied",
            Rule::UnknownMethod | Rule::Public | Rule::WebSocketOnly => "denied",
            Rule::UnreadableBatch | Rule::UnknownChannel | Rule::NotOfTheAccount => "denied",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, caller) = (&self.method, &self.caller);
        if let Rule::Access(outside) = self.rule {
            write!(f, "caller {caller} may not call ")?;
            return write_outside(f, outside);
        }
        f.write_str(method)?;
        if let Some(channel) = &self.channel {
            write!(f, ", which shows what channel {channel} tells,")?;
        }
        write!(f, " is not allowed for caller {caller}: ")?;
        let Names { classes, methods } = self.written.names();
        match self.rule {
            Rule::MethodDenied => write!(
                f,
                "it is listed in {}; remove it there to allow it",
                methods.denied
            ),
            Rule::ClassDenied(class) => {
                write!(
                    f,
                    "class {class} is listed in {}; remove it there to allow it",
                    classes.denied
                )
            }
            Rule::ClassNotAllowed(class) => write!(
                f,
                "class {class} is not allowed; {} = [\"{method}\"] would allow this method, {} = [\"{class}\"] the \
                 whole class",
                methods.allowed, classes.allowed
            ),
            Rule::UnknownMethod => write!(
                f,
                "the method is not in the catalogue, and what it does is not known; {} = [\"{method}\"] would allow it",
                methods.allowed
            ),
            Rule::Public => write!(
                f,
                "public methods need no signature; call the exchange itself"
            ),
            Rule::WebSocketOnly => write!(f, "the exchange offers it on WebSockets only"),
            Rule::UnreadableBatch => write!(
                f,
                "its orders cannot be identified; a batch holds instrument_name, cancels and creates, both lists of objects, \
                 and nothing else"
            ),
            Rule::UnknownChannel => write!(
                f,
                "the channel is not known here, nor what it tells; {} = [\"{method}\"] would allow it",
                methods.allowed
            ),
            Rule::NotOfTheAccount => write!(
                f,
                "it is not a channel of the account (user.…); those of the market are on /exchange/v1/market"
            ),
            Rule::Instrument(unlisted) => f.write_str(words(unlisted)),
            Rule::Access(outside) => write_outside(f, outside),
        }
    }
}

/// What the lists of a policy are called where it is written.
struct Names {
    classes: Lists,
    methods: Lists,
}

struct Lists {
    allowed: &'static str,
    denied: &'static str,
}

impl Written {
    const fn names(self) -> Names {
        match self {
            Self::Configuration => Names {
                classes: Lists {
                    allowed: "policy.allow_classes",
                    denied: "policy.deny_classes",
                },
                methods: Lists {
                    allowed: "policy.allow_methods",
                    denied: "policy.deny_methods",
                },
            },
            Self::CallersFile => Names {
                classes: Lists {
                    allowed: "allow",
                    denied: "deny",
                },
                methods: Lists {
                    allowed: "allow",
                    denied: "deny",
                },
            },
        }
    }
}

const fn words(unlisted: Unlisted) -> &'static str {
    match unlisted {
        Unlisted::Named => "it names an instrument that is not in the caller's list (instruments)",
        Unlisted::Unnamed => {
            "the caller has a list of instruments, and the call has to name one of them (instrument_name, in each leg \
             of an order_list)"
        }
        Unlisted::ById => {
            "the caller has a list of instruments, and an order that is named by its id may be of any; cancel by \
             instrument (private/cancel-all-orders), or set orders_by_id = true"
        }
        Unlisted::Unbound => {
            "the caller has a list of instruments (instruments), and nothing binds this method to one of them"
        }
    }
}

fn write_outside(f: &mut fmt::Formatter<'_>, outside: AccessDenied) -> fmt::Result {
    match outside {
        AccessDenied::Expired => write!(
            f,
            "any more: it has expired (expires; or the grace of a rotation is over)"
        ),
        AccessDenied::Address(address) => write!(
            f,
            "from {address}: the address is not among its sources (sources)"
        ),
        AccessDenied::Uid(Some(uid)) => write!(
            f,
            "over this socket as uid {uid}: it is not among its uids (uids)"
        ),
        AccessDenied::Uid(None) => {
            write!(
                f,
                "over this socket: the kernel does not tell the uid of its process (uids; PrivateUsers= of the unit)"
            )
        }
    }
}
