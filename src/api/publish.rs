//! Publishing: items to the homes of their rooms, and one answer of what came of them.
//!
//! Each home is asked once, for all that is meant for it, in the order it was sent. Waits for homes, and delivers nothing
//! itself.

use http::StatusCode;
use serde::Serialize;

use super::refused::{Error, Refused};
use super::sent::{self, Items};
use crate::config::Limits;
use crate::hub::{Position, ShardId};
use crate::protocol::http::Response;
use crate::shard::{Answer, Call, Item, NoAnswer, Outcome, Question};

/// What came of an item, as it is told.
#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Published { position: Option<String> },
    Refused { error: Error },
}

pub(super) async fn publish(call: &Call, body: &[u8], limits: &Limits) -> Result<Response, Refused> {
    match sent::items(body, limits).await? {
        Items::One(item) => {
            let outcome = outcomes(call, vec![item]).await.pop().expect("one outcome an item");
            Ok(super::json(StatusCode::OK, &Told::Published { position: told(outcome?) }))
        }
        Items::Many(items) => {
            let told: Vec<Told> = outcomes(call, items)
                .await
                .into_iter()
                .map(|outcome| match outcome {
                    Ok(position) => Told::Published { position: told(position) },
                    Err(refused) => Told::Refused { error: refused.error },
                })
                .collect();
            Ok(super::json(StatusCode::OK, &told))
        }
    }
}

fn told(position: Option<Position>) -> Option<String> {
    position.map(|position| position.to_string())
}

/// What came of each, in their order.
async fn outcomes(call: &Call, items: Vec<Item>) -> Vec<Result<Option<Position>, Refused>> {
    let len = items.len();
    let mut by_home: Vec<(Vec<usize>, Vec<Item>)> = call.shards().map(|_| Default::default()).collect();
    for (nth, item) in items.into_iter().enumerate() {
        let (places, items) = &mut by_home[usize::from(call.home_of(&item.room).0)];
        places.push(nth);
        items.push(item);
    }
    let (mut asked, mut questions) = (Vec::new(), Vec::new());
    for (home, (places, items)) in
        by_home.into_iter().enumerate().filter(|(_, (places, _))| !places.is_empty())
    {
        asked.push(places);
        questions.push((ShardId(home as u16), Question::Publish(items)));
    }
    let mut outcomes: Vec<_> = (0..len).map(|_| Err(Refused::from(NoAnswer::Late))).collect();
    for (places, answer) in asked.into_iter().zip(call.ask_each(questions).await) {
        match answer {
            Ok(Answer::Published(published)) => {
                for (nth, outcome) in places.into_iter().zip(published) {
                    outcomes[nth] = match outcome {
                        Outcome::At(position) => Ok(position),
                        Outcome::Busy => {
                            Err(Refused::busy("the room's home could not take it in time: try again"))
                        }
                    };
                }
            }
            Ok(other) => unreachable!("{other:?} is no answer to a publication"),
            Err(no_answer) => places.into_iter().for_each(|nth| outcomes[nth] = Err(no_answer.into())),
        }
    }
    outcomes
}
