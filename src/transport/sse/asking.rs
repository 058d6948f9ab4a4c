//! Which rooms a stream has in the end: those that it asked for, if rules or the application let it into each, and those
//! that the application adds.
//!
//! A stream is in its rooms from the beginning, so all of this comes before its answer. What else verdicts order waits
//! until it is there.

use crate::auth::rooms::{self, Says};
use crate::backend::hooks::Happening;
use crate::config::HookEvent;
use crate::hub::Since;
use crate::transport::Services;
use crate::transport::exchange::{Known, Turned};
use crate::transport::hooks::{Guest, NotWhole, say};

use super::Granted;

impl Granted {
    /// Judges the rooms, one after the other, of whom the application has nothing against. `guest` makes one of whom
    /// hooks have heard nothing so far. Each room may take as long as a call may, so that a drain is looked for before
    /// each: it would be over before all of them are asked for, and this one's end never told.
    pub(in crate::transport) async fn ask_for_rooms(
        &mut self,
        (identity, mut guest): Known,
        services: &Services,
        new_guest: impl FnOnce() -> Box<Guest>,
        is_stopping: impl Fn() -> bool,
    ) -> Result<(), Turned> {
        let settings = services.settings();
        let said: Vec<Says> =
            self.names.iter().map(|room| rooms::join(settings.rules(), &identity, room)).collect();
        let asks = said.contains(&Says::AskHook);
        if said.contains(&Says::No) || asks && !settings.hooks_want(HookEvent::Join) {
            return Err(Turned::Away(Some("no rule lets this user join all of these rooms".into())));
        }
        if asks {
            let guest = guest.get_or_insert_with(new_guest);
            guest.set_user(&identity.user);
            let hooked = self.names.iter().zip(&said).filter(|(_, says)| **says == Says::AskHook);
            for (room, _) in hooked {
                if is_stopping() {
                    return Err(Turned::Stopping);
                }
                match guest.ask(Happening::Join { room }).await {
                    Ok(verdict) if verdict.allow => guest.order(verdict),
                    Ok(verdict) => return Err(Turned::Away(verdict.reason)),
                    Err(_) => return Err(Turned::Unheard),
                }
            }
        }
        for room in guest.iter_mut().flat_map(|guest| guest.take_ordered_joins()) {
            if !self.names.contains(&room) {
                self.names.push(room);
            }
        }
        if self.names.len() > services.settings().config.limits.rooms_per_connection {
            let room = self.names.pop().unwrap_or_default();
            say(services, &NotWhole { what: "no place in", room });
            return Err(Turned::Unheard);
        }
        self.identity = Some(identity);
        self.guest = guest;
        Ok(())
    }

    /// All rooms, each with what the stream is to go on from: its last event ID has a place for each.
    pub(super) fn places(&mut self) -> Box<[(Box<str>, Option<Since>)]> {
        let names = std::mem::take(&mut self.names);
        let since = match &self.last_event_id {
            Some(token) => Since::of_token(token, names.len()),
            None => vec![None; names.len()],
        };
        names.into_iter().zip(since).collect()
    }
}
