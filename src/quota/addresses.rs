//! How many connections each address holds, over all shards.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use foldhash::quality::FixedState;

use super::table::Table;
use std::sync::atomic::Ordering::Relaxed;

/// Connections by address.
#[derive(Debug)]
pub struct Addresses {
    hash: FixedState,
    table: Table,
}

/// An address, as a seeded hash: an IPv6 /64 is one, and an IPv4 address in IPv6's clothes is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(u64);

/// A connection that is counted for its address. Whoever holds it gives it back by [`Addresses::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Seat(NonZeroU32);

/// The address holds as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Addresses {
    /// For so many addresses at a time; `seed` is secret.
    pub(super) fn new(addresses: usize, seed: u64) -> Addresses {
        Addresses { hash: FixedState::with_seed(seed), table: Table::for_keys(addresses) }
    }

    /// The key of an address.
    pub fn key(&self, address: IpAddr) -> AddressKey {
        AddressKey(match address.to_canonical() {
            IpAddr::V4(v4) => self.hash.hash_one(v4),
            IpAddr::V6(v6) => self.hash.hash_one(network_of(v6)),
        })
    }

    /// Counts one more connection of an address, of which there may be `most`. `Ok(None)`: it is not
    /// counted, for the table has no place for another address. So a flood of addresses lets more of each
    /// in, and keeps nobody out; the connections of the process are bounded elsewhere.
    ///
    /// # Errors
    ///
    /// [`TooMany`] where `most` are counted already.
    pub fn enter(&self, key: AddressKey, most: usize) -> Result<Option<Seat>, TooMany> {
        let tag = tag_of(key);
        let most = u64::try_from(most).unwrap_or(u64::MAX).min(COUNT_MAX);
        let one_more = |held: Option<u64>| match held.map_or(0, |held| held & COUNT_MAX) {
            count if count >= most => Err(TooMany),
            count => Ok(tag | (count + 1)),
        };
        let at = self.table.bucket(key.0).update(|held| held & !COUNT_MAX == tag, |_| false, one_more)?;
        Ok(at.map(|at| Seat(NonZeroU32::MIN.saturating_add(at as u32))))
    }

    /// A counted connection is gone.
    pub fn leave(&self, seat: Seat) {
        let cell = self.table.cell(seat.0.get() as usize - 1);
        let one_less = |held: u64| if held & COUNT_MAX <= 1 { 0 } else { held - 1 };
        // It cannot fail: the closure always says what to store.
        let _ = cell.fetch_update(Relaxed, Relaxed, |held| Some(one_less(held)));
    }
}

fn network_of(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

/// The upper half of the hash, and never zero, so that no cell in use is.
fn tag_of(key: AddressKey) -> u64 {
    (key.0 & !COUNT_MAX) | (1 << 63)
}

const COUNT_MAX: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn addresses() -> Addresses {
        Addresses::new(1000, 7)
    }

    fn key(addresses: &Addresses, address: &str) -> AddressKey {
        addresses.key(address.parse().expect(address))
    }

    #[test]
    fn an_address_holds_as_many_as_it_may_and_another_is_not_touched() {
        let addresses = addresses();
        let (a, b) = (key(&addresses, "10.0.0.1"), key(&addresses, "10.0.0.2"));
        let seats: Vec<Seat> = (0..3).filter_map(|_| addresses.enter(a, 3).expect("a place")).collect();
        assert_eq!(addresses.enter(a, 3), Err(TooMany));
        let other = addresses.enter(b, 3).expect("a place").expect("counted");
        seats.into_iter().for_each(|seat| addresses.leave(seat));
        assert!(addresses.enter(a, 1).is_ok_and(|seat| seat.is_some()), "all are given back");
        addresses.leave(other);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let addresses = addresses();
        assert_eq!(key(&addresses, "2001:db8:1:2::1"), key(&addresses, "2001:db8:1:2:ffff::9"));
        assert_ne!(key(&addresses, "2001:db8:1:2::1"), key(&addresses, "2001:db8:1:3::1"));
        assert_eq!(key(&addresses, "::ffff:10.0.0.1"), key(&addresses, "10.0.0.1"));
        assert_ne!(key(&addresses, "10.0.0.1"), key(&addresses, "10.0.0.2"));
    }

    #[test]
    fn a_full_table_counts_nobody_new_and_keeps_nobody_out() {
        let addresses = Addresses::new(1, 7);
        let keys = (0..1000_u32).map(|n| addresses.key(IpAddr::from(n.to_be_bytes())));
        let seats: Vec<Option<Seat>> = keys.map(|key| addresses.enter(key, 1).expect("let in")).collect();
        let counted = seats.into_iter().flatten().map(|seat| addresses.leave(seat)).count();
        assert_eq!(counted, 8);
        assert!(addresses.table.bucket(0).update(|_| false, |_| false, |_| Ok::<u64, ()>(1)).is_ok());
    }

    #[test]
    fn whatever_threads_do_at_once_all_is_given_back_and_the_limit_holds() {
        let addresses = addresses();
        let keys: Vec<AddressKey> =
            (0..20_u32).map(|n| addresses.key(IpAddr::from(n.to_be_bytes()))).collect();
        thread::scope(|scope| {
            for offset in 0..4 {
                let (addresses, keys) = (&addresses, &keys);
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let key = keys[(round * 7 + offset) % keys.len()];
                        let seats: Vec<_> =
                            (0..3).filter_map(|_| addresses.enter(key, 5).ok().flatten()).collect();
                        seats.into_iter().for_each(|seat| addresses.leave(seat));
                    }
                });
            }
        });
        for key in keys {
            assert!((0..5).all(|_| addresses.enter(key, 5).is_ok()));
            assert_eq!(addresses.enter(key, 5), Err(TooMany));
        }
    }
}
