//! A fuzz body: tokens as they are sent, and claims that somebody with the key has signed.
//!
//! Takes any bytes, and panics where a token is taken that the key has not signed, or that does not say what its
//! claims say.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::jwt::{TOKEN_BYTES_MAX, Verifier};
use super::token::{Token, token_of};
use super::{Identity, TokenError};
use crate::config;

/// A request's token, wherever it stands; with a line feed in it, a header and claims to be signed.
pub fn tokens(input: &[u8]) {
    check_places(input);
    let Ok(text) = str::from_utf8(input) else { return };
    let verifier = VERIFIER.get_or_init(verifier);
    check_sent(verifier, text);
    match text.split_once('\n') {
        Some((header, claims)) => check_signed(verifier, header, claims),
        None => check_signed(verifier, HEADER, text),
    }
}

/// With a secret for HS256, and a public key for EdDSA of which nobody here has the private half.
fn verifier() -> Verifier {
    let variables = [
        ("VESTIBULE_AUTH__ALGORITHMS", r#"["HS256", "EdDSA"]"#),
        ("VESTIBULE_AUTH__HS256_SECRET", SECRET),
        ("VESTIBULE_AUTH__PUBLIC_KEY", PUBLIC_KEY),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = config::load(None, variables).unwrap_or_else(|complaints| panic!("{complaints}"));
    Verifier::new(&config.auth).expect("there are keys")
}

/// What is found in any place is visible ASCII; two places bear one token or none counts; a cookie comes last.
fn check_places(input: &[u8]) {
    let query = str::from_utf8(input).ok();
    let alone = |name: HeaderName| {
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::from_bytes(input).ok().map(|value| (name, value)));
        headers
    };
    let [authorization, subprotocol, cookie] = [AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, COOKIE].map(alone);
    let none = HeaderMap::new();
    let all: HeaderMap = [&authorization, &subprotocol, &cookie]
        .into_iter()
        .flatten()
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let said = [
        token_of(&authorization, None, None),
        token_of(&none, query, None),
        token_of(&subprotocol, None, None),
    ];
    let by_cookie = token_of(&cookie, None, Some(NAME));
    for token in said.iter().chain([&by_cookie]).flatten().flatten() {
        assert!(!token.as_str().is_empty() && token.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert!(by_cookie.iter().flatten().all(Token::by_cookie));
    let together = token_of(&all, query, Some(NAME));
    let first = said.iter().find_map(|one| one.as_ref().err());
    let tokens: Vec<&Token<'_>> = said.iter().flatten().flatten().collect();
    match (first, &tokens[..]) {
        // A later place cannot mend an earlier one, and two that differ may be told before a third is read.
        (Some(_), _) => assert!(together.is_err()),
        (None, []) => assert_eq!(together, by_cookie),
        (None, [token, others @ ..]) if others.iter().all(|other| other == token) => {
            assert_eq!(together.as_ref(), Ok(&Some((*token).clone())));
        }
        (None, _) => assert_eq!(together, Err(TokenError::Several)),
    }
}

/// A token that is taken is signed, to the letter.
fn check_sent(verifier: &Verifier, token: &str) {
    if verifier.verify(token, NOW_S).is_ok() {
        let (message, signature) = token.rsplit_once('.').expect("it was taken apart");
        assert_eq!(signature, sign(message, SECRET), "taken, and signed otherwise");
    }
}

/// With the right signature the claims decide, and with another one nothing does.
fn check_signed(verifier: &Verifier, header: &str, claims: &str) {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let token = format!("{message}.{}", sign(&message, SECRET));
    let verdict = verifier.verify(&token, NOW_S);
    match &verdict {
        Ok(identity) => check_identity(header, claims, identity),
        Err(TokenError::TooLong) => assert!(token.len() > TOKEN_BYTES_MAX),
        Err(TokenError::Signature) => {
            // Ours is HS256's, whatever the header says.
            assert_eq!(members(header)["alg"], "EdDSA");
        }
        Err(_) => {}
    }
    // Of another key, of none, of our own with a digit changed, and of the public key taken for a secret.
    let others = [
        sign(&message, "another"),
        String::new(),
        flipped(&sign(&message, SECRET)),
        sign(&message, PUBLIC_KEY),
    ];
    for other in others {
        match (&verdict, verifier.verify(&format!("{message}.{other}"), NOW_S)) {
            (_, Ok(_)) => panic!("taken with another signature"),
            // The header is read before the signature is; nothing else may be.
            (
                Err(
                    error @ (TokenError::Algorithm
                    | TokenError::Critical
                    | TokenError::Key
                    | TokenError::TooLong),
                ),
                Err(again),
            ) => assert!(again == *error || *error == TokenError::TooLong),
            (Err(TokenError::Malformed), Err(again)) => {
                assert!(matches!(again, TokenError::Malformed | TokenError::Signature));
            }
            (_, Err(again)) => assert_eq!(again, TokenError::Signature),
        }
    }
}

/// The identity is what serde_json reads in header and claims.
fn check_identity(header: &str, claims: &str, identity: &Identity) {
    let (header, claims) = (members(header), members(claims));
    assert!(header["alg"] == "HS256" && header.get("crit").is_none());
    assert_eq!(claims["sub"].as_str(), Some(&*identity.user));
    assert!((1..=256).contains(&identity.user.len()) && !identity.user.contains(char::is_control));
    assert!(claims["exp"].as_f64().is_some_and(|expires_s| expires_s > NOW_S as f64 - 1.0));
    assert!(identity.expires_s.is_some_and(|expires_s| expires_s > NOW_S));
    let rooms: Vec<&str> = identity.rooms.iter().map(config::Pattern::as_str).collect();
    let listed = claims.get("rooms").map_or(&[][..], |rooms| rooms.as_array().expect("a list"));
    assert_eq!(rooms, listed.iter().map(|room| room.as_str().expect("a text")).collect::<Vec<_>>());
    assert!(claims.get("iss").is_none_or(Value::is_string));
    let is_audience =
        |aud: &Value| aud.is_string() || aud.as_array().is_some_and(|all| all.iter().all(Value::is_string));
    assert!(claims.get("aud").is_none_or(is_audience));
    assert!(identity.authenticated);
}

/// The members that count; the verifier judges no other, and a number there may be out of any range.
fn members(object: &str) -> Map<String, Value> {
    let all: HashMap<String, &RawValue> = serde_json::from_str(object).expect("it was read");
    let count = all.into_iter().filter(|(name, _)| COUNT.contains(&&**name));
    count.map(|(name, raw)| (name, serde_json::from_str(raw.get()).expect("it was read"))).collect()
}

fn sign(message: &str, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("HMAC signs anything")
}

/// The signature with another first digit.
fn flipped(signature: &str) -> String {
    let (first, rest) = signature.split_at(1);
    [if first == "A" { "B" } else { "A" }, rest].concat()
}

static VERIFIER: OnceLock<Verifier> = OnceLock::new();
/// Of header and claims.
const COUNT: [&str; 9] = ["alg", "crit", "kid", "sub", "exp", "nbf", "iss", "aud", "rooms"];
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const SECRET: &str = "a-secret-of-thirty-two-bytes-or-so";
/// RFC 8037, appendix A.1.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\
                          -----END PUBLIC KEY-----";
/// Of the cookie.
const NAME: &str = "session";
const NOW_S: u64 = 1_900_000_000;
