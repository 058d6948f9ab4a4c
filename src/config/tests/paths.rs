//! Paths of the public listeners: none for two purposes.

use super::{complaints, read_text};

#[test]
fn no_path_serves_two_purposes() {
    let said = complaints("[server]\nhealth_path = \"/ws\"");
    assert!(said.contains("vestibule.toml:2: server.health_path"), "{said}");
    assert!(said.contains("websocket.path is /ws too; the two must differ"), "{said}");
    let said = complaints("[server]\nhealth_path = \"/x\"\n[websocket]\necho = \"/x\"");
    assert!(said.contains("websocket.echo is /x too"), "{said}");
    let said = complaints("[server]\nhealth_path = \"healthz\"");
    assert!(said.contains("empty, or a path"), "{said}");
}

#[test]
fn a_health_path_is_off_unless_it_is_set() {
    let path = |text: &str| read_text(text).expect(text).server.health_path;
    assert_eq!(path(""), None);
    assert_eq!(path("[server]\nhealth_path = \"\""), None);
    assert_eq!(path("[server]\nhealth_path = \"/healthz\"").as_deref(), Some("/healthz"));
}
