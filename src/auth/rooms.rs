//! The room rules: who may join, and who may publish.
//!
//! Owns no rule; they come from the configuration. Without a rule that covers it, nobody enters a room.

use crate::auth::Identity;
use crate::config::{Access, History, RoomRule};

/// What the rules say to a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It may be.
    Yes,
    /// It may not.
    No,
    /// The application is to be asked.
    AskHook,
}

/// Whether `identity` may become a member of `room`.
pub fn join(rules: &[RoomRule], identity: &Identity, room: &str) -> Says {
    match rule_of(rules, room) {
        Some(rule) if rule.join == Access::Hook => Says::AskHook,
        Some(rule) if grants(rule.join, rule, identity, room) => Says::Yes,
        _ => Says::No,
    }
}

/// Whether `identity` may publish to `room`. This needs no membership.
pub fn may_publish(rules: &[RoomRule], identity: &Identity, room: &str) -> bool {
    let rule = rule_of(rules, room);
    rule.is_some_and(|rule| grants(rule.publish, rule, identity, room))
}

/// What is kept of `room`.
pub fn history_of(rules: &[RoomRule], room: &str) -> History {
    rule_of(rules, room).map(|rule| rule.history).unwrap_or_default()
}

/// The first rule that covers the room decides, for everybody: were the one chosen that fits the identity, a room
/// `user:ada` would fall through to a later, wider rule for all but ada.
fn rule_of<'a>(rules: &'a [RoomRule], room: &str) -> Option<&'a RoomRule> {
    rules.iter().find(|rule| rule.pattern.covers(room))
}

fn grants(access: Access, rule: &RoomRule, identity: &Identity, room: &str) -> bool {
    let user = Some(&*identity.user);
    match access {
        Access::Anyone => true,
        // What the application is asked is not judged here.
        Access::Nobody | Access::Hook => false,
        // Whom nobody vouched for is refused by the rest, whatever the name.
        Access::Authenticated => identity.authenticated,
        Access::Token => {
            identity.authenticated && identity.rooms.iter().any(|listed| listed.matches(room, user))
        }
        // Without {user} in the pattern a room has no owner.
        Access::Owner => {
            identity.authenticated && rule.pattern.names_user() && rule.pattern.matches(room, user)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{History, Pattern};

    fn may_join(rules: &[RoomRule], identity: &Identity, room: &str) -> bool {
        join(rules, identity, room) == Says::Yes
    }

    fn rule(pattern: &str, join: Access, publish: Access) -> RoomRule {
        RoomRule {
            pattern: Pattern::parse(pattern).expect(pattern),
            join,
            publish,
            history: History::default(),
        }
    }

    fn identity(user: &str, rooms: &[&str]) -> Identity {
        let rooms = rooms.iter().map(|room| Pattern::parse(room).expect(room)).collect();
        Identity { user: user.into(), rooms, expires_s: Some(1), authenticated: true }
    }

    #[test]
    fn without_a_rule_nobody_enters() {
        let ada = identity("ada", &["*"]);
        assert!(!may_join(&[], &ada, "lobby"));
        assert!(!may_publish(&[], &ada, "lobby"));
        let rules = [rule("chat:*", Access::Anyone, Access::Anyone)];
        assert!(!may_join(&rules, &ada, "lobby"));
    }

    #[test]
    fn the_first_rule_that_covers_a_room_decides() {
        let rules = [
            rule("chat:secret", Access::Nobody, Access::Nobody),
            rule("chat:*", Access::Anyone, Access::Nobody),
            rule("*", Access::Nobody, Access::Anyone),
        ];
        let ada = identity("ada", &[]);
        assert!(!may_join(&rules, &ada, "chat:secret"));
        assert!(may_join(&rules, &ada, "chat:open"));
        assert!(!may_publish(&rules, &ada, "chat:open"));
        assert!(!may_join(&rules, &ada, "lobby"));
        assert!(may_publish(&rules, &ada, "lobby"));
    }

    #[test]
    fn joining_and_publishing_are_asked_for_apart() {
        let rules = [rule("user:{user}", Access::Owner, Access::Authenticated)];
        let (ada, bob) = (identity("ada", &[]), identity("bob", &[]));
        assert!(may_join(&rules, &ada, "user:ada"));
        assert!(!may_join(&rules, &bob, "user:ada"));
        assert!(may_publish(&rules, &bob, "user:ada"));
    }

    #[test]
    fn another_users_room_does_not_fall_through_to_a_wider_rule() {
        let rules =
            [rule("user:{user}", Access::Owner, Access::Nobody), rule("*", Access::Anyone, Access::Anyone)];
        let bob = identity("bob", &[]);
        assert!(!may_join(&rules, &bob, "user:ada"));
        assert!(!may_publish(&rules, &bob, "user:ada"));
        assert!(may_join(&rules, &bob, "lobby"));
    }

    #[test]
    fn a_room_without_a_user_in_its_pattern_has_no_owner() {
        let rules = [rule("lobby", Access::Owner, Access::Owner)];
        assert!(!may_join(&rules, &identity("lobby", &[]), "lobby"));
    }

    #[test]
    fn token_asks_for_a_listed_room_with_the_users_own_name_in_it() {
        let rules = [rule("*", Access::Token, Access::Nobody)];
        let ada = identity("ada", &["chat:*", "user:{user}"]);
        for (room, verdict) in [("chat:a", true), ("user:ada", true), ("user:bob", false), ("lobby", false)] {
            assert_eq!(may_join(&rules, &ada, room), verdict, "{room}");
        }
    }

    #[test]
    fn a_token_that_lists_a_room_opens_no_door_that_asks_for_something_else() {
        let ada = identity("ada", &["*"]);
        for access in [Access::Nobody, Access::Owner] {
            assert!(!may_join(&[rule("*", access, access)], &ada, "lobby"), "{access}");
        }
    }

    #[test]
    fn a_rule_that_says_hook_says_neither_yes_nor_no_to_anybody() {
        let rules = [rule("chat:*", Access::Hook, Access::Nobody), rule("*", Access::Anyone, Access::Nobody)];
        for identity in [identity("ada", &["*"]), Identity::anonymous()] {
            assert_eq!(join(&rules, &identity, "chat:a"), Says::AskHook);
            assert_eq!(join(&rules, &identity, "lobby"), Says::Yes);
            assert!(!may_publish(&rules, &identity, "chat:a"));
        }
    }

    #[test]
    fn a_name_that_looks_like_a_pattern_owns_no_more() {
        let rules = [rule("user:{user}", Access::Owner, Access::Owner)];
        for name in ["*", "{user}", "a*"] {
            assert!(!may_join(&rules, &identity(name, &["user:{user}"]), "user:ada"), "{name}");
        }
    }

    #[test]
    fn anonymous_enters_only_where_anyone_may() {
        let nobody = Identity::anonymous();
        let named = Identity { rooms: identity("", &["*"]).rooms, ..Identity::anonymous() };
        for access in [Access::Authenticated, Access::Token, Access::Owner, Access::Nobody] {
            let rules = [rule("user:{user}", access, access)];
            assert!(!may_join(&rules, &nobody, "user:anonymous"), "{access}");
            assert!(!may_publish(&rules, &named, "user:anonymous"), "{access}");
        }
        assert!(may_join(&[rule("*", Access::Anyone, Access::Nobody)], &nobody, "lobby"));
    }
}
