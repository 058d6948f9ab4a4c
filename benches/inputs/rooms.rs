//! A hub whose rooms have idle members, driven as a shard drives it. Shared by the benches; nothing is measured here.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use vestibule::hub::{ConnectionKey, Hub, Join, Limits, Options, Publication, ShardId, Step, Wire};

/// So many connections, each of them a member of each of `rooms`.
pub(crate) fn hub_of(count: usize, rooms: &[&str]) -> (Hub, Vec<ConnectionKey>) {
    let options = Options { shard: ShardId(0), shards: 1, name_seed: 1, epoch_seed: 1 };
    let limits =
        Limits { lag_bytes: 1 << 20, rooms_per_connection: 10, history_bytes: 0, connections: count };
    let mut hub = Hub::new(options, limits);
    let user: Arc<str> = "ada".into();
    let members: Vec<_> = (0..count).map(|_| hub.connect(user.clone(), Wire::Native)).collect();
    for member in &members {
        for room in rooms {
            assert_eq!(hub.join(*member, room, Join::default()), Ok(Step::Done));
        }
    }
    (hub, members)
}

pub(crate) fn publish(hub: &mut Hub, from: ConnectionKey, room: &str, publication: &Arc<Publication>) {
    assert_eq!(hub.publish(from, room, publication, None), Step::Done);
}

/// Every member that is behind is written to, at once and whole.
pub(crate) fn deliver(hub: &mut Hub, slices: &mut Vec<Bytes>) -> usize {
    let mut served = 0;
    while let Some(key) = hub.poll_writable() {
        if hub.batch(key, slices) {
            black_box(&*slices);
            slices.clear();
            hub.on_written(key);
        }
        served += 1;
    }
    served
}

pub(crate) fn publication() -> Arc<Publication> {
    Arc::new(Publication { payload: payload().into_bytes().into(), ..Publication::default() })
}

/// 128 bytes of JSON.
pub(crate) fn payload() -> String {
    format!("\"{}\"", "x".repeat(126))
}
