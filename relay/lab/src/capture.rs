//! Two capture files: every frame when it came into a wire, and every frame when it left one.
//!
//! pcap, nanoseconds, link type Ethernet (draft-ietf-opsawg-pcap §4). Written by a thread of its own, which never keeps the wire waiting.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;
use std::sync::mpsc::{sync_channel, SyncSender};
use std::thread::JoinHandle;

const BLOCK_OCTETS: usize = 1 << 18;
/// 64 MiB on their way to the disk; what comes beyond is counted, not written.
const BLOCKS: usize = 256;
const MAX_FILE_OCTETS: u64 = 2 << 30;
const NS_PER_S: u64 = 1_000_000_000;
const FILE_HEADER: [u32; 6] = [0xA1B2_3C4D, 0x0004_0002, 0, 0, 1 << 18, 1];

/// One capture file.
pub(crate) struct Capture {
    block: Vec<u8>,
    in_block: u64,
    octets: u64,
    blocks: SyncSender<Vec<u8>>,
    writer: JoinHandle<Result<()>>,
    unwritten: u64,
}

impl Capture {
    #[allow(clippy::disallowed_methods)] // the lab owns threads; only the core has none
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut file = File::create(path)?;
        for word in FILE_HEADER {
            file.write_all(&word.to_ne_bytes())?;
        }
        let (blocks, written) = sync_channel::<Vec<u8>>(BLOCKS);
        let writer = std::thread::spawn(move || written.iter().try_for_each(|block| file.write_all(&block)));
        Ok(Self { block: Vec::with_capacity(BLOCK_OCTETS), in_block: 0, octets: 0, blocks, writer, unwritten: 0 })
    }

    pub(crate) fn add(&mut self, at_ns: u64, frame: &[u8]) {
        let length = frame.len() as u32;
        for word in [(at_ns / NS_PER_S) as u32, (at_ns % NS_PER_S) as u32, length, length] {
            self.block.extend_from_slice(&word.to_ne_bytes());
        }
        self.block.extend_from_slice(frame);
        self.in_block += 1;
        if self.block.len() + 2_048 > BLOCK_OCTETS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_OCTETS));
        self.octets += block.len() as u64;
        if self.octets > MAX_FILE_OCTETS || self.blocks.try_send(block).is_err() {
            self.unwritten += self.in_block;
        }
        self.in_block = 0;
    }

    /// Write what is left; how many frames are missing in the file.
    pub(crate) fn finish(mut self) -> u64 {
        self.hand_over();
        drop(self.blocks);
        match self.writer.join() {
            Ok(Ok(())) => self.unwritten,
            _ => u64::MAX,
        }
    }
}
