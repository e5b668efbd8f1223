//! The causes that a hint or a diagnosis can name: one table of code, sentence and next step.
//!
//! Guarantees: a code keeps its meaning, operators search for it; every cause has exactly one next step, a command or a
//! click path. Does not: weigh causes against each other.

use std::{fmt, net::IpAddr};

use crate::doubt::Doubt;

macro_rules! causes {
    ($($name:ident = $code:literal, $sentence:literal, $next:literal;)+) => {
        /// Why the exchange may have refused a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause {
            $(#[doc = $sentence] $name,)+
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What it means, in one sentence without its full stop.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),+ }
            }

            const fn next(self) -> &'static str {
                match self { $(Self::$name => $next),+ }
            }
        }
    };
}

causes! {
    InDoubt = "CP-IN-DOUBT",
        "a call may have been executed: its answer was lost, and what became of it is not known yet",
        "{question}";
    JournalAway = "CP-JOURNAL-AWAY",
        "the order journal takes no entry: orders are refused and not sent; cancellations and reads go",
        "{journal}";
    KeyMismatch = "CP-KEY-MISMATCH",
        "the secret does not belong to the key",
        "exchange dashboard > API keys: if the key is active and of mode \"API Transaction\", create a new one, \
         copy its key and secret together, then `systemctl restart crypto-proxy`";
    KeyDisabled = "CP-KEY-DISABLED",
        "the key is disabled, expired, or in \"Third-Party connection\" mode",
        "exchange dashboard > API keys: look at the key's state, expiry and mode";
    HalfRotated = "CP-HALF-ROTATED",
        "the key and its secret do not come from the same creation",
        "copy key and secret again, both from one creation, then `systemctl restart crypto-proxy`";
    PairChanged = "CP-PAIR-CHANGED",
        "key and secret were replaced, and the new pair has not worked yet",
        "exchange dashboard > API keys: compare the new key's state, permissions and whitelist with the old one's";
    ChangedAtExchange = "CP-CHANGED-AT-EXCHANGE",
        "the key or the account was changed at the exchange: edited, disabled, expired or restricted",
        "exchange dashboard > API keys: look at the key's \"updated\" time, state, permissions and whitelist";
    IpNotListed = "CP-IP-NOT-LISTED",
        "the address that calls leave from is not on the key's whitelist",
        "exchange dashboard > API keys > edit > IP whitelist: add exactly {address}, without blanks, and wait \
         30 s to 5 min";
    IpDrift = "CP-IP-DRIFT",
        "calls leave from another address than before or than expected",
        "exchange dashboard > API keys > edit > IP whitelist: add exactly {address} and wait 30 s to 5 min, or \
         give this host its old address again";
    NoReadPermission = "CP-NO-READ-PERMISSION",
        "the key may not read",
        "exchange dashboard > API keys > edit: enable \"Can Read\" and wait 1 to 2 min";
    NoTradePermission = "CP-NO-TRADE-PERMISSION",
        "the key may not trade",
        "exchange dashboard > API keys > edit: enable \"Trade\" and wait 1 to 2 min";
    MethodPermission = "CP-METHOD-PERMISSION",
        "the key or the account may not use this method",
        "exchange dashboard > API keys > edit: look for the permission that {method} needs";
    ParamsString = "CP-PARAMS-STRING",
        "the exchange computes another params string for these params",
        "`journalctl -u crypto-proxy | grep method={method}`: compare params_len of good and bad calls";
    Intermittent = "CP-INTERMITTENT",
        "calls are refused and accepted alternately: the outbound address alternates, or another program uses the same key",
        "`journalctl -u crypto-proxy | grep method={method}`: compare address and caller of good and bad calls";
    ClockSkew = "CP-CLOCK-SKEW",
        "this host's clock is more than 60 s off the exchange's",
        "`sudo timedatectl set-ntp true`";
    StalledHost = "CP-STALLED-HOST",
        "the call reached the exchange more than 60 s after it was signed, or the clock has just stepped",
        "`journalctl -k --since -10min`: look for a suspended or stalled host and for steps of the clock";
    RateLimit = "CP-RATE-LIMIT",
        "more calls than the exchange allows for this method and key",
        "`journalctl -u crypto-proxy | grep method={method}`: find the caller that makes the most calls";
    EdgeBlocked = "CP-EDGE-BLOCKED",
        "a gateway in front of the exchange refused the call: region, or reputation of the address; not the key",
        "`curl -4i https://{host}/exchange/v1/public/get-instruments` on this host: if that is refused \
         too, use another outbound address";
    UserTier = "CP-USER-TIER",
        "the account's tier does not allow this call",
        "exchange dashboard > account verification: complete the level that {method} needs";
    Maintenance = "CP-MAINTENANCE",
        "the exchange is being maintained; whether the call was executed is not known",
        "wait until https://status.crypto.com reports the end, then look up the order before you send it again";
    Outage = "CP-OUTAGE",
        "the exchange answers with errors of its own: an outage; whether a call was executed is not known",
        "look at https://status.crypto.com and wait; ask for every order in doubt before you send it again";
    NotConfigured = "CP-NOT-CONFIGURED",
        "no API key and secret are configured where the daemon looks for them",
        "set CRYPTO_API_KEY and CRYPTO_API_SECRET in {source}, then `sudo systemctl restart crypto-proxy`";
    MalformedPair = "CP-MALFORMED-PAIR",
        "the key or the secret is missing or incomplete, or the two are swapped",
        "exchange dashboard > API keys: copy key and secret again, both from one creation, into {source}, then \
         `sudo systemctl restart crypto-proxy`";
    DirtyCredentials = "CP-DIRTY-CREDENTIALS",
        "the credentials are written with quotes, white space or invisible characters around them",
        "correct the value in {source}, then check it with `crypto-proxy check --env-file FILE`";
    Published = "CP-PUBLISHED",
        "the pair in use was published: anybody may have it",
        "exchange dashboard > API keys: create a new key, delete this one, put the new pair into {source}, then purge \
         old logs";
    SigningCode = "CP-SIGNING-CODE",
        "this build does not sign as the exchange documents",
        "`crypto-proxy self-test`, then install the released build again";
    NameNotResolved = "CP-DNS",
        "the exchange's host name does not resolve to a usable address",
        "`getent ahosts {host}` on this host: repair name resolution first; do not change the keys";
    NotReached = "CP-NETWORK",
        "this host cannot reach the exchange: route, firewall, or an outage",
        "`curl -4v https://{host}/` on this host: repair the network first; do not change the keys";
    NoTls = "CP-TLS",
        "no verified TLS connection: another host answers in place of the exchange, or the trust roots are outdated",
        "`openssl s_client -connect {host}:443 -servername {host}` on this host: look whose certificate it is";
    WrongBase = "CP-WRONG-BASE",
        "the base URL is not the exchange's, or the method is not known there",
        "set CRYPTO_REST_BASE=https://{documented}/exchange/v1, then `sudo systemctl restart crypto-proxy`";
    WrongEnvironment = "CP-WRONG-ENVIRONMENT",
        "the key belongs to the other environment: production and UAT do not know each other's keys",
        "exchange dashboard > API keys, of the environment of {host}: is this key there? If not, set CRYPTO_REST_BASE to \
         the key's own";
    LeavesByIpv6 = "CP-IPV6",
        "calls leave by IPv6, and the key's whitelist holds the IPv4 address",
        "exchange dashboard > API keys > edit > IP whitelist: add exactly {address}, or make {host} \
         reachable by IPv4 from this host";
    BooleanCase = "CP-BOOLEAN-CASE",
        "another program signs true and false in the wrong case: only its reduce_only and post_only orders fail",
        "send these orders through the proxy: set USE_CRYPTO_PROXY=true in the program, and remove its own keys";
    MarginPermission = "CP-MARGIN",
        "only margin orders fail: no margin permission, or their exec_inst list is signed otherwise",
        "exchange dashboard > API keys > edit: look for the margin permission, and send the order through the proxy";
    InventedScheme = "CP-INVENTED-SCHEME",
        "the program sends headers of a scheme that the exchange does not have",
        "send plain calls to the proxy: USE_CRYPTO_PROXY=true and CRYPTO_PROXY_URL in the program";
    RefusedHere = "CP-REFUSED-HERE",
        "the proxy refused the call itself: token, policy or limit; the exchange was never asked",
        "`journalctl -u crypto-proxy | grep -E 'outcome=refused|event=refused'`: `why=` names the rule";
    NotRecorded = "CP-NOT-RECORDED",
        "the history cannot be written: calls go on, and what becomes of them is not kept",
        "`df -h /var/lib/crypto-proxy/ && ls -ld /var/lib/crypto-proxy/` on this host: make room, or mend what the evidence names; \
         nothing has to be restarted";
    NotRestarted = "CP-NOT-RESTARTED",
        "the daemon still uses the key from before the file was changed",
        "`sudo systemctl restart crypto-proxy`, then `sudo crypto-proxy check` and compare the fingerprint";
    OrderItself = "CP-ORDER",
        "the exchange refuses the orders themselves: balance, quantity, price or side; authentication is fine",
        "`journalctl -u crypto-proxy | grep method={method}`: the code says what is wrong with the order";
    TriggerOrders = "CP-TRIGGER-ORDERS",
        "trigger orders are no longer taken by private/create-order",
        "send them to private/advanced/create-order";
    SignsForItself = "CP-SIGNS-FOR-ITSELF",
        "the program signs for itself, perhaps with another pair; its calls do not come through here",
        "set USE_CRYPTO_PROXY=true and CRYPTO_PROXY_URL in the program, remove its keys, and compare: \
         `sudo crypto-proxy check --env-file .env.local --env-file /etc/crypto.env`";
    SomeMethods = "CP-SOME-METHODS",
        "some private methods are refused and others answered, and the difference is not that between reading and trading",
        "`journalctl -u crypto-proxy | grep event=call`: did the answered ones reach the exchange, and from which address?";
}

/// What the next step may name.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our address as last confirmed.
    pub address: Option<IpAddr>,
    /// Whether the operator's statement about the whitelist names that address already.
    pub listed: bool,
    /// Whether calls leave by IPv6.
    pub by_ipv6: bool,
    /// The method that failed.
    pub method: &'a str,
    /// The host that calls go to.
    pub host: &'a str,
    /// The file that the pair stands in.
    pub source: &'a str,
    /// The call in doubt that is asked for first.
    pub doubt: Option<&'a Doubt>,
    /// What to do about the order journal.
    pub journal: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// A place of which the method is known, and the rest is as documented.
    #[must_use]
    pub const fn of_method(method: &'a str) -> Self {
        Self {
            address: None,
            listed: false,
            by_ipv6: false,
            method,
            host: PRODUCTION,
            source: "/etc/crypto.env",
            doubt: None,
            journal: None,
        }
    }
}

/// The hosts that the exchange documents, for production and for UAT.
const PRODUCTION: &str = "api.crypto.com";
const UAT: &str = "uat-api.3ona.co";

/// Said in the place of an address that is not known.
const ADDRESS_UNKNOWN: &str =
    "the address that `curl -4 https://checkip.amazonaws.com` shows on this host";

/// The same where calls leave by IPv6; the service above has no IPv6 address.
const IPV6_ADDRESS_UNKNOWN: &str =
    "the address that `curl -6 https://ifconfig.me` shows on this host";

/// Said in the place of "add it" where the operator says that it is there: then it may be there in another form.
const ADDED_ALREADY: &str = "exchange dashboard > API keys > edit > IP whitelist: CRYPTO_EXPECTED_IP names {address}; \
     is it on the whitelist exactly so (no typo, no blanks)? wait 30 s to 5 min after a change there, and compare it with \
     the address that the cloud console shows for this host";

impl Cause {
    /// The one thing to do next.
    #[must_use]
    pub fn next_step(self, place: &Place<'_>) -> String {
        let of_address = matches!(self, Self::IpNotListed | Self::IpDrift);
        let next = if of_address && place.listed {
            ADDED_ALREADY
        } else {
            self.next()
        };
        let unknown = if place.by_ipv6 {
            IPV6_ADDRESS_UNKNOWN
        } else {
            ADDRESS_UNKNOWN
        };
        let address = place
            .address
            .map_or_else(|| unknown.to_owned(), |address| address.to_string());
        // A remedy that asks the other family tells nothing.
        let next = if place.by_ipv6 {
            next.replace("curl -4", "curl -6")
        } else {
            next.to_owned()
        };
        let step = next
            .replace("{address}", &address)
            .replace("{method}", place.method);
        // A daemon that is meant for UAT is never sent to production.
        let documented = if place.host == UAT { UAT } else { PRODUCTION };
        let step = step.replace("{documented}", documented);
        let question = place
            .doubt
            .map_or_else(|| "ask the exchange for it".to_owned(), Doubt::question);
        step.replace("{host}", place.host)
            .replace("{source}", place.source)
            .replace("{question}", &question)
            .replace(
                "{journal}",
                place
                    .journal
                    .unwrap_or("see what keeps the disk from taking entries"),
            )
    }

    /// Where the operator's manual explains it.
    #[must_use]
    pub fn link(self) -> String {
        format!("docs/diagnosis.md#{}", self.code().to_ascii_lowercase())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cause_has_a_code_of_its_own_a_sentence_and_a_next_step() {
        let codes: HashSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
        let place = Place::of_method("private/user-balance");
        for cause in Cause::ALL.iter().copied() {
            assert!(
                cause
                    .code()
                    .strip_prefix("CP-")
                    .is_some_and(|rest| !rest.is_empty())
            );
            assert!(
                cause
                    .code()
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || b"-6".contains(&byte)),
                "{cause}"
            );
            let (sentence, next) = (cause.sentence(), cause.next_step(&place));
            assert!(
                !sentence.ends_with('.') && !sentence.contains('\n') && sentence.len() > 10,
                "{cause}"
            );
            assert!(
                !next.contains(['{', '\n']) && (next.contains('`') || next.contains(' ')),
                "{cause}: {next}"
            );
        }
    }

    #[test]
    fn the_next_step_names_the_address_or_how_to_find_it() {
        let step = |address| {
            Cause::IpNotListed.next_step(&Place {
                address,
                ..Place::of_method("private/x")
            })
        };
        assert!(step(Some([8, 8, 4, 4].into())).contains("add exactly 8.8.4.4,"));
        assert!(step(None).contains("checkip.amazonaws.com"));
    }

    #[test]
    fn a_daemon_of_uat_is_not_sent_to_production() {
        for (host, base) in [
            ("uat-api.3ona.co", "=https://uat-api.3ona.co/exchange/v1,"),
            ("api.crypto.com", "=https://api.crypto.com/exchange/v1,"),
            ("replay.example", "=https://api.crypto.com/exchange/v1,"),
        ] {
            let place = Place {
                host,
                ..Place::of_method("private/x")
            };
            assert!(Cause::WrongBase.next_step(&place).contains(base), "{host}");
            let asked = format!("https://{host}/exchange/v1/public/get-instruments");
            assert!(
                Cause::EdgeBlocked.next_step(&place).contains(&asked),
                "{host}"
            );
        }
    }

    #[test]
    fn an_address_that_is_said_to_be_listed_is_to_be_compared_and_not_added_again() {
        let place = Place {
            address: Some([8, 8, 4, 4].into()),
            listed: true,
            ..Place::of_method("private/x")
        };
        for cause in [Cause::IpNotListed, Cause::IpDrift] {
            let step = cause.next_step(&place);
            assert!(
                ["8.8.4.4", "exactly so", "30 s to 5 min", "console"]
                    .iter()
                    .all(|part| step.contains(part)),
                "{step}"
            );
            assert!(
                !step.contains("add exactly") && !step.contains('{'),
                "{step}"
            );
        }
        assert!(
            Cause::KeyMismatch
                .next_step(&place)
                .contains("create a new one")
        );
    }
}
