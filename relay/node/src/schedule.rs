//! What waits to leave: sealed cells and RTP, in groups by the microsecond they are due.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use voicebox_core::random::draw_u32;
use voicebox_core::RandomSource;
use voicebox_dtls::RECORD_OCTETS;

use crate::datagrams::{send_all, Parcel, RawAddress, MAX_TRAIN};
use crate::lateness::Lateness;
use crate::links::SocketNumber;
use crate::media::Half;

/// The cells of one train are due within this time: what a stall held back leaves in several.
const TRAIN_US: u64 = 1_000;
/// Sound waits at most so long for a cell: what sending a datagram of it takes, many times over, and nothing that a phone would hear.
const SOUND_WAITS_US: u64 = 250;

/// A sealed cell.
pub(crate) struct Record {
    /// When it was to leave.
    pub(crate) at: u64,
    pub(crate) socket: SocketNumber,
    pub(crate) link: u32,
    pub(crate) octets: [u8; RECORD_OCTETS],
}

/// RTP or RTCP to a phone.
pub(crate) struct Sound {
    pub(crate) port: u32,
    pub(crate) half: Half,
    pub(crate) octets: Vec<u8>,
}

#[derive(Default)]
struct Group {
    records: Vec<Record>,
    sounds: Vec<Sound>,
    /// Whether it was known before it was due: only then can it be late by our fault alone.
    ahead: bool,
}

/// Everything that waits. Bounded by what the core composes ahead: 1 ms of cells, some 30 ms of sound.
pub(crate) struct Schedule {
    groups: BTreeMap<u64, Group>,
    spare: Vec<Vec<Record>>,
    due: Vec<Record>,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Self { groups: BTreeMap::new(), spare: Vec::new(), due: Vec::new() }
    }

    pub(crate) fn add_record(&mut self, now: u64, record: Record) {
        let (spare, at) = (&mut self.spare, record.at);
        let group = self.groups.entry(at).or_insert_with(|| Group { records: spare.pop().unwrap_or_default(), ..Group::default() });
        group.ahead |= at > now;
        group.records.push(record);
    }

    pub(crate) fn add_sound(&mut self, now: u64, at: u64, sound: Sound) {
        self.groups.entry(at.max(now)).or_default().sounds.push(sound);
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.groups.first_key_value().map(|(&at, _)| at)
    }

    /// When the first of the cells is due that wait. Only sound may be due before it: some groups at most.
    pub(crate) fn next_cell(&self) -> Option<u64> {
        self.groups.iter().find(|(_, group)| !group.records.is_empty()).map(|(&at, _)| at)
    }

    /// Take all that is due: cells, ordered by socket and link, and sounds.
    pub(crate) fn take_due(&mut self, now: u64, lateness: &mut Lateness) -> (Vec<Record>, Vec<Sound>) {
        let mut due = std::mem::take(&mut self.due);
        let mut sounds = Vec::new();
        self.let_cells_first(now);
        while let Some(entry) = self.groups.first_entry().filter(|entry| *entry.key() <= now) {
            let (at, mut group) = entry.remove_entry();
            if group.ahead && !group.records.is_empty() {
                lateness.add(now, at);
            }
            due.append(&mut group.records);
            sounds.append(&mut group.sounds);
            if self.spare.len() < 16 {
                self.spare.push(group.records);
            }
        }
        // Stable: the cells of one link stay in the order of their times.
        due.sort_by_key(|record| (record.socket, record.link));
        (due, sounds)
    }

    /// Let sound wait for a cell that is nearly due: what sending it takes would make the cell late, and only in a call.
    fn let_cells_first(&mut self, now: u64) {
        let Some(cell_at) = self.next_cell().filter(|&at| at > now && at <= now + SOUND_WAITS_US) else { return };
        let mut waiting = Vec::new();
        while let Some(entry) = self.groups.first_entry().filter(|entry| *entry.key() < cell_at) {
            waiting.append(&mut entry.remove().sounds);
        }
        if let Some(group) = self.groups.get_mut(&cell_at) {
            waiting.append(&mut group.sounds);
            group.sounds = waiting;
        }
    }

    /// Give the cells' room back.
    pub(crate) fn reuse(&mut self, mut records: Vec<Record>) {
        records.clear();
        self.due = records;
    }
}

/// Send cells, which all leave by one socket and are in order of links and times: taken and refused. The cells of one link leave in trains of at most 1 ms,
/// in an order that is drawn for each, so that a place in a train says nothing of a circuit.
pub(crate) fn send_records<'a>(
    socket: &UdpSocket,
    records: &'a [Record],
    peer: impl Fn(u32) -> Option<&'a RawAddress>,
    trains: &mut bool,
    random: &mut dyn RandomSource,
) -> (u64, u64) {
    let mut octets: Vec<&[u8]> = records.iter().map(|record| record.octets.as_slice()).collect();
    let mut parcels = Vec::new();
    let (mut wanted, mut rest) = (0, octets.as_mut_slice());
    for run in records.chunk_by(|one, other| one.link == other.link) {
        let to = peer(run[0].link);
        wanted += to.map_or(0, |_| run.len() as u64);
        for length in trains_of(run) {
            let (train, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            shuffle(train, random);
            parcels.extend(to.map(|to| Parcel { octets: train, to }));
        }
    }
    let refused = send_all(socket, &parcels, trains);
    (wanted - refused, refused)
}

/// Cut cells of one link, in the order of their times, into trains; their lengths.
fn trains_of(run: &[Record]) -> Vec<usize> {
    let (mut lengths, mut rest) = (Vec::new(), run);
    while let Some(first) = rest.first() {
        let length = rest.iter().take(MAX_TRAIN).take_while(|record| record.at < first.at + TRAIN_US).count();
        lengths.push(length);
        rest = &rest[length..];
    }
    lengths
}

/// Fisher and Yates. The remainder's bias, below 2^-26 for 60 cells, is of no use to anybody.
fn shuffle(train: &mut [&[u8]], random: &mut dyn RandomSource) {
    for place in (1..train.len()).rev() {
        train.swap(place, draw_u32(random) as usize % (place + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Expanded;

    fn record(link: u32, at: u64, number: u8) -> Record {
        Record { at, socket: 1, link, octets: [number; RECORD_OCTETS] }
    }

    #[test]
    fn sound_waits_for_a_cell_that_is_nearly_due_and_for_no_other() {
        let sound = |number: u8| Sound { port: 1, half: Half::Rtp, octets: vec![number] };
        let numbers = |sounds: &[Sound]| sounds.iter().map(|sound| sound.octets[0]).collect::<Vec<_>>();
        let (mut schedule, mut lateness) = (Schedule::new(), Lateness::new());
        schedule.add_record(0, record(7, 10_000, 9));
        for (at, number) in [(9_749, 1), (9_751, 2), (9_990, 3), (10_000, 4)] {
            schedule.add_sound(0, at, sound(number));
        }
        let (cells, sounds) = schedule.take_due(9_749, &mut lateness);
        assert_eq!((cells.len(), numbers(&sounds)), (0, vec![1]), "that cell is more than 250 us away");
        assert_eq!(numbers(&schedule.take_due(9_750, &mut lateness).1), [0; 0]);
        for now in [9_751, 9_992] {
            assert_eq!(numbers(&schedule.take_due(now, &mut lateness).1), [0; 0]);
            assert_eq!(schedule.next(), Some(10_000), "nobody has to wake for it before");
        }
        let (cells, sounds) = schedule.take_due(10_003, &mut lateness);
        assert_eq!((cells.len(), numbers(&sounds)), (1, vec![2, 3, 4]), "in its order, behind the cell");
    }

    #[test]
    fn a_train_holds_at_most_a_millisecond_and_sixty_cells() {
        let late: Vec<_> = [5_000u64, 5_250, 5_999, 6_000, 6_750, 9_000].into_iter().map(|at| record(7, at, 0)).collect();
        assert_eq!(trains_of(&late), [3, 2, 1]);
        let many: Vec<_> = (0..130).map(|_| record(7, 5_000, 0)).collect();
        assert_eq!(trains_of(&many), [60, 60, 10]);
    }

    #[test]
    fn the_order_inside_a_train_is_drawn_afresh_and_trains_and_links_keep_theirs() {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
        to.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("a timeout");
        let address = RawAddress::new(to.local_addr().expect("bound"));
        let mut random = Expanded::new().expect("randomness");
        // Twelve cells of one link: eight due at once, four 2 ms later.
        let records: Vec<_> = (0..12u8).map(|number| record(7, if number < 8 { 5_000 } else { 7_000 }, number)).collect();
        let mut first_at = [0u32; 8];
        for _ in 0..400 {
            let (taken, refused) = send_records(&from, &records, |_| Some(&address), &mut true, &mut random);
            assert_eq!((taken, refused), (12, 0));
            let mut octets = [0; RECORD_OCTETS];
            let came: Vec<u8> = (0..12).map(|_| (to.recv(&mut octets).expect("a cell"), octets[0]).1).collect();
            let (one, other) = came.split_at(8);
            assert_eq!((sorted(one), sorted(other)), ((0..8).collect(), (8..12).collect()), "no cell leaves its train, and none is lost");
            first_at[one.iter().position(|number| *number == 0).expect("it came")] += 1;
        }
        // Each of eight places 50 times of 400, give or take six standard deviations (6.6 each).
        assert!(first_at.iter().all(|times| (10..=90).contains(times)), "{first_at:?}");
    }

    fn sorted(octets: &[u8]) -> Vec<u8> {
        let mut octets = octets.to_vec();
        octets.sort_unstable();
        octets
    }
}
