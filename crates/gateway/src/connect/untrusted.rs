//! Why TLS was not agreed on, in words, for a probe.
//!
//! The verdict is that of rustls's own verifier. This one adds who signed the certificate, as the certificate itself says:
//! what breaks TLS open on the way (a company's proxy, a captive page) mostly gives its name there. Guarantees: a name is
//! short; no input makes the reader panic or read on for ever. Does not: decide anything by a name, or clean it for a
//! terminal; who shows it does.

use std::{fmt, io, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, InvalidMessage, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Characters of a name that are shown; one that is longer is cut.
const MAX_NAME: usize = 64;

/// Verifies as the one inside does, and says who signed what is refused.
#[derive(Debug)]
pub(super) struct NamesIssuer(pub(super) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NamesIssuer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(Error::InvalidCertificate(why)) = judged {
            let issuer = issuer_of(end_entity);
            let untrusted = OtherError(Arc::new(Untrusted { issuer, why }));
            return Err(Error::InvalidCertificate(CertificateError::Other(
                untrusted,
            )));
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// A certificate that was refused.
#[derive(Debug)]
struct Untrusted {
    issuer: Option<String>,
    why: CertificateError,
}

impl std::error::Error for Untrusted {}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate")?;
        if let Some(issuer) = &self.issuer {
            write!(f, ", signed by \"{issuer}\",")?;
        }
        use CertificateError as Why;
        if matches!(self.why, Why::UnknownIssuer) {
            return f.write_str(" is of an issuer that no trust root here knows");
        }
        if matches!(self.why, Why::BadSignature) {
            let said = " is not signed by the issuer of that name that is trusted here";
            return f.write_str(said);
        }
        if matches!(self.why, Why::Expired | Why::ExpiredContext { .. }) {
            return f.write_str(" has expired, by this host's clock");
        }
        if matches!(self.why, Why::NotValidYet | Why::NotValidYetContext { .. }) {
            return f.write_str(" is not valid yet, by this host's clock");
        }
        if matches!(
            self.why,
            Why::NotValidForName | Why::NotValidForNameContext { .. }
        ) {
            return f.write_str(" is for another name");
        }
        write!(f, " is not accepted: {:?}", self.why)
    }
}

/// Why a handshake failed, in words.
pub(super) fn why(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        None => words(error),
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(untrusted)))) => {
            untrusted.to_string()
        }
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the peer does not speak TLS".to_owned()
        }
        Some(other) => other.to_string(),
    }
}

/// What the system says, without its number.
pub(super) fn words(error: &io::Error) -> String {
    let said = error.to_string();
    let said = said.split(" (os error").next().unwrap_or_default();
    // As in the middle of a sentence.
    let mut chars = said.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
/// UTF-8, printable, and ASCII texts.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The common name of whoever signed a certificate, or the organisation (RFC 5280, 4.1).
fn issuer_of(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = take(SEQUENCE, certificate)?;
    let (mut rest, _) = take(SEQUENCE, certificate)?;
    if let Some((_, after)) = take(VERSION, rest) {
        rest = after;
    }
    let (_, _serial, rest) = element(rest)?;
    let (_algorithm, rest) = take(SEQUENCE, rest)?;
    let (issuer, _) = take(SEQUENCE, rest)?;
    attribute(issuer, COMMON_NAME).or_else(|| attribute(issuer, ORGANISATION))
}

/// The text of one attribute of a distinguished name.
fn attribute(mut name: &[u8], wanted: &[u8]) -> Option<String> {
    while let Some((set, rest)) = take(SET, name) {
        name = rest;
        let Some((id, value)) = take(SEQUENCE, set).and_then(|(pair, _)| take(OBJECT_ID, pair))
        else {
            continue;
        };
        if id == wanted {
            let (tag, text, _) = element(value)?;
            let text = str::from_utf8(text).ok().filter(|_| TEXTS.contains(&tag))?;
            return Some(text.chars().take(MAX_NAME).collect());
        }
    }
    None
}

/// The content of the first element, where it is of this kind, and what follows it.
fn take(kind: u8, from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(from)?;
    (tag == kind).then_some((content, rest))
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(from: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, from) = from.split_first()?;
    let (length, from) = from.split_first()?;
    let (length, from) = match length {
        0..=0x7f => (usize::from(*length), from),
        // So many bytes of length; no certificate needs more than three.
        0x81..=0x83 => {
            let (bytes, from) = from.split_at_checked(usize::from(*length - 0x80))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, from)
        }
        _ => return None,
    };
    let (content, rest) = from.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    fn attribute_of(id: &[u8], kind: u8, text: &[u8]) -> Vec<u8> {
        let pair = der(SEQUENCE, &[&der(OBJECT_ID, &[id]), &der(kind, &[text])]);
        der(SET, &[&pair])
    }

    fn certificate(issuer: &[Vec<u8>]) -> Vec<u8> {
        let issuer: Vec<&[u8]> = issuer.iter().map(Vec::as_slice).collect();
        let parts = [
            der(VERSION, &[&[2, 1, 2]]),
            der(2, &[&[7]]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &issuer),
        ];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        der(SEQUENCE, &[&der(SEQUENCE, &parts)])
    }

    #[test]
    fn an_issuer_is_its_common_name_or_its_organisation() {
        let (name, organisation) = (
            attribute_of(COMMON_NAME, 0x0c, "Ünsinn CA".as_bytes()),
            attribute_of(ORGANISATION, 0x13, b"Invented Ltd"),
        );
        let both = certificate(&[organisation.clone(), name]);
        assert_eq!(issuer_of(&both).as_deref(), Some("Ünsinn CA"));
        let one = certificate(&[organisation]);
        assert_eq!(issuer_of(&one).as_deref(), Some("Invented Ltd"));
        assert_eq!(issuer_of(&certificate(&[])), None);
        let long = certificate(&[attribute_of(COMMON_NAME, 0x0c, &[b'x'; 4000])]);
        assert_eq!(issuer_of(&long).unwrap().len(), MAX_NAME);
        let odd = certificate(&[attribute_of(COMMON_NAME, 0x1e, &[0, b'x'])]);
        assert_eq!(issuer_of(&odd), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_issuer_and_nothing_panics() {
        let whole = certificate(&[attribute_of(COMMON_NAME, 0x0c, b"a name")]);
        for length in 0..whole.len() {
            assert_eq!(issuer_of(&whole[..length]), None, "{length}");
        }
        for position in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut odd = whole.clone();
                odd[position] = byte;
                let _ = issuer_of(&odd);
            }
        }
    }

    #[test]
    fn the_systems_words_have_no_number() {
        for (number, said) in [
            (111, "connection refused"),
            (104, "connection reset by peer"),
            (113, "no route to host"),
            (101, "network is unreachable"),
        ] {
            assert_eq!(words(&io::Error::from_raw_os_error(number)), said);
        }
        assert_eq!(
            words(&io::ErrorKind::UnexpectedEof.into()),
            "unexpected end of file"
        );
    }
}
