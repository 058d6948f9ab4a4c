//! What a client asks for in the native protocol. Shared by the benches; nothing is measured here.

/// A broadcast of about `len` payload bytes.
pub(crate) fn broadcast(len: usize) -> String {
    format!(r#"{{"type":"broadcast","room":"chat:lobby","payload":{},"id":42}}"#, payload(len))
}

/// An object of text, numbers and lists, about `len` bytes of it.
pub(crate) fn payload(len: usize) -> String {
    let member = r#"{"text":"The quick brown fox","at":[12.5,-7],"ok":true}"#;
    let count = (len / (member.len() + 1)).max(1);
    format!("[{}]", vec![member; count].join(","))
}
