//! What waits to leave: sealed cells and RTP, in groups by the microsecond they are due.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use voicebox_dtls::RECORD_OCTETS;

use crate::datagrams::{send_all, Parcel, RawAddress, MAX_TRAIN};
use crate::lateness::Lateness;
use crate::links::SocketNumber;
use crate::media::Half;

/// A sealed cell.
pub(crate) struct Record {
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

    pub(crate) fn add_record(&mut self, now: u64, at: u64, record: Record) {
        let spare = &mut self.spare;
        let group = self.groups.entry(at.max(now)).or_insert_with(|| Group { records: spare.pop().unwrap_or_default(), ..Group::default() });
        group.ahead |= at > now;
        group.records.push(record);
    }

    pub(crate) fn add_sound(&mut self, now: u64, at: u64, sound: Sound) {
        self.groups.entry(at.max(now)).or_default().sounds.push(sound);
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.groups.first_key_value().map(|(&at, _)| at)
    }

    /// Take all that is due: cells, ordered by socket and link, and sounds.
    pub(crate) fn take_due(&mut self, now: u64, lateness: &mut Lateness) -> (Vec<Record>, Vec<Sound>) {
        let mut due = std::mem::take(&mut self.due);
        let mut sounds = Vec::new();
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
        // Stable: the cells of one link keep their order.
        due.sort_by_key(|record| (record.socket, record.link));
        (due, sounds)
    }

    /// Give the cells' room back.
    pub(crate) fn reuse(&mut self, mut records: Vec<Record>) {
        records.clear();
        self.due = records;
    }
}

/// Send cells, which all leave by one socket and are in order of links: taken and refused.
pub(crate) fn send_records<'a>(socket: &UdpSocket, records: &'a [Record], peer: impl Fn(u32) -> Option<&'a RawAddress>, trains: &mut bool) -> (u64, u64) {
    let octets: Vec<&[u8]> = records.iter().map(|record| record.octets.as_slice()).collect();
    let mut parcels = Vec::new();
    let (mut wanted, mut begin) = (0, 0);
    for run in records.chunk_by(|one, other| one.link == other.link) {
        let its = &octets[begin..begin + run.len()];
        begin += run.len();
        let Some(to) = peer(run[0].link) else { continue };
        wanted += run.len() as u64;
        parcels.extend(its.chunks(MAX_TRAIN).map(|octets| Parcel { octets, to }));
    }
    let refused = send_all(socket, &parcels, trains);
    (wanted - refused, refused)
}
