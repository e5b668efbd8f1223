//! The transcript: every word that a user, a caller, a monitor or an operator can see, by subject, as golden text.
//!
//! Guarantees: the real binary is run as a black box, against its own stand-in exchange on loopback; nothing of our
//! library is used, so that the code behind the words can change its shape and not its words. What differs from run to
//! run (ports, request ids, times, lengths of time) stands as a placeholder; all else is compared byte for byte.
//! `CRYPTO_PROXY_BINARY` names another binary to run; `UPDATE_TRANSCRIPT=1` rewrites the golden text.
//! Does not: judge. A difference may be meant; then it is seen in review.
#![cfg(test)]

mod calls;
mod commands;
mod diagnosis;
mod door;
mod files;
mod golden;
mod house;
mod http;
mod log;
mod normal;
mod page;
mod process;
mod routes;
mod settings;
mod shape;
mod signing;
mod streams;
mod websocket;

/// One test for each subject, named as its golden file.
macro_rules! subjects {
    ($($name:ident: $tell:path,)*) => {$(
        #[test]
        fn $name() {
            golden::compare(stringify!($name), &$tell());
        }
    )*};
}

subjects! {
    calls: calls::tell,
    callers: files::callers,
    codes: diagnosis::codes,
    commands: commands::tell,
    diagnosis: diagnosis::tell,
    exchange_door: door::tell,
    history: files::history,
    log: log::tell,
    routes: routes::tell,
    settings: settings::tell,
    status_page: page::tell,
    streams: streams::tell,
    support_bundle: files::support_bundle,
}
