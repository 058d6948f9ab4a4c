//! The API told to programs: an OpenAPI document, written by hand, and served as it stands.
//!
//! What it says is held against the router here, and against a running node by `tests/openapi`.

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::route::Route;
    use super::*;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    /// How the document writes a route. A new one does not compile before it stands here and in `PATHS`.
    fn path_of(route: &Route) -> &'static str {
        match route {
            Route::Publish => "/api/publish",
            Route::DisconnectUser(_) => "/api/users/{user}/disconnect",
            Route::DisconnectConnection(_) => "/api/connections/{connection}/disconnect",
            Route::Join(_) => "/api/rooms/{room}/join",
            Route::Leave(_) => "/api/rooms/{room}/leave",
            Route::Rooms => "/api/rooms",
            Route::Room(_) => "/api/rooms/{room}",
            Route::History(_) => "/api/rooms/{room}/history",
            Route::Users => "/api/users",
            Route::Connections => "/api/connections",
            Route::Document => "/api/openapi.json",
        }
    }

    const PATHS: [&str; 11] = [
        "/api/publish",
        "/api/users/{user}/disconnect",
        "/api/connections/{connection}/disconnect",
        "/api/rooms/{room}/join",
        "/api/rooms/{room}/leave",
        "/api/rooms",
        "/api/rooms/{room}",
        "/api/rooms/{room}/history",
        "/api/users",
        "/api/connections",
        "/api/openapi.json",
    ];

    #[test]
    fn the_document_is_of_this_version() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_document_and_the_router_have_the_same_paths_and_methods() {
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let told: BTreeSet<&str> =
            paths.keys().map(String::as_str).filter(|path| path.starts_with("/api/")).collect();
        assert_eq!(told, BTreeSet::from(PATHS));
        for path in PATHS {
            let below = path.strip_prefix("/api/").expect("the API's");
            let route =
                Route::of(below).expect("in due form").unwrap_or_else(|| panic!("{path} leads nowhere"));
            assert_eq!(path_of(&route), path);
            let (has, has_not) = if route.is_post() { ("post", "get") } else { ("get", "post") };
            assert!(paths[path].get(has).is_some() && paths[path].get(has_not).is_none(), "{path}");
        }
    }

    #[test]
    fn the_document_has_a_parameter_for_all_that_a_query_may_say() {
        let document = document();
        for path in PATHS {
            let Ok(Some(route)) = Route::of(&path["/api/".len()..]) else { panic!("{path}") };
            let operation = &document["paths"][path][if route.is_post() { "post" } else { "get" }];
            let told = operation["parameters"].as_array().into_iter().flatten().map(|parameter| {
                let place = parameter["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
                let parameter = place.map_or(Some(parameter), |place| document.pointer(place));
                parameter.and_then(|parameter| parameter["name"].as_str()).expect("a name")
            });
            let told: BTreeSet<&str> = told.collect();
            assert_eq!(told, route.parameters().iter().copied().collect(), "{path}");
        }
    }

    #[test]
    fn whatever_the_document_refers_to_is_there() {
        fn look(value: &Value, document: &Value) {
            match value {
                Value::Object(object) => {
                    if let Some(place) = object.get("$ref") {
                        let place =
                            place.as_str().and_then(|place| place.strip_prefix('#')).expect("a place in it");
                        assert!(document.pointer(place).is_some(), "{place} is not there");
                    }
                    object.values().for_each(|value| look(value, document));
                }
                Value::Array(array) => array.iter().for_each(|value| look(value, document)),
                _ => {}
            }
        }
        look(&document(), &document());
    }
}
