//! The internet of the in-machine test network: it takes what the nodes send, and gives it to whom it is for when its wire says so.
//!
//! Each node has an interface of its own whose other end is here, in the namespace in the middle; all those at the nodes have one hardware
//! address, so a frame is passed on as it is. IPv4 only. `tools/lab/` makes the namespaces and speaks to this process over lines of text.
//!
//! Arguments: SENT.pcap ARRIVED.pcap: every frame with the kernel's stamp of its coming in, and with the time of its going out.
//! Hears: a plan (plan.rs); the end of standard input ends it. Says: `ready`, then, at its end, one line of JSON; or `failed REASON`.
//! late_us: time of leaving minus time of coming in minus the wire's delay, of all frames, waking up included.

#![deny(unsafe_code)]

mod capture;
mod lateness;
mod plan;
mod socket;
mod wire;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::path::Path;

use capture::Capture;
use lateness::Lateness;
use plan::Plan;
use socket::{now_ns, FrameSocket};
use wire::Wire;

const ETHERNET_OCTETS: usize = 14;
const IP_TARGET: std::ops::Range<usize> = ETHERNET_OCTETS + 16..ETHERNET_OCTETS + 20;
/// Frames on their way: a second of a hundred thousand a second.
const MAX_WAITING: usize = 100_000;
/// Taken at one time, so that a flood does not keep what is due waiting.
const BATCH: usize = 32;
const LONGEST_WAIT_NS: u64 = 1_000_000_000;

/// A frame on its way; the first to leave is the smallest. `order`: of coming in.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due_ns: u64,
    order: u64,
    interface: u32,
    octets: Vec<u8>,
}

#[derive(Default)]
struct Counts {
    taken: u64,
    lost: u64,
    left: u64,
    /// For nobody, or for somebody whom its sender has no wire to.
    astray: u64,
    /// Beyond MAX_WAITING, or not taken by the kernel.
    overflow: u64,
}

struct Internet {
    socket: FrameSocket,
    /// By the sender's interface and the address it is for: the wire, and the interface at its end.
    wires: HashMap<(u32, Ipv4Addr), (Wire, u32)>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    sent: Capture,
    arrived: Capture,
    lateness: Lateness,
    counts: Counts,
}

impl Internet {
    fn new(plan: Plan, captures: [&str; 2]) -> Result<Self, String> {
        let socket = FrameSocket::new().map_err(|error| format!("no packet socket: {error}"))?;
        let numbered = |name: &String| socket::interface_number(name).ok_or(format!("no interface {name}"));
        let interfaces = plan.nodes.iter().map(|(name, _)| numbered(name)).collect::<Result<Vec<_>, _>>()?;
        let (mut wires, began_ns) = (HashMap::new(), now_ns());
        for way in plan.directions {
            let (from, to) = (plan.nodes[way.from].1, plan.nodes[way.to].1);
            let mut wire = Wire::new(way.impairments, plan.seed, [from.to_bits(), to.to_bits()], began_ns);
            way.outages.into_iter().for_each(|outage| wire.add_outage(outage));
            wires.insert((interfaces[way.from], to), (wire, interfaces[way.to]));
        }
        let [sent, arrived] = captures.map(|path| Capture::create(Path::new(path)).map_err(|error| format!("no capture: {error}")));
        let (lateness, counts) = (Lateness::new(), Counts::default());
        Ok(Self { socket, wires, waiting: BinaryHeap::new(), sent: sent?, arrived: arrived?, lateness, counts })
    }

    /// Take what came in, some at a time.
    fn take_some(&mut self) {
        for _ in 0..BATCH {
            let Some(frame) = self.socket.receive() else { return };
            self.counts.taken += 1;
            self.sent.add(frame.at_ns, frame.octets);
            let target = frame.octets.get(IP_TARGET).and_then(|octets| <[u8; 4]>::try_from(octets).ok()).map(Ipv4Addr::from);
            let Some((wire, interface)) = target.and_then(|target| self.wires.get_mut(&(frame.interface, target))) else {
                self.counts.astray += 1;
                continue;
            };
            match wire.take(frame.at_ns, frame.octets.len() - ETHERNET_OCTETS) {
                None => self.counts.lost += 1,
                Some(_) if self.waiting.len() >= MAX_WAITING => self.counts.overflow += 1,
                Some(due_ns) => {
                    self.waiting.push(Reverse(Waiting { due_ns, order: self.counts.taken, interface: *interface, octets: frame.octets.to_vec() }));
                }
            }
        }
    }

    /// Send what is due; how long until the next is, or LONGEST_WAIT_NS.
    fn send_due(&mut self) -> u64 {
        loop {
            let now = now_ns();
            match self.waiting.peek() {
                None => return LONGEST_WAIT_NS,
                Some(Reverse(next)) if next.due_ns > now => return (next.due_ns - now).min(LONGEST_WAIT_NS),
                Some(_) => {}
            }
            let Some(Reverse(frame)) = self.waiting.pop() else { return LONGEST_WAIT_NS };
            if self.socket.send(frame.interface, &frame.octets) {
                self.lateness.add(now - frame.due_ns);
                self.arrived.add(now, &frame.octets);
                self.counts.left += 1;
            } else {
                self.counts.overflow += 1;
            }
        }
    }

    fn finish(self, realtime: bool) -> String {
        let Self { counts, lateness, .. } = &self;
        let (p50, p99, max) = (lateness.percentile_us(50), lateness.percentile_us(99), lateness.max_us());
        let Counts { taken, lost, left, astray, overflow } = counts;
        let head = format!("\"taken\":{taken},\"lost\":{lost},\"left\":{left},\"astray\":{astray},\"overflow\":{overflow}");
        let (missed, unwritten) = (self.socket.missed(), self.sent.finish().saturating_add(self.arrived.finish()));
        format!("{{{head},\"missed\":{missed},\"unwritten\":{unwritten},\"realtime\":{realtime},\"late_us\":{{\"p50\":{p50},\"p99\":{p99},\"max\":{max}}}}}")
    }
}

fn run() -> Result<String, String> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [sent, arrived] = given.as_slice() else { return Err("two files are needed".into()) };
    let plan = Plan::read(std::io::stdin().lines().map_while(Result::ok))?;
    let mut internet = Internet::new(plan, [sent, arrived])?;
    let realtime = socket::ask_for_realtime();
    println!("ready");
    let mut wait_ns = 0;
    loop {
        let (frames, told) = socket::wait(&internet.socket, wait_ns);
        // What is due leaves before anything else is looked at.
        wait_ns = internet.send_due();
        if frames {
            internet.take_some();
            wait_ns = internet.send_due();
        }
        if told {
            return Ok(internet.finish(realtime));
        }
    }
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(told) => {
            println!("{told}");
            std::process::ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("failed {reason}");
            std::process::ExitCode::FAILURE
        }
    }
}
