//! What a token costs at a handshake: ns a token, from its text to the identity.
//!
//! jsonwebtoken's own `decode` does the same cryptography (it is the crate that does ours) and reads the same claims.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use vestibule::auth::jwt::{Minted, Verifier, mint};
use vestibule::config;

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    let rooms = ["chat:*".to_owned(), "user:{user}".to_owned()];
    let claims = Minted { sub: "ada", exp: EXPIRES_S, rooms: &rooms, aud: None, iss: None };
    let token = mint(SECRET.as_bytes(), &claims);

    let secret = ("VESTIBULE_AUTH__HS256_SECRET".to_owned(), SECRET.to_owned());
    let config = config::load(None, [secret]).expect("a secret is all it needs");
    let verifier = Verifier::new(&config.auth).expect("there is a key");
    group.bench_function("vestibule", |b| {
        b.iter(|| verifier.verify(black_box(&token), EXPIRES_S - 1).expect("a good token"));
    });

    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let validation = Validation::new(Algorithm::HS256);
    group.bench_function("jsonwebtoken", |b| {
        b.iter(|| {
            let token = jsonwebtoken::decode::<Theirs>(black_box(&token), &key, &validation);
            let claims = token.expect("a good token").claims;
            assert_eq!(claims.exp, EXPIRES_S);
            (claims.sub, claims.rooms)
        });
    });
}

#[derive(Deserialize)]
struct Theirs {
    sub: String,
    exp: u64,
    rooms: Vec<String>,
}

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-so";
/// In the year 2096: jsonwebtoken asks the system's clock.
const EXPIRES_S: u64 = 4_000_000_000;

criterion_group!(benches, verify);
criterion_main!(benches);
