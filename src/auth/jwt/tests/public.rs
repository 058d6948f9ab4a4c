//! Tokens signed with private keys, and which of several public keys is theirs.
//!
//! The keys are those of the RFCs' examples, private halves and all; the configuration reads the public ones as an
//! operator's.

use std::io::Write;

use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

const CLAIMS: &str = r#"{"sub":"ada","exp":2000000000}"#;

/// RFC 7515 appendix A.2.1.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd\
    2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapH\
    g665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515 appendix A.3.1.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const EC_D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
/// RFC 8037 appendix A.1.
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// RFC 8032 section 7.1, TEST 2: somebody else's.
const OTHER_X: &str = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw";

fn raw(digits: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(digits).expect("base64url")
}

/// What a key makes of a message, in base64url.
type Sign = fn(&[u8]) -> String;

fn rsa_key() -> EncodingKey {
    let digits: String = include_str!("rfc7515-a2.base64").split_whitespace().collect();
    EncodingKey::from_rsa_der(&STANDARD.decode(digits).expect("base64"))
}

fn rs256(message: &[u8]) -> String {
    crypto::sign(message, &rsa_key(), Algorithm::RS256).expect("a signature")
}

fn ps256(message: &[u8]) -> String {
    crypto::sign(message, &rsa_key(), Algorithm::PS256).expect("a signature")
}

fn es256(message: &[u8]) -> String {
    // PKCS #8 around RFC 5915, both keys in it.
    let head = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\
                 \x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
    let middle = b"\xa1\x44\x03\x42\x00\x04";
    let key = [&head[..], &raw(EC_D), &middle[..], &raw(EC_X), &raw(EC_Y)].concat();
    crypto::sign(message, &EncodingKey::from_ec_der(&key), Algorithm::ES256).expect("a signature")
}

fn eddsa(message: &[u8]) -> String {
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let key = [&head[..], &raw(ED_D)].concat();
    crypto::sign(message, &EncodingKey::from_ed_der(&key), Algorithm::EdDSA).expect("a signature")
}

fn token(header: &str, sign: Sign) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(CLAIMS));
    format!("{message}.{}", sign(message.as_bytes()))
}

fn rsa_jwk() -> Value {
    json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB", "kid": "rsa" })
}

fn ec_jwk() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y, "kid": "ec" })
}

fn ed_jwk(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": ED_X, "kid": kid })
}

fn nameless_jwk() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": ED_X })
}

fn other_jwk(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": OTHER_X, "kid": kid })
}

/// A key of a set as PEM.
fn pem(jwk: &Value, algorithm: &str) -> String {
    let set = json!({ "keys": [jwk] }).to_string();
    let der = STANDARD.encode(loaded("JWKS_FILE", &set, &[algorithm]).public_keys[0].der());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

/// The configuration with this key or set.
fn loaded(key: &str, text: &str, algorithms: &[&str]) -> Auth {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a file takes text");
    let path = file.path().to_str().expect("a path").to_owned();
    let algorithms = serde_json::to_string(algorithms).expect("words have a JSON form");
    let env =
        [(format!("VESTIBULE_AUTH__{key}"), path), ("VESTIBULE_AUTH__ALGORITHMS".to_owned(), algorithms)];
    config::load(None, env).unwrap_or_else(|complaints| panic!("{complaints}")).auth
}

fn by_pem(pem: &str, algorithm: &str) -> Verifier {
    Verifier::new(&loaded("PUBLIC_KEY_FILE", pem, &[algorithm])).expect("there is a key")
}

fn by_set(keys: &[Value], algorithms: &[&str]) -> Verifier {
    let set = json!({ "keys": keys }).to_string();
    Verifier::new(&loaded("JWKS_FILE", &set, algorithms)).expect("there is a key")
}

fn verdict(verifier: &Verifier, token: &str) -> Result<(), TokenError> {
    verifier.verify(token, NOW).map(|identity| assert_eq!(&*identity.user, "ada"))
}

/// The claims of RFC 7515's examples name no `sub`: a token of theirs that comes as far as that is signed well.
const WELL_SIGNED: Result<(), TokenError> = Err(TokenError::Missing("sub"));
const RFC_7515_CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_rs256_example_of_rfc_7515_is_signed_well() {
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJ\
                     dbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383L\
                     cOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVm\
                     tVrBp0igcN_IoypGlUPQGe77Rw";
    let verifier = by_set(&[rsa_jwk()], &["RS256"]);
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{RFC_7515_CLAIMS}.{signature}");
    assert_eq!(verdict(&verifier, &token), WELL_SIGNED);
    assert_eq!(verdict(&verifier, &token.replace(".cC4h", ".dC4h")), Err(TokenError::Signature));
}

#[test]
fn the_es256_example_of_rfc_7515_is_signed_well() {
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{RFC_7515_CLAIMS}.{signature}");
    assert_eq!(verdict(&by_set(&[ec_jwk()], &["ES256"]), &token), WELL_SIGNED);
}

#[test]
fn the_example_of_rfc_8037_is_signed_well() {
    // Its payload is no JSON: a token that is read as far as that is signed well.
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbh\
                 ijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let verifier = by_set(&[ed_jwk("a")], &["EdDSA"]);
    assert_eq!(verdict(&verifier, token), Err(TokenError::Malformed));
    assert_eq!(verdict(&verifier, &token.replace(".hgyY", ".igyY")), Err(TokenError::Signature));
}

#[test]
fn each_algorithm_takes_its_own_signatures() {
    let cases: [(&str, Value, Sign); 3] =
        [("RS256", rsa_jwk(), rs256), ("ES256", ec_jwk(), es256), ("EdDSA", ed_jwk("ed"), eddsa)];
    for (algorithm, jwk, sign) in &cases {
        let verifier = by_pem(&pem(jwk, algorithm), algorithm);
        let good = token(&format!(r#"{{"alg":"{algorithm}"}}"#), *sign);
        assert_eq!(verdict(&verifier, &good), Ok(()), "{algorithm}");
        for (other, _, sign) in cases.iter().filter(|(other, ..)| other != algorithm) {
            let said = token(&format!(r#"{{"alg":"{other}"}}"#), *sign);
            assert_eq!(verdict(&verifier, &said), Err(TokenError::Algorithm), "{other} to {algorithm}");
            let lied = token(&format!(r#"{{"alg":"{algorithm}"}}"#), *sign);
            assert_eq!(verdict(&verifier, &lied), Err(TokenError::Signature), "{other} as {algorithm}");
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // CVE-2015-9235: HS256 with the text of the public key, which everybody has.
    for (algorithm, jwk) in [("RS256", rsa_jwk()), ("ES256", ec_jwk()), ("EdDSA", ed_jwk("ed"))] {
        let pem = pem(&jwk, algorithm);
        let verifier = by_pem(&pem, algorithm);
        for secret in [pem.as_bytes(), pem.trim().as_bytes()] {
            for alg in ["HS256", algorithm] {
                let token = signed(&format!(r#"{{"alg":"{alg}"}}"#), CLAIMS, secret, Algorithm::HS256);
                assert!(verdict(&verifier, &token).is_err(), "{alg}");
            }
        }
        for alg in ["none", "None", "HS256", "ES384", "RS512", "PS256", "ES256K", "Ed25519"] {
            let token = token(&format!(r#"{{"alg":"{alg}"}}"#), rs256);
            assert_eq!(verdict(&verifier, &token), Err(TokenError::Algorithm), "{alg}");
            let unsigned = &token[..=token.rfind('.').expect("two dots")];
            assert_eq!(verdict(&verifier, unsigned), Err(TokenError::Algorithm), "{alg}");
        }
        let unsigned = token(&format!(r#"{{"alg":"{algorithm}"}}"#), |_| String::new());
        assert_eq!(verdict(&verifier, &unsigned), Err(TokenError::Signature));
    }
}

#[test]
fn another_padding_or_encoding_is_another_signature() {
    let verifier = by_set(&[rsa_jwk(), ec_jwk(), ed_jwk("ed")], &["RS256", "ES256", "EdDSA"]);
    assert_eq!(verdict(&verifier, &token(r#"{"alg":"RS256"}"#, ps256)), Err(TokenError::Signature));
    let asn1: Sign = |message| {
        let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
        let signature = raw(&es256(message));
        let (r, s) = signature.split_at(32);
        URL_SAFE_NO_PAD.encode([vec![0x30, 70], number(r), number(s)].concat())
    };
    // CVE-2022-21449: zeros, which a careless check takes for anything.
    let zeros: Sign = |_| URL_SAFE_NO_PAD.encode([0; 64]);
    let padded: Sign = |message| es256(message) + "==";
    for (alg, sign) in [("ES256", asn1), ("ES256", zeros), ("ES256", padded), ("EdDSA", zeros)] {
        let token = token(&format!(r#"{{"alg":"{alg}"}}"#), sign);
        assert_eq!(verdict(&verifier, &token), Err(TokenError::Signature), "{alg}");
    }
}

#[test]
fn of_several_keys_the_kid_chooses() {
    let verifier = by_set(&[other_jwk("old"), ed_jwk("new")], &["EdDSA"]);
    for (header, expected) in [
        (r#"{"alg":"EdDSA","kid":"new"}"#, Ok(())),
        (r#"{"alg":"EdDSA","kid":"old"}"#, Err(TokenError::Signature)),
        (r#"{"alg":"EdDSA","kid":"gone"}"#, Err(TokenError::Key)),
        (r#"{"alg":"EdDSA","kid":""}"#, Err(TokenError::Key)),
        (r#"{"alg":"EdDSA","kid":"NEW"}"#, Err(TokenError::Key)),
        (r#"{"alg":"EdDSA"}"#, Err(TokenError::Key)),
        (r#"{"alg":"EdDSA","kid":null}"#, Err(TokenError::Malformed)),
        (r#"{"alg":"EdDSA","kid":5}"#, Err(TokenError::Malformed)),
        (r#"{"alg":"EdDSA","kid":["new"]}"#, Err(TokenError::Malformed)),
        (r#"{"alg":"EdDSA","kid":"old","kid":"new"}"#, Err(TokenError::Malformed)),
    ] {
        assert_eq!(verdict(&verifier, &token(header, eddsa)), expected, "{header}");
    }
}

#[test]
fn without_a_kid_the_only_key_of_the_algorithm_is_meant() {
    let two = by_set(&[rsa_jwk(), ed_jwk("ed")], &["EdDSA", "RS256"]);
    assert_eq!(verdict(&two, &token(r#"{"alg":"EdDSA"}"#, eddsa)), Ok(()));
    assert_eq!(verdict(&two, &token(r#"{"alg":"EdDSA","kid":"rsa"}"#, eddsa)), Err(TokenError::Key));
    assert_eq!(verdict(&two, &token(r#"{"alg":"RS256","kid":"ed"}"#, rs256)), Err(TokenError::Key));
    let one = by_set(&[rsa_jwk(), ed_jwk("ed")], &["EdDSA"]);
    assert_eq!(verdict(&one, &token(r#"{"alg":"RS256","kid":"rsa"}"#, rs256)), Err(TokenError::Algorithm));
}

#[test]
fn a_key_without_a_name_is_meant_by_any() {
    let header = r#"{"alg":"EdDSA","kid":"2026"}"#;
    assert_eq!(verdict(&by_pem(&pem(&nameless_jwk(), "EdDSA"), "EdDSA"), &token(header, eddsa)), Ok(()));
    assert_eq!(verdict(&by_set(&[nameless_jwk()], &["EdDSA"]), &token(header, eddsa)), Ok(()));
    let beside = by_set(&[other_jwk("old"), nameless_jwk()], &["EdDSA"]);
    assert_eq!(verdict(&beside, &token(header, eddsa)), Ok(()));
    assert_eq!(verdict(&beside, &token(r#"{"alg":"EdDSA","kid":"old"}"#, eddsa)), Err(TokenError::Signature));
    assert_eq!(verdict(&beside, &token(r#"{"alg":"EdDSA"}"#, eddsa)), Err(TokenError::Key));
}

#[test]
fn a_key_in_the_header_is_not_looked_at() {
    let verifier = by_set(&[other_jwk("a")], &["EdDSA"]);
    let own = ed_jwk("a");
    for extra in [
        format!(r#""jwk":{own}"#),
        format!(r#""kid":"a","jwk":{own}"#),
        r#""jku":"http://127.0.0.1:1/keys""#.to_owned(),
        r#""x5u":"http://127.0.0.1:1/cert""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
    ] {
        let forged = token(&format!(r#"{{"alg":"EdDSA",{extra}}}"#), eddsa);
        assert_eq!(verdict(&verifier, &forged), Err(TokenError::Signature), "{extra}");
    }
}
