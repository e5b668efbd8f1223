//! What `check` says of every setting and variable that is wrong, and of every odd shape of the credentials.

use std::{fs, path::Path};

use crate::{
    commands::environment,
    house::{House, KEY, SECRET, TOKEN, pairs},
    normal::normal,
    process::{Env, Said},
    shape::Sheet,
};

/// Environment files: what is odd about each, and its text; `{base}` is the base URL of the stand-in.
const FILES: [(&str, &str); 34] = [
    ("empty", ""),
    (
        "no secret",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "no key",
        "CRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "an empty key",
        "CRYPTO_API_KEY=\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "halves of two pairs",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_COM_API_SECRET=invented-secret-0123456789\n",
    ),
    (
        "two pairs that differ",
        "{pair}CRYPTO_COM_API_KEY=invented-key-9876543210\nCRYPTO_COM_API_SECRET=invented-secret-9876543210\n",
    ),
    (
        "the other names of the pair",
        "EXCHANGE_CUSTOM_API_KEY=invented-key-0123456789\nEXCHANGE_CUSTOM_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\nEXCHANGE_CUSTOM_BASE_URL={base}\n",
    ),
    (
        "CRYPTOCOM_API_KEY",
        "CRYPTOCOM_API_KEY=invented-key-0123456789\nCRYPTOCOM_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\nCRYPTO_REST_BASE={base}\n",
    ),
    (
        "quotes that systemd takes off",
        "CRYPTO_API_KEY=\"invented-key-0123456789\"\nCRYPTO_API_SECRET='invented-secret-0123456789'\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "quotes within quotes",
        "CRYPTO_API_KEY='\"invented-key-0123456789\"'\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "white space inside",
        "CRYPTO_API_KEY=invented key 0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "white space around",
        "CRYPTO_API_KEY=\" invented-key-0123456789 \"\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "carriage returns",
        "CRYPTO_API_KEY=invented-key-0123456789\r\nCRYPTO_API_SECRET=invented-secret-0123456789\r\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\r\n",
    ),
    (
        "a byte order mark",
        "\u{feff}CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "letters beyond ASCII",
        "CRYPTO_API_KEY=invented-kéy-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "export and $",
        "export CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=$OTHER\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "a comment behind a value",
        "CRYPTO_API_KEY=invented-key-0123456789 # mine\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "a name twice",
        "{pair}CRYPTO_API_KEY=invented-key-9876543210\n",
    ),
    ("lines that are none", "{pair}nonsense\n=7\nA B=7\n"),
    (
        "an open quote",
        "CRYPTO_API_KEY=\"invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\n",
    ),
    (
        "key and secret alike",
        "CRYPTO_API_KEY=invented-0123456789\nCRYPTO_API_SECRET=invented-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "a key longer than its secret",
        "CRYPTO_API_KEY=invented-key-0123456789-0123456789\nCRYPTO_API_SECRET=invented-secret-0123\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "a secret in the key's place",
        "CRYPTO_API_KEY=cxakp_invented-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "short",
        "CRYPTO_API_KEY=invented\nCRYPTO_API_SECRET=invented2\nCRYPTO_PROXY_TOKEN=invented\nCRYPTO_PROXY_DIAG_TOKEN=invented3\n",
    ),
    (
        "very short",
        "CRYPTO_API_KEY=in\nCRYPTO_API_SECRET=ve\nCRYPTO_PROXY_TOKEN=n\n",
    ),
    (
        "no token",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\n",
    ),
    (
        "an empty token",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=\n",
    ),
    (
        "a token that is the secret",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\nCRYPTO_PROXY_TOKEN=invented-secret-0123456789\n",
    ),
    (
        "a token that is a virtual key",
        "{pair}CRYPTO_PROXY_TOKEN=cpvk_invented-0123456789\n",
    ),
    (
        "a pair that is virtual",
        "CRYPTO_API_KEY=cpvk_invented-0123456789\nCRYPTO_API_SECRET=cpvs_invented-0123456789\nCRYPTO_PROXY_TOKEN=invented-token-0123456789\n",
    ),
    (
        "both tokens alike",
        "{pair}CRYPTO_PROXY_DIAG_TOKEN=invented-token-of-the-default-caller\n",
    ),
    (
        "short tokens beyond this machine",
        "{pair}CRYPTO_PROXY_DIAG_TOKEN=invented3\nCRYPTO_PROXY_LISTEN=0.0.0.0:9000\n",
    ),
    (
        "names that are nearly ours",
        "{pair}CRYPTO_PROXY_LISTN=127.0.0.1:9000\nCRYPTO_PROXY_TOKN=invented\nCRYPTO_API_SECRT=invented\nCRYPTO_PROXY__CALLS__DEADLIN_MS=1\nCRYPTO_PROXY__NO__SUCH=1\nCRYPTO_PROXY_SERVICE_HOST=1\nCRYPTO_OTHER=1\n",
    ),
    (
        "aliases that differ",
        "{pair}EXCHANGE_CUSTOM_BASE_URL=https://api.crypto.com/exchange/v1\nCRYPTO_EXPECTED_IP=192.0.2.1\nAWS_INSTANCE_IP=192.0.2.2\n",
    ),
];

/// Variables with names of their own, and values that are wrong or worth a word.
const VARIABLES: [(&str, &str); 26] = [
    ("CRYPTO_REST_BASE", "http://api.crypto.com/exchange/v1"),
    ("CRYPTO_REST_BASE", "https://api.crypto.com/v2"),
    ("CRYPTO_REST_BASE", "https://exchange.example/exchange/v1"),
    (
        "CRYPTO_REST_BASE",
        "https://invented:invented@api.crypto.com/exchange/v1",
    ),
    ("CRYPTO_REST_BASE", "https://api.crypto.com/exchange/v1?a=b"),
    ("CRYPTO_REST_BASE", "nonsense"),
    ("EXCHANGE_CUSTOM_BASE_URL", "nonsense"),
    ("CRYPTO_PROXY_LISTEN", "nonsense"),
    ("CRYPTO_PROXY_LISTEN", "127.0.0.1"),
    ("CRYPTO_PROXY_LISTEN", "0.0.0.0:9000"),
    ("CRYPTO_PROXY_LISTEN", "localhost:9000"),
    ("CRYPTO_PROXY_LISTEN", "unix:relative.sock"),
    ("CRYPTO_PROXY_LISTEN", "127.0.0.1:9000,127.0.0.1:9000"),
    ("CRYPTO_AUTH_DIAG", "perhaps"),
    ("CRYPTO_AUTH_DIAG", "yes"),
    ("CRYPTO_EXPECTED_IP", "nonsense"),
    ("CRYPTO_EXPECTED_IP", "10.0.0.1"),
    ("CRYPTO_EXPECTED_IP", "any,192.0.2.1"),
    ("AWS_INSTANCE_IP", "192.0.2.0/24"),
    ("CRYPTO_API_KEY_LABEL", "two\nlines"),
    ("CRYPTO_PROXY_CONFIG", "no-such.toml"),
    ("CREDENTIALS_DIRECTORY", "no-such-directory"),
    ("CRYPTO_PROXY__UPSTREAM__ALLOW_UNKNOWN_BASE", "https://x/"),
    ("CRYPTO_PROXY__LOG__LEVEL", "loud"),
    ("CRYPTO_PROXY__POLICY__ALLOW_CLASSES", "read,everything"),
    ("CRYPTO_PROXY__LISTENER__SOCKET_GROUP", "no-such-group-here"),
];

/// Configuration files: wrong as a whole, or in what two settings say together.
const CONFIGURATIONS: [&str; 37] = [
    "listen = [",
    "nonsense",
    "a = 1\na = 2",
    "calls = 7",
    "[cals]\ndeadline_ms = 1000",
    "[calls]\ndeadlin_ms = 1000",
    "deadline_ms = 1000",
    "api_key = \"invented\"",
    "[calls]\nsecret = \"invented-secret\"",
    "token = \"invented\"",
    "[calls]\ndeadline_ms = 14000",
    "[calls]\ndeadline_ms = 20000\n[listener]\ndrain_deadline_ms = 21000",
    "[upstream]\nconnect_deadline_ms = 12000",
    "[exchange_v1]\ndeadline_ms = 5000",
    "[exchange_v1]\ndeadline_ms = 2000",
    "[listener]\nmax_connections = 10",
    "[listener]\nmax_connections = 4000",
    "[policy]\nallow_classes = [\"transfer\"]",
    "[policy]\nallow_classes = [\"public\"]",
    "[policy]\nallow_methods = [\"private/create-withdrawal\", \"private/no-such-method\"]",
    "[policy]\nallow_methods = [\"public/get-tickers\", \"nonsense\"]",
    "[policy]\ndeny_methods = [\"private/advanced/*\"]",
    "[policy]\ndeny_classes = [\"read\", \"trade\"]",
    "[public]\nsources = [\"192.0.2.1/24\", \"nonsense\"]",
    "[callers]\nfile = \"no-such.toml\"",
    "[upstream]\nca_file = \"no-such.pem\"",
    "[upstream]\nallow_unknown_base = \"exchange.example\"\nbase_url = \"https://exchange.example/exchange/v1\"",
    "[upstream]\nstream_url = \"ws://stream.crypto.com/exchange/v1\"",
    "[upstream]\nstream_url = \"wss://stream.example/exchange/v1\"",
    "[egress]\nenabled = true\nservices = [\"https://one.example\"]",
    "[egress]\nservices = [\"http://one.example\", \"https://one.example\", \"nonsense\"]",
    "[egress]\ninterval_s = 1\ndeadline_ms = 99999999",
    "[egress]\nexpected = [\"192.0.2.1\", \"192.0.2.1 \", \"x\"]",
    "[log]\nsink = \"file\"",
    "[history]\nenabled = false",
    "allowed_hosts = [\"http://name\", \"name:80\", \"name.example\", \"a b\"]",
    "[streams]\nmax_sockets = 8\nmax_per_caller = 64",
];

/// Files of callers.
const CALLERS: [&str; 8] = [
    "nonsense",
    "[[caller]]",
    "other = 1",
    "[[caller]]\nname = \"one\"\n",
    "[[caller]]\nname = \"One\"\nid = \"00112233445566778899aabb\"\ncreated = \"2026-01-31T00:00:00Z\"\n",
    "[[caller]]\nname = \"default\"\nid = \"00112233445566778899aabb\"\ncreated = \"2026-01-31T00:00:00Z\"\npreset = \"read\"\n",
    "[[caller]]\nname = \"one\"\nid = \"00112233445566778899aabb\"\ncreated = \"2026-01-31T00:00:00Z\"\npreset = \"everything\"\nsources = [\"x\"]\nallow = [\"tra*de\"]\n",
    "[[caller]]\nname = \"one\"\nid = \"x\"\nunknown = 1\n",
];

/// The whole subject.
pub(crate) fn tell() -> String {
    let (mut sheet, house) = (Sheet::default(), House::new());
    good(&mut sheet, &house);
    keys(&mut sheet, &house);
    sheet.heading("configuration files");
    for text in CONFIGURATIONS {
        sheet.title(text);
        house.write("wrong.toml", text);
        problems(&mut sheet, &check(&house, "wrong.toml", &Env::new()));
    }
    sheet.title("no such file");
    problems(&mut sheet, &check(&house, "no-such.toml", &Env::new()));
    sheet.heading("variables");
    for (name, value) in VARIABLES {
        sheet.title(&format!("{name}={value}"));
        problems(
            &mut sheet,
            &check(&house, "config.toml", &pairs(&[(name, value)])),
        );
    }
    credentials(&mut sheet, &house);
    callers(&mut sheet, &house);
    sheet.0
}

fn check(house: &House, config: &str, env: &Env) -> Said {
    house.write_private("crypto.env", &environment(house, &[]));
    let env = [env.clone(), pairs(&[("STATE_DIRECTORY", "state")])].concat();
    // A variable of the environment file would win over the one that is tried.
    let without: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
    house.write_private("crypto.env", &environment(house, &without));
    house.run_with(
        &env,
        &[
            "check",
            "--may-be-taken",
            "--config",
            config,
            "--env-file",
            "crypto.env",
        ],
    )
}

/// The exit code, and what stands under warnings and errors.
fn problems(sheet: &mut Sheet, said: &Said) {
    let out = normal(&said.out);
    let from = ["\nWarnings\n", "\nErrors\n", "\nGood: ", "\nUnusable: "]
        .iter()
        .filter_map(|word| out.find(word))
        .min();
    sheet.line(&format!("exit code {:?}", said.code));
    sheet.line(out[from.unwrap_or(0)..].trim());
    if !said.err.is_empty() {
        sheet.line(&format!("stderr: {}", normal(&said.err)));
    }
}

fn good(sheet: &mut Sheet, house: &House) {
    sheet.heading("a good configuration");
    sheet.said(&check(house, "config.toml", &Env::new()), normal);
    sheet.title("the samples of deploy/, as they are");
    let sample = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(name)
    };
    fs::copy(sample("config.toml"), house.path("sample.toml")).unwrap();
    house.write_private(
        "sample.env",
        &fs::read_to_string(sample("crypto.env.example")).unwrap(),
    );
    sheet.said(
        &house.run(&[
            "check",
            "--may-be-taken",
            "--config",
            "sample.toml",
            "--env-file",
            "sample.env",
        ]),
        normal,
    );
    sheet.title("two environment files");
    house.write_private(
        "other.env",
        "CRYPTO_API_KEY=invented-key-0123456789\nCRYPTO_API_SECRET=invented-secret-0123456789\n",
    );
    let files = [
        "--env-file",
        "crypto.env",
        "--env-file",
        "other.env",
        "--env-file",
        "no-such.env",
    ];
    sheet.said(
        &house.run(
            &[
                &["check", "--may-be-taken", "--config", "config.toml"][..],
                &files,
            ]
            .concat(),
        ),
        normal,
    );
    sheet.title("an environment file that others can read");
    house.write("open.env", &environment(house, &[]));
    problems(
        sheet,
        &house.run(&[
            "check",
            "--may-be-taken",
            "--config",
            "config.toml",
            "--env-file",
            "open.env",
        ]),
    );
}

/// Every setting of the sample: its section, its name, and its default as it stands there.
fn sample_settings() -> Vec<(String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/config.toml");
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        let setting = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "));
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        };
        if let Some((name, value)) = setting.filter(|(name, _)| is_name(name)) {
            found.push((section.clone(), name.to_owned(), value.to_owned()));
        }
    }
    found
}

/// Wrong values for each setting of the sample.
fn keys(sheet: &mut Sheet, house: &House) {
    sheet.heading("each setting with wrong values");
    for (section, name, default) in sample_settings() {
        let wrong: &[&str] = match default.as_bytes()[0] {
            b'"' => &["7", "\"no such thing\"", "[]"],
            b'[' => &["7", "[7]", "[\"no such thing\"]"],
            b't' | b'f' => &["7", "\"perhaps\""],
            _ => &["\"text\"", "-1", "999999999999999"],
        };
        let head = if section.is_empty() {
            String::new()
        } else {
            format!("[{section}]\n")
        };
        for value in wrong {
            sheet.title(&format!("{head}{name} = {value}").replace('\n', " "));
            house.write("wrong.toml", &format!("{head}{name} = {value}\n"));
            problems(sheet, &check(house, "wrong.toml", &Env::new()));
        }
        let dot = if section.is_empty() { "" } else { "__" };
        let variable = format!(
            "CRYPTO_PROXY__{}{dot}{}",
            section.to_uppercase(),
            name.to_uppercase()
        );
        sheet.title(&format!("{variable}=no such thing"));
        problems(
            sheet,
            &check(
                house,
                "config.toml",
                &pairs(&[(&variable, "no such thing")]),
            ),
        );
    }
}

fn credentials(sheet: &mut Sheet, house: &House) {
    sheet.heading("credentials");
    let pair =
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n");
    let arguments = [
        "check",
        "--may-be-taken",
        "--config",
        "config.toml",
        "--env-file",
        "odd.env",
    ];
    for (title, text) in FILES {
        sheet.title(title);
        let text = text
            .replace("{pair}", &pair)
            .replace("{base}", &house.base());
        let based = text.contains("_BASE") || text.contains("0.0.0.0");
        let base = if based {
            String::new()
        } else {
            format!("CRYPTO_REST_BASE={}\n", house.base())
        };
        house.write_private("odd.env", &(text + &base));
        sheet.said(&house.run(&arguments), with_credentials_alone);
    }
    sheet.title("what serve says of the same");
    sheet.said(
        &house.run_with(&Env::new(), &["serve", "--config", "config.toml"]),
        normal,
    );
}

/// Without the settings, which are the same each time.
fn with_credentials_alone(text: &str) -> String {
    let text = normal(text);
    let Some((before, rest)) = text.split_once("\nSettings\n") else {
        return text;
    };
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    format!("{before}\n{after}")
}

fn callers(sheet: &mut Sheet, house: &House) {
    sheet.heading("callers.toml");
    for text in CALLERS {
        sheet.title(text);
        house.write("callers.toml", text);
        problems(sheet, &check(house, "config.toml", &Env::new()));
    }
    fs::remove_file(house.path("callers.toml")).unwrap();
    sheet.title("callers that were issued");
    house.issue("reader", &["--source", "192.0.2.0/24", "--expires", "90d"]);
    house.issue(
        "trader",
        &[
            "--preset",
            "trade",
            "--instrument",
            "BTC_USD",
            "--orders-by-id",
            "--uid",
            "4242",
        ],
    );
    house.issue("monitor", &["--diagnose"]);
    sheet.said(&check(house, "config.toml", &Env::new()), normal);
    sheet.title("no master key");
    fs::remove_file(house.path("state/callers.master")).unwrap();
    problems(sheet, &check(house, "config.toml", &Env::new()));
}
