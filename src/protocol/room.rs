//! What a room can be called, whoever names it: a client's message, a stream's request, the API.
//!
//! Judges a name by itself. It must not know whether there is such a room, nor who may enter it.

/// Whether a room can have this name, where one has `len_max` bytes at most.
///
/// # Errors
/// What is wrong with it.
pub fn check_room_name(name: &str, len_max: usize) -> Result<(), BadRoomName> {
    if name.is_empty() {
        return Err(BadRoomName::Empty);
    }
    if name.len() > len_max {
        return Err(BadRoomName::Long);
    }
    if name.bytes().any(|byte| byte.is_ascii_control()) { Err(BadRoomName::Control) } else { Ok(()) }
}

/// Why a room cannot have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub enum BadRoomName {
    /// There is nothing of it.
    Empty,
    /// It has more bytes than a name may have.
    Long,
    /// It has a control character.
    Control,
}

impl BadRoomName {
    /// What is wrong, for whoever writes the client.
    pub fn message(self) -> &'static str {
        match self {
            Self::Empty => "a room has to have a name",
            Self::Long => "the room's name is longer than limits.room_name",
            Self::Control => "the room's name has control characters",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_byte_at_least_so_many_at_most_and_no_control_characters() {
        for (name, judged) in [
            ("", Err(BadRoomName::Empty)),
            ("a", Ok(())),
            ("12345678", Ok(())),
            ("\u{e9}\u{e9}\u{e9}\u{e9}", Ok(())),
            ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", Err(BadRoomName::Long)),
            ("123456789", Err(BadRoomName::Long)),
            ("a\nb", Err(BadRoomName::Control)),
            ("a\0", Err(BadRoomName::Control)),
            ("\u{7f}", Err(BadRoomName::Control)),
            ("\u{85}", Ok(())),
            (" a ", Ok(())),
        ] {
            assert_eq!(check_room_name(name, 8), judged, "{name:?}");
        }
    }
}
