//! The API's keys from their file: which lines are keys, what is said of those that cannot be, and that no key is shown.

use super::*;

/// Reads a configuration whose `admin.keys_file` holds these bytes and stands behind `before` in `[admin]`.
fn read_keys(before: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("a file takes bytes");
    let path = file.path().to_str().expect("a path").to_owned();
    let read = read_text(&format!("[admin]\n{before}keys_file = \"{path}\"\n"));
    let text = |key: &Secret| String::from_utf8(key.as_bytes().to_vec()).expect("visible ASCII");
    read.map(|config| config.admin.keys.iter().map(text).collect())
        .map_err(|told| told.replace(&path, "KEYS"))
}

/// So many keys, one a line.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("key-{n}\n").into_bytes()).collect()
}

#[test]
fn each_line_of_a_keys_file_is_a_key_but_the_blank_and_those_behind_a_hash() {
    for (bytes, keys) in [
        (&b"one"[..], &["one"][..]),
        (b"one\n", &["one"]),
        (b"one\r\ntwo\r\n", &["one", "two"]),
        (b"# the new one\none\n\n \t\n#two\nthree#\n\n", &["one", "three#"]),
    ] {
        assert_eq!(read_keys("", bytes).expect("keys"), keys);
    }
    let longest = "k".repeat(1024);
    assert_eq!(read_keys("", longest.as_bytes()), Ok(vec![longest]));
}

#[test]
fn keys_of_the_file_hold_behind_those_of_the_configuration() {
    let both = read_keys("keys = [\"a\", \"b\"]\n", b"c\n");
    assert_eq!(both.expect("keys"), ["a", "b", "c"]);
    let open = read_keys("address = \"0.0.0.0:9091\"\n", b"c\n");
    assert_eq!(open.expect("a key opens the listener, wherever it stands"), ["c"]);
}

#[test]
fn a_line_that_is_no_key_is_named_and_not_shown() {
    let form = "a key is 1 to 1024 bytes of visible ASCII, without spaces";
    let mut long = b"good\n\n# fine\n".to_vec();
    long.extend([b'h'; 1025]);
    for (bytes, line) in [
        (&b"hunter 2\n"[..], 1),
        (b"good\nhunter2 \n", 2),
        (b"good\n #hunter2\n", 2),
        (b"good\n\n\xffhunter2\n", 3),
        (b"good\n\n\nh\xc3\xbcnter2", 4),
        (b"hunter2\0\n", 1),
        (&long, 4),
    ] {
        let told = read_keys("", bytes).expect_err("no key");
        assert_eq!(told, format!("vestibule.toml:2: admin.keys_file = \"KEYS\": line {line}: {form}"));
    }
    let told = read_keys("", b"hunter 2\nhunter2\nhunter 3\n").expect_err("no keys");
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(!told.contains("hunter"), "{told}");
}

#[test]
fn there_are_a_hundred_keys_at_most_wherever_they_stand() {
    assert_eq!(read_keys("", &lines(100)).expect("as many as allowed").len(), 100);
    assert_eq!(read_keys("keys = [\"a\"]\n", &lines(99)).expect("as many as allowed").len(), 100);
    let more = "one key too many; at most 100, with those of admin.keys";
    assert_eq!(
        read_keys("", &lines(101)),
        Err(format!("vestibule.toml:2: admin.keys_file = \"KEYS\": line 101: {more}"))
    );
    assert_eq!(
        read_keys("keys = [\"a\"]\n", &lines(1000)),
        Err(format!("vestibule.toml:3: admin.keys_file = \"KEYS\": line 100: {more}"))
    );
    let told = read_keys("", &b" \n- no key\n".repeat(5000)).expect_err("another file");
    assert_eq!(told.lines().count(), 101, "as many as there could be keys, and one that says so: {told}");
}

#[test]
fn a_keys_file_without_keys_or_none_at_all_is_a_mistake() {
    for empty in [&b""[..], b"\n", b"# none\n"] {
        assert_eq!(
            read_keys("", empty).expect_err("no key"),
            "vestibule.toml:2: admin.keys_file = \"KEYS\": no key stands in it"
        );
    }
    assert_eq!(
        complaints("[admin]\naddress = \"0.0.0.0:9091\"\nkeys_file = \"no/such/file\"\n"),
        "vestibule.toml:3: admin.keys_file = \"no/such/file\": cannot be read: No such file or directory (os error 2)",
        "and nothing of the address, for which there will be keys"
    );
    let told = read_keys("", &[b'\n'; 65_537]).expect_err("large");
    assert!(told.ends_with(": cannot be read: it is larger than 64KiB"), "{told}");
}
