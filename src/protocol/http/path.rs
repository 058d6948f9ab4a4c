//! The one normal form of a request's path, by which it is routed and in which it is forwarded.
//!
//! What two readers could read differently has none. It must not decode what a delimiter is spelled with, and knows
//! no route.

use super::response::Response;
use http::StatusCode;
use std::borrow::Cow;

/// `path` in its normal form, borrowed where it has that already.
///
/// # Errors
/// It has none, see [`BadPath`].
pub fn normal_path(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let _ = path;
    unimplemented!()
}

/// Why a path has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A percent sign without two hexadecimal digits behind it.
    #[error("the path has a bad escape in it")]
    Escape,
    /// An escaped NUL, which ends a text for some.
    #[error("the path has a NUL in it")]
    Nul,
    /// A backslash, escaped or not, which is a slash for some.
    #[error("the path has a backslash in it")]
    Backslash,
    /// A segment that is `.` or `..` only for who takes `%2F` or `;` apart.
    #[error("the path has a hidden dot segment in it")]
    HiddenDots,
}

impl BadPath {
    /// The response that is due; the connection may be used on.
    pub fn response(self) -> Response {
        Response::json_error(StatusCode::BAD_REQUEST, "bad_path", &self.to_string())
    }
}
