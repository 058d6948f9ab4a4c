//! `vestibule demo`: a node with a chat page, open rooms, and a key that nobody keeps.
//!
//! The page's server side, which in an application would be its backend, is played here: it mints a
//! token for whoever asks from this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};

use super::{Failed, Source, serve};
use crate::auth::jwt::{self, Minted};
use crate::config::{Access, Complaints, Config, History, Listener, Mode, Pattern, RoomRule, Secret};
use crate::net::unix_s;
use crate::protocol::http::{Head, Response};
use crate::transport::Pages;

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum NoDemo {
    /// A variable of the environment is wrong.
    #[error("{0}")]
    Configuration(#[from] Complaints),
    /// As any node.
    #[error("{0}")]
    Failed(#[from] Failed),
}

impl NoDemo {
    /// The exit code to end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => crate::cli::EXIT_CONFIGURATION,
            Self::Failed(failed) => failed.exit_code(),
        }
    }
}

/// Shows the demo at `address` until a signal. `env` may change what is not the demo's own.
pub fn show(address: SocketAddr, env: Vec<(String, String)>) -> Result<(), NoDemo> {
    let key = throw_away_key();
    let own = [("VESTIBULE_AUTH__HS256_SECRET".to_owned(), key.clone())];
    let env = env.into_iter().filter(|(name, _)| !name.starts_with("VESTIBULE_AUTH__"));
    let env: Vec<(String, String)> = env.chain(own).collect();
    let mut config = crate::config::load(None, env.clone())?;
    super::start_logs(config.server.log_format, &env).map_err(Failed::from)?;
    let origins = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{}", address.port()));
    config.listeners = vec![Listener { address: address.into() }];
    config.auth.mode = Mode::Jwt;
    config.auth.hs256_secret = Some(Secret::new(key.as_bytes()));
    config.auth.allowed_origins = origins.to_vec();
    config.rooms = vec![open_rooms()];
    config.websocket.echo.get_or_insert_with(|| "/echo".to_owned());
    let pages = pages(&config, key);
    let source: Source = Box::new(|| Err("the demo has no configuration file".to_owned()));
    serve(config, Some(pages), source, |addresses| {
        for address in addresses {
            println!("the demo is at http://{address}/ (open it in two tabs; Ctrl-C ends it)");
        }
    })?;
    Ok(())
}

fn throw_away_key() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the kernel has random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open_rooms() -> RoomRule {
    let pattern = Pattern::parse("*").expect("* is a pattern");
    RoomRule {
        pattern,
        join: Access::Authenticated,
        publish: Access::Authenticated,
        history: History { size: HISTORY_SIZE, ttl: HISTORY_TTL },
    }
}

fn pages(config: &Config, key: String) -> Pages {
    let hosts: Vec<String> =
        config.auth.allowed_origins.iter().map(|origin| origin["http://".len()..].into()).collect();
    Arc::new(move |head: &Head| {
        let response = match head.path.as_str() {
            "/" => page("text/html; charset=utf-8", include_str!("../../clients/demo/index.html")),
            "/chat.js" => page("text/javascript; charset=utf-8", include_str!("../../clients/demo/chat.js")),
            "/chat.css" => page("text/css; charset=utf-8", include_str!("../../clients/demo/chat.css")),
            "/token" => token(head, &hosts, &key),
            _ => return None,
        };
        if head.method == Method::GET || head.method == Method::HEAD {
            return Some(response);
        }
        let refused =
            Response::json_error(StatusCode::METHOD_NOT_ALLOWED, "method", "GET is what this page knows");
        Some(refused.with(header::ALLOW, HeaderValue::from_static("GET, HEAD")))
    })
}

fn page(content_type: &'static str, text: &'static str) -> Response {
    Response::with_body(StatusCode::OK, content_type, text)
        .with(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// Mints a token for `?user=NAME`. Only for this machine's own names: a page elsewhere that points its
/// name at 127.0.0.1 gets none.
fn token(head: &Head, hosts: &[String], key: &str) -> Response {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !hosts.iter().any(|known| known == host) {
        return Response::json_error(
            StatusCode::FORBIDDEN,
            "host",
            "the demo mints tokens on this machine only",
        );
    }
    let Some(user) = user_of(head.query.as_deref().unwrap_or_default()) else {
        return Response::json_error(StatusCode::BAD_REQUEST, "user", "a user is 1 to 64 characters of text");
    };
    let claims = Minted { sub: &user, exp: unix_s() + TOKEN_TTL_S, rooms: &[], aud: None, iss: None };
    let token = jwt::mint(key.as_bytes(), &claims);
    Response::json(StatusCode::OK, format!("{{\"token\":\"{token}\"}}"))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn user_of(query: &str) -> Option<String> {
    let sent = query.split('&').find_map(|pair| pair.strip_prefix("user="))?;
    let user = percent_decode(sent)?;
    let length = user.chars().count();
    ((1..=64).contains(&length) && !user.chars().any(char::is_control)).then_some(user)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

const TOKEN_TTL_S: u64 = 24 * 3600;
/// What a chat room keeps for who comes back.
const HISTORY_SIZE: u32 = 100;
const HISTORY_TTL: Duration = Duration::from_mins(10);
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_decoded_or_refused() {
        assert_eq!(user_of("user=Ada").as_deref(), Some("Ada"));
        assert_eq!(user_of("x=1&user=J%C3%B6rg+K").as_deref(), Some("Jörg K"));
        for bad in ["", "user=", "user=%", "user=%4", "user=%zz", "user=%FF", "user=a%0Ab"] {
            assert_eq!(user_of(bad), None, "{bad}");
        }
        assert_eq!(user_of(&format!("user={}", "a".repeat(65))), None);
    }

    #[test]
    fn every_throw_away_key_is_another_and_long_enough() {
        assert_ne!(throw_away_key(), throw_away_key());
        assert_eq!(throw_away_key().len(), 64);
    }
}
