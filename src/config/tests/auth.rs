//! The keys that tokens are verified with: where they come from, and what is said of those that cannot be used.

use serde_json::{Value, json};

use super::*;

const RSA: &str = include_str!("keys/rsa.pem");
const P256: &str = include_str!("keys/p256.pem");
const ED25519_PEM: &str = include_str!("keys/ed25519.pem");

/// RFC 7517 appendix A.1, its RSA key as for a signature of ours.
const RFC_7517_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
    jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgd\
    AZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8aw\
    apJzKnqDKgw";

fn rsa() -> Value {
    json!({ "kty": "RSA", "n": RFC_7517_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" })
}

/// RFC 7515 appendix A.3.1.
fn p256() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" })
}

/// RFC 8037 appendix A.2.
fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}

fn without(mut key: Value, member: &str) -> Value {
    key.as_object_mut().expect("a key is an object").remove(member);
    key
}

/// Reads a configuration with a file that says `text`, named by `key`.
fn read_file(key: &str, text: &str, algorithms: &str) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a file takes text");
    let path = file.path().to_str().expect("a path").to_owned();
    let told = read_with(&format!("[auth]\nalgorithms = {algorithms}\n{key} = \"{path}\"\n"), &[]);
    told.map_err(|told| told.replace(&path, "KEYS"))
}

fn read_set(keys: &[Value], algorithms: &str) -> Result<Config, String> {
    read_file("jwks_file", &json!({ "keys": keys }).to_string(), algorithms)
}

/// What is said of a set in which `key` stands behind a good one.
fn said_of(key: Value) -> String {
    let told = read_set(&[ed25519(), key], "['EdDSA']").expect_err("a bad key");
    told.strip_prefix("vestibule.toml:3: auth.jwks_file = \"KEYS\": ")
        .unwrap_or_else(|| panic!("{told}"))
        .to_owned()
}

fn algorithms_of(config: &Config) -> Vec<&'static str> {
    config.auth.public_keys.iter().map(|key| key.algorithm().as_str()).collect()
}

#[test]
fn a_pem_text_is_a_key_of_the_algorithm_it_is_for() {
    let pkcs1 = include_str!("keys/rsa-pkcs1.pem");
    for (pem, algorithm) in [(RSA, "RS256"), (pkcs1, "RS256"), (P256, "ES256"), (ED25519_PEM, "EdDSA")] {
        let text = format!("[auth]\nalgorithms = ['{algorithm}']\npublic_key = \"\"\"\n{pem}\"\"\"\n");
        let inline = read_with(&text, &[]).expect(algorithm);
        assert_eq!(algorithms_of(&inline), [algorithm]);
        let file = read_file("public_key_file", &format!("\n{pem}\n"), &format!("['{algorithm}']"));
        assert_eq!(file.as_ref(), Ok(&inline));
        let algorithms = format!("['{algorithm}']");
        let env = [("VESTIBULE_AUTH__PUBLIC_KEY", pem), ("VESTIBULE_AUTH__ALGORITHMS", algorithms.as_str())];
        assert_eq!(read_with("", &env).as_ref(), Ok(&inline));
    }
    assert_eq!(
        read_file("public_key_file", RSA, "['RS256']").expect("a key").auth.public_keys,
        read_file("public_key_file", pkcs1, "['RS256']").expect("the same key").auth.public_keys
    );
}

#[test]
fn what_is_no_public_key_is_told_what_it_is() {
    let private = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (
            private,
            "a private key, which has to stay with whoever mints tokens; its public half: openssl pkey -in FILE -pubout",
        ),
        (certificate, "a certificate, of which only the key counts: openssl x509 -in FILE -noout -pubkey"),
        (include_str!("keys/rsa1024.pem"), "an RSA key has 2048 to 8192 bits"),
        (include_str!("keys/p384.pem"), "no good key of RSA, P-256 or Ed25519"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "no good key of RSA, P-256 or Ed25519",
        ),
        ("hunter2", "no public key in PEM: it begins with -----BEGIN PUBLIC KEY----- and holds one key"),
    ];
    for (text, said) in cases {
        let told = read_file("public_key_file", text, "['RS256']").expect_err(said);
        assert_eq!(told, format!("vestibule.toml:3: auth.public_key_file = \"KEYS\": {said}"));
    }
    let twice = format!("{P256}{P256}");
    for text in [twice.as_str(), &P256.replace("END PUBLIC", "END PRIVATE"), &P256[..100], "-----BEGIN "] {
        let told = read_file("public_key_file", text, "['ES256']").expect_err(text);
        assert!(told.contains(": no public key in PEM: "), "{told}");
    }
    for end in 0..P256.trim_end().len() {
        assert!(read_file("public_key_file", &P256[..end], "['ES256']").is_err(), "the first {end} bytes");
    }
}

#[test]
fn the_keys_of_a_set_have_their_names_and_algorithms() {
    let config = read_set(&[rsa(), p256(), ed25519()], "['RS256', 'ES256', 'EdDSA']").expect("a good set");
    assert_eq!(algorithms_of(&config), ["RS256", "ES256", "EdDSA"]);
    let kids: Vec<_> = config.auth.public_keys.iter().map(|key| key.kid().expect("a name")).collect();
    assert_eq!(kids, ["2011-04-29", "ec", "ed"]);
    let nameless = read_set(&[without(ed25519(), "kid")], "['EdDSA']").expect("a key without a name");
    assert_eq!(nameless.auth.public_keys[0].kid(), None);
    let padded = with(rsa(), "n", json!(format!("AAAA{RFC_7517_N}")));
    let padded = read_set(&[padded], "['RS256']").expect("zeros in front are no part of a number");
    assert_eq!(padded.auth.public_keys[0], config.auth.public_keys[0]);
}

#[test]
fn keys_for_other_ends_are_passed_over() {
    let others = [
        with(rsa(), "use", json!("enc")),
        with(rsa(), "key_ops", json!(["encrypt"])),
        with(rsa(), "alg", json!("PS256")),
        with(rsa(), "alg", json!("RSA-OAEP-256")),
        with(p256(), "crv", json!("P-384")),
        with(p256(), "crv", json!("secp256k1")),
        without(p256(), "crv"),
        with(ed25519(), "crv", json!("X25519")),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
    ];
    for other in others {
        let config = read_set(&[other.clone(), ed25519()], "['EdDSA']").expect("one good key");
        assert_eq!(config.auth.public_keys.len(), 1, "{other}");
        let told = read_set(std::slice::from_ref(&other), "['EdDSA']").expect_err("no good key");
        assert!(told.ends_with(": no key in it is for RS256, ES256 or EdDSA"), "{told}");
    }
    let signing = with(with(ed25519(), "use", json!("sig")), "key_ops", json!(["verify"]));
    assert!(read_set(&[signing], "['EdDSA']").is_ok());
}

#[test]
fn a_bad_key_of_a_set_is_told_by_its_place() {
    let secret = json!({ "kty": "oct", "k": "aHVudGVyMg", "alg": "HS256" });
    let small = with(rsa(), "n", json!(format!("{}_", &RFC_7517_N[..171])));
    let mut off_curve = p256()["x"].as_str().expect("a text").to_owned();
    off_curve.replace_range(..1, "g");
    let cases = [
        (secret, "keys[1]: a secret (\"kty\":\"oct\"), which does not belong into a set of public keys"),
        (with(p256(), "d", json!("aHVudGVyMg")), "keys[1]: a private key, which has to stay"),
        (small, "keys[1]: an RSA key has 2048 to 8192 bits"),
        (with(rsa(), "e", json!("Ag")), "keys[1]: no good key of RSA"),
        (with(rsa(), "n", json!("AQAB=")), "keys[1]: n has to be base64url"),
        (without(rsa(), "e"), "keys[1]: e has to be base64url"),
        (with(rsa(), "alg", json!("ES256")), "keys[1]: its alg is not RS256, which its kty makes it"),
        (with(rsa(), "alg", json!("HS256")), "keys[1]: its alg is not RS256, which its kty makes it"),
        (with(p256(), "x", json!(off_curve)), "keys[1]: no good key of RSA, P-256 or Ed25519"),
        (with(p256(), "x", json!("AAAA")), "keys[1]: no good key of RSA, P-256 or Ed25519"),
        (with(ed25519(), "x", json!("AAAA")), "keys[1]: no good key of RSA, P-256 or Ed25519"),
        (ed25519(), "two keys of one algorithm have the kid \"ed\""),
        (with(ed25519(), "kid", json!(5)), "no JSON Web Key Set: "),
        (json!({}), "no JSON Web Key Set: missing field `kty`"),
    ];
    for (key, said) in cases {
        let told = said_of(key);
        assert!(told.starts_with(said) && !told.contains("aHVudGVyMg"), "{told}, not {said}");
    }
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]", RSA] {
        let told = read_file("jwks_file", text, "['RS256']").expect_err(text);
        assert!(told.contains("auth.jwks_file = \"KEYS\": no JSON Web Key Set: "), "{told}");
    }
}

#[test]
fn a_set_has_64_keys_at_most() {
    let keys = |count: usize| -> Vec<Value> {
        (0..count).map(|n| with(ed25519(), "kid", json!(n.to_string()))).collect()
    };
    assert_eq!(read_set(&keys(64), "['EdDSA']").expect("as many as may be").auth.public_keys.len(), 64);
    let told = read_set(&keys(65), "['EdDSA']").expect_err("one too many");
    assert!(told.ends_with(": 65 keys, at most 64"), "{told}");
}

#[test]
fn each_algorithm_has_its_key_and_each_key_its_algorithm() {
    let secret = [("VESTIBULE_AUTH__HS256_SECRET", SECRET)];
    let key = format!("public_key = '''\n{ED25519_PEM}'''\n");
    let both = format!("[auth]\nalgorithms = ['HS256', 'EdDSA']\n{key}");
    assert!(read_with(&both, &secret).is_ok());
    let cases: [(&str, bool, &str); 7] = [
        (
            &both,
            false,
            "vestibule.toml: auth.hs256_secret: auth.algorithms lists HS256, which needs it, or auth.hs256_secret_file",
        ),
        (
            &format!("[auth]\n{key}"),
            false,
            "vestibule.toml:2: auth.public_key = '''...: auth.algorithms does not list EdDSA, which it is the key of",
        ),
        (
            "[auth]\nalgorithms = ['HS256', 'EdDSA', 'RS256']\n",
            true,
            "vestibule.toml:2: auth.algorithms = ['HS256', 'EdDSA', 'RS256']: RS256 needs a key: set one of auth.public_key, auth.public_key_file, auth.jwks_file\n\
             vestibule.toml:2: auth.algorithms = ['HS256', 'EdDSA', 'RS256']: EdDSA needs a key: set one of auth.public_key, auth.public_key_file, auth.jwks_file",
        ),
        (
            &format!("[auth]\nalgorithms = ['EdDSA', 'ES256']\n{key}"),
            false,
            "vestibule.toml:2: auth.algorithms = ['EdDSA', 'ES256']: auth.public_key has no key for ES256",
        ),
        (
            &format!("[auth]\nalgorithms = ['EdDSA']\n{key}"),
            true,
            "VESTIBULE_AUTH__HS256_SECRET: auth.hs256_secret: auth.algorithms does not list HS256, which it is the key of",
        ),
        (
            &format!("[auth]\nalgorithms = ['EdDSA']\n{key}jwks_file = 'keys.json'\n"),
            false,
            "vestibule.toml:8: auth.jwks_file = 'keys.json': auth.public_key is set too; leave one of them empty",
        ),
        (
            "[auth]\nalgorithms = ['EdDSA']\npublic_key_file = 'no/such/file'\n",
            false,
            "vestibule.toml:3: auth.public_key_file = 'no/such/file': cannot be read: No such file or directory (os error 2)",
        ),
    ];
    for (text, has_secret, said) in cases {
        let env = if has_secret { &secret[..] } else { &[] };
        assert_eq!(read_with(text, env).expect_err(text), said);
    }
    let none = format!("[auth]\nmode = 'none'\n{key}");
    assert!(read_with(&none, &[]).is_ok(), "nothing is verified");
}

#[test]
fn a_cookie_has_a_name_and_needs_an_origin() {
    let origins = "allowed_origins = ['https://a.example']\n";
    let config = read_text(&format!("[auth]\ncookie = '__Host-session'\n{origins}")).expect("a name");
    assert_eq!(config.auth.cookie.as_deref(), Some("__Host-session"));
    for name in ["a b", "a;b", "a=b", "\"a\"", "é", &"a".repeat(257)] {
        let told = complaints(&format!("[auth]\ncookie = '{name}'\n{origins}"));
        assert!(told.contains("a cookie's name: letters, digits and marks"), "{told}");
    }
    assert_eq!(
        complaints("[auth]\ncookie = 'session'\n"),
        "vestibule.toml:2: auth.cookie = 'session': a cookie counts only with a listed Origin, and \
         auth.allowed_origins is empty"
    );
}

#[test]
fn audience_and_issuer_are_texts() {
    let config = read_text("[auth]\naudience = 'edge'\nissuer = 'https://id.example/'\n").expect("texts");
    let asked = (config.auth.audience.as_deref(), config.auth.issuer.as_deref());
    assert_eq!(asked, (Some("edge"), Some("https://id.example/")));
    for text in ["a\\u0000b".to_owned(), "a".repeat(1025)] {
        let told = complaints(&format!("[auth]\naudience = \"{text}\"\nissuer = \"{text}\"\n"));
        assert_eq!(told.matches("of at most 1024 bytes without control characters").count(), 2, "{told}");
    }
    assert!(complaints("[auth]\naudience = ['edge']\n").contains("empty, or a text of at most 1024 bytes"));
}
