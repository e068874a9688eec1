//! Load for one relay, for benchmarks; not shipped. Peers bring circuits, four sinks take them, so that the relay
//! under load switches every cell from one link to another with its layer. `tools/bench/relay_load.py` drives it over lines of text.
//!
//! Arguments: BORN_UNIX_US LOCAL_ADDRESS RELAY_ADDRESS:PORT PIN_HEX DIRECTORY CIRCUITS spread|aligned relays|boxes SINK_PORT...(4, 0: any) log|
//! DIRECTORY: `sink-N.crt` and `sink-N.key` of each sink, DER.
//! spread: the circuits' cells leave evenly over the slot. aligned: all circuits to one sink at one phase, as a junction's phase makes them (PROTOCOL.md §5.4).
//! relays: four links with the first sink's certificate. boxes: a link for each circuit, without one, as an access link has (PROTOCOL.md §5.2).
//! Or: `forward ADDRESS:PORT`, a bare forwarder; `sleep`, a thread that wakes every 250 us until it hears a line;
//! `flood ADDRESS:PORT PIN_HEX NEIGHBOURS JUNK_PER_S HANDSHAKES_PER_S SECONDS`, neighbours that do no good.
//! Says: `sink I PORT` (4), `up`, `created N HEX`, `running N`, `totals SENT GOT BACK_SENT BACK_GOT`, `logged`, `failed REASON`
//! Hears: `create N CIRCUIT HANDSHAKE_HEX` (over link N % links), `keys N FORWARD_HEX BACKWARD_HEX RELAY_ID_HEX NEXT_CIRCUIT`, `totals`, `log PATH`, `stop`
//! NEXT_CIRCUIT is 1 000 000 + N, by which a sink knows the circuit's phase.
//!
//! A cell counts as got when its body shows the peer's mark: what the relay fills in for a missing one does not.

mod baseline;
// The engine's own batches, which are no public interface.
#[path = "../../src/datagrams.rs"]
mod datagrams;
#[path = "../../src/error.rs"]
mod error;
mod flood;
mod journal;
mod peer;
mod sink;

use std::io::BufRead;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{channel, Receiver};
use std::time::Duration;

use error::Error;
use voicebox_dtls::{Identity, Pin};

use datagrams::RawAddress;
use peer::{Peers, Target};
use sink::Sinks;

/// Sinks, and links of peers that are relays.
const LINKS: usize = 4;
/// The number of the first circuit behind the relay.
const FIRST_BEHIND: u32 = 1_000_000;
const SLOT_US: u64 = 20_000;
/// The first octets of every body that a peer or a sink makes.
const MARK: [u8; 16] = *b"mark of the load";

#[path = "../../src/clock.rs"]
mod clock;

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len() / 2).map(|place| u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()).collect()
}

/// When in the slot each circuit's cell leaves. Circuit k goes to sink (k / 4 + k) % 4.
fn phases_us(circuits: usize, aligned: bool) -> Vec<u64> {
    let of = |place: usize| match aligned {
        true => SLOT_US * ((place / LINKS + place) % LINKS) as u64 / LINKS as u64,
        false => SLOT_US * place as u64 / circuits.max(1) as u64,
    };
    (0..circuits).map(of).collect()
}

fn lines() -> Receiver<String> {
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    heard
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let done = match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["forward", to] => baseline::forward(to),
        ["sleep"] => baseline::sleep(),
        ["flood", given @ ..] => flood::flood(given),
        _ => run(),
    };
    if let Err(reason) = done {
        println!("failed {reason}");
    }
}

/// What the command line says.
struct Arguments {
    clock: clock::Clock,
    local: IpAddr,
    relay: SocketAddr,
    pin: Pin,
    identities: Vec<Identity>,
    phases_us: Vec<u64>,
    boxes: bool,
    ports: Vec<u16>,
    log: bool,
}

fn arguments() -> Result<Arguments, String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [born, local, relay, pin, directory, circuits, phases, kind, ports @ ..] = given.as_slice() else { return Err("too few arguments".into()) };
    let (log, ports) = ports.split_last().ok_or("too few arguments")?;
    let identity = |number: usize| {
        let read = |end: &str| std::fs::read(format!("{directory}/sink-{number}.{end}")).map_err(|_| "a file cannot be read".to_string());
        Identity::from_der(&read("crt")?, &read("key")?).map_err(|error| error.to_string())
    };
    let circuits: usize = circuits.parse().map_err(|_| "bad number of circuits")?;
    Ok(Arguments {
        clock: clock::Clock::new(born.parse().map_err(|_| "bad birth")?),
        local: local.parse().map_err(|_| "bad local address")?,
        relay: relay.parse().map_err(|_| "bad relay address")?,
        pin: hex(pin).and_then(|pin| pin.try_into().ok()).ok_or("bad pin")?,
        identities: (0..LINKS).map(identity).collect::<Result<_, _>>()?,
        phases_us: phases_us(circuits, phases == "aligned"),
        boxes: kind == "boxes",
        ports: ports.iter().map(|port| port.parse().map_err(|_| "bad port")).collect::<Result<_, _>>()?,
        log: log == "log",
    })
}

fn run() -> Result<(), String> {
    let given = arguments()?;
    let clock = given.clock;
    let back_us = given.phases_us.clone();
    let mut sinks = Sinks::new(given.local, &given.ports, &given.identities, back_us, given.log).map_err(|error| error.to_string())?;
    let identity = (!given.boxes).then(|| &given.identities[0]);
    let links = if given.boxes { given.phases_us.len() } else { LINKS };
    let target = Target { local: given.local, relay: RawAddress::new(given.relay), pin: given.pin };
    let mut peers = Peers::new(clock.now(), target, links, identity, given.phases_us, given.log).map_err(|error| error.to_string())?;
    let heard = lines();
    let mut up = false;
    loop {
        let now = clock.now();
        peers.turn(now)?;
        sinks.turn(now)?;
        if !up && peers.are_open() {
            up = true;
            println!("up");
        }
        for line in heard.try_iter() {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["create", number, circuit, handshake] => peers.create(number, circuit, handshake)?,
                ["keys", number, forward, backward, relay_id, next] => peers.keys(number, forward, backward, relay_id, next)?,
                ["totals"] => println!("totals {} {} {} {}", peers.sent, sinks.got, sinks.sent, peers.got),
                ["log", path] => {
                    journal::write(path, [&peers.sent_log, &sinks.got_log, &sinks.sent_log, &peers.got_log]).map_err(|_| "the log cannot be written")?;
                    println!("logged");
                }
                ["stop"] => return Ok(()),
                _ => return Err("an unknown line".into()),
            }
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}
