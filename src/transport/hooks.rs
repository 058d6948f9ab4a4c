//! A guest: what is kept of a connection for the application's hooks, and how a verdict is carried out.
//!
//! It bears the connection's name in events, its state, and the duty to tell its end, which is done where it is dropped:
//! once, however the connection ended. Nobody who is of no interest to hooks has one. Knows neither messages nor HTTP,
//! and publishes by the door that the API uses.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use super::Services;
use super::request::Number;
use crate::backend::hooks::{Event, Happening, Hooks, NoVerdict, Post, Subject, Verdict};
use crate::config::HookEvent;
use crate::hub::{ConnectionKey, Relation, ShardId};
use crate::net::{Instant, now, sleep, spawn, within};
use crate::shard::{Answer, Call, Item, Outcome, Question, Shard, Whom};

/// Somebody whom hooks want to hear of.
pub(super) struct Guest {
    hooks: Rc<Hooks>,
    /// The name of the request that it came by, which is its own in events.
    request: Box<str>,
    transport: &'static str,
    user: Option<Arc<str>>,
    /// What the application has it remember.
    state: Option<Box<str>>,
    /// Events so far.
    events: u32,
    /// Its end is to be told.
    is_missed: bool,
    /// The application was asked whether it may connect, and has not said.
    is_unanswered: bool,
    /// Where it is a connection.
    place: Option<(Rc<Shard>, ConnectionKey)>,
    /// What verdicts ordered before it was one.
    orders: Vec<Verdict>,
}

/// A verdict that could be carried out in part only.
#[derive(Debug, thiserror::Error)]
#[error("the verdict could not be carried out whole: {what} {room:?}")]
pub(super) struct NotWhole {
    pub(super) what: &'static str,
    pub(super) room: Box<str>,
}

/// Whether hooks hear of whoever comes, from the beginning or at the end.
pub(super) fn are_kept(hooks: &Hooks) -> bool {
    hooks.wants(HookEvent::Connect) || hooks.wants(HookEvent::Disconnect)
}

impl Guest {
    /// Somebody who came by this request.
    pub(super) fn new(services: &Services, request: Number, transport: &'static str) -> Guest {
        Guest {
            hooks: services.hooks().clone(),
            request: services.requests.name(request).to_string().into(),
            transport,
            user: None,
            state: None,
            events: 0,
            is_missed: false,
            is_unanswered: false,
            place: None,
            orders: Vec::new(),
        }
    }

    /// Asks whether it may connect. Once that was sent, the application may have let it in, whatever came of the
    /// answer: then its end is told.
    pub(super) async fn knock(&mut self, connect: Happening<'_>) -> Result<Verdict, NoVerdict> {
        (self.is_missed, self.is_unanswered) = (true, true);
        let verdict = self.ask(connect).await;
        self.is_unanswered = verdict.is_err();
        self.is_missed = match &verdict {
            Ok(verdict) => verdict.allow,
            Err(error) => error.may_be_heard(),
        };
        verdict
    }

    /// Asks the application, and keeps what state it gives.
    pub(super) async fn ask(&mut self, happening: Happening<'_>) -> Result<Verdict, NoVerdict> {
        self.events += 1;
        let (hooks, connection) = (self.hooks.clone(), self.connection());
        let event = Event { subject: self.subject(connection.as_deref()), number: self.events, happening };
        let verdict = hooks.ask(&event).await;
        match verdict {
            Ok(mut verdict) => {
                if let Some(state) = verdict.state.take() {
                    self.state = Some(state).filter(|state| &**state != "null");
                }
                Ok(verdict)
            }
            Err(error) => {
                debug!(request = &*self.request, %error, "no verdict");
                Err(error)
            }
        }
    }

    /// It left a room of its own will.
    pub(super) fn on_left(&mut self, room: &str) {
        self.events += 1;
        self.tell(Happening::Leave { room });
    }

    fn tell(&self, happening: Happening<'_>) {
        let connection = self.connection();
        let subject = self.subject(connection.as_deref());
        let event = Event { subject, number: self.events, happening };
        if self.is_unanswered { self.hooks.tell_end_of_unanswered(&event) } else { self.hooks.tell(&event) }
    }

    fn subject<'a>(&'a self, connection: Option<&'a str>) -> Subject<'a> {
        Subject {
            request: &self.request,
            connection,
            user: self.user.as_deref(),
            transport: self.transport,
            state: self.state.as_deref(),
        }
    }

    fn connection(&self) -> Option<String> {
        self.place.as_ref().map(|(shard, key)| shard.connection_id(*key).to_string())
    }

    /// Who it is.
    pub(super) fn set_user(&mut self, user: &Arc<str>) {
        self.user = Some(user.clone());
    }

    /// What a verdict orders for the time when it is a connection.
    pub(super) fn order(&mut self, verdict: Verdict) {
        let nothing = verdict.join.is_empty() && verdict.leave.is_empty() && verdict.publish.is_empty();
        if !nothing {
            self.orders.push(verdict);
        }
    }

    /// It is a connection from now on. Where the end of those who are born now is to be told, so is its own.
    pub(super) fn is_born(&mut self, shard: &Rc<Shard>, key: ConnectionKey) {
        self.is_missed |= self.hooks.wants(HookEvent::Disconnect);
        if self.is_missed {
            shard.with_hub(|hub| hub.watch(key));
        }
        self.take_place(shard, key);
    }

    /// It was a connection before hooks had anything to do with it.
    pub(super) fn take_place(&mut self, shard: &Rc<Shard>, key: ConnectionKey) {
        self.place = Some((shard.clone(), key));
    }

    /// Whether anything was ordered before it was a connection.
    pub(super) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// What was ordered before it was a connection.
    pub(super) fn take_orders(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.orders)
    }

    /// Rooms that it is to be in before its first message is read.
    pub(super) fn take_ordered_joins(&mut self) -> Vec<Box<str>> {
        self.orders.iter_mut().flat_map(|verdict| std::mem::take(&mut verdict.join)).collect()
    }

    /// Joins, leaves and publishes as a verdict orders, each whole before the next.
    ///
    /// # Errors
    /// [`NotWhole`], after what could be done: a limit of rooms is reached, or a home is busy.
    pub(super) async fn carry_out(&self, verdict: &mut Verdict) -> Result<(), NotWhole> {
        if let Some((shard, key)) = &self.place {
            for room in std::mem::take(&mut verdict.join) {
                join(shard, *key, room).await?;
            }
            for room in std::mem::take(&mut verdict.leave) {
                // Who is not there has left.
                let _ = shard.with_hub(|hub| hub.leave(*key, &room, None));
            }
            publish(shard, std::mem::take(&mut verdict.publish)).await?;
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.is_missed && self.hooks.wants(HookEvent::Disconnect) {
            // By no entry of the shard that ends the process where a panic passes: this may be one's way out.
            let rooms = self.place.as_ref().map(|(shard, key)| shard.rooms_of(*key)).unwrap_or_default();
            self.events += 1;
            self.tell(Happening::Disconnect { rooms: &rooms });
        }
    }
}

/// What notifications' answers publish goes out by the same door.
pub(super) fn publish_answers(shard: &Rc<Shard>, services: &Rc<Services>) {
    let (shard, hooks) = (shard.clone(), services.hooks().clone());
    let services = services.clone();
    hooks.on_posts(move |posts| {
        let (shard, services) = (shard.clone(), services.clone());
        spawn(async move {
            if let Err(error) = publish(&shard, posts).await {
                say(&services, &error);
            }
        });
    });
}

/// Says that a verdict was carried out in part: once a second, for a client may have found a way to cause it.
pub(super) fn say(services: &Services, error: &NotWhole) {
    if services.not_whole_said.may(now()) {
        warn!("{error}");
    }
}

/// Makes a connection a member of a room, and waits until it is one. Whoever is on the way out joins nothing.
async fn join(shard: &Rc<Shard>, key: ConnectionKey, room: Box<str>) -> Result<(), NotWhole> {
    let until = now() + WHOLE_WITHIN;
    let relation = || shard.with_hub(|hub| hub.relation(key, &room));
    if relation() == Relation::Stranger {
        let here = ShardId(shard.index() as u16);
        if let Some(call) = call_from(shard, until).await {
            // What came of it is looked at below.
            let _ = call.ask(here, Question::Join(Whom::Connection(key), room.clone())).await;
        }
    }
    is_member(shard, key, &room, until).await
}

/// Waits until a connection that has asked to join is a member.
pub(super) async fn is_member(
    shard: &Rc<Shard>,
    key: ConnectionKey,
    room: &str,
    until: Instant,
) -> Result<(), NotWhole> {
    loop {
        let (relation, is_leaving, home) =
            shard.with_hub(|hub| (hub.relation(key, room), hub.is_leaving(key), hub.home_of(room)));
        match relation {
            Relation::Member => return Ok(()),
            _ if is_leaving => return Ok(()),
            Relation::Waiting if now() < until => {
                // Its answer wakes one who waits for the home, and that may be another.
                _ = within(LOOK_EVERY, shard.wait_for(home)).await;
            }
            _ => return Err(NotWhole { what: "no place in", room: room.into() }),
        }
    }
}

/// Publishes in order. Neighbours of one home go there together.
async fn publish(shard: &Rc<Shard>, posts: Vec<Post>) -> Result<(), NotWhole> {
    let mut posts = posts.into_iter().peekable();
    let Some(first) = posts.peek() else { return Ok(()) };
    let busy = |room: &str| NotWhole { what: "not published in", room: room.into() };
    let Some(call) = call_from(shard, now() + WHOLE_WITHIN).await else { return Err(busy(&first.room)) };
    let item = |Post { room, publication }| Item { room, publication, id: None };
    while let Some(post) = posts.next() {
        let (home, room) = (call.home_of(&post.room), post.room.clone());
        let mut items = vec![item(post)];
        while let Some(next) = posts.next_if(|next| call.home_of(&next.room) == home) {
            items.push(item(next));
        }
        match call.ask(home, Question::Publish(items)).await {
            Ok(Answer::Published(outcomes)) if outcomes.iter().all(|it| matches!(it, Outcome::At(_))) => (),
            _ => return Err(busy(&room)),
        }
    }
    Ok(())
}

/// A place to ask shards from, once there is one.
async fn call_from(shard: &Rc<Shard>, until: Instant) -> Option<Call> {
    loop {
        match shard.call() {
            None if now() < until => sleep(LOOK_EVERY).await,
            call => return call,
        }
    }
}

/// How long any one thing that a verdict orders may take.
pub(super) const WHOLE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether it is done, where nobody says so.
const LOOK_EVERY: Duration = Duration::from_millis(20);
