//! Tokens, good and forged. What is signed here is signed with jsonwebtoken's HMAC over literal JSON.

mod public;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;

use super::*;
use crate::config::{Auth, Config, Secret};

const SECRET: &[u8] = b"a-secret-of-thirty-two-bytes-or-so";
const NOW: u64 = 1_900_000_000;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Of ada, until 2000000000, for `chat:*` and `user:{user}`; made with Python's hmac.
const ADA: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjIwMDAwMDAwMDAsInJvb21zIjpbImNo\
                   YXQ6KiIsInVzZXI6e3VzZXJ9Il19.GHvpnrqvEv9yv0JXI8PInffY5D1n3q_U2H_t5C15DKg";

fn auth() -> Auth {
    Auth { hs256_secret: Some(Secret::new(SECRET)), ..Config::default().auth }
}

fn verify(token: &str) -> Result<Identity, TokenError> {
    Verifier::new(&auth()).expect("there is a key").verify(token, NOW)
}

/// A token of `user` for `rooms`, as [`mint`] makes it.
fn minted(secret: &[u8], user: &str, rooms: &[String], exp: u64) -> String {
    mint(secret, &Minted { sub: user, exp, rooms, aud: None, iss: None })
}

fn signed(header: &str, claims: &str, secret: &[u8], algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, algorithm).expect("HMAC signs anything");
    format!("{message}.{signature}")
}

fn with_header(header: &str) -> Result<Identity, TokenError> {
    verify(&signed(header, r#"{"sub":"ada","exp":2000000000}"#, SECRET, Algorithm::HS256))
}

fn with_claims(claims: &str) -> Result<Identity, TokenError> {
    verify(&signed(HEADER, claims, SECRET, Algorithm::HS256))
}

fn with_claim(claim: &str) -> Result<Identity, TokenError> {
    with_claims(&format!(r#"{{"sub":"ada","exp":2000000000,{claim}}}"#))
}

#[test]
fn a_good_token_is_an_identity() {
    let identity = verify(ADA).expect("a good token");
    assert_eq!((&*identity.user, identity.expires_s), ("ada", Some(2_000_000_000)));
    let rooms: Vec<&str> = identity.rooms.iter().map(Pattern::as_str).collect();
    assert_eq!(rooms, ["chat:*", "user:{user}"]);
    assert!(identity.authenticated);
}

#[test]
fn all_claims_of_a_good_token_can_be_had_as_they_were_signed() {
    let verifier = Verifier::new(&auth()).expect("there is a key");
    let claims = r#" {"sub":"ada", "exp":2000000000,"plan":{"seats":[1, 2.50]},"plan":"é"}
"#;
    let token = signed(HEADER, claims, SECRET, Algorithm::HS256);
    let (identity, told) = verifier.verify_with_claims(&token, NOW).expect("a good token");
    assert_eq!((Ok(identity), &*told), (verify(&token), claims.trim()));
    let late = verifier.verify_with_claims(&token, 2_000_000_000);
    assert_eq!(late, Err(TokenError::Expired));
    let forged = signed(HEADER, claims, b"another-secret-of-thirty-two-bytes", Algorithm::HS256);
    assert_eq!(verifier.verify_with_claims(&forged, NOW), Err(TokenError::Signature));

    let bytes = [&br#"{"sub":"ada","exp":2000000000,"plan":""#[..], b"\xff\"}"].concat();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(bytes));
    let key = EncodingKey::from_secret(SECRET);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("HMAC signs anything");
    let token = format!("{message}.{signature}");
    assert_eq!(verifier.verify_with_claims(&token, NOW), Err(TokenError::Malformed), "no JSON text");
}

#[test]
fn what_is_minted_is_verified() {
    let ada = minted(SECRET, "ada", &["chat:*".into(), "user:{user}".into()], 2_000_000_000);
    assert_eq!(verify(&ada), verify(ADA));
    let identity = verify(&minted(SECRET, "bob", &[], NOW + 1)).expect("a good token");
    assert_eq!((&*identity.user, identity.rooms.len()), ("bob", 0));
}

#[test]
fn another_key_is_refused() {
    let token = minted(b"another-secret-of-thirty-two-bytes", "ada", &[], NOW + 1);
    assert_eq!(verify(&token), Err(TokenError::Signature));
}

#[test]
fn no_algorithm_but_hs256_is_taken_even_if_our_secret_signed() {
    let claims = r#"{"sub":"ada","exp":2000000000}"#;
    for alg in
        ["none", "None", "NONE", "", "RS256", "ES256", "PS256", "EdDSA", "HS384", "HS512", "hs256", "HS256 "]
    {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        let token = signed(&header, claims, SECRET, Algorithm::HS256);
        assert_eq!(verify(&token), Err(TokenError::Algorithm), "{alg}");
        let unsigned = &token[..=token.rfind('.').expect("two dots")];
        assert_eq!(verify(unsigned), Err(TokenError::Algorithm), "{alg}");
    }
    let token = signed(r#"{"alg":"HS512"}"#, claims, SECRET, Algorithm::HS512);
    assert_eq!(verify(&token), Err(TokenError::Algorithm));
}

#[test]
fn hs256_said_of_another_mac_or_of_none_is_refused() {
    let claims = r#"{"sub":"ada","exp":2000000000}"#;
    let token = signed(HEADER, claims, SECRET, Algorithm::HS512);
    assert_eq!(verify(&token), Err(TokenError::Signature));
    let unsigned = &token[..=token.rfind('.').expect("two dots")];
    assert_eq!(verify(unsigned), Err(TokenError::Signature));
}

#[test]
fn a_key_in_the_header_has_no_influence() {
    let theirs = b"a-key-that-the-attacker-has-chosen";
    let k = URL_SAFE_NO_PAD.encode(theirs);
    for extra in [
        format!(r#""jwk":{{"kty":"oct","k":"{k}"}}"#),
        r#""jku":"https://evil.example/keys""#.to_owned(),
        r#""x5u":"https://evil.example/cert""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
        r#""kid":"../../dev/null""#.to_owned(),
        r#""kid":"another","jwk":[]"#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"HS256",{extra}}}"#);
        let forged = signed(&header, r#"{"sub":"ada","exp":2000000000}"#, theirs, Algorithm::HS256);
        assert_eq!(verify(&forged), Err(TokenError::Signature), "{extra}");
        assert!(with_header(&header).is_ok(), "{extra}");
    }
}

#[test]
fn a_critical_extension_is_refused() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "1"] {
        assert_eq!(
            with_header(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#)),
            Err(TokenError::Critical),
            "{crit}"
        );
    }
}

#[test]
fn a_header_that_is_no_object_with_one_alg_is_refused() {
    for header in ["", "{}", r#"["HS256"]"#, r#""HS256""#, "null", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#]
    {
        assert_eq!(with_header(header), Err(TokenError::Malformed), "{header}");
    }
    assert_eq!(with_header(r#"{"alg":"HS256","alg":"none"}"#), Err(TokenError::Malformed));
    assert_eq!(with_header(r#"{"alg":"none","\u0061lg":"HS256"}"#), Err(TokenError::Malformed));
    assert_eq!(with_header("{\"alg\":\"HS256\"}x"), Err(TokenError::Malformed));
}

#[test]
fn claims_that_are_no_object_are_refused() {
    for claims in
        ["", "1", r#"["ada",2000000000]"#, r#"{"sub":"ada","exp":2000000000"#, "{\"sub\":\"\u{0}\"}"]
    {
        assert_eq!(with_claims(claims), Err(TokenError::Malformed), "{claims}");
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    for again in
        [r#""exp":2000000000"#, r#""sub":"bob""#, r#""\u0073ub":"bob""#, r#""rooms":[],"rooms":["*"]"#]
    {
        assert_eq!(with_claim(again), Err(TokenError::Malformed), "{again}");
    }
    assert!(with_claim(r#""role":"a","role":"b""#).is_ok(), "a claim that is not looked at");
}

#[test]
fn exp_is_required_and_a_number() {
    assert_eq!(with_claims(r#"{"sub":"ada"}"#), Err(TokenError::Missing("exp")));
    for exp in [r#""2000000000""#, "null", "true", "[2000000000]", "{}"] {
        let claims = format!(r#"{{"sub":"ada","exp":{exp}}}"#);
        assert_eq!(with_claims(&claims), Err(TokenError::Claim("exp")), "{exp}");
    }
    assert_eq!(with_claims(r#"{"sub":"ada","exp":1e999}"#), Err(TokenError::Malformed), "no number at all");
}

#[test]
fn a_token_holds_until_the_second_of_its_exp() {
    for (exp, verdict) in [
        ("1900000001", Ok(1_900_000_001)),
        ("1900000000.5", Ok(1_900_000_001)),
        ("1.900000001e9", Ok(1_900_000_001)),
        ("1900000000", Err(TokenError::Expired)),
        ("1899999999.9", Err(TokenError::Expired)),
        ("0", Err(TokenError::Expired)),
        ("-1", Err(TokenError::Expired)),
        ("-1e300", Err(TokenError::Expired)),
        ("1e300", Ok(253_402_300_799)),
        ("18446744073709551615", Ok(253_402_300_799)),
        ("18446744073709551616", Ok(253_402_300_799)),
    ] {
        let identity = with_claims(&format!(r#"{{"sub":"ada","exp":{exp}}}"#));
        assert_eq!(identity.map(|identity| identity.expires_s), verdict.map(Some), "{exp}");
    }
}

#[test]
fn nbf_is_a_number_at_most_a_minute_ahead() {
    for nbf in ["0", "-5", "1900000000", "1900000060", "1900000059.5"] {
        assert!(with_claim(&format!(r#""nbf":{nbf}"#)).is_ok(), "{nbf}");
    }
    for nbf in ["1900000061", "1900000060.5", "1e300"] {
        assert_eq!(with_claim(&format!(r#""nbf":{nbf}"#)), Err(TokenError::Early), "{nbf}");
    }
    for nbf in ["null", r#""0""#, "false", "[]"] {
        assert_eq!(with_claim(&format!(r#""nbf":{nbf}"#)), Err(TokenError::Claim("nbf")), "{nbf}");
    }
}

#[test]
fn sub_is_required_and_a_short_name() {
    assert_eq!(with_claims(r#"{"exp":2000000000}"#), Err(TokenError::Missing("sub")));
    let (longest, longer) = ("é".repeat(128), "é".repeat(128) + "a");
    for sub in ["\"\"", "null", "7", "[\"ada\"]", r#""a\u0000b""#, r#""a\nb""#, r#""\u007f""#, r#""\u0085""#]
    {
        let claims = format!(r#"{{"sub":{sub},"exp":2000000000}}"#);
        assert_eq!(with_claims(&claims), Err(TokenError::Claim("sub")), "{sub}");
    }
    let claims = |sub: &str| format!(r#"{{"sub":"{sub}","exp":2000000000}}"#);
    assert_eq!(with_claims(&claims(&longer)), Err(TokenError::Claim("sub")));
    assert_eq!(&*with_claims(&claims(&longest)).expect("256 bytes").user, longest);
}

#[test]
fn rooms_is_an_array_of_patterns() {
    for rooms in
        ["null", r#""chat:*""#, "{}", "[1]", "[null]", r#"["chat:*",["a"]]"#, r#"[""]"#, r#"["a*b"]"#]
    {
        assert_eq!(with_claim(&format!(r#""rooms":{rooms}"#)), Err(TokenError::Claim("rooms")), "{rooms}");
    }
    assert_eq!(with_claim(r#""rooms":[]"#).expect("no rooms").rooms.len(), 0);
    let list = |count: usize| format!(r#""rooms":[{}]"#, vec![r#""a""#; count].join(","));
    assert_eq!(with_claim(&list(256)).expect("as many as may be").rooms.len(), 256);
    assert_eq!(with_claim(&list(257)), Err(TokenError::Claim("rooms")));
}

#[test]
fn what_is_wrong_with_a_claim_counts_before_the_time() {
    let claims = r#"{"sub":"ada","exp":1,"rooms":"*"}"#;
    assert_eq!(with_claims(claims), Err(TokenError::Claim("rooms")));
}

#[test]
fn audience_and_issuer_count_only_where_they_are_asked_for() {
    assert!(with_claim(r#""aud":["else"],"iss":"somebody""#).is_ok());
    assert!(with_claim(r#""aud":[]"#).is_ok());
}

#[test]
fn audience_and_issuer_are_texts_even_where_nobody_asks() {
    for aud in ["null", "5", "{}", "[5]", r#"["edge",null]"#] {
        assert_eq!(with_claim(&format!(r#""aud":{aud}"#)), Err(TokenError::Claim("aud")), "{aud}");
    }
    for iss in ["null", "5", r#"["https://id.example"]"#] {
        assert_eq!(with_claim(&format!(r#""iss":{iss}"#)), Err(TokenError::Claim("iss")), "{iss}");
    }
    assert_eq!(with_claim(r#""aud":"edge","aud":"edge""#), Err(TokenError::Malformed));
}

#[test]
fn an_audience_that_is_asked_for_is_named_or_listed() {
    let asking = Auth { audience: Some("edge".to_owned()), ..auth() };
    let verdict = |claims: &str| {
        let claims = format!(r#"{{"sub":"ada","exp":2000000000{claims}}}"#);
        let token = signed(HEADER, &claims, SECRET, Algorithm::HS256);
        Verifier::new(&asking).expect("there is a key").verify(&token, NOW).map(|_| ())
    };
    assert_eq!(verdict(""), Err(TokenError::Missing("aud")));
    for aud in [r#""edge""#, r#"["edge"]"#, r#"["api","edge"]"#] {
        assert_eq!(verdict(&format!(r#","aud":{aud}"#)), Ok(()), "{aud}");
    }
    for aud in [r#""Edge""#, r#""edge ""#, r#""""#, "[]", r#"["api"]"#, r#"["edge2","api"]"#] {
        assert_eq!(verdict(&format!(r#","aud":{aud}"#)), Err(TokenError::Audience), "{aud}");
    }
    assert_eq!(verdict(r#","aud":["edge",5]"#), Err(TokenError::Claim("aud")));
}

#[test]
fn an_issuer_that_is_asked_for_is_named() {
    let asking = Auth { issuer: Some("https://id.example".to_owned()), ..auth() };
    let verdict = |claims: &str| {
        let claims = format!(r#"{{"sub":"ada","exp":2000000000{claims}}}"#);
        let token = signed(HEADER, &claims, SECRET, Algorithm::HS256);
        Verifier::new(&asking).expect("there is a key").verify(&token, NOW).map(|_| ())
    };
    assert_eq!(verdict(""), Err(TokenError::Missing("iss")));
    assert_eq!(verdict(r#","iss":"https://id.example""#), Ok(()));
    assert_eq!(verdict(r#","iss":"https://id.example/""#), Err(TokenError::Issuer));
    assert_eq!(verdict(r#","iss":"""#), Err(TokenError::Issuer));
    let minted = mint(
        SECRET,
        &Minted { sub: "ada", exp: NOW + 1, rooms: &[], aud: Some("x"), iss: Some("https://id.example") },
    );
    assert!(Verifier::new(&asking).expect("there is a key").verify(&minted, NOW).is_ok());
}

#[test]
fn a_text_of_another_shape_is_no_token() {
    for token in ["", ".", "..", "a.b", "a.b.c.d", "eyJhbGciOiJIUzI1NiJ9", " "] {
        assert_eq!(verify(token), Err(TokenError::Malformed), "{token:?}");
    }
    let padded = ADA.replacen('.', "=.", 1);
    assert_eq!(verify(&padded), Err(TokenError::Malformed));
}

#[test]
fn a_token_of_more_than_eight_kib_is_not_looked_at() {
    let token = |pad: usize| {
        let claims = format!(r#"{{"sub":"ada","exp":2000000000,"pad":"{}"}}"#, "x".repeat(pad));
        signed(HEADER, &claims, SECRET, Algorithm::HS256)
    };
    let fits = (6000..6144).rev().map(token).find(|token| token.len() <= 8192).expect("one fits");
    assert!(fits.len() > 8188 && verify(&fits).is_ok());
    assert_eq!(verify(&token(6144)), Err(TokenError::TooLong));
}

#[test]
fn a_verifier_needs_a_key_and_its_algorithm() {
    let none = Auth { hs256_secret: None, ..auth() };
    let empty = Auth { hs256_secret: Some(Secret::new(b"")), ..auth() };
    let other = Auth { algorithms: vec![config::Algorithm::Rs256], ..auth() };
    for auth in [none, empty, other] {
        assert_eq!(Verifier::new(&auth).err(), Some(NoVerifier));
    }
}

#[test]
fn neither_verifier_nor_error_shows_a_secret() {
    let shown = format!("{:?}", Verifier::new(&auth()).expect("there is a key"));
    assert!(!shown.contains("secret-of") && !shown.contains("97, 45"), "{shown}");
    for token in [ADA.replace("GHvp", "XHvp"), "hush.hush.hush".to_owned()] {
        let error = verify(&token).expect_err("a bad token");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
}

#[test]
fn a_verifier_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Verifier>();
}

proptest! {
    #[test]
    fn a_token_with_any_byte_changed_is_refused(place in 0..ADA.len(), byte in b' '..=b'~') {
        let mut token = ADA.as_bytes().to_vec();
        prop_assume!(token[place] != byte);
        token[place] = byte;
        prop_assert!(verify(std::str::from_utf8(&token).expect("ASCII")).is_err());
    }

    #[test]
    fn every_beginning_of_a_token_is_refused(end in 0..ADA.len()) {
        prop_assert!(verify(&ADA[..end]).is_err());
    }

    #[test]
    fn any_text_has_an_answer(text in ".{0,40}", header in ".{0,20}", claims in ".{0,40}") {
        prop_assert!(verify(&text).is_err());
        prop_assert!(verify(&signed(&header, &claims, SECRET, Algorithm::HS256)).is_err());
    }

    #[test]
    fn any_claims_have_an_answer(sub in ".{0,6}", exp in "[0-9.e\"-]{0,8}", rooms in "[\\[\\]\",a*]{0,8}") {
        let _ = with_claims(&format!(r#"{{"sub":"{sub}","exp":{exp},"rooms":{rooms}}}"#));
    }
}
