//! Who may use the API: whoever bears one of the configured keys.
//!
//! Both sides are hashed first, the configured ones once and for all: neither a key nor its length shows in how long
//! it takes to refuse another. A key is never logged.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use http::{HeaderMap, header};

use crate::config::Secret;

/// The hashes of the keys. `Debug` tells how many.
#[derive(Clone)]
pub struct Keys(Arc<[Hash]>);

type Hash = [u8; SHA256_OUTPUT_LEN];

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} keys]", self.0.len())
    }
}

impl Keys {
    /// Of these keys. Without any nobody may use the API.
    pub fn new(keys: &[Secret]) -> Keys {
        Keys(keys.iter().map(|key| hash(key.as_bytes())).collect())
    }

    /// Whether a request bears one of them, as `Authorization: Bearer KEY`.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(key) = bearer(headers) else { return false };
        let presented = hash(key);
        // All of them, whichever it is.
        let equal = |known: &Hash| verify_slices_are_equal(known, &presented).is_ok();
        self.0.iter().fold(false, |found, known| found | equal(known))
    }
}

fn hash(key: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, key).as_ref());
    hash
}

/// The key of the one Authorization field; the scheme in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?.as_bytes();
    let (scheme, key) = field.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| key.trim_ascii())
}

const SCHEME: &[u8] = b"bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(keys: &[&str], fields: &[&str]) -> bool {
        let keys = Keys::new(&keys.iter().map(|key| Secret::new(key.as_bytes())).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, field.parse().expect("a field"));
        }
        keys.admit(&headers)
    }

    #[test]
    fn whoever_bears_a_key_is_admitted_and_nobody_else() {
        let keys = ["one", "another"];
        for good in ["Bearer one", "bearer another", "BEARER  one "] {
            assert!(admits(&keys, &[good]), "{good}");
        }
        for bad in [
            "",
            "one",
            "Bearer",
            "Bearer ",
            "Bearer on",
            "Bearer onee",
            "Bearer One",
            "Basic one",
            "Bearer one another",
        ] {
            assert!(!admits(&keys, &[bad]), "{bad}");
        }
        assert!(!admits(&keys, &[]));
        assert!(!admits(&keys, &["Bearer one", "Bearer one"]), "two fields may be read differently");
        assert!(!admits(&[], &["Bearer one"]) && !admits(&[], &["Bearer "]));
    }

    #[test]
    fn keys_do_not_show_themselves() {
        assert_eq!(format!("{:?}", Keys::new(&[Secret::new(b"one")])), "[1 keys]");
    }
}
