//! Room for connections: nobody is known yet, so what one may hold goes by where it comes from, at two
//! distances. When there is no room left, whoever holds most makes some.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many connections may be open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From one address, or one /64 of v6, which whoever has one address of it has.
    pub(super) address: usize,
    /// From one network: a /24 of v4, a /48 of v6.
    pub(super) network: usize,
    pub(super) in_all: usize,
}

/// Of one listener.
pub(super) const CONNECTIONS: Bounds = Bounds {
    address: 512,
    network: 2048,
    in_all: 8192,
};

/// Who comes in at one listener.
#[derive(Debug)]
pub(super) struct Door {
    held: Mutex<Held>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    next: u64,
    networks: HashMap<IpAddr, Network>,
    /// Networks by how many connections they have.
    sizes: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug, Default)]
struct Network {
    by_address: HashMap<IpAddr, usize>,
    /// The oldest first.
    connections: BTreeMap<u64, (IpAddr, Arc<Work>)>,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    door: Arc<Door>,
    /// Whose it is; nobody's when it is a proxy's.
    whose: Option<(u64, Source)>,
    /// What the connection has under way.
    pub(super) work: Arc<Work>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
struct Source {
    address: IpAddr,
    network: IpAddr,
}

impl Source {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self {
                address: ip,
                network: Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
            },
            IpAddr::V6(v6) => {
                let first = |bits: u32| Ipv6Addr::from_bits(v6.to_bits() >> bits << bits).into();
                Self {
                    address: first(64),
                    network: first(80),
                }
            }
        }
    }
}

/// A network as it is written.
fn written(network: IpAddr) -> String {
    let bits = if network.is_ipv4() { 24 } else { 48 };
    format!("{network}/{bits}")
}

impl Door {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            held: Mutex::default(),
            bounds,
        }
    }

    /// Room for one more from an address. When all is taken, the network that has most gives up its
    /// oldest connection, if that leaves it no worse off than the newcomer.
    pub(super) fn seat(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let from = Source::of(ip);
        let mut held = self.held.lock();
        let own = held.networks.get(&from.network);
        let of_network = own.map_or(0, |n| n.connections.len());
        let of_address = own.and_then(|n| n.by_address.get(&from.address)).copied();
        if of_network >= self.bounds.network || of_address.unwrap_or(0) >= self.bounds.address {
            return None;
        }
        if held.all >= self.bounds.in_all && !held.make_room(of_network) {
            return None;
        }
        let (id, work) = (held.next, Arc::new(Work::default()));
        held.next += 1;
        held.all += 1;
        let network = held.networks.entry(from.network).or_default();
        *network.by_address.entry(from.address).or_default() += 1;
        network
            .connections
            .insert(id, (from.address, Arc::clone(&work)));
        held.sizes.remove(&(of_network, from.network));
        held.sizes.insert((of_network + 1, from.network));
        drop(held);
        Some(Seat {
            door: Arc::clone(self),
            whose: Some((id, from)),
            work,
        })
    }

    /// Room for one more of a proxy of ours, which speaks for many and is never cut.
    pub(super) fn seat_of_proxy(self: &Arc<Self>) -> Option<Seat> {
        let mut held = self.held.lock();
        if held.all >= self.bounds.in_all && !held.make_room(0) {
            return None;
        }
        held.all += 1;
        drop(held);
        Some(Seat {
            door: Arc::clone(self),
            whose: None,
            work: Arc::default(),
        })
    }

    /// How many are open, and how many may be.
    pub(super) fn open(&self) -> (usize, usize) {
        (self.held.lock().all, self.bounds.in_all)
    }

    /// The network with the most connections, and their number.
    pub(super) fn most(&self) -> Option<(String, usize)> {
        let held = self.held.lock();
        let (number, network) = held.sizes.last()?;
        Some((written(*network), *number))
    }
}

impl Held {
    /// Cuts one connection of the network that has most, unless a newcomer of one that has this many
    /// would then be no better: those who hold most would only take turns.
    fn make_room(&mut self, newcomers: usize) -> bool {
        let Some(&(number, network)) = self.sizes.last() else {
            return false;
        };
        if number <= newcomers + 1 {
            return false;
        }
        let Some((id, from)) = self
            .networks
            .get(&network)
            .and_then(|n| Some((n.to_cut()?, network)))
        else {
            return false;
        };
        if let Some(work) = self.leave(id, from) {
            work.cut.cancel();
        }
        true
    }

    /// Takes a connection off the lists, if it is on them.
    fn leave(&mut self, id: u64, network: IpAddr) -> Option<Arc<Work>> {
        let held = self.networks.get_mut(&network)?;
        let number = held.connections.len();
        let (address, work) = held.connections.remove(&id)?;
        if let Some(own) = held.by_address.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                held.by_address.remove(&address);
            }
        }
        self.sizes.remove(&(number, network));
        if number > 1 {
            self.sizes.insert((number - 1, network));
        } else {
            self.networks.remove(&network);
        }
        self.all -= 1;
        Some(work)
    }
}

impl Network {
    /// The oldest that is asked nothing, of the address that has most; the oldest of that address when
    /// all are at work.
    fn to_cut(&self) -> Option<u64> {
        let (most, _) = self.by_address.iter().max_by_key(|(_, number)| **number)?;
        let own = || self.connections.iter().filter(|(_, (a, _))| a == most);
        let idle = own().find(|(_, (_, work))| work.is_idle());
        idle.or_else(|| own().next()).map(|(id, _)| *id)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.door.held.lock();
        match self.whose {
            Some((id, from)) => drop(held.leave(id, from.network)),
            None => held.all -= 1,
        }
    }
}

/// What a connection is asked and has not handed over yet. hyper's own patience ends with a request's
/// head: an h2 client that says nothing, or only answers pings, and one that never reads, it lets be.
#[derive(Debug, Default)]
pub(super) struct Work {
    under_way: AtomicUsize,
    changed: Notify,
    /// Whether another connection needs the room.
    pub(super) cut: CancellationToken,
}

impl Work {
    pub(super) fn begin(self: &Arc<Self>) -> Asked {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Asked(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Resolves when nothing was under way for so long.
    pub(super) async fn rests(&self, most: Duration) {
        loop {
            let changed = self.changed.notified();
            if !self.is_idle() {
                changed.await;
            } else if tokio::time::timeout(most, changed).await.is_err() {
                return;
            }
        }
    }
}

/// A request, until the last of its answer was handed over.
#[derive(Debug)]
pub(super) struct Asked(Arc<Work>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn door(address: usize, network: usize, in_all: usize) -> Arc<Door> {
        Arc::new(Door::new(Bounds {
            address,
            network,
            in_all,
        }))
    }

    fn seats(door: &Arc<Door>, ips: impl IntoIterator<Item = String>) -> Vec<Option<Seat>> {
        let seat = |ip: String| door.seat(ip.parse().unwrap());
        ips.into_iter().map(seat).collect()
    }

    fn is_cut(seat: Option<&Seat>) -> bool {
        seat.unwrap().work.cut.is_cancelled()
    }

    #[test]
    fn an_address_and_its_network_have_a_share_each() {
        for (address, neighbours, elsewhere) in [
            ("192.0.2.1", ["192.0.2.2", "192.0.2.3"], "192.0.3.1"),
            // One /64 is one address, a /48 is one network.
            (
                "2001:db8:0:1::1",
                ["2001:db8:0:2::1", "2001:db8:0:ffff::1"],
                "2001:db8:1::1",
            ),
        ] {
            let door = door(2, 5, 100);
            let seat = |ip: &str| door.seat(ip.parse().unwrap());
            let mut held: Vec<_> = (0..2).map(|_| seat(address).unwrap()).collect();
            assert!(seat(address).is_none());
            held.extend((0..2).map(|_| seat(neighbours[0]).unwrap()));
            held.push(seat(neighbours[1]).unwrap());
            assert!(seat(neighbours[1]).is_none(), "its network has five");
            assert!(seat(elsewhere).is_some());
            held.remove(0);
            assert!(seat(address).is_some());
            drop(held);
            let held = door.held.lock();
            assert!(held.networks.is_empty() && held.sizes.is_empty() && held.all == 0);
        }
        let door = door(2, 5, 100);
        let _one = door.seat("2001:db8::1".parse().unwrap());
        let _other = door.seat("2001:db8::ffff:1".parse().unwrap());
        assert!(door.seat("2001:db8::2".parse().unwrap()).is_none());
    }

    #[test]
    fn when_all_is_taken_whoever_holds_most_makes_room_with_its_oldest_idle_one() {
        let door = door(4, 4, 10);
        let many = |net: u8| (0..4).map(move |_| format!("10.0.{net}.1"));
        let (first, second) = (seats(&door, many(1)), seats(&door, many(2)));
        let few = seats(&door, ["10.0.3.1".into(), "10.0.3.1".into()]);
        // The oldest of the greatest is at work: the next one goes.
        let at_work = second[0].as_ref().unwrap().work.begin();
        let newcomer = door.seat("10.0.4.1".parse().unwrap());
        assert!(newcomer.is_some());
        assert!(is_cut(second[1].as_ref()) && !is_cut(second[0].as_ref()));
        assert!(few.iter().chain(&first).all(|s| !is_cut(s.as_ref())));
        assert_eq!(door.open(), (10, 10));
        assert_eq!(door.most(), Some(("10.0.1.0/24".to_owned(), 4)));
        // What was cut leaves later, and is not counted twice.
        drop(second);
        assert_eq!(door.open(), (7, 10));
        drop((first, few, newcomer, at_work));
        assert_eq!((door.open().0, door.most()), (0, None));
    }

    #[test]
    fn nobody_who_holds_as_much_makes_others_go() {
        let door = door(4, 4, 6);
        let _held = seats(
            &door,
            (1..=3).flat_map(|net| [(); 2].map(|()| format!("10.0.{net}.1"))),
        );
        // It would have two, as all others.
        let _one = door.seat("10.0.4.1".parse().unwrap()).unwrap();
        assert!(door.seat("10.0.4.1".parse().unwrap()).is_none());
        assert_eq!(door.open(), (6, 6));
    }

    #[test]
    fn sixteen_addresses_do_not_fill_the_door() {
        let door = Arc::new(Door::new(CONNECTIONS));
        let flood = |n: usize| (0..CONNECTIONS.address).map(move |_| format!("10.{n}.0.1"));
        let held = seats(&door, (0..16).flat_map(flood));
        assert!(held.iter().all(Option::is_some));
        assert_eq!(door.open().0, CONNECTIONS.in_all);
        let late = seats(&door, (0..100).map(|n| format!("192.0.2.{n}")));
        assert!(
            late.iter()
                .all(|s| s.as_ref().is_some_and(|s| !s.work.cut.is_cancelled()))
        );
        // Those who flood take nothing from those who do not.
        assert!(
            seats(&door, flood(3))
                .iter()
                .filter(|s| s.is_some())
                .count()
                <= 100
        );
        assert!(late.iter().all(|s| !is_cut(s.as_ref())));
    }
}
