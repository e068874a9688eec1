//! A flood at one port: neighbours, each with an address of its own, that send what is no cell, and begin handshakes without end.
//!
//! Junk is of four kinds: DTLS from an address without a link, what begins like nothing of PROTOCOL.md §2.1, good hellos, and firsts with a bad cookie. A handshake is a
//! whole one, as a box begins it, each from a socket of its own; it is let go when it stands, without a cell, or after half a second.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use voicebox_core::random::{RandomSource, SeededRandom};
use voicebox_dtls::{hello, Association, BoringAssociation, Dial, Dialer, Pin, State, HELLO_NUMBER_OCTETS, KIND_FIRST, RECORD_OCTETS};

use crate::datagrams::{bind, send_all, Inbox, Parcel, RawAddress};
use crate::hex;

const KINDS: usize = 4;
const OF_EACH_KIND: usize = 16;
/// What a handshake may take before it is let go.
const LET_GO_US: u64 = 500_000;
const MAX_HANDSHAKES: usize = 2_000;
const LONG_OCTETS: usize = 1_200;
const FIRST_OCTETS: usize = 141;
/// Datagrams of one call to the kernel.
const BATCH: usize = 32;

struct Begun {
    socket: UdpSocket,
    dial: Dial<BoringAssociation>,
    at: u64,
}

#[derive(Default)]
struct Totals {
    junk: [u64; KINDS],
    begun: u64,
    stood: u64,
}

fn junk(hello: &[u8]) -> Vec<[Vec<u8>; KINDS]> {
    let mut random = SeededRandom::new([40; 32]);
    let mut made = |first: u8, octets: usize| {
        let mut datagram = vec![0; octets];
        random.fill(&mut datagram);
        datagram[0] = first;
        datagram
    };
    (0..OF_EACH_KIND).map(|_| [made(47, RECORD_OCTETS), made(200, LONG_OCTETS), hello.to_vec(), made(KIND_FIRST, FIRST_OCTETS)]).collect()
}

/// Flood for so long; says `flooded SECONDS DTLS UNKNOWN HELLO FIRST BEGUN STOOD`.
#[allow(clippy::disallowed_methods)] // a benchmark's own clock
pub(crate) fn flood(given: &[&str]) -> Result<(), String> {
    let [to, pin, neighbours, junk_per_s, handshakes_per_s, seconds] = given else { return Err("too few arguments".into()) };
    let to: SocketAddr = to.parse().map_err(|_| "bad address")?;
    let pin = hex(pin).and_then(|pin| Pin::try_from(pin).ok()).ok_or("bad pin")?;
    let number = |text: &str| text.parse::<f64>().map_err(|_| "bad number");
    let (junk_per_s, handshakes_per_s, seconds) = (number(junk_per_s)?, number(handshakes_per_s)?, number(seconds)?);
    let addresses: Vec<IpAddr> = (1..=neighbours.parse::<u8>().map_err(|_| "bad number")?).map(|last| Ipv4Addr::new(127, 78, 0, last).into()).collect();
    let sockets = addresses.iter().map(|address| bind(*address, 0).map_err(|error| error.to_string())).collect::<Result<Vec<_>, _>>()?;
    let good = hello(&pin, [9; HELLO_NUMBER_OCTETS]).ok_or("no hello")?;
    let (relay, dialer, junk) = (RawAddress::new(to), Arc::new(Dialer::new(None).map_err(|error| error.to_string())?), junk(&good));
    let (mut totals, mut begun, mut inbox) = (Totals::default(), Vec::new(), Inbox::new());
    let (start, mut sent) = (Instant::now(), 0u64);
    loop {
        let now = start.elapsed().as_micros() as u64;
        if now as f64 >= seconds * 1e6 {
            break;
        }
        let wanted = (now as f64 * junk_per_s / 1e6) as u64;
        while sent < wanted {
            let count = (wanted - sent).min(BATCH as u64);
            let socket = &sockets[(sent / BATCH as u64) as usize % sockets.len()];
            let octets: Vec<[&[u8]; 1]> = (sent..sent + count).map(|place| [junk_at(&junk, place)]).collect();
            let parcels: Vec<Parcel<'_>> = octets.iter().map(|octets| Parcel { octets, to: &relay }).collect();
            send_all(socket, &parcels, &mut false);
            for place in sent..sent + count {
                totals.junk[place as usize % KINDS] += 1;
            }
            sent += count;
        }
        while (totals.begun as f64) < now as f64 * handshakes_per_s / 1e6 && begun.len() < MAX_HANDSHAKES {
            let socket = bind(addresses[totals.begun as usize % addresses.len()], 0).map_err(|error| error.to_string())?;
            let dialer = dialer.clone();
            begun.push(Begun { socket, dial: Dial::new(now, good, move |now| dialer.connect(pin, now)), at: now });
            totals.begun += 1;
        }
        totals.stood += turn(&mut begun, &mut inbox, &relay, now);
        for socket in &sockets {
            // The cookies: they are taken off, so that the buffers never fill, and not looked at.
            inbox.receive(socket);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let [dtls, unknown, hello, first] = totals.junk;
    println!("flooded {} {dtls} {unknown} {hello} {first} {} {}", start.elapsed().as_secs_f64(), totals.begun, totals.stood);
    Ok(())
}

fn junk_at(junk: &[[Vec<u8>; KINDS]], place: u64) -> &[u8] {
    &junk[place as usize / KINDS % OF_EACH_KIND][place as usize % KINDS]
}

/// Carry handshakes on; return how many stood.
fn turn(begun: &mut Vec<Begun>, inbox: &mut Inbox, relay: &RawAddress, now: u64) -> u64 {
    let mut stood = 0;
    let mut cell = [0; 256];
    begun.retain_mut(|each| {
        let taken = inbox.receive(&each.socket);
        for place in 0..taken {
            each.dial.handle_datagram(now, inbox.get(place).0, &mut cell);
        }
        if each.dial.next_timeout(now).is_some_and(|at| at <= now) {
            each.dial.handle_timeout(now);
        }
        while let Some(datagram) = each.dial.poll_datagram() {
            send_all(&each.socket, &[Parcel { octets: &[&datagram], to: relay }], &mut false);
        }
        let open = each.dial.state() == State::Open;
        stood += u64::from(open);
        !open && each.dial.state() != State::Failed && now < each.at + LET_GO_US
    });
    stood
}
